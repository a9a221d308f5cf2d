"""What the weights suffer once per chip."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.noise.chips import manufacture as manufacture
    from noiseproof.noise.perturbation import coverage as coverage
    from noiseproof.noise.perturbation import perturb as perturb
    from noiseproof.noise.perturbation import touched as touched
    from noiseproof.specs.noise import Spec as Spec
    from noiseproof.specs.noise import parse as parse

__getattr__, __dir__ = face(
    __name__,
    {
        "Spec": "specs.noise",
        "coverage": "noise.perturbation",
        "manufacture": "noise.chips",
        "parse": "specs.noise",
        "perturb": "noise.perturbation",
        "touched": "noise.perturbation",
    },
)
