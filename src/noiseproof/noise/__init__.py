"""What the weights suffer once per chip."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.noise.arrays import Arrays as Arrays
    from noiseproof.noise.chips import manufacture as manufacture
    from noiseproof.noise.flipout_check import check_flipout as check_flipout
    from noiseproof.noise.flipped_layers import known_layer as known_layer
    from noiseproof.noise.own import resolved as resolved
    from noiseproof.noise.per_image import ImageChips as ImageChips
    from noiseproof.noise.perturbation import Programme as Programme
    from noiseproof.noise.perturbation import coverage as coverage
    from noiseproof.noise.perturbation import noisy_tensors as noisy_tensors
    from noiseproof.noise.perturbation import perturb as perturb
    from noiseproof.noise.perturbation import targeted as targeted
    from noiseproof.noise.perturbation import touched as touched
    from noiseproof.noise.signs import Signs as Signs
    from noiseproof.specs.noise import Own as Own
    from noiseproof.specs.noise import Spec as Spec
    from noiseproof.specs.noise import parse as parse

__getattr__, __dir__ = face(
    __name__,
    {
        "Own": "specs.noise",
        "resolved": "noise.own",
        "Arrays": "noise.arrays",
        "ImageChips": "noise.per_image",
        "Programme": "noise.perturbation",
        "Signs": "noise.signs",
        "Spec": "specs.noise",
        "check_flipout": "noise.flipout_check",
        "coverage": "noise.perturbation",
        "known_layer": "noise.flipped_layers",
        "manufacture": "noise.chips",
        "noisy_tensors": "noise.perturbation",
        "parse": "specs.noise",
        "perturb": "noise.perturbation",
        "targeted": "noise.perturbation",
        "touched": "noise.perturbation",
    },
)
