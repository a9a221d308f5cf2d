"""The source's figures, and what was measured of the same thing."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from noiseproof import stats
from noiseproof.stats import Interval
from noiseproof.study.comparable import is_selected
from noiseproof.study.file import Comparison, Published
from noiseproof.study.keys import Value
from noiseproof.study.measured import Measured, at_levels
from noiseproof.study.report.words import agreed
from noiseproof.study.verdicts import NO_VALUE, At, Side, combinations_of, side_of

FEW = 4  # combinations that are all shown; of more, the closest, lowest and highest


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one side keeps in one combination. `which`: closest, lowest, highest; "" for all."""

    at: At
    side: Side
    which: str = ""

    @property
    def interval(self) -> Interval:
        return self.side.interval

    @property
    def n(self) -> int:
        return len(self.side.values)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A published figure with its measured counterparts, of all `combinations` that fit it."""

    published: Published
    found: tuple[Found, ...]
    combinations: int
    shared: Mapping[str, Value]  # what the published figure's `where` selects in all of them

    @property
    def reason(self) -> str:
        """Why nothing is beside it; "" where something is."""
        if self.found:
            return ""
        return "belongs to no side" if self.published.side is None else "not measured"


def beside_of(
    comparison: Comparison, published: Sequence[Published], measured: Sequence[Measured]
) -> list[Beside]:
    """Each published figure beside the side that it belongs to."""
    return [_beside(comparison, one, measured) for one in published]


def _beside(comparison: Comparison, one: Published, measured: Sequence[Measured]) -> Beside:
    if one.side is None or one.side >= len(comparison.order):
        return Beside(published=one, found=(), combinations=0, shared={})
    curves = [curve for curve in measured if curve.is_whole]
    if "level" in comparison.by or "level" in one.where:
        curves = at_levels(curves)
    where: Mapping[str, object] = one.where
    curves = [curve for curve in curves if is_selected(dict(curve.factors), dict(one.where))]
    by = comparison.by
    if "level" in where and "level" not in by:  # a figure of one level, beside that level
        by = (*by, "level")
    told = comparison.model_copy(update={"by": by})
    found = []
    for at in combinations_of(told, curves):
        here = [curve for curve in curves if is_selected(dict(curve.factors), dict(at))]
        side = side_of(told, comparison.order[one.side], here)
        if side.values:
            found.append(Found(at=at, side=side))
    return Beside(
        published=one,
        found=tuple(_few(found, one.percent / 100)),
        combinations=len(found),
        shared=agreed([curve.factors for curve in curves], one.where) if found else {},
    )


def _few(found: Sequence[Found], share: float) -> list[Found]:
    """All of a few; of many the closest, the lowest and the highest."""
    if len(found) <= FEW:
        return list(found)
    chosen = {
        "closest": min(found, key=lambda one: abs(one.interval.mean - share)),
        "lowest": min(found, key=lambda one: one.interval.mean),
        "highest": max(found, key=lambda one: one.interval.mean),
    }
    words: dict[At, list[str]] = {}
    for which, one in chosen.items():
        words.setdefault(one.at, []).append(which)
    places = {one.at: one for one in chosen.values()}
    return [
        Found(at=at, side=places[at].side, which=" and ".join(which)) for at, which in words.items()
    ]


# --- levels at which one side keeps what was published -------------------------------------------


RATIOS = ("average_normalised", "normalised")


@dataclass(frozen=True, kw_only=True)
class Match:
    """One combination: `level` at which the first side's mean falls to its published share, None
    where it does not within the levels; `kept` by the other side there, over its trainings."""

    at: At
    level: float | None
    kept: Interval
    first: int  # trainings of the first side, whose mean gives the level
    second: int
    reach: float  # what the first side still keeps at its highest level
    beyond: str = ""  # where there is no value: which levels end too early

    def distance(self, share: float) -> float:
        """From the other side's published share; inf without a value."""
        return math.inf if math.isnan(self.kept.mean) else abs(self.kept.mean - share)


@dataclass(frozen=True, kw_only=True)
class Matched:
    """A published pair and every combination that fits it, the nearest first."""

    first: Published
    second: Published
    matches: tuple[Match, ...]
    shared: Mapping[str, Value]  # what the pair's `where` selects in all of them


