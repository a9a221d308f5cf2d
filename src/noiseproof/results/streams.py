"""Rows of streams -> estimates: the score along a stream of images, over chips. No torch here."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from noiseproof import stats
from noiseproof.core.checks import UnpairedWarning
from noiseproof.results import drawing
from noiseproof.results.axes import Role
from noiseproof.results.clean import clean_document, clean_sentence, mean_of_passes
from noiseproof.results.curves import condition_line, way_of, words_of
from noiseproof.results.dice import UNPAIRED, difference_of_chips, have_same_dice
from noiseproof.results.estimates import NEW_CHIPS
from noiseproof.results.rows import Row, is_clean, key_of, network_key
from noiseproof.results.showing import Shown, Summary, count_of, spelled
from noiseproof.specs import is_share, key_of_score
from noiseproof.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Chip = tuple[int, int]  # seed, index


@dataclass(frozen=True, kw_only=True, repr=False)
class Trace(Shown):
    """One way to recalibrate along one stream of noise: a row for each chip and window. `clean`:
    the clean network's on the whole test set; None where nobody measured it."""

    rows: tuple[Row, ...]
    clean: Row | None = None

    @property
    def first(self) -> Row:
        """A row that carries what all rows share."""
        return self.rows[0]

    @property
    def metric(self) -> str:
        return self.first.metric

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """The images seen before each window, ascending."""
        return tuple(sorted({row.seen for row in self.rows}))

    @cached_property
    def chips(self) -> tuple[Chip, ...]:
        """The chips that were followed to the end."""
        counts: dict[Chip, int] = {}
        for row in self.rows:
            counts[row.seed, row.chip] = counts.get((row.seed, row.chip), 0) + 1
        # One that a kill cut short would count in the first windows only, and bend the line.
        return tuple(chip for chip, n in sorted(counts.items()) if n == len(self.positions))

    @cached_property
    def scores(self) -> dict[Chip, tuple[float, ...]]:
        """Each chip's scores, window after window."""
        # Looked up by position: a store gives rows in the order in which they came.
        found = {(row.seed, row.chip, row.seen): row.score for row in self.rows}
        return {chip: tuple(found[*chip, seen] for seen in self.positions) for chip in self.chips}

    def at(self, place: int) -> Interval:
        """The mean over chips in window number `place`; new chips, these images (t interval)."""
        return self._bounded(stats.t_interval([scores[place] for scores in self.scores.values()]))

    @cached_property
    def overall(self) -> Interval:
        """The mean over the whole stream, one value per chip, then a t interval."""
        # Windows of one chip share its dice: the unit is the chip.
        return self._bounded(stats.t_interval(self._means()))

    def difference(self, other: "Trace") -> Interval:
        """Mean over the stream of this one minus the other's, paired over the chips of both; where
        their dice are unequal, that of independent chips; nan where there are none.

        Raises:
            ValueError: where the two are not of the same windows.
        Warns:
            UnpairedWarning: where the dice are unequal.
        """
        if self.positions != other.positions:
            raise ValueError("the two traces have different windows")
        # The same chips meet the same images in the same order under
        # every way: pairs differ by it alone.
        shared = [chip for chip in self.chips if chip in other.scores]
        ours, theirs = ([np.mean(t.scores[chip]) for chip in shared] for t in (self, other))
        paired = have_same_dice(self.first, other.first)
        if not paired:
            warnings.warn(UNPAIRED, UnpairedWarning, stacklevel=2)
        return difference_of_chips(
            [float(v) for v in ours], [float(v) for v in theirs], paired=paired
        )

    def _means(self) -> list[float]:
        return [float(np.mean(scores)) for scores in self.scores.values()]

    def _bounded(self, interval: Interval) -> Interval:
        return interval.within(0, 1) if is_share(self.first.task) else interval

    def summary(self) -> Summary:
        """A line for each window of images, and one for the whole stream."""
        first, unit = self.first, self.first.unit
        name = f"{first.model} {first.norm} ({first.checkpoint:.6}) on {first.data}"
        windows = [
            [f"{seen + 1:,} to {seen + first.images:,}", unit.text(self.at(place))]
            for place, seen in enumerate(self.positions)
        ]
        return Summary(
            title=[
                f"{name}: {first.stream}, {count_of(len(self.chips), 'chip')}",
                condition_line(first, first.noise),
                *([] if self.clean is None else [clean_sentence(self.clean)]),
            ],
            heads=["images", f"{self.metric}{unit.sign}"],
            lines=[["all", unit.text(self.overall)], *windows],
            note=f"[..]: {100 * stats.CONFIDENCE:.0f} % interval for new chips, these images",
        )

    def records(self) -> list[dict[str, Any]]:
        """An entry for each window."""
        return [
            {
                "seen": seen,
                "images": self.first.images,
                "metric": self.metric,
                **spelled(self.at(place)),
                "n": len(self.chips),
                **words_of(self.first),
            }
            for place, seen in enumerate(self.positions)
        ]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Score against images seen with its 95 % band, each window at its middle, on `ax` or on
        new axes, which come back."""
        axes, unit = drawing.axes_or_new(ax), self.first.unit
        x = [seen + self.first.images / 2 for seen in self.positions]
        scores = [self.at(place) for place in range(len(x))]
        drawing.line_with_band(axes, x, scores, unit=unit, label=way_of(self.first))
        axes.set_xlabel("images seen")
        drawing.name_score(axes, self.first)
        drawing.name_lines(axes)
        return axes

    def as_json(self) -> dict[str, Any]:
        windows = [self.at(place) for place in range(len(self.positions))]
        return {
            "recalibrate": self.first.recalibrate,
            "calibration": self.first.calibration,
            "stream": self.first.stream,
            "noise": self.first.noise,
            "targets": self.first.targets.split(","),
            "digital": self.first.digital,
            "mapping": self.first.mapping,
            "reached": {
                "macs": self.first.reached_macs,
                "weights": self.first.reached_weights,
            },
            "chips": len(self.chips),
            "window": self.first.images,
            "seen": list(self.positions),
            "interval_for": NEW_CHIPS,
            key_of_score(self.first.task): [stats.as_json(interval) for interval in windows],
            "overall": stats.as_json(self.overall),
            "clean": None if self.clean is None else clean_document(self.clean),
        }


def stream_key(row: Row) -> tuple[Any, ...]:
    """What traces share that belong together: the network, all that happens to its chips, and the
    length of the windows."""
    return (*key_of(row, Role.NETWORK, Role.CONDITION), row.images)


def traces_of(rows: Iterable[Row]) -> list[Trace]:
    """The traces in `rows`, in the order in which they come; rows outside streams are left out."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    clean: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if is_clean(row) and row.part == "all":
            clean.setdefault(network_key(row), []).append(row)
        if row.stream:
            place = (stream_key(row), key_of(row, Role.REMEDY))
            groups.setdefault(place, []).append(row)
    means = {network: mean_of_passes(passes) for network, passes in clean.items()}
    return [
        Trace(rows=tuple(group), clean=means.get(network_key(group[0])))
        for group in groups.values()
    ]


def without_recalibration(traces: Sequence[Trace]) -> dict[tuple[Any, ...], Trace]:
    """The trace with frozen statistics of each stream that has one."""
    return {stream_key(t.first): t for t in traces if t.first.recalibrate == "off"}
