"""When to stop measuring: intervals that stay valid whatever their shown width made one do.

Stein's two stages (1945): the first units alone give the variance, all units the mean. For normal
units the mean is independent of that variance, so the interval covers at its nominal rate under
every rule that looks at widths, at other points' widths or at a clock. The usual t interval, read
after every unit, does not: who stops where it looks narrow stops where its sd is too small.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from noiseproof.stats.intervals import Floats, Interval, t_interval
from noiseproof.stats.spread import TAIL, binomial_interval

# Units of the first stage. More of them cost at least so many units, fewer cost width for ever:
# t at 9, 19 and 39 degrees needs 33 %, 14 % and 6 % more units than a known variance would. 10
# chips would also cover less where their law is skewed (benchmarks/design_coverage.py). Samples of
# images cost least, so 40 of them.
FIRST = {"chips": 20, "nested": 40, "per-image": 20}


def stein_interval(
    values: Sequence[float] | Floats, *, first: int, images: int | None = None
) -> Interval:
    """The mean of all values, in the order measured, with the first ones' variance.

    Up to `first` values this is the t interval. `images` is how many hits or misses one value is
    the share of: then equal values give no interval of width zero, but the binomial one.

    Raises:
        ValueError: where `first` is below 2 or `images` below 1.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return t_interval(x)
    mean = float(x.mean())
    # The variance stays that of the first units however many follow: this is what keeps the
    # interval independent of when one stopped.
    half = _reach(x, first, images) / math.sqrt(len(x))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def units_needed(
    first_values: Sequence[float] | Floats, *, half_width: float, images: int | None = None
) -> int:
    """How many units, these first ones included, give stein_interval this half-width or less.

    Raises:
        ValueError: unless half_width > 0, and for fewer than two values.
    """
    if not half_width > 0:
        raise ValueError(f"half_width must be > 0, got {half_width}: give it in units of the score")
    if len(first_values) < 2:
        raise ValueError(
            f"first_values must be at least 2 units, got {len(first_values)}: measure more"
        )
    n = len(first_values)
    reach = _reach(np.asarray(first_values, dtype=np.float64), n, images)
    needed = max(n, math.ceil((reach / half_width) ** 2))
    # Rounding: the least count whose half-width, as stein_interval computes it, is small enough.
    while needed > n and reach / math.sqrt(needed - 1) <= half_width:
        needed -= 1
    return needed if reach / math.sqrt(needed) <= half_width else needed + 1


def next_point(
    points: Sequence[Sequence[float] | Floats], *, first: int, images: int | None = None
) -> int:
    """The index of the point that gets the next unit: the widest stein_interval.

    Points with fewer than `first` values come before all others, the fewest first; of equals the
    first. Beyond that only the first stages' variances and the counts decide.

    Raises:
        ValueError: for no points.
    """
    if not points:
        raise ValueError("points must be at least one, got none: nothing can be measured next")
    # Fewest first, so that a budget which runs out early leaves no point without a spread.
    counts = [len(values) for values in points]
    if min(counts) < first:
        return counts.index(min(counts))
    widths = [
        _reach(np.asarray(values, dtype=np.float64), first, images) / math.sqrt(len(values))
        for values in points
    ]
    return widths.index(max(widths))


def _reach(values: Floats, first: int, images: int | None) -> float:
    """t times the first stage's sd: the half-width times the root of the number of units."""
    if first < 2:
        raise ValueError(f"first must be at least 2 units, got {first}: one unit has no variance")
    if images is not None and images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    stage = values[:first]
    if len(stage) < 2:
        return math.nan
    variance = float(np.var(stage, ddof=1))
    # Equal scores are no proof of a variance of zero: 20 chips that all score 100 % on 50 images
    # may well differ on the next image.
    if not np.ptp(stage):
        variance = 0.0 if images is None else _hidden_variance(float(stage[0]), len(stage), images)
    return float(special.stdtrit(len(stage) - 1, 1 - TAIL)) * math.sqrt(variance)


def _hidden_variance(share: float, units: int, images: int) -> float:
    """Of one unit, where all show the same share of hits: the largest binomial variance that
    Clopper and Pearson's interval for all images allows."""
    # p (1 - p) grows towards p = 1/2: its largest value within the bounds is at the edge nearest to
    # it, or at 1/2 itself.
    bound = binomial_interval(share * units * images, units * images)
    edge = min(max(0.5, bound.low), bound.high)
    return edge * (1 - edge) / images
