"""What a comparison will compare: the pairs of sides that the grid lets be compared."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from noiseproof.study.comparable import is_selected
from noiseproof.study.file import Comparison
from noiseproof.study.keys import Value
from noiseproof.study.verdicts import At
from noiseproof.study.wanted import Task


@dataclass(frozen=True, kw_only=True)
class PlannedSide:
    """One side of a cell that is still to be measured."""

    selection: Mapping[str, Value]
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell that is still to be measured."""

    at: At
    better: PlannedSide
    worse: PlannedSide


def planned_cells(comparison: Comparison, tasks: Sequence[Task]) -> Iterator[PlannedCell]:
    """The cells that these curves will have, in their order."""
    found = [(factors, t) for t in tasks for factors in _expanded(comparison, t)]
    known = [f for f, _ in found if all(name in f for name in comparison.by)]
    for at in dict.fromkeys(tuple((name, f[name]) for name in comparison.by) for f in known):
        here = [(f, task) for f, task in found if is_selected(f, dict(at))]
        sides = [_side(dict(one), here) for one in comparison.order]
        pairs = itertools.pairwise(sides)
        if comparison.peak:
            pairs = itertools.product(sides[1:-1], (sides[0], sides[-1]))  # type: ignore[assignment]
        for better, worse in pairs:
            if better.tasks and worse.tasks:
                yield PlannedCell(at=at, better=better, worse=worse)


def _side(
    selection: Mapping[str, Value], here: Sequence[tuple[dict[str, Value], Task]]
) -> PlannedSide:
    tasks = tuple(task for factors, task in here if is_selected(factors, selection))
    return PlannedSide(selection=selection, tasks=tasks)


def _expanded(comparison: Comparison, task: Task) -> list[dict[str, Value]]:
    """The factors of a curve, or of each of its levels."""
    if "level" not in comparison.by:
        return [dict(task.factors)]
    return [{**task.factors, "level": task.at(spec.level)} for spec in task.specs]
