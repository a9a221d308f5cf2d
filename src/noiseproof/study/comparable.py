"""Can the sides of a comparison be compared: are they measured, and under the same noise?"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from noiseproof.study.file import Claim, Comparison
from noiseproof.study.keys import Value
from noiseproof.study.wanted import CURVE, Grid, Task


# A selection names factors; what it does not name may be anything.
def is_selected(factors: Mapping[str, Value], selection: Mapping[str, Any]) -> bool:
    """Has a network or curve with these factors what is selected? Several values: any of them."""
    return all(
        name in factors
        and any(
            factors[name] == one and isinstance(factors[name], bool) == isinstance(one, bool)
            for one in (value if isinstance(value, tuple) else (value,))
        )
        for name, value in selection.items()
    )


def check_alike(
    comparison: Comparison,
    selection: Mapping[str, Value],
    curves: Sequence[Mapping[str, Value]],
) -> None:
    """Raise ValueError where the curves of one side of a cell, by their factors, differ in more
    than their training, or are of one training twice."""
    free = {"network", "seed"} if comparison.unit == "training" else set()
    where = f"comparison {comparison.question!r}: {dict(selection)} selects"
    for name in curves[0] if curves else ():
        different = {curve.get(name) for curve in curves}
        if name not in free and len(different) > 1:
            shown = ", ".join(sorted(str(value) for value in different)[:3])
            raise ValueError(
                f"{where} curves of several values of {name} ({shown}): add {name} to by, or "
                "select one"
            )
    names = [curve["network"] for curve in curves]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{where} two curves of one network that differ in their levels, chips or calibration "
            "only: measure one of them"
        )


def check_measured(comparison: Comparison, claim: Claim, grid: Grid, where: str) -> None:
    """Raise ValueError for a comparison that the grid's curves will not decide."""
    if comparison.hull:
        _check_hull(comparison, claim, grid, where)
        return
    sides = [
        [task for task in grid.tasks if is_selected(task.factors, selection)]
        for selection in comparison.order
    ]
    by = [name for name in comparison.by if name != "level"]
    for place, (selection, side) in enumerate(zip(comparison.order, sides, strict=True)):
        if not side:
            raise ValueError(
                f"{where}, order[{place}]: it must select something that is measured, got "
                f"{dict(selection)}"
            )
        if comparison.unit == "chip" and any(not task.pace.is_fixed for task in side):
            raise ValueError(
                f"{where}: chips can be compared where their number is fixed: take precision out "
                "of the measurements, or compare trainings"
            )
        for tasks in _cells(side, by).values():
            factors: list[Mapping[str, Value]] = [task.factors for task in tasks]
            if comparison.score == "clean":  # of networks, whatever is measured on them
                named = {str(one["network"]): one for one in factors}
                factors = [{k: one[k] for k in one if k not in CURVE} for one in named.values()]
            check_alike(comparison, selection, factors)
    if comparison.score != "clean":
        for one, other in itertools.pairwise(sides):
            _check_same_noise(comparison, _cells(one, by), _cells(other, by), where)


def _check_hull(comparison: Comparison, claim: Claim, grid: Grid, where: str) -> None:
    """Raise ValueError where no set of published figures is measured on all sides, or a set's sides
    are measured otherwise."""
    measured = 0
    for figures in claim.pairs(len(comparison.order)):
        fitting = [task for task in grid.tasks if is_selected(task.factors, figures[0].where)]
        sides = [
            _cells([t for t in fitting if is_selected(t.factors, selection)], comparison.by)
            for selection in comparison.order
        ]
        for selection, side in zip(comparison.order, sides, strict=True):
            for tasks in side.values():
                check_alike(comparison, selection, [task.factors for task in tasks])
        for one, other in itertools.pairwise(sides):
            _check_same_noise(comparison, one, other, where)
        for at in set[tuple[Value | None, ...]].intersection(*(set(side) for side in sides)):
            measured += 1
            if any(task.swept.is_time for side in sides for task in side[at]):
                raise ValueError(f"{where}: a hull is of levels of noise, and here time is swept")
            grids = {tuple(s.level for s in task.specs) for side in sides for task in side[at]}
            if len(grids) > 1:
                shown = " and ".join(
                    ", ".join(f"{level:g}" for level in one) for one in sorted(grids)[:2]
                )
                raise ValueError(f"{where}: a hull needs the same levels on all sides, got {shown}")
    if not measured:
        raise ValueError(
            f"{where}: a hull needs all sides of a set of published figures measured under one "
            f"combination of {', '.join(comparison.by) or 'factors'}: the grid has none"
        )


Cells = dict[tuple[Value | None, ...], list[Task]]


def _cells(tasks: Sequence[Task], by: Sequence[str]) -> Cells:
    found: Cells = {}
    for task in tasks:
        found.setdefault(tuple(task.factors.get(name) for name in by), []).append(task)
    return found


def _check_same_noise(comparison: Comparison, one: Cells, other: Cells, where: str) -> None:
    """Raise ValueError where two sides differ in how they are measured and nobody asked for it."""
    asked = {name for selection in comparison.order for name in selection}
    for cell in one.keys() & other.keys():
        a, b = one[cell][0], other[cell][0]
        different = [
            name
            for name in CURVE
            if name not in asked and a.factors.get(name) != b.factors.get(name)
        ]
        if not different and [s.level for s in a.specs] != [s.level for s in b.specs]:
            different = ["levels"]
        if different:
            raise ValueError(
                f"{where}: its sides differ in {', '.join(different)} too: measure both alike, or "
                "select by it"
            )