def matched_of(
    comparison: Comparison, published: Sequence[Published], measured: Sequence[Measured]
) -> list[Matched]:
    """The readings of all published pairs. No pair is read where the file gives its level, or where
    the comparison's score is no share of the clean accuracy."""
    # Years are no levels that a source could have left out.
    over_levels = [one for one in measured if not one.task.swept.is_time]
    if comparison.score not in RATIOS or (measured and not over_levels):
        return []
    found = []
    for first in published:
        for second in published:
            is_other = second.side is not None and 0 < second.side < len(comparison.order)
            if first.side == 0 and is_other and first.where == second.where:
                if "level" in first.where:
                    continue
                found.append(_matched(comparison, first, second, over_levels))
    return found


def _matched(
    comparison: Comparison, first: Published, second: Published, measured: Sequence[Measured]
) -> Matched:
    fitting = [c for c in measured if is_selected(dict(c.factors), dict(first.where))]
    matches, used = [], []
    for at, sides in curves_by_side(comparison, fitting):
        ours, theirs = sides[0], sides[second.side or 0]
        if ours and theirs:
            matches.append(_match(at, ours, theirs, share=first.percent / 100))
            used += [curve.factors for curve in (*ours, *theirs)]
    return Matched(
        first=first,
        second=second,
        matches=tuple(sorted(matches, key=lambda one: one.distance(second.percent / 100))),
        shared=agreed(used, first.where),
    )


def curves_by_side(
    comparison: Comparison, measured: Sequence[Measured]
) -> list[tuple[At, list[list[Measured]]]]:
    """For each combination of `by`, levels aside, the whole curves of each selection whose network
    has learned."""
    without = comparison.model_copy(
        update={
            "by": tuple(name for name in comparison.by if name != "level"),
            "order": tuple(_without_level(one) for one in comparison.order),
        }
    )
    curves = [one for one in measured if one.is_whole and one.has_learned]
    found = []
    for at in combinations_of(without, curves):
        here = [c for c in curves if is_selected(dict(c.factors), dict(at))]
        sides = [[c for c in here if is_selected(dict(c.factors), dict(s))] for s in without.order]
        found.append((at, sides))
    return found


def _without_level(selection: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in selection.items() if name != "level"}


def _match(at: At, ours: Sequence[Measured], theirs: Sequence[Measured], *, share: float) -> Match:
    mean = mean_by_level(ours)
    level = level_at(mean, share)
    kept, beyond = NO_VALUE, ""
    if level is None:
        beyond = "the first side's levels"
    elif level > min(max(levels_of(curve)) for curve in theirs):
        beyond = "the other side's levels"
    else:
        kept = stats.t_interval([share_at(levels_of(curve), level) for curve in theirs])
    return Match(
        at=at,
        level=level,
        kept=kept,
        first=len(ours),
        second=len(theirs),
        reach=mean[max(mean)],
        beyond=beyond,
    )


def mean_by_level(curves: Sequence[Measured]) -> dict[float, float]:
    """Normalised accuracy by level, mean over the curves, at the levels that all of them have."""
    each = [levels_of(curve) for curve in curves]
    shared = [level for level in each[0] if all(level in one for one in each)]
    return {v: float(np.mean([one[v] for one in each])) for v in sorted(shared)}


def levels_of(curve: Measured) -> dict[float, float]:
    """Normalised accuracy by level."""
    return {level: share for level, share in curve.by_level.items() if level is not None}


def level_at(by_level: Mapping[float, float], share: float) -> float | None:
    """The lowest level at which the broken line through the points falls to `share`."""
    levels = sorted(by_level)
    if by_level[levels[0]] <= share:
        return levels[0]
    for low, high in itertools.pairwise(levels):
        above, below = by_level[low], by_level[high]
        if below <= share:
            return low + (above - share) / (above - below) * (high - low)
    return None


def share_at(by_level: Mapping[float, float], level: float) -> float:
    """The broken line through the points at a level between them."""
    levels = sorted(by_level)
    return float(np.interp(level, levels, [by_level[one] for one in levels]))
