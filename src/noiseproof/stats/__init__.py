"""Intervals, and how many digits they support; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.stats.display import PERCENT as PERCENT
    from noiseproof.stats.display import PLAIN as PLAIN
    from noiseproof.stats.display import Unit as Unit
    from noiseproof.stats.display import as_json as as_json
    from noiseproof.stats.display import digits as digits
    from noiseproof.stats.display import duration as duration
    from noiseproof.stats.display import number as number
    from noiseproof.stats.display import percent as percent
    from noiseproof.stats.display import unit_of as unit_of
    from noiseproof.stats.hull import hull_distance as hull_distance
    from noiseproof.stats.hull import hull_interval as hull_interval
    from noiseproof.stats.hull import largest_step as largest_step
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
    from noiseproof.stats.pacing import Progress as Progress
    from noiseproof.stats.pacing import most_units as most_units
    from noiseproof.stats.pacing import units_wanted as units_wanted
    from noiseproof.stats.power import MOST as MOST
    from noiseproof.stats.power import POWER as POWER
    from noiseproof.stats.power import fewest as fewest
    from noiseproof.stats.power import smallest_difference as smallest_difference
    from noiseproof.stats.power import t_power as t_power
    from noiseproof.stats.power import welch_power as welch_power
    from noiseproof.stats.spread import TAIL as TAIL
    from noiseproof.stats.spread import Spread as Spread
    from noiseproof.stats.spread import binomial_interval as binomial_interval
    from noiseproof.stats.spread import block_interval as block_interval
    from noiseproof.stats.spread import chip_spread as chip_spread
    from noiseproof.stats.stopping import FIRST as FIRST
    from noiseproof.stats.stopping import stein_interval as stein_interval
    from noiseproof.stats.stopping import units_needed as units_needed

__getattr__, __dir__ = face(
    __name__,
    {
        "Bools": "stats.intervals",
        "CONFIDENCE": "stats.intervals",
        "FIRST": "stats.stopping",
        "Floats": "stats.intervals",
        "Interval": "stats.intervals",
        "MOST": "stats.power",
        "PERCENT": "stats.display",
        "PLAIN": "stats.display",
        "POWER": "stats.power",
        "Progress": "stats.pacing",
        "Spread": "stats.spread",
        "TAIL": "stats.spread",
        "Unit": "stats.display",
        "as_json": "stats.display",
        "binomial_interval": "stats.spread",
        "block_interval": "stats.spread",
        "chance_corrected": "stats.intervals",
        "chip_spread": "stats.spread",
        "crossed_interval": "stats.intervals",
        "digits": "stats.display",
        "duration": "stats.display",
        "fewest": "stats.power",
        "hull_distance": "stats.hull",
        "hull_interval": "stats.hull",
        "largest_step": "stats.hull",
        "low_quantile": "stats.intervals",
        "most_units": "stats.pacing",
        "number": "stats.display",
        "paired_interval": "stats.intervals",
        "percent": "stats.display",
        "sd": "stats.intervals",
        "smallest_difference": "stats.power",
        "stein_interval": "stats.stopping",
        "t_interval": "stats.intervals",
        "t_power": "stats.power",
        "unit_of": "stats.display",
        "units_needed": "stats.stopping",
        "units_wanted": "stats.pacing",
        "welch_interval": "stats.intervals",
        "welch_power": "stats.power",
    },
)
