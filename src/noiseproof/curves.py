"""Rows -> estimates. A point is one noise at one level on K chips; a curve is its points.

measure -> rows -> curves_of(rows) -> tables, figures, JSON
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noiseproof import stats
from noiseproof.records import Row
from noiseproof.spec import parse
from noiseproof.stats import Interval

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """K chips of one noise at one level, and the clean network on the same images."""

    rows: tuple[Row, ...]
    clean: Row

    @property
    def noise(self) -> str:
        return self.rows[0].noise

    @property
    def level(self) -> float | None:
        return self.rows[0].level

    @property
    def chips(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> int:
        return self.rows[0].images

    @property
    def nonfinite(self) -> int:
        """Images with a non-finite output, over all chips together."""
        return sum(row.nonfinite for row in self.rows)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """(K, N)"""
        return np.stack([row.unpacked() for row in self.rows])

    @cached_property
    def by_chip(self) -> tuple[float, ...]:
        return tuple(row.accuracy for row in self.rows)

    @cached_property
    def accuracy(self) -> Interval:
        """Mean over chips; new chips, this test set (t interval)."""
        return stats.t_interval(self.by_chip).within(0, 1)

    @cached_property
    def crossed(self) -> Interval:
        """The same mean; new chips and new images."""
        return stats.crossed_interval(self.hits).within(0, 1)

    @property
    def normalised(self) -> Interval:
        """Accuracy / clean accuracy of the same checkpoint; new chips, this test set."""
        if not self.clean.correct:
            return Interval(mean=math.nan, low=math.nan, high=math.nan)
        return self.accuracy.scaled(1 / self.clean.accuracy)

    @cached_property
    def chance_corrected(self) -> Interval:
        """0 at chance, 1 when nothing is lost; new chips and new images, clean accuracy's too."""
        return stats.chance_corrected(
            self.hits, self.clean.unpacked(), chance=1 / self.clean.classes
        )

    def as_json(self) -> Json:
        first = self.rows[0]
        return {
            "noise": self.noise,
            "targets": first.targets.split(",") if first.targets else [],
            "recalibrate": first.recalibrate,
            "level": self.level,
            "wnr_db": parse(self.noise).wnr_db,
            "chips": self.chips,
            "images": self.images,
            "nonfinite": self.nonfinite,
            "accuracy": _json(self.accuracy) | {"sd": _number(stats.sd(self.by_chip))},
            "worst": min(self.by_chip),
            "quantile_05": stats.low_quantile(self.by_chip),
            "crossed": {
                "low": _number(self.crossed.low),
                "high": _number(self.crossed.high),
            },
            "normalised": _json(self.normalised),
            "chance_corrected": _json(self.chance_corrected),
        }


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
        """Mean over the levels of accuracy / clean accuracy: one value per chip that was measured
        at every level, since a chip has the same dice at all of them, then a t interval."""
        if not self.clean.correct:
            return Interval(mean=math.nan, low=math.nan, high=math.nan)
        shared = _shared_chips(self.points)
        values = np.array([[shared_point[chip] for chip in shared[0]] for shared_point in shared])
        return stats.t_interval(values.mean(0) / self.clean.accuracy)

    def difference(self, other: "Curve") -> dict[float | None, Interval]:
        """Accuracy of this curve minus the other's, by level, paired over the chips of both.

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

    def as_json(self) -> list[Json]:
        return [point.as_json() for point in self.points]


def paired_difference(a: Point, b: Point) -> Interval:
    """Accuracy of a minus b over the chips, named by (seed, index), that both have; nan where
    there are none."""
    ours, theirs = _shared_chips((a, b))
    return stats.paired_interval(list(ours.values()), [theirs[chip] for chip in ours])


def chips_in_common(a: Point, b: Point) -> int:
    """How many chips, named by (seed, index), both points have."""
    return len(_shared_chips((a, b))[0])


def _shared_chips(points: Sequence[Point]) -> list[dict[tuple[int, int], float]]:
    by_chip = [{(row.seed, row.chip): row.accuracy for row in p.rows} for p in points]
    common = [chip for chip in by_chip[0] if all(chip in one for one in by_chip)]
    return [{chip: one[chip] for chip in common} for one in by_chip]


def network_key(row: Row) -> tuple[str, ...]:
    """What the clean network and its noisy chips have in common: weights, skeleton, test images."""
    return (row.checkpoint, row.model, row.norm, row.data, row.data_sha256, row.scale)


def curves_of(rows: Iterable[Row]) -> list[Curve]:
    """The curves in `rows`: one per network, kind of noise, targets and recalibration, in that
    order. Rows of networks without a clean row are left out, since nothing relates them."""
    clean: dict[tuple[str, ...], Row] = {}
    groups: dict[tuple[Any, ...], dict[float | None, list[Row]]] = {}
    for row in rows:
        if row.noise == "none" and row.recalibrate == 0:
            clean.setdefault(network_key(row), row)
        else:
            place = (
                network_key(row),
                parse(row.noise).family,
                row.targets,
                row.recalibrate,
                row.calibration_sha256,
            )
            groups.setdefault(place, {}).setdefault(row.level, []).append(row)
    return [
        Curve(
            points=tuple(
                Point(rows=tuple(by_level[level]), clean=clean[place[0]])
                for level in sorted(by_level, key=lambda level: -1 if level is None else level)
            )
        )
        for place, by_level in groups.items()
        if place[0] in clean
    ]


def as_json(curves: Sequence[Curve]) -> Json:
    """The document that `measure --json` prints: one entry of `curves` per point."""
    clean = curves[0].clean
    return {
        "clean": {"accuracy": clean.accuracy, "images": clean.images},
        "chance": 1 / clean.classes,
        "curves": [entry for curve in curves for entry in curve.as_json()],
        "average_normalised": [
            _json(curve.average_normalised)
            | {"noise": curve.family, "levels": list(curve.levels), "chips": curve.shared_chips}
            for curve in curves
        ],
        "provenance": {
            name: getattr(clean, name)
            for name in ("checkpoint", "model", "norm", "data", "data_sha256", "scale", "versions")
        }
        | {"device": clean.device, "interval": stats.CONFIDENCE, "unit of replication": "chip"},
    }


def _json(interval: Interval) -> Json:
    return {
        "mean": _number(interval.mean),
        "low": _number(interval.low),
        "high": _number(interval.high),
    }


def _number(value: float) -> float | None:
    """JSON has no nan: an estimate that does not exist is null."""
    return value if math.isfinite(value) else None
