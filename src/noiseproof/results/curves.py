"""Rows -> estimates. A point is one noise at one level, or at one time, on K chips; a curve is its
points.

measure -> rows -> curves_of(rows) -> tables, figures, JSON
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from noiseproof import stats
from noiseproof.core.checks import UnpairedWarning
from noiseproof.results import drawing
from noiseproof.results.axes import Role, Value
from noiseproof.results.clean import (
    clean_document,
    clean_sentence,
    mean_of_passes,
    over_clean,
)
from noiseproof.results.dice import UNPAIRED, difference_of_chips, have_same_dice
from noiseproof.results.estimates import NEW_CHIPS, has_share
from noiseproof.results.estimates import NOTHING as NOTHING
from noiseproof.results.estimates import Estimate as Estimate
from noiseproof.results.estimates import Json as Json
from noiseproof.results.rows import Row, further, is_clean, key_of, named, network_key
from noiseproof.results.showing import Shown, Summary, or_dash, spelled
from noiseproof.results.swept import Swept, in_order
from noiseproof.specs import PerImage, parse
from noiseproof.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, repr=False)
class Curve(Shown):
    """Points of one network under one kind of noise, by ascending level; of noise of devices by
    time since programming, what is programmed and not read first."""

    points: tuple[Estimate, ...]

    @property
    def first(self) -> Row:
        """A row of the first point, which carries what all points share."""
        return self.points[0].rows[0]

    @property
    def clean(self) -> Row:
        return self.points[0].clean

    @property
    def family(self) -> str:
        """The noise with its level, or its time, left open."""
        return parse(self.first.noise).family

    @property
    def swept(self) -> Swept:
        """What its points differ in: a level, or the time since programming."""
        return self.points[0].swept

    @property
    def levels(self) -> tuple[float | None, ...]:
        """Those of its points; seconds where time is swept."""
        return tuple(point.level for point in self.points)

    @cached_property
    def shared_chips(self) -> int:
        """How many chips, named by (seed, index), were measured at every level."""
        return len(_shared_chips(self.points)[0])

    @cached_property
    def average_normalised(self) -> Interval:
        """Mean over the levels of score / clean score: one value per chip that was measured at
        every level, since a chip has the same dice at all of them, then a t interval."""
        if not has_share(self.clean):
            return NOTHING
        shared = _shared_chips(self.points)
        # (levels, chips)
        values = np.array([[shared_point[chip] for chip in shared[0]] for shared_point in shared])
        # Over levels first: one chip at two levels is the same dice, and no two independent values.
        return over_clean(stats.t_interval(values.mean(0)), self.clean)

    def difference(self, other: "Curve") -> dict[float | None, Interval]:
        """Score of this curve minus the other's, by level, paired over the chips of both; where
        their dice are unequal, as of networks with other layers, that of independent chips.

        Raises:
            ValueError: where no level has two chips in common, the test images differ, or one is
                over levels and the other over time.
        Warns:
            UnpairedWarning: where the dice are unequal.
        """
        if self.clean.data_sha256 != other.clean.data_sha256:
            raise ValueError("the two curves are of different test images")
        if self.swept.name != other.swept.name:
            raise ValueError("one curve is over levels of noise, the other over time")
        theirs = {point.level: point for point in other.points}
        found = {
            point.level: paired_difference(point, theirs[point.level])
            for point in self.points
            # Of one pair there is a difference, but no interval.
            if point.level in theirs and chips_in_common(point, theirs[point.level]) > 1
        }
        if not found:
            raise ValueError(f"the two curves have no {self.swept.name} with two chips in common")
        if not have_same_dice(self.first, other.first):
            warnings.warn(UNPAIRED, UnpairedWarning, stacklevel=2)
        return found

    def changes(self) -> dict[float | None, Interval]:
        """Score at each later level or time minus that at the first, paired: one chip has the same
        dice at all levels, and its devices' history at all times. Those without two chips in common
        with the first are left out."""
        first, *later = self.points
        return {
            point.level: paired_difference(point, first)
            for point in later
            if chips_in_common(point, first) > 1
        }

    def as_json(self, above: float | None = None) -> list[Json]:
        return [point.as_json(above) for point in self.points]

    def summary(self) -> Summary:
        """A line for each level, or time."""
        first, unit = self.first, self.clean.unit
        # The weaker statement where points differ.
        both = all(point.is_for_new_images for point in self.points)
        blocks = isinstance(self.points[0].design, PerImage)
        whom = "new chips and new images" if both else "new chips, this test set"
        return Summary(
            title=[network_line(self.clean), condition_line(first, self.family)],
            heads=[self.swept.name, f"{self.points[0].metric}{unit.sign}", "sd", "chips"],
            lines=[
                [
                    self.swept.short(point.level),
                    unit.text(point.score),
                    or_dash(point.sd, unit.value(point.sd)),
                    f"{point.chips:,}",
                ]
                for point in self.points
            ],
            note=f"[..]: {100 * stats.CONFIDENCE:.0f} % interval for {whom}"
            + (", over blocks of images" if blocks else "")
            + _direction(self.clean),
        )

    def records(self) -> list[Json]:
        """An entry for each level, or time in seconds; `n` is the number of units (chips, or blocks
        of images)."""
        return [
            {
                **point.swept.as_json(point.level),
                "metric": point.metric,
                **spelled(point.score),
                "sd": point.sd,
                "n": len(point.rows),
                "chips": point.chips,
                "images": point.images,
                "nonfinite": point.nonfinite,
                "clean": self.clean.score,
                **words_of(point.rows[0]),
            }
            for point in self.points
        ]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Score against level, or against time since programming, with its 95 % band, on `ax` or on
        new axes, which come back.

        Raises:
            ValueError: where the noise has no level.
        """
        swept = self.swept
        places = [(swept.place(point.level), point) for point in self.points]
        shown = [(x, point) for x, point in places if x is not None]
        if not shown:
            raise ValueError(f"{self.family} has no level to draw against: print the curve")
        axes, unit = drawing.axes_or_new(ax), self.clean.unit
        label = f"{self.first.model} {self.first.norm}, {way_of(self.first)}"
        x, scores = [x for x, _ in shown], [point.score for _, point in shown]
        drawing.line_with_band(axes, x, scores, unit=unit, marker="o", ms=4, label=label)
        axes.set_xlabel(swept.axis)
        if ticks := swept.ticks(self.levels, room=8):
            axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
        drawing.name_score(axes, self.clean)
        drawing.name_lines(axes)
        return axes


