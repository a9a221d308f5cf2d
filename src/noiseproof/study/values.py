"""Rows and facts -> one value for each curve of a study."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from noiseproof.curves import Curve, curves_of
from noiseproof.points import Point
from noiseproof.records import Row
from noiseproof.study.facts import Facts
from noiseproof.study.file import Value
from noiseproof.study.grid import Grid, Task

LEARNED = 2.0  # times chance: below it there is no accuracy to keep, and a ratio says nothing


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One curve of the grid with what was measured of it; `level` None: all its levels together."""

    task: Task
    factors: Mapping[str, Value]
    points: tuple[Point, ...]  # those of the task's levels that have rows
    level: float | None = None

    @property
    def clean(self) -> float:
        """The score without noise."""
        return self.points[0].clean.score

    @property
    def has_learned(self) -> bool:
        """Is the clean network good enough for a share of its accuracy to mean something?"""
        return self.clean > LEARNED / max(1, self.points[0].clean.classes)

    @property
    def is_whole(self) -> bool:
        """Does every level have all its units?"""
        images = self.points[0].clean.images
        return self.level is not None or (
            len(self.points) == len(self.task.specs)
            and all(_is_whole(self.task, point, images) for point in self.points)
        )

    def of_network(self) -> "Measured":
        """The same, selected by what its network is only."""
        return replace(self, factors=self.task.network.factors)

    def value(self, score: str) -> float:
        """The curve's value of one of `file.SCORES`; nan where it has none."""
        if score == "clean":
            return self.clean
        mean = float(np.mean([point.score.mean for point in self.points]))
        if score == "average":
            return mean
        return mean / self.clean if self.has_learned else math.nan

    def by_chip(self, score: str) -> dict[tuple[int, int], float]:
        """The same for each chip, named by (seed, number), that was measured at every level."""
        found = [{(row.seed, row.chip): row.score for row in p.rows} for p in self.points]
        shared = [chip for chip in found[0] if all(chip in one for one in found)]
        factor = 1.0 if score in ("average", "clean") else 1.0 / self.clean
        if score != "average" and not self.has_learned:
            factor = math.nan
        if score == "clean":
            return dict.fromkeys(shared, self.clean)
        return {chip: factor * float(np.mean([one[chip] for one in found])) for chip in shared}

    @cached_property
    def by_level(self) -> dict[float, float]:
        """Normalised accuracy at each level, 1 at level 0."""
        shares = {float(p.level or 0.0): p.score.mean / self.clean for p in self.points}
        return {0.0: 1.0} | shares


def _is_whole(task: Task, point: Point, images: int) -> bool:
    found = {row.chip: row.score for row in point.rows}
    return len(found) >= task.units_wanted(found, test_images=images)


def measured_of(grid: Grid, facts: Facts, rows: Iterable[Row]) -> list[Measured]:
    """What there is of every curve of the grid; curves without a row are left out."""
    by_place = {_place_of(curve): curve for curve in curves_of(rows)}
    found = []
    for task in grid.tasks:
        fact = facts.get(task.network.name)
        curve = None if fact is None else by_place.get(_place(task, fact.sha256))
        if curve is None:
            continue
        levels = {spec.level for spec in task.specs}
        points = tuple(point for point in curve.points if point.level in levels)
        if points:
            found.append(Measured(task=task, factors=task.factors, points=points))
    return found


def at_levels(measured: Iterable[Measured]) -> list[Measured]:
    """Each level of each curve by itself."""
    return [
        Measured(
            task=one.task,
            factors={**one.factors, "level": float(point.level or 0.0)},
            points=(point,),
            level=point.level,
        )
        for one in measured
        for point in one.points
    ]


Place = tuple[str, str, str, str, bool, str, int]


def _place(task: Task, sha256: str) -> Place:
    return (
        sha256,
        task.family,
        ",".join(task.targets),
        task.recalibrate,
        task.augment,
        task.design.kind,
        task.network.seed,
    )


def _place_of(curve: Curve) -> Place:
    row = curve.first
    return (
        row.checkpoint,
        curve.family,
        row.targets,
        row.recalibrate,
        row.calibration == "train augmented",
        curve.points[0].design.kind,
        row.seed,
    )
