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
from noiseproof.catalog import METRICS, metric_of
from noiseproof.records import Row
from noiseproof.spec import parse
from noiseproof.stats import Interval

Json = dict[str, Any]
NOTHING = Interval(mean=math.nan, low=math.nan, high=math.nan)


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
        return tuple(row.score for row in self.rows)

    @property
    def metric(self) -> str:
        """What the score is called: `accuracy`, `mAP`, `mIoU`, or `score` for one of the user's."""
        return metric_of(self.clean.task)

    @cached_property
    def score(self) -> Interval:
        """Mean over chips; new chips, this test set (t interval)."""
        return self._bounded(stats.t_interval(self.by_chip))

    @property
    def accuracy(self) -> Interval:
        """The score, by the name it has for a classifier."""
        return self.score

    @cached_property
    def crossed(self) -> Interval:
        """The same mean; new chips and new images. No ends (nan) where single images have no hit
        or miss, as in mAP and mIoU."""
        if not self.rows[0].hits:
            return Interval(mean=self.score.mean, low=math.nan, high=math.nan)
        return stats.crossed_interval(self.hits).within(0, 1)

    @property
    def normalised(self) -> Interval:
        """Score / clean score of the same checkpoint; new chips, this test set."""
        if not self.clean.score > 0:
            return NOTHING
        return self.score.scaled(1 / self.clean.score)

    @cached_property
    def chance_corrected(self) -> Interval:
        """0 at chance, 1 when nothing is lost; new chips and new images, clean accuracy's too. nan
        where single images have no hit or miss."""
        if not self.rows[0].hits or not self.clean.hits:
            return NOTHING
        return stats.chance_corrected(
            self.hits, self.clean.unpacked(), chance=1 / self.clean.classes
        )

    def figure(self, name: str) -> Interval:
        """The mean over chips of a further figure, as `mAP@.5`."""
        return self._bounded(stats.t_interval([row.figures[name] for row in self.rows]))

    def _bounded(self, interval: Interval) -> Interval:
        """Scores of named tasks lie between 0 and 1; of the user's own nothing is known."""
        return interval.within(0, 1) if self.clean.task in METRICS else interval

    def as_json(self) -> Json:
        first = self.rows[0]
        return {
            "noise": self.noise,
            "targets": first.targets.split(",") if first.targets else [],
            "seeds": sorted({row.seed for row in self.rows}),
            "recalibrate": first.recalibrate,
            "calibration": first.calibration,
            "calibration_sha256": first.calibration_sha256,
            "extra_images": first.extra_images,
            "level": self.level,
            "wnr_db": parse(self.noise).wnr_db,
            "chips": self.chips,
            "images": self.images,
            "nonfinite": self.nonfinite,
            self.metric: stats.as_json(self.score) | {"sd": _number(stats.sd(self.by_chip))},
            "figures": {name: stats.as_json(self.figure(name)) for name in first.figures},
            "worst": min(self.by_chip),
            "quantile_05": stats.low_quantile(self.by_chip),
            "crossed": {
                "low": _number(self.crossed.low),
                "high": _number(self.crossed.high),
            },
            "normalised": stats.as_json(self.normalised),
            "chance_corrected": stats.as_json(self.chance_corrected),
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

    def as_json(self) -> list[Json]:
        return [point.as_json() for point in self.points]


def paired_difference(a: Point, b: Point) -> Interval:
    """Score of a minus b over the chips, named by (seed, index), that both have; nan where
    there are none."""
    ours, theirs = _shared_chips((a, b))
    return stats.paired_interval(list(ours.values()), [theirs[chip] for chip in ours])


def chips_in_common(a: Point, b: Point) -> int:
    """How many chips, named by (seed, index), both points have."""
    return len(_shared_chips((a, b))[0])


def _shared_chips(points: Sequence[Point]) -> list[dict[tuple[int, int], float]]:
    by_chip = [{(row.seed, row.chip): row.score for row in p.rows} for p in points]
    common = [chip for chip in by_chip[0] if all(chip in one for one in by_chip)]
    return [{chip: one[chip] for chip in common} for one in by_chip]


def network_key(row: Row) -> tuple[str, ...]:
    """What the clean network and its noisy chips have in common: weights, skeleton, test images."""
    return (row.checkpoint, row.model, row.norm, row.task, row.data, row.data_sha256, row.scale)


SEES = {"test": " [test images]", "train augmented": " [augmented]"}


def way_of(row: Row) -> str:
    """How the chip was recalibrated, in the words of every table and legend: the estimator, and
    what it sees beside plain training images."""
    return row.recalibrate + SEES.get(row.calibration, "")


def curves_of(rows: Iterable[Row]) -> list[Curve]:
    """The curves in `rows`: one per network, kind of noise, targets and recalibration, in that
    order. Left out: rows of networks without a clean row, since nothing relates them, and rows of
    streams, which `traces` reads."""
    clean: dict[tuple[str, ...], Row] = {}
    groups: dict[tuple[Any, ...], dict[float | None, list[Row]]] = {}
    for row in rows:
        if row.stream:
            continue
        if row.noise == "none" and row.recalibrate == "off":
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
    named = ("checkpoint", "model", "norm", "task", "data", "data_sha256", "scale", "versions")
    return {
        "clean": {metric_of(clean.task): clean.score, "images": clean.images} | clean.figures,
        "chance": 1 / clean.classes if clean.hits else None,
        "curves": [entry for curve in curves for entry in curve.as_json()],
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
        "provenance": {name: getattr(clean, name) for name in named}
        | {"device": clean.device, "interval": stats.CONFIDENCE, "unit of replication": "chip"},
    }


def _number(value: float) -> float | None:
    """JSON has no nan: an estimate that does not exist is null."""
    return value if math.isfinite(value) else None
