"""Remedies on the finished chip: no label, no gradient, no knowledge of the noise."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.recalibration.affine import matched_maps as matched_maps
    from noiseproof.recalibration.affine import with_bias_zeros as with_bias_zeros
    from noiseproof.recalibration.affine import with_biases as with_biases
    from noiseproof.recalibration.matching import Signature as Signature
    from noiseproof.recalibration.matching import signature_of as signature_of
    from noiseproof.recalibration.running_stats import running_layers as running_layers
    from noiseproof.recalibration.statistics import calibrated as calibrated
    from noiseproof.recalibration.statistics import recalibrate as recalibrate
    from noiseproof.recalibration.statistics import recalibrated as recalibrated

__getattr__, __dir__ = face(
    __name__,
    {
        "Signature": "recalibration.matching",
        "calibrated": "recalibration.statistics",
        "matched_maps": "recalibration.affine",
        "recalibrate": "recalibration.statistics",
        "recalibrated": "recalibration.statistics",
        "running_layers": "recalibration.running_stats",
        "signature_of": "recalibration.matching",
        "with_bias_zeros": "recalibration.affine",
        "with_biases": "recalibration.affine",
    },
)
