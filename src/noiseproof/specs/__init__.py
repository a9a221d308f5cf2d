"""What can be asked, as values with one text form; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.specs.catalog import PixelScale as PixelScale
    from noiseproof.specs.catalog import parse_pixel_scale as parse_pixel_scale
    from noiseproof.specs.designs import parse_design as parse_design
    from noiseproof.specs.estimators import parse_estimator as parse_estimator
    from noiseproof.specs.noise import Spec as Spec
    from noiseproof.specs.noise import parse as parse

__getattr__, __dir__ = face(
    __name__,
    {
        "PixelScale": "specs.catalog",
        "Spec": "specs.noise",
        "parse": "specs.noise",
        "parse_design": "specs.designs",
        "parse_estimator": "specs.estimators",
        "parse_pixel_scale": "specs.catalog",
    },
)
