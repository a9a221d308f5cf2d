"""What the points of one curve differ in: a noise level, or the time since programming. How its
values are said, and where they stand on an axis."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from noiseproof.specs import Additive, Own, Spec, parse, parse_time, time_text

Value = float | None
Tick = tuple[float, str]  # a place on the axis, and what is written there

SOON = 20.0
"""Seconds: a time t is drawn at log10(t + SOON), which gives 0 s a place to the left of a minute.
20 s is the reference time of the most used fit of drift (Nandakumar and others, 2019)."""
BEFORE = 0.6
"""Decades to the left of 0 s, where a chip stands that was programmed and not yet read."""
# Those that are kept first where there is no room for all.
USUAL = tuple(map(parse_time, ("0s", "1d", "1y", "1h", "30d", "1min", "10y")))


@dataclass(frozen=True)
class Swept:
    """The swept field of a noise. Its values are levels, None where it has none; or seconds since
    programming, None for what is programmed and not read."""

    spec: Spec

    @cached_property
    def is_time(self) -> bool:
        return self.spec.sweeps == "time"

    @property
    def name(self) -> str:
        """Of a column with its values."""
        return "time" if self.is_time else "level"

    def short(self, value: Value) -> str:
        """A value in a column that is called so: `0.1`, `1 h`, `programmed`; `-` for none."""
        if self.is_time:
            return time_words(value)
        return "-" if value is None else f"{value:g}"

    def text(self, value: Value, *, alone: bool) -> str:
        """A value where nothing says what it is: `level 0.1`, `1 h`; a level of 0 is `no noise`
        where the stage that has it is `alone`."""
        if self.is_time:
            return self.short(value)
        if value is None:
            return "no level"
        if value == 0:
            return "no noise" if alone else "level 0"
        return f"level {value:g}"

    def as_json(self, value: Value) -> dict[str, Value]:
        """`level` and `time`, of which one at most has a value."""
        return {
            "level": None if self.is_time else value,
            "time": value if self.is_time else None,
        }

    def place(self, value: Value) -> float | None:
        """Where a value stands on the axis; None for what has no level."""
        return time_place(value) if self.is_time else value

    @property
    def axis(self) -> str:
        """The label of the axis, with what a level is relative to."""
        if self.is_time:
            return "time since programming"
        stages = [stage for stage in self.spec.stages if stage.swept]
        if not stages:
            return "no level"
        last = ([stage for stage in stages if stage.is_eta] or stages)[-1]
        if isinstance(last, Additive):
            if last.reference == "absolute":
                return "noise level (sigma, in units of the weights)"
            return f"noise level (sigma / {last.reference} per {last.scope})"
        if isinstance(last, Own):
            return "noise level"
        return "noise level (sigma of log weight)" if last.is_eta else "probability stuck"

    def ticks(self, values: Iterable[Value], *, room: int) -> list[Tick]:
        """What is written on an axis of times that holds these, from left to right, as far apart as
        `room` labels on it; nothing for levels, whose axis is linear. `programmed` is a line
        lower: it is wider than its distance to 0 s."""
        shown = in_order(set(values))
        if not self.is_time or not shown:
            return []
        low, high = time_place(shown[0]), time_place(shown[-1])
        found: list[Tick] = []
        # Measured ones fill what the usual ones leave free: a reader looks for a day first.
        for value in (*USUAL, *(time for time in shown if time is not None)):
            x = time_place(value)
            apart = all(abs(x - other) * room > high - low for other, _ in found)
            if low <= x <= high and apart:
                found.append((x, self.short(value)))
        first = [(low, f"\n{self.short(None)}")] if shown[0] is None else []
        return first + sorted(found)


@cache
def swept_by(noise: str) -> Swept:
    """What the curve of this noise sweeps, which any of its points says, `none` too."""
    return Swept(parse(noise))


def in_order(values: Iterable[Value]) -> list[Value]:
    """Ascending; what has no level, or is programmed and not read, first."""
    # Levels and times are never negative; None cannot be compared with them.
    return sorted(values, key=lambda value: -1.0 if value is None else value)


def time_words(seconds: Value) -> str:
    """`1 h`: the text form with its unit apart."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", time_text(seconds))


def time_place(seconds: Value) -> float:
    """Where a time stands on its axis."""
    return math.log10(SOON) - BEFORE if seconds is None else math.log10(seconds + SOON)
