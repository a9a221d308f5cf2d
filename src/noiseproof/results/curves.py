"""Rows -> estimates. A point is one noise at one level on K chips; a curve is its points.

measure -> rows -> curves_of(rows) -> tables, figures, JSON
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from noiseproof import stats
from noiseproof.results.axes import Role
from noiseproof.results.points import NOTHING as NOTHING
from noiseproof.results.points import Json as Json
from noiseproof.results.points import Point as Point
from noiseproof.results.rows import Row, further, is_clean, key_of, named, network_key
from noiseproof.specs.catalog import metric_of
from noiseproof.specs.noise import parse
from noiseproof.stats.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of one network under one kind of noise, by ascending level."""

    points: tuple[Point, ...]

    @property
    def first(self) -> Row:
        """A row of the first point, which carries what all points share."""
        return self.points[0].rows[0]

    @property
    def clean(self) -> Row:
        return self.points[0].clean

    @property
    def family(self) -> str:
        """The noise with its level left open."""
        return parse(self.first.noise).family

    @property
    def levels(self) -> tuple[float | None, ...]:
        return tuple(point.level for point in self.points)

    @cached_property
    def shared_chips(self) -> int:
        """How many chips, named by (seed, index), were measured at every level."""
        return len(_shared_chips(self.points)[0])

    @cached_property
    def average_normalised(self) -> Interval:
        """Mean over the levels of score / clean score: one value per chip that was measured at
        every level, since a chip has the same dice at all of them, then a t interval."""
        if not self.clean.score > 0:
            return NOTHING
        shared = _shared_chips(self.points)
        values = np.array([[shared_point[chip] for chip in shared[0]] for shared_point in shared])
        return stats.t_interval(values.mean(0) / self.clean.score)

    def difference(self, other: "Curve") -> dict[float | None, Interval]:
        """Score of this curve minus the other's, by level, paired over the chips of both.

        Raises:
            ValueError: where no level has two chips in common, or the test images differ.
        """
        if self.clean.data_sha256 != other.clean.data_sha256:
            raise ValueError("the two curves are of different test images")
        theirs = {point.level: point for point in other.points}
        found = {
            point.level: paired_difference(point, theirs[point.level])
            for point in self.points
            if point.level in theirs and chips_in_common(point, theirs[point.level]) > 1
        }
        if not found:
            raise ValueError("the two curves have no level with two chips in common")
        return found

    def as_json(self, above: float | None = None) -> list[Json]:
        return [point.as_json(above) for point in self.points]


def paired_difference(a: Point, b: Point) -> Interval:
    """Score of a minus b over the chips, named by (seed, index), that both have; nan where
    there are none."""
    ours, theirs = _shared_chips((a, b))
    return stats.paired_interval(list(ours.values()), [theirs[chip] for chip in ours])


def chips_in_common(a: Point, b: Point) -> int:
    """How many chips, named by (seed, index), both points have; 0 for points of two designs."""
    return len(_shared_chips((a, b))[0])


def _shared_chips(points: Sequence[Point]) -> list[dict[tuple[int, int], float]]:
    by_chip = [{(row.seed, row.chip): row.score for row in p.rows} for p in points]
    if len({point.rows[0].design for point in points}) > 1:
        by_chip = [{} for _ in points]
    common = [chip for chip in by_chip[0] if all(chip in one for one in by_chip)]
    return [{chip: one[chip] for chip in common} for one in by_chip]


SEES = {"test": " [test images]", "train augmented": " [augmented]"}


def way_of(row: Row) -> str:
    """How the chip was recalibrated, in the words of every table and legend: the estimator, and
    what it sees beside plain training images."""
    return row.recalibrate + SEES.get(row.calibration, "") + _later(row, Role.REMEDY)


def where_of(row: Row) -> str:
    """What the noise is on, in the words of every title: the targets, and what later axes say."""
    return row.targets + _later(row, Role.CONDITION)


def _later(row: Row, role: Role) -> str:
    return "".join(f", {name} {value}" for name, value in further(row, role).items())


def curve_key(row: Row) -> tuple[Any, ...]:
    """What the rows of one curve share: all that names them but the noise's level and the unit."""
    same = key_of(row, Role.CONDITION, Role.REMEDY, without=("noise",))
    return (network_key(row), parse(row.noise).family, *same)


def curves_of(rows: Iterable[Row]) -> list[Curve]:
    """The curves in `rows`: one per network, kind of noise, targets, recalibration and design, in
    that order. Left out: rows of networks without a clean row, since nothing relates them, rows of
    streams, which `traces` reads, and rows of noise in a part of the network, which `sensitivity`
    reads."""
    clean: dict[tuple[str, ...], Row] = {}
    groups: dict[tuple[Any, ...], dict[float | None, list[Row]]] = {}
    for row in rows:
        if row.stream or row.part != "all":
            continue
        if is_clean(row):
            clean.setdefault(network_key(row), row)
        else:
            groups.setdefault(curve_key(row), {}).setdefault(row.level, []).append(row)
    return [
        Curve(
            points=tuple(
                Point(rows=_in_order(by_level[level]), clean=clean[place[0]])
                for level in sorted(by_level, key=lambda level: -1 if level is None else level)
            )
        )
        for place, by_level in groups.items()
        if place[0] in clean
    ]


def _in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: (row.seed, row.chip)))


def as_json(curves: Sequence[Curve], *, above: float | None = None) -> Json:
    """The document that `measure --json` prints: one entry of `curves` per point. `above`: with
    the share of chips whose score is at least that."""
    clean = curves[0].clean
    return {
        "clean": {metric_of(clean.task): clean.score, "images": clean.images} | clean.figures,
        "chance": 1 / clean.classes if clean.hits else None,
        "curves": [entry for curve in curves for entry in curve.as_json(above)],
        "average_normalised": [
            stats.as_json(curve.average_normalised)
            | {
                "noise": curve.family,
                "recalibrate": curve.first.recalibrate,
                "levels": list(curve.levels),
                "chips": curve.shared_chips,
            }
            for curve in curves
        ],
        "provenance": provenance_of(clean)
        | {"interval": stats.CONFIDENCE, "unit of replication": "chip"},
    }


def provenance_of(row: Row) -> Json:
    """Which network on which images, computed by what."""
    return {**named(row, Role.NETWORK), "versions": row.versions, "device": row.device}
