"""The numbers of a line with its band, which the page and the paper figure draw alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from noiseproof.report.looks import Look
from noiseproof.report.panels import Panel, StreamPanel
from noiseproof.results import chips_in_common, paired_difference
from noiseproof.results.curves import Estimate
from noiseproof.stats import Interval, Unit


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line: x, and y with its ends, in the unit of the axis; `places` are the places of its
    points in what it was made from."""

    look: Look
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    places: list[int]


def score_series(panel: Panel) -> list[Series]:
    """Score against level or time; points without a level are left out."""
    found = []
    for curve, look in zip(panel.curves, panel.looks, strict=True):
        x, places = _on_axis(panel, curve.points)
        found.append(_series(look, x, [curve.points[i].score for i in places], panel.unit, places))
    return found


def _on_axis(panel: Panel, points: Sequence[Estimate]) -> tuple[list[float], list[int]]:
    """Where points stand, and which they are; those without a level stand nowhere."""
    found = [(panel.swept.place(point.level), i) for i, point in enumerate(points)]
    return [x for x, _ in found if x is not None], [i for x, i in found if x is not None]


def gain_series(panel: Panel) -> list[Series]:
    """What each of the panel's pairs differs by, against level or time, on the same chips."""
    found = []
    for before, after, look in panel.pairs:
        plain = {point.level: point for point in before.points}
        x, places = _on_axis(panel, after.points)
        kept = [p for p, i in enumerate(places) if _comparable(after.points[i], plain)]
        x, places = [x[p] for p in kept], [places[p] for p in kept]
        shared = [after.points[i] for i in places]
        gains = [paired_difference(point, plain[point.level]) for point in shared]
        found.append(_series(look, x, gains, panel.unit, places))
    return found


def stream_series(panel: StreamPanel) -> list[Series]:
    """Score against images seen, each window at its middle."""
    found = []
    for trace, look in zip(panel.traces, panel.looks, strict=True):
        places = list(range(len(trace.positions)))
        x = [seen + panel.first.images / 2 for seen in trace.positions]
        found.append(_series(look, x, [trace.at(place) for place in places], panel.unit, places))
    return found


def _comparable(point: Estimate, plain: dict[float | None, Estimate]) -> bool:
    other = plain.get(point.level)
    return other is not None and chips_in_common(point, other) > 0


def _series(
    look: Look, x: list[float], intervals: Sequence[Interval], unit: Unit, places: list[int]
) -> Series:
    scaled = [interval.scaled(unit.factor) for interval in intervals]
    return Series(
        look=look,
        x=x,
        y=[interval.mean for interval in scaled],
        low=[interval.low for interval in scaled],
        high=[interval.high for interval in scaled],
        places=places,
    )


def dodged(all_series: Sequence[Series]) -> list[list[float]]:
    """The x of each series, moved a little to the side of the others, so that error bars at one
    level stand beside each other."""
    values = sorted({x for series in all_series for x in series.x})
    gaps = [b - a for a, b in pairwise(values)]
    # All of them together take 0.6 of the smallest gap between levels, so that neighbours stay
    # apart; few lines stand no farther apart than four would.
    step = 0.6 * min(gaps, default=0.0) / max(4, len(all_series))
    middle = (len(all_series) - 1) / 2
    return [[x + (place - middle) * step for x in s.x] for place, s in enumerate(all_series)]
