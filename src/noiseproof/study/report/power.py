"""What a study's plan can tell apart, in words and as plain values."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from noiseproof.results import number_or_none
from noiseproof.stats import CONFIDENCE, MOST, POWER
from noiseproof.study.power import CellPower, ComparisonPower
from noiseproof.study.report.words import Names, confidence_text, counts, many, names_of, side_names
from noiseproof.study.wanted import Grid

HEAD = (
    f"The smallest difference, in points, that these seeds and chips can tell apart (two-sided "
    f"{100 * CONFIDENCE:g} %, power {100 * POWER:g} %):"
)


def power_lines(powers: Sequence[ComparisonPower], grid: Grid) -> list[str]:
    """What each comparison can tell apart, and what its numbers rest on; nothing without one."""
    names = names_of(task.specs[0] for task in grid.tasks)
    lines = [line for one in powers for line in (one.comparison.question, *_lines(one, names))]
    return [HEAD, *lines] if lines else []


def power_document(powers: Iterable[ComparisonPower]) -> list[dict[str, Any]]:
    """The same as plain values, in points; None where n is too small for an interval, and where
    more than `MOST` values a side are needed."""
    return [_document(one) for one in powers]


def _lines(one: ComparisonPower, names: Names) -> list[str]:
    cells, count = one.cells, len(one.cells)
    unit = "trainings" if one.comparison.unit == "training" else "chips of one network"
    n = counts(size for cell in cells for size in cell.n)
    found = "nothing: one value a side has no interval"
    if any(isfinite(cell.alone) for cell in cells):
        found = f"{_range(cell.alone for cell in cells)} points"
        if count > 1:
            together = _range(cell.together for cell in cells)
            found += (
                f" in one case; {together} where all cases are read together "
                f"({confidence_text(one.confidence)})"
            )
    margin = one.comparison.margin
    return [
        f"  tells apart: {found}" + (f"; from the margin, -{margin:g}" if margin else ""),
        f"  n: {n} {unit} a side, {many(count, 'case')}" + ("; a peak" * one.comparison.peak),
        f"  spread: {_spreads(one, names)}",
        f"  n a side needed for {'; '.join(_needed(one, points) for points in one.differences)}",
    ]


def _needed(one: ComparisonPower, points: float) -> str:
    unit = "point" if points == 1 else "points"
    found = _at_most(one.needed(points, together=False))
    if len(one.cells) > 1:
        found += f" ({_at_most(one.needed(points, together=True))} together)"
    return f"{points:g} {unit}: {found}"


def _at_most(n: int) -> str:
    return f"over {MOST:,}" if n > MOST else f"{n:,}"


def _spreads(one: ComparisonPower, names: Names) -> str:
    """`1.1 (norm none) and 1.2 (norm batch) points; rows of profile quick: ...`."""
    cells = one.cells
    paired = [cell.spread.sds[0] for cell in cells if cell.spread.is_paired]
    apart = [cell for cell in cells if not cell.spread.is_paired]
    told = [f"{_range(paired)} (paired differences)"] if paired else []
    sides: dict[str, list[float]] = {}
    called = side_names(one.comparison.order, names)
    order = [dict(selection) for selection in one.comparison.order]
    for cell in apart:
        for side, sd in zip((cell.cell.better, cell.cell.worse), cell.spread.sds, strict=True):
            sides.setdefault(called[order.index(dict(side.selection))], []).append(sd)
    told += [f"{_range(sds)} ({name})" for name, sds in sides.items()]
    sources = dict.fromkeys(cell.spread.source for cell in cells)
    return f"{', '.join(told)} points; {'; '.join(sources)}"


def _range(points: Iterable[float]) -> str:
    """`3.9`, or `3.9 to 12`."""
    found = sorted(points)
    return " to ".join(dict.fromkeys(_points(one) for one in (found[0], found[-1])))


def _points(number: float) -> str:
    """Two digits; no difference of shares is above 100 points."""
    if not isfinite(number):
        return "nothing (n = 1)"
    return f"{number:.2g}" if number < 99.5 else "over 100"


def _document(one: ComparisonPower) -> dict[str, Any]:
    return {
        "question": one.comparison.question,
        "unit": one.comparison.unit,
        "margin": one.comparison.margin,
        "confidence": CONFIDENCE,
        "confidence_together": one.confidence,
        "power": one.cells[0].power,
        "cells": [_cell(cell) for cell in one.cells],
        "needed": [
            {
                "points": points,
                "n": _number(one.needed(points, together=False)),
                "n_together": _number(one.needed(points, together=True)),
            }
            for points in one.differences
        ],
    }


def _cell(cell: CellPower) -> dict[str, Any]:
    return {
        "at": dict(cell.cell.at),
        "better": dict(cell.cell.better.selection),
        "worse": dict(cell.cell.worse.selection),
        "n": list(cell.n),
        "paired": cell.spread.is_paired,
        "spread": list(cell.spread.sds),
        "spread_from": cell.spread.source,
        "smallest_difference": number_or_none(cell.alone),
        "smallest_difference_together": number_or_none(cell.together),
    }


def _number(n: int) -> int | None:
    return None if n > MOST else n
