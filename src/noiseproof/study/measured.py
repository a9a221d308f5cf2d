"""Rows and facts -> one value for each curve of a study."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import nan

import numpy as np

from noiseproof.results import Curve, Estimate, Role, Row, agree, curves_of, further
from noiseproof.results.estimates import has_share
from noiseproof.specs import Design, PerImage, has_hits
from noiseproof.study.facts import Facts
from noiseproof.study.keys import Value
from noiseproof.study.wanted import Grid, Task

LEARNED = 2.0  # times chance


def least_clean(classes: int) -> float:
    """The clean accuracy that has to be passed for a share of it to mean something: twice chance,
    and with few classes a ninth of the way from chance to 1, which is the same for ten."""
    chance = 1 / classes if classes else 0.0
    # For two classes twice chance would be 100 %.
    return min(LEARNED * chance, chance + (1 - chance) / 9)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A level, or a time, of a curve with fewer units (chips, or blocks of images) than its first
    ones ask."""

    level: str  # in words
    units: int
    wanted: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One curve of the grid with what was measured of it; `level` None: all its levels together."""

    task: Task
    factors: Mapping[str, Value]
    points: tuple[Estimate, ...]  # those of the task's levels that have rows
    level: float | None = None
    clean_hits: Mapping[str, Sequence[int]] = field(default_factory=dict)  # as in the facts

    @property
    def clean(self) -> float:
        """The score without noise."""
        return self.points[0].clean.score

    @property
    def has_learned(self) -> bool:
        """Is the clean network good enough for a share of its accuracy to mean something? Of a
        score that is no share itself, as R squared, none does."""
        row = self.points[0].clean
        return has_share(row) and self.clean > least_clean(row.classes if has_hits(row.task) else 0)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The levels that lack units."""
        images = self.points[0].clean.images
        found = {point.level: {row.chip: row.score for row in point.rows} for point in self.points}
        wanted = {
            spec.level: self.task.units_wanted(found.get(spec.level, {}), test_images=images)
            for spec in self.task.specs
        }
        return tuple(
            Gap(
                level=self.task.swept.text(level, alone=False),
                units=len(found.get(level, {})),
                wanted=units,
            )
            for level, units in wanted.items()
            if len(found.get(level, {})) < units
        )

    @property
    def is_whole(self) -> bool:
        """Does every level have all its units?"""
        return self.level is not None or not self.gaps

    def of_network(self) -> "Measured":
        """The same, selected by what its network is only."""
        return replace(self, factors=self.task.network.factors)

    def value(self, score: str) -> float:
        """The curve's value of one of `file.SCORES`; nan where it has none."""
        if score == "clean":
            return self.clean
        if score == "average":
            return float(np.mean([point.score.mean for point in self.points]))
        return float(np.mean([self._share(p) for p in self.points])) if self.has_learned else nan

    def _share(self, point: Estimate) -> float:
        """Noisy over clean, on the same images."""
        clean = self.clean_on(point.rows)
        return point.score.mean / clean if clean else nan

    def clean_on(self, rows: Sequence[Row]) -> float:
        """The score without noise on the images that these units saw, where the facts know all that
        the curve's units saw; else on all images."""
        # A unit that sees 50 images has luck with them, and so has the clean network: the share is
        # taken on the same images. Divided by the accuracy on all images, that luck would move
        # every level of a curve alike (LOG.md has both).
        if not self._hits:
            return self.clean
        return sum(self._hits[row.chip] for row in rows) / sum(row.images for row in rows)

    @cached_property
    def _hits(self) -> Sequence[int]:
        # A later run may have measured more units than the facts know images for; then all images
        # are used.
        hits = self.clean_hits.get(str(self.points[0].design), ())
        units = max(row.chip for point in self.points for row in point.rows)
        return hits if units < len(hits) else ()

    def by_chip(self, score: str) -> dict[tuple[int, int], float]:
        """The same for each chip, named by (seed, number), that was measured at every level."""
        found = [{(row.seed, row.chip): row.score for row in p.rows} for p in self.points]
        # Only chips that have every level: an average over other levels would be another quantity.
        shared = [chip for chip in found[0] if all(chip in one for one in found)]
        if score == "clean":
            return dict.fromkeys(shared, self.clean)
        per_clean = 1 / self.clean if self.has_learned else nan
        factor = 1.0 if score == "average" else per_clean
        return {chip: factor * float(np.mean([one[chip] for one in found])) for chip in shared}

    @cached_property
    def by_level(self) -> dict[float | None, float]:
        """Normalised accuracy at each level, 1 at level 0 where that is no noise; or at each time,
        None for what is programmed and not read."""
        clean: dict[float | None, float] = {0.0: 1.0} if self.task.starts_clean else {}
        return clean | {point.level: self._share(point) for point in self.points}


