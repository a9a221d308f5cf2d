"""How long to measure: a fixed number of units, until a precision, or until a time is over."""

import re
from dataclasses import dataclass

MOST_SECONDS = 10_000_000.0
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """`precision`: the half-width of the 95 % interval to reach, in units of the score (0.01 is a
    point of accuracy). `budget`: seconds. Neither: a fixed number of units."""

    precision: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and not 0 < self.precision < float("inf"):
            raise ValueError(f"precision must be > 0 and finite, got {self.precision:g}")
        if self.budget is not None and not 0 < self.budget <= MOST_SECONDS:
            raise ValueError(f"budget must be > 0 and <= {MOST_SECONDS:g} s, got {self.budget:g} s")

    def __str__(self) -> str:
        parts = [] if self.precision is None else [f"precision({self.precision:g})"]
        parts += [] if self.budget is None else [f"budget({self.budget:g} s)"]
        return " ".join(parts)

    @property
    def is_fixed(self) -> bool:
        """Is the number of units known beforehand?"""
        return self.precision is None and self.budget is None


def parse_seconds(text: str) -> float:
    """Seconds from `60`, `60s`, `5m` or `1.5h`.

    Raises:
        ValueError: for anything else.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h)?\s*", text)
    if match is None:
        raise ValueError(f"budget must be a time as 60s, 5m or 1h, got {text!r}")
    return float(match[1]) * _SECONDS[match[2] or "s"]
