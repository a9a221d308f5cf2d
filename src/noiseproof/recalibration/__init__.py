"""Remedies on the finished chip: no label, no gradient, no knowledge of the noise."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.recalibration.running_stats import running_layers as running_layers
    from noiseproof.recalibration.statistics import recalibrate as recalibrate
    from noiseproof.recalibration.statistics import recalibrated as recalibrated

__getattr__, __dir__ = face(
    __name__,
    {
        "recalibrate": "recalibration.statistics",
        "recalibrated": "recalibration.statistics",
        "running_layers": "recalibration.running_stats",
    },
)
