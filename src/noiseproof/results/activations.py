"""Where along a network the noise bites: what `explaining.explain` returns, its estimates, its
JSON and what it finds. No torch.

A point is the output of one call of a layer. Clean and noisy are the same images without noise and
on a chip; means and variances are per channel, over images and positions.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from noiseproof import stats
from noiseproof.core.checks import one_of
from noiseproof.results import drawing
from noiseproof.results.clean import clean_document
from noiseproof.results.curves import (
    network_line,
    provenance_of,
    reach_text,
    way_of,
    where_of,
    words_of,
)
from noiseproof.results.rows import Row
from noiseproof.results.showing import Shown, Summary, count_of, spelled
from noiseproof.specs import is_share
from noiseproof.stats import PLAIN, Floats, Interval, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TINY = 0.03
"""Channels whose clean sd is at most this share of the root mean square over the point's channels
(less than a thousandth of the mean channel's power) count in the SNR only: against so small an sd
any shift is large."""
FLOOR = 1e-6
"""The least variance ratio of one channel, so that one dead channel does not make the mean zero."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What is measured at each point. `neutral`: its value without noise, of the SNR that where
    noise equals the signal; `logarithmic`: the interval is that of its logarithm."""

    key: str
    title: str
    neutral: float
    logarithmic: bool = False


SNR = Quantity(key="snr_db", title="SNR (dB)", neutral=0.0)
SHIFT = Quantity(key="shift", title="mean shift (clean sd)", neutral=0.0)
RATIO = Quantity(
    key="variance_ratio", title="variance ratio (noisy / clean)", neutral=1.0, logarithmic=True
)
QUANTITIES = (SNR, SHIFT, RATIO)


# --- one point on one chip -----------------------------------------------------------------------


def kept_channels(clean_var: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which channels of clean variance (C,) count in the shift and in the variance ratio."""
    sd = np.sqrt(clean_var)
    return np.asarray(sd > TINY * math.sqrt(float(clean_var.mean())))


def snr_db(clean_var: Floats, mean_square: Floats) -> float:
    """10 log10(sum over channels of the clean variance / sum of the mean squared difference), both
    (C,): inf where nothing differs, nan where the clean activations are constant."""
    # Sums first, then the ratio: a mean of the channels' ratios would
    # be that of nearly dead channels.
    signal, noise = float(clean_var.sum()), float(mean_square.sum())
    if not signal > 0 or not math.isfinite(noise):
        return math.nan
    return 10 * math.log10(signal / noise) if noise > 0 else math.inf


def mean_shift(clean_mean: Floats, clean_var: Floats, mean: Floats) -> float:
    """The root mean square over channels of (mean - clean mean) / clean sd; nan without channels
    that count. All (C,)."""
    kept = kept_channels(clean_var)
    moved = (mean - clean_mean)[kept] / np.sqrt(clean_var[kept])
    return float(np.sqrt(np.mean(np.square(moved)))) if kept.any() else math.nan


def variance_ratio(clean_var: Floats, var: Floats) -> float:
    """The geometric mean over channels of var / clean var, each at least `FLOOR`; nan without
    channels that count. Both (C,)."""
    kept = kept_channels(clean_var)
    # A geometric mean, so that a channel at twice and one at half its variance cancel.
    ratios = np.maximum(var[kept] / clean_var[kept], FLOOR)
    return float(np.exp(np.mean(np.log(ratios)))) if kept.any() else math.nan


# --- the result ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Point:
    """The output of call number `call` (from 1) of a layer. `role`: analog, or norm; `kind`: the
    layer's class; `excluded` of its `channels` count in SNR only (see `TINY`)."""

    layer: str
    call: int
    role: str
    kind: str
    channels: int
    excluded: int

    @property
    def name(self) -> str:
        """`layer`, and for its second call `layer#2`."""
        named = self.layer or self.kind
        return named if self.call == 1 else f"{named}#{self.call}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """One way to recalibrate: what each of K chips has at each of P points. `row` carries its
    words; `values` are (K, P) by the key of each quantity; `scores` (K,), None without labels."""

    row: Row
    values: Mapping[str, Floats]
    scores: Floats | None

    @property
    def label(self) -> str:
        return way_of(self.row)

    def estimate(self, quantity: Quantity, place: int) -> Interval:
        """At point number `place`: mean over chips and interval, geometric for the variance ratio.
        nan where a chip has no finite value; inf where no chip differs from the clean network."""
        return _estimate(self.values[quantity.key][:, place], quantity)

    @property
    def score(self) -> Interval | None:
        """Mean over chips and interval."""
        if self.scores is None:
            return None
        found = stats.t_interval(self.scores)
        return found.within(0, 1) if is_share(self.row.task) else found


def _estimate(values: Floats, quantity: Quantity) -> Interval:
    # inf in all of them is an answer (no noise here); in some of them there is no mean.
    if np.all(values == math.inf):
        return Interval(mean=math.inf, low=math.inf, high=math.inf)
    if not np.isfinite(values).all():
        return Interval(mean=math.nan, low=math.nan, high=math.nan)
    if not quantity.logarithmic:
        return stats.t_interval(values)
    # Symmetric on the logarithm, so that no end of a ratio falls below zero.
    found = stats.t_interval(np.log(values))
    mean, low, high = (math.exp(end) for end in (found.mean, found.low, found.high))
    return Interval(mean=mean, low=low, high=high)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Activations(Shown):
    """A network's points in order of execution, and its ways, the first without recalibration.
    `clean` is the clean network's row; its score is nan where the images have no labels."""

    points: tuple[Point, ...]
    ways: tuple[Way, ...]
    clean: Row

    @property
    def off(self) -> Way:
        """Without recalibration."""
        return self.ways[0]

    @property
    def chips(self) -> int:
        return len(self.off.values[SNR.key])

    @property
    def metric(self) -> str:
        return self.clean.metric

    @property
    def unit(self) -> Unit:
        return self.clean.unit

    def gain(self, way: Way, place: int) -> Interval:
        """What `way` adds to the SNR at a point, in dB, paired over the chips."""
        after, before = (one.values[SNR.key][:, place] for one in (way, self.off))  # (K,)
        with np.errstate(invalid="ignore"):  # inf - inf, where no chip differs
            return _estimate(after - before, SNR)

    def score_gain(self, way: Way) -> Interval | None:
        """What `way` adds to the score, paired over the chips."""
        if way.scores is None or self.off.scores is None:
            return None
        return stats.paired_interval(way.scores, self.off.scores)

    def summary(self) -> Summary:
        """A line for each point: the signal-to-noise ratio of each way."""
        row, places = self.off.row, range(len(self.points))
        chips = f"{count_of(self.chips, 'chip')} of {count_of(row.images, 'image')}"
        return Summary(
            title=[
                network_line(self.clean),
                f"{row.noise} on {where_of(row)}, {chips}",
                *filter(None, [reach_text(row)]),
                *(
                    f"{way.label}: {self.metric} {self.unit.text(way.score)}{self.unit.sign}"
                    for way in self.ways
                    if way.score is not None
                ),
            ],
            heads=["SNR (dB) at the output of", *(way.label for way in self.ways)],
            lines=[
                [self.points[p].name, *(stats.number(way.estimate(SNR, p)) for way in self.ways)]
                for p in places
            ],
            note=f"[..]: {100 * stats.CONFIDENCE:.0f} % interval for new chips, these images",
        )

    def records(self) -> list[dict[str, Any]]:
        """An entry for each way, point and quantity."""
        return [
            {
                "place": place,
                "point": point.name,
                **asdict(point),
                "quantity": quantity.key,
                **spelled(way.estimate(quantity, place)),
                "n": self.chips,
                **words_of(way.row),
            }
            for way in self.ways
            for place, point in enumerate(self.points)
            for quantity in QUANTITIES
        ]

    def plot(self, ax: "Axes | None" = None, *, quantity: str = "snr_db") -> "Axes":
        """One quantity (`snr_db`, `shift` or `variance_ratio`) along the network, a line with its
        95 % band for each way, on `ax` or on new axes, which come back."""
        known = {one.key: one for one in QUANTITIES}
        shown = known[one_of("quantity", quantity, known)]
        axes, places = drawing.axes_or_new(ax), range(len(self.points))
        for way in self.ways:
            found = [way.estimate(shown, place) for place in places]
            drawing.line_with_band(
                axes, places, found, unit=PLAIN, marker="o", ms=3, label=way.label
            )
        axes.axhline(shown.neutral, color="0.5", lw=0.6, ls=":", zorder=0)
        axes.set_ylabel(shown.title)
        drawing.name_places(axes, [point.name for point in self.points])
        drawing.name_lines(axes)
        return axes

    def as_json(self) -> dict[str, Any]:
        """Everything with its interval, its n and its provenance."""
        provenance, first = provenance_of(self.clean), self.off.row
        provenance |= {"noise": first.noise, "targets": first.targets, "seed": first.seed}
        provenance |= {"digital": first.digital, "stats_as": first.stats_as or "variance"}
        provenance |= {"mapping": first.mapping, "reached_macs": first.reached_macs}
        provenance |= {"reached_weights": first.reached_weights}
        provenance |= {"interval": stats.CONFIDENCE, "unit of replication": "chip"}
        provenance |= {"tiny share": TINY, "least ratio": FLOOR}
        return {
            "metric": self.metric,
            "clean": self.clean.score if math.isfinite(self.clean.score) else None,
            "clean_score": clean_document(self.clean),
            "chips": self.chips,
            "images": self.clean.images,
            "points": [{"name": point.name, **asdict(point)} for point in self.points],
            "ways": [self._way_json(way) for way in self.ways],
            "findings": findings(self),
            "provenance": provenance,
        }

    def _way_json(self, way: Way) -> dict[str, Any]:
        score, gain = way.score, self.score_gain(way)
        places = range(len(self.points))
        found: dict[str, Any] = {
            "recalibrate": way.row.recalibrate,
            "calibration": way.row.calibration if way.row.recalibrate != "off" else None,
            "calibration_sha256": way.row.calibration_sha256,
            "score": None if score is None else stats.as_json(score),
            "scores": None if way.scores is None else way.scores.tolist(),
        }
        for q in QUANTITIES:
            found[q.key] = [stats.as_json(way.estimate(q, place)) for place in places]
        if way is not self.off:
            found["score_gain"] = None if gain is None else stats.as_json(gain)
            found["snr_gain_db"] = [stats.as_json(self.gain(way, place)) for place in places]
        return found


# --- what it finds -------------------------------------------------------------------------------


def findings(activations: Activations) -> list[str]:
    """Sentences, each as far as its intervals support it, each point taken by itself. The first
    says where the SNR falls below 0 dB; none with a single chip."""
    if activations.chips < 2:
        return []
    return [*_falls(activations), *_moves(activations), *_helps(activations)]


def _falls(activations: Activations) -> Iterator[str]:
    """Where noise becomes stronger than the signal."""
    found = [activations.off.estimate(SNR, place) for place in range(len(activations.points))]
    names = [point.name for point in activations.points]
    below = next((place for place, one in enumerate(found) if one.high < 0), None)
    if below is not None:
        # Three kinds of points: surely above 0, not told apart, surely below. It falls somewhere
        # from the first of the second kind to the first of the third.
        above = next(place for place, one in enumerate(found) if not one.low > 0)
        where = f"first at {names[below]}"
        if above < below:
            after = f"after {names[above - 1]} and " if above else ""
            where = f"{after}at {names[below]} at the latest"
        yield (
            f"Without recalibration the SNR falls below 0 dB {where} "
            f"({stats.number(found[below])} dB, point {below + 1} of {len(names)})."
        )
        return
    finite = [place for place, one in enumerate(found) if math.isfinite(one.mean)]
    if not finite:
        return
    least = min(finite, key=lambda place: found[place].mean)
    told = "stays above" if all(one.low > 0 for one in found) else "is nowhere clearly below"
    yield (
        f"Without recalibration the SNR {told} 0 dB; its lowest mean is at {names[least]} "
        f"({stats.number(found[least])} dB)."
    )


def _moves(activations: Activations) -> Iterator[str]:
    """Where channels leave the range that later layers know."""
    for place, point in enumerate(activations.points):
        shift = activations.off.estimate(SHIFT, place)
        if shift.low > 1:
            yield (
                f"The channels' means move by more than one clean standard deviation first at "
                f"{point.name} ({stats.number(shift)}, point {place + 1})."
            )
            return


def _helps(activations: Activations) -> Iterator[str]:
    """What each way does at the last point and to the score."""
    last = len(activations.points) - 1
    where = f"the SNR at the last point, {activations.points[last].name},"
    for way in activations.ways[1:]:
        parts, gain = (
            [_change(where, activations.gain(way, last), "dB")],
            activations.score_gain(way),
        )
        if gain is not None:
            unit = activations.unit.points.lstrip(", ")
            parts.append(
                _change(f"the {activations.metric}", gain.scaled(activations.unit.factor), unit)
            )
        told = " and ".join(part for part in parts if part)
        if told:
            yield f"{way.label} {told} (paired over {activations.chips} chips)."


def _change(what: str, gain: Interval, unit: str) -> str:
    if not math.isfinite(gain.high - gain.low):
        return ""
    by = f"{stats.number(gain)} {unit}"
    if gain.low > 0:
        return f"raises {what} by {by}"
    return f"{'changes' if gain.high < 0 else 'does not clearly change'} {what} by {by}"