def _direction(clean: Row) -> str:
    return f"; {clean.facts.hint}" if clean.facts.hint else ""


def paired_difference(a: Estimate, b: Estimate) -> Interval:
    """Score of a minus b over the chips, named by (seed, index), that both have; nan where
    there are none. Where their dice are unequal they are no pairs, and count as independent."""
    ours, theirs = _shared_chips((a, b))
    paired = have_same_dice(a.rows[0], b.rows[0])
    return difference_of_chips(list(ours.values()), [theirs[c] for c in ours], paired=paired)


def chips_in_common(a: Estimate, b: Estimate) -> int:
    """How many chips, named by (seed, index), both points have; 0 for points of two designs."""
    return len(_shared_chips((a, b))[0])


def _shared_chips(points: Sequence[Estimate]) -> list[dict[tuple[int, int], float]]:
    by_chip = [{(row.seed, row.chip): row.score for row in p.rows} for p in points]
    # Under another design the same (seed, index) is of other images, or of no one chip at all.
    if len({point.rows[0].design for point in points}) > 1:
        by_chip = [{} for _ in points]
    # In the first point's order for all points, so that the values pair up by their place.
    common = [chip for chip in by_chip[0] if all(chip in one for one in by_chip)]
    return [{chip: one[chip] for chip in common} for one in by_chip]


