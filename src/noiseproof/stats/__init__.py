"""Intervals, and how many digits they support; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.stats.display import PERCENT as PERCENT
    from noiseproof.stats.display import PLAIN as PLAIN
    from noiseproof.stats.display import Unit as Unit
    from noiseproof.stats.display import as_json as as_json
    from noiseproof.stats.display import digits as digits
    from noiseproof.stats.display import number as number
    from noiseproof.stats.display import percent as percent
    from noiseproof.stats.display import unit_of as unit_of
    from noiseproof.stats.intervals import CONFIDENCE as CONFIDENCE
    from noiseproof.stats.intervals import Bools as Bools
    from noiseproof.stats.intervals import Floats as Floats
    from noiseproof.stats.intervals import Interval as Interval
    from noiseproof.stats.intervals import chance_corrected as chance_corrected
    from noiseproof.stats.intervals import crossed_interval as crossed_interval
    from noiseproof.stats.intervals import low_quantile as low_quantile
    from noiseproof.stats.intervals import paired_interval as paired_interval
    from noiseproof.stats.intervals import sd as sd
    from noiseproof.stats.intervals import t_interval as t_interval
    from noiseproof.stats.intervals import welch_interval as welch_interval

__getattr__, __dir__ = face(
    __name__,
    {
        "Bools": "stats.intervals",
        "CONFIDENCE": "stats.intervals",
        "Floats": "stats.intervals",
        "Interval": "stats.intervals",
        "PERCENT": "stats.display",
        "PLAIN": "stats.display",
        "Unit": "stats.display",
        "as_json": "stats.display",
        "chance_corrected": "stats.intervals",
        "crossed_interval": "stats.intervals",
        "digits": "stats.display",
        "low_quantile": "stats.intervals",
        "number": "stats.display",
        "paired_interval": "stats.intervals",
        "percent": "stats.display",
        "sd": "stats.intervals",
        "t_interval": "stats.intervals",
        "unit_of": "stats.display",
        "welch_interval": "stats.intervals",
    },
)
