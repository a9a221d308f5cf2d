"""How the report calls factors, selections and intervals, the same in every table and figure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from noiseproof import stats
from noiseproof.report.words import short_noises
from noiseproof.results.swept import time_words
from noiseproof.specs import Spec, parse_time
from noiseproof.stats import Interval
from noiseproof.study.keys import Value
from noiseproof.study.verdicts import AGAINST, FOR, OPEN, At

_MINUS_ZERO = re.compile(r"-(0(?:\.0+)?)(?![\d.])")
SAYS = {FOR: "for", AGAINST: "against", OPEN: "not told apart"}
PLAIN_FACTORS = ("network", "model", "targets", "noise", "design")  # their values name them
FACTOR_NAMES = {"recalibrate": "recalibration", "batch_size": "batch size", "lr": "learning rate"}


NOTHING = {"mvm": "exact", "hardware": "none", "mapping": "none", "digital": "none"}
"""What a factor is called that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Short names of the noises of a study."""

    noises: Mapping[str, str] = field(default_factory=dict)

    def value(self, factor: str, value: Value) -> str:
        """A factor's value, as tables show it."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:g}"
        if factor in NOTHING and not value:
            return NOTHING[factor]
        if factor == "level":  # a time
            return time_words(parse_time(value))
        return self.noises.get(str(value), str(value)) if factor == "noise" else str(value)

    def at(self, at: At) -> str:
        """A combination in a line: `resnet14; kernel,bias; std per tensor`."""
        told = (self._told(name, value) for name, value in at)
        return "; ".join(filter(None, told)) or "all together"

    def selection(self, selection: Mapping[str, Value]) -> str:
        """Factors with their values: `norm none`."""
        return ", ".join(f"{factor_name(k)} {self.value(k, v)}" for k, v in selection.items())

    def _told(self, name: str, value: Value) -> str:
        """A factor in a combination; empty where it says nothing: statistics without noise, and
        nothing folded."""
        if name == "stats_as":
            return f"statistics as {value}" if value else ""
        if name == "fold_norm":
            return "folded" if value else ""
        shown = self.value(name, value)
        return shown if name in PLAIN_FACTORS else f"{factor_name(name)} {shown}"


def names_of(noises: Iterable[Spec]) -> Names:
    """Short names for the noises of a study, each at any level; the whole text where there are
    none."""
    return Names(noises=short_noises(noises))


def factor_name(name: str) -> str:
    """A factor, as the head of a column."""
    return FACTOR_NAMES.get(name, name)


def share(interval: Interval) -> str:
    """Mean and ends in percent or points, with the digits they support; `-` without a mean."""
    if math.isnan(interval.mean):
        return "-"
    return _MINUS_ZERO.sub(r"\1", stats.percent(interval))


def with_n(interval: Interval, n: int) -> str:
    """The same and how many values it is of."""
    return f"{share(interval)}, n = {n}"


def apart(order: Sequence[Mapping[str, Value]]) -> tuple[list[dict[str, Value]], dict[str, Value]]:
    """What tells the selections of a comparison apart, and what they share."""
    first = order[0]
    shared = {k: v for k, v in first.items() if all(k in one and one[k] == v for one in order)}
    return [{k: v for k, v in one.items() if k not in shared} for one in order], shared


def side_names(order: Sequence[Mapping[str, Value]], names: Names) -> list[str]:
    """What tables and figures call the sides of a comparison: only what tells them apart."""
    return [names.selection(one) or names.selection(order[0]) for one in apart(order)[0]]


def agreed(factors: Sequence[Mapping[str, Value]], where: Mapping[str, object]) -> dict[str, Value]:
    """The factors in `where` that have one value in all these curves."""
    found = {name: {one[name] for one in factors if name in one} for name in where}
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def without(at: At, known: Mapping[str, Value]) -> At:
    """The combination without what is said elsewhere."""
    return tuple(one for one in at if one[0] not in known)


def plain(number: float) -> str:
    """A figure of the source, as its file writes it."""
    return f"{number:.15g}"


def counts(numbers: Iterable[int]) -> str:
    """`3`, or `2 to 3`."""
    found = sorted(set(numbers))
    if not found:
        return "0"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def confidence_text(confidence: float) -> str:
    """`99.58 %`, which no line break parts."""
    return f"{100 * confidence:.2f}".rstrip("0").rstrip(".") + "\u00a0%"


def many(count: int, thing: str) -> str:
    """`1 cell`, `12 cells`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
