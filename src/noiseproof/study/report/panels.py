"""Normalised accuracy against level or time, side by side: what the small panels and their table
show."""

from collections.abc import Sequence
from dataclasses import dataclass

from noiseproof import stats
from noiseproof.results import Swept, in_order
from noiseproof.stats import Interval
from noiseproof.study.file import Comparison
from noiseproof.study.measured import Measured
from noiseproof.study.report.published import curves_by_side
from noiseproof.study.report.words import Names, side_names
from noiseproof.study.verdicts import NO_VALUE, At

MOST = 24  # panels that are drawn


@dataclass(frozen=True, kw_only=True)
class Line:
    """One selection: `levels` (seconds where time is swept, None for what is programmed and not
    read), `means` over n trainings; over the chips of the only one where chips are what
    is replicated. `each`: the trainings one by one."""

    label: str
    place: int  # in the comparison's order
    n: int
    levels: tuple[float | None, ...]
    means: tuple[Interval, ...]
    each: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One combination of the comparison's factors; `swept`: what its lines are over."""

    at: At
    title: str
    axis: str
    swept: Swept
    lines: tuple[Line, ...]

    @property
    def levels(self) -> tuple[float | None, ...]:
        """Of all lines."""
        return tuple(in_order({level for line in self.lines for level in line.levels}))

    def x(self, line: Line) -> list[float]:
        """Where its points stand."""
        return [x for x in map(self.swept.place, line.levels) if x is not None]


def panels_of(
    comparison: Comparison, measured: Sequence[Measured], names: Names
) -> tuple[Panel, ...]:
    """A panel for each combination, grouped by the first factor."""
    labels = side_names(comparison.order, names)
    found = []
    for at, sides in curves_by_side(comparison, measured):
        curves = [curve for side in sides for curve in side]
        lines = [
            _line(comparison, labels[place], place, side)
            for place, side in enumerate(sides)
            if side
        ]
        axes = {curve.task.swept.axis for curve in curves}
        if lines:
            found.append(
                Panel(
                    at=at,
                    title=names.at(at),
                    axis=axes.pop() if len(axes) == 1 else "noise level",
                    swept=curves[0].task.swept,
                    lines=tuple(lines),
                )
            )
    groups = list(dict.fromkeys(panel.at[:1] for panel in found))
    return tuple(sorted(found, key=lambda panel: groups.index(panel.at[:1])))


def _line(comparison: Comparison, label: str, place: int, curves: Sequence[Measured]) -> Line:
    levels = in_order(set.intersection(*(set(curve.by_level) for curve in curves)))
    over_chips = comparison.unit == "chip" and len(curves) == 1
    return Line(
        label=label,
        place=place,
        n=min(point.chips for point in curves[0].points) if over_chips else len(curves),
        levels=tuple(levels),
        means=tuple(
            _over_chips(curves[0], level) if over_chips else _over_trainings(curves, level)
            for level in levels
        ),
        each=tuple(tuple(curve.by_level[level] for level in levels) for curve in curves),
    )


def _over_trainings(curves: Sequence[Measured], level: float | None) -> Interval:
    if level == 0 and curves[0].task.starts_clean:
        return Interval(mean=1.0, low=1.0, high=1.0)
    return stats.t_interval([curve.by_level[level] for curve in curves])


def _over_chips(curve: Measured, level: float | None) -> Interval:
    if level == 0 and curve.task.starts_clean:
        return Interval(mean=1.0, low=1.0, high=1.0)
    found = [point.normalised for point in curve.points if point.level == level]
    return found[0] if found else NO_VALUE
