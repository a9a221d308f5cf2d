"""The source's figures, and what was measured of the same thing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noiseproof.stats.intervals import Interval
from noiseproof.study.file import Comparison, Published, Value
from noiseproof.study.grid import is_selected
from noiseproof.study.measured import Measured, at_levels
from noiseproof.study.report.words import agreed
from noiseproof.study.verdicts import At, Side, combinations_of, side_of

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