def measured_of(grid: Grid, facts: Facts, rows: Iterable[Row]) -> list[Measured]:
    """What there is of every curve of the grid; curves without a row are left out."""
    by_place: dict[Place, list[Curve]] = {}
    for curve in _curves(rows):
        if further(curve.first, *Role).keys() - set(KNOWN):
            continue  # measured under what a study file has no word for
        by_place.setdefault(_place_of(curve), []).append(curve)
    found = []
    for task in grid.tasks:
        fact = facts.get(task.network.name)
        if fact is None:
            continue
        curves = [
            curve
            for curve in by_place.get(_place(task, fact.sha256), [])
            if _is_design(task.design, curve.points[0].design)
            and curve.clean.data_sha256 == (fact.data_sha256 or curve.clean.data_sha256)
            # A store may hold rows of other code under the same weights, or older ones.
            and agree(curve.clean.computes, fact.computes)
        ]
        images = grid.images or max((curve.clean.images for curve in curves), default=0)
        levels = {spec.level for spec in task.specs}
        for curve in curves:
            wanted = (point for point in curve.points if point.level in levels)
            points = tuple(p for p in (_asked(task, one, images) for one in wanted) if p.rows)
            # A store may hold curves of a smaller number of images too, from a first look.
            if points and curve.clean.images == images:
                found.append(
                    Measured(
                        task=task,
                        factors=task.factors,
                        points=points,
                        clean_hits=fact.clean_hits,
                    )
                )
    return found


def _asked(task: Task, point: Estimate, images: int) -> Estimate:
    """The point with the units that the task asks for; an earlier run may have left more."""
    found = {row.chip: row.score for row in point.rows}
    wanted = task.units_wanted(found, test_images=images)
    return replace(point, rows=tuple(row for row in point.rows if row.chip < wanted))


def _curves(rows: Iterable[Row]) -> Iterator[Curve]:
    """The curves of each seed by itself: a seed names the chips of one network."""
    clean: list[Row] = []
    # Clean rows carry no chip and belong to every seed.
    by_seed: dict[int, list[Row]] = {}
    for row in rows:
        (clean if row.noise == "none" else by_seed.setdefault(row.seed, [])).append(row)
    for own in by_seed.values():
        yield from curves_of([*clean, *own])


def _is_design(asked: Design, measured: Design) -> bool:
    """Is it the design that was asked for, its sizes chosen?"""
    return asked == measured or (asked == PerImage() and isinstance(measured, PerImage))


def at_levels(measured: Iterable[Measured]) -> list[Measured]:
    """Each level of each curve by itself."""
    return [
        replace(
            one,
            factors={**one.factors, "level": one.task.at(point.level)},
            points=(point,),
            level=point.level,
        )
        for one in measured
        for point in one.points
    ]


KNOWN = ("computes", "stats_as", "mapping", "digital", "mvm", "compensate")
"""The later axes of rows that a study file has words for."""

Place = tuple[str | bool | int, ...]


def _place(task: Task, sha256: str) -> Place:
    return (
        sha256,
        task.network.model,
        task.network.norm_text,
        task.family,
        ",".join(task.targets),
        task.stored.form(task.targets),
        task.mapping,
        task.mvm,
        "" if task.compensate == "off" else task.compensate,
        task.digital,
        task.recalibrate,
        task.augment,
        task.network.seed,
    )


def _place_of(curve: Curve) -> Place:
    row = curve.first
    return (
        row.checkpoint,
        row.model,
        row.norm,
        curve.family,
        row.targets,
        row.stats_as,
        row.mapping,
        row.mvm,
        row.compensate,
        _asked_digital(row),
        row.recalibrate,
        row.calibration == "train augmented",
        row.seed,
    )


def _asked_digital(row: Row) -> str:
    """What was asked to be digital: rows also say what is so unasked, the tables of a network."""
    words = row.digital.split(",")
    return ",".join(word for word in words if word not in ("none", "embedding"))
