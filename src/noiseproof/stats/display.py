"""Numbers with their uncertainty, in as many digits as it supports."""

import math
from dataclasses import dataclass, replace

from noiseproof.stats.intervals import Interval


def digits(half_width: float) -> int:
    """Decimals that a percentage deserves when its interval has this half-width, in points."""
    if not half_width > 1e-9:  # equal values, but for rounding
        return 1
    return 0 if half_width >= 9.5 else 1 if half_width >= 0.95 else 2


def percent(interval: Interval) -> str:
    """`48.0 [40.3, 55.6]`, in percent, with the digits that the interval supports."""
    half = 100 * (interval.high - interval.low) / 2
    return _shown(interval.scaled(100), f".{digits(half)}f")


def number(interval: Interval) -> str:
    """The same without percent, for scores of which nothing is known but that they are numbers:
    two digits of the half-width."""
    half = (interval.high - interval.low) / 2
    if not 1e-9 * abs(interval.mean) < half < math.inf:
        return _shown(interval, ".6g")
    return _shown(interval, f".{max(0, 1 - math.floor(math.log10(half / 0.95)))}f")


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12 s`, `0.12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole} s" if seconds >= 10 or not seconds else f"{seconds:.2g} s"


def _shown(interval: Interval, form: str) -> str:
    if math.isnan(interval.high - interval.low):
        return f"{interval.mean:{form}} [no interval]"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How a score is printed: in percent, or as the number that it is."""

    factor: float
    sign: str  # after a value and in a table's head, with its space
    points: str  # the same after a difference, with its comma

    def text(self, interval: Interval) -> str:
        """Mean and ends."""
        return percent(interval) if self.factor == 100 else number(interval)

    def value(self, value: float, *, places: int = 1) -> str:
        """One value without an interval, in percent with so many decimals."""
        return f"{100 * value:.{places}f}" if self.factor == 100 else f"{value:.4g}"


PERCENT = Unit(factor=100, sign=" %", points=", points")
PLAIN = Unit(factor=1, sign="", points="")


def unit_of(text: str) -> Unit:
    """`%`: a share, printed in percent; any other text stands behind the number as it is."""
    if text == "%":
        return PERCENT
    return replace(PLAIN, sign=f" {text}", points=f", {text}") if text else PLAIN


def as_json(interval: Interval) -> dict[str, float | None]:
    """Mean and ends; JSON has no nan, so an estimate that does not exist is null."""
    return {
        name: value if math.isfinite(value) else None
        for name, value in (
            ("mean", interval.mean),
            ("low", interval.low),
            ("high", interval.high),
        )
    }