SEES = {"test": " [test images]", "train augmented": " [augmented]"}


def way_of(row: Row) -> str:
    """What was done about the noise, in the words of every table and legend: the estimator, what it
    sees beside plain training images, and what later axes say; `off` for nothing."""
    later = _later(row, Role.REMEDY)
    if row.recalibrate == "off" and later:
        return later.removeprefix(", ")
    return row.recalibrate + SEES.get(row.calibration, "") + later


def way_words(row: Row) -> str:
    """The same within a sentence: `recalibrate off`, `compensate scalar`."""
    way = way_of(row)
    return way if row.recalibrate == "off" != way else f"recalibrate {way}"


def where_of(row: Row) -> str:
    """What the noise is on, in the words of every title: the targets, the hardware's name, and what
    later axes say."""
    named = f", hardware {row.hardware}" if row.hardware else ""
    return row.targets + named + _later(row, Role.CONDITION)


def reach_text(*rows: Row) -> str:
    """What the noise of these rows reaches, of several networks the least; "" where no row says."""
    shares = [(row.reached_macs, row.reached_weights) for row in rows]
    known = [(macs, own) for macs, own in shares if macs is not None and own is not None]
    if not known:
        return ""
    of_macs, of_weights = (_part_of(share) for share in min(known))
    return f"noise reaches {of_macs} of the multiply-accumulates, {of_weights} of the weights"


def _part_of(share: float) -> str:
    # Never "100 %" of what is not all.
    return "all" if share == 1 else f"{math.floor(1000 * share) / 10:g} %"


def network_line(clean: Row) -> str:
    """Which network on which images, and what it scores without noise."""
    name = f"{clean.model} {clean.norm} ({clean.checkpoint:.6}) on {clean.data}"
    return f"{name}: {clean_sentence(clean)}"


def condition_line(row: Row, noise: str) -> str:
    """What happens to the chips and what is done about it."""
    design = "" if row.design == "chips" else f", design {row.design}"
    reach = reach_text(row)
    line = f"{noise} on {where_of(row)}, {way_words(row)}{design}"
    return f"{line}; {reach}" if reach else line


def words_of(row: Row) -> dict[str, Value]:
    """All that names what was measured, for a record, and the hardware's name."""
    return named(row, Role.NETWORK, Role.CONDITION, Role.REMEDY) | {"hardware": row.hardware}


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
    passes: dict[tuple[str, ...], list[Row]] = {}
    groups: dict[tuple[Any, ...], dict[float | None, list[Row]]] = {}
    for row in rows:
        if row.stream or row.part != "all":
            # What rows of streams and of parts of a network tell are
            # other questions: no point of a curve.
            continue
        if is_clean(row):
            passes.setdefault(network_key(row), []).append(row)
        else:
            groups.setdefault(curve_key(row), {}).setdefault(row.level, []).append(row)
    clean = {network: mean_of_passes(_in_order(found)) for network, found in passes.items()}
    return [
        Curve(
            points=tuple(
                Estimate(rows=_in_order(by_level[level]), clean=clean[place[0]])
                for level in in_order(by_level)
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
        "clean": clean_document(clean),
        # Scores without hits, as mAP, have no level of chance, unless somebody says so.
        "chance": clean.facts.chance,
        "metric": clean.metric,
        "curves": [entry for curve in curves for entry in curve.as_json(above)],
        "average_normalised": [
            stats.as_json(curve.average_normalised)
            | {
                "for": NEW_CHIPS,
                "noise": curve.family,
                "recalibrate": curve.first.recalibrate,
                "compensate": curve.first.compensate,
                "mvm": curve.first.mvm,
                "levels": None if curve.swept.is_time else list(curve.levels),
                "times": list(curve.levels) if curve.swept.is_time else None,
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
