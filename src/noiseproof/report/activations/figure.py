"""Where the noise bites, as a figure for a paper, by matplotlib: .pdf, .svg or .png.

Three panels over depth; a line for each way to recalibrate through the analog layers' outputs, its
band the interval over chips, and a diamond at each normalisation layer's output.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noiseproof.report.looks import Look, looks_of_ways
from noiseproof.report.plotting import DASHES, INTERVAL, figure_for, legend_line
from noiseproof.results import QUANTITIES, RATIO, SHIFT, Activations, Quantity, Way, where_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES = 48  # on one axis; of more points every second, third, ... is named
WIDE = 7.0  # inches: both columns of a page
STEEP = 30.0  # largest over smallest value from which an axis is logarithmic
AXES = {"snr_db": "SNR (dB)", "shift": "mean shift\n(clean sd)", "variance_ratio": "variance ratio"}


@dataclass(frozen=True, kw_only=True)
class Trail:
    """A way's estimates of one quantity at the points of one role: their places in the network
    from 0, means and ends. Points without a finite value are left out."""

    look: Look
    quantity: Quantity
    role: str
    places: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]

    @property
    def has_band(self) -> bool:
        """Not with a single chip."""
        return bool(np.isfinite([*self.low, *self.high]).all())

    @property
    def below(self) -> list[float]:
        """From each low end to the mean."""
        return list(np.subtract(self.mean, self.low))

    @property
    def above(self) -> list[float]:
        """From the mean to each high end."""
        return list(np.subtract(self.high, self.mean))


def looks_of(activations: Activations) -> list[Look]:
    """One for each way."""
    return looks_of_ways(
        [way.row for way in activations.ways], [way.label for way in activations.ways]
    )


def trails_of(activations: Activations, quantity: Quantity) -> list[Trail]:
    """For each way one of the analog layers, and one of the normalisation layers if it has any."""
    found = [
        _trail(activations, way, look, quantity, role)
        for way, look in zip(activations.ways, looks_of(activations), strict=True)
        for role in ("analog", "norm")
    ]
    return [trail for trail in found if trail.places]


def _trail(activations: Activations, way: Way, look: Look, quantity: Quantity, role: str) -> Trail:
    places = [place for place, point in enumerate(activations.points) if point.role == role]
    found = {place: way.estimate(quantity, place) for place in places}
    # nan where no SNR exists, inf where nothing differs: neither has a place on an axis.
    drawn = {place: one for place, one in found.items() if np.isfinite(one.mean)}
    if quantity is SHIFT:  # it is never negative
        drawn = {place: one.within(0, np.inf) for place, one in drawn.items()}
    return Trail(
        look=look,
        quantity=quantity,
        role=role,
        places=list(drawn),
        mean=[one.mean for one in drawn.values()],
        low=[one.low for one in drawn.values()],
        high=[one.high for one in drawn.values()],
    )


def is_steep(quantity: Quantity, trails: Sequence[Trail]) -> bool:
    """Does the quantity span so much that its axis has to be logarithmic?"""
    values = [value for trail in trails for value in trail.mean]
    if not values or not min(values) > 0:
        return False
    return quantity is RATIO or (quantity is SHIFT and max(values) > STEEP * min(values))


def floor_of(trails: Sequence[Trail]) -> float:
    """Where a logarithmic axis ends: a little below the smallest mean."""
    return 0.5 * min(value for trail in trails for value in trail.mean)


def named_places(points: int) -> list[int]:
    """The points whose layers are named on the axis."""
    return list(range(0, points, -(-points // MOST_NAMES)))


def write_anatomy_figure(activations: Activations, path: str | Path) -> str:
    """Write the figure, 7 inches wide, whole or not at all, and return a caption.

    Raises:
        ValueError: for another ending, or where the file cannot be written.
    """
    with figure_for(path, wide=WIDE, high=5.4) as figure:
        _draw(figure, activations)
    return _caption(activations)


def _draw(figure: "Figure", activations: Activations) -> None:
    all_axes = figure.subplots(len(QUANTITIES), 1, sharex=True)
    for axes, quantity in zip(all_axes, QUANTITIES, strict=True):
        _draw_quantity(axes, activations, quantity)
    bottom, places = all_axes[-1], named_places(len(activations.points))
    bottom.set_xlim(-0.6, len(activations.points) - 0.4)
    bottom.set_xticks(places, [activations.points[place].name for place in places])
    bottom.tick_params(axis="x", labelrotation=90, labelsize=5 if len(places) > 30 else 6)
    _legend(figure, activations)


def _draw_quantity(axes: "Axes", activations: Activations, quantity: Quantity) -> None:
    trails = trails_of(activations, quantity)
    axes.axhline(quantity.neutral, color="0.5", lw=0.6, ls=":", zorder=0)
    steep = is_steep(quantity, trails)
    for trail in trails:
        _draw_trail(axes, trail)
    if steep:
        axes.set_yscale("log")
        # After the scale: an interval's low end may be next to zero, and
        # would stretch a logarithmic axis.
        axes.set_ylim(bottom=floor_of(trails))
        ticker = importlib.import_module("matplotlib.ticker")
        subs = (1.0, 2.0, 5.0) if quantity is RATIO else (1.0,)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
        axes.yaxis.set_major_formatter("{x:g}")
        # Minor ticks get labels of their own where an axis spans less than a decade.
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    elif quantity is SHIFT:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(AXES[quantity.key])
    axes.grid(axis="x", color="0.93", lw=0.4)
    axes.set_axisbelow(True)


def _draw_trail(axes: "Axes", trail: Trail) -> None:
    colour = trail.look.colour
    if trail.role == "analog":
        dash = DASHES[trail.look.dash]
        axes.plot(trail.places, trail.mean, "o", ls=dash, color=colour, lw=1.1, ms=2.2)
        if trail.has_band:
            axes.fill_between(trail.places, trail.low, trail.high, color=colour, alpha=0.2, lw=0)
        return
    # Two lengths, since the interval of a ratio is not even about its mean.
    ends = [trail.below, trail.above] if trail.has_band else None
    style: Any = {"ms": 2.2, "mfc": "w", "mew": 0.6, "elinewidth": 0.5, "capsize": 0}
    axes.errorbar(trail.places, trail.mean, ends, fmt="D", color=colour, **style)


def _legend(figure: "Figure", activations: Activations) -> None:
    """Above the panels: a line for each way with its score, what a diamond is."""
    handles, labels = [], []
    for way, look in zip(activations.ways, looks_of(activations), strict=True):
        style = {"color": look.colour, "ls": DASHES[look.dash], "lw": 1.1, "marker": "o", "ms": 2.2}
        handles.append(legend_line(**style))
        score = (
            ""
            if way.score is None
            else f" ({activations.unit.text(way.score)}{activations.unit.sign})"
        )
        labels.append(f"{look.label}{score}")
    if any(point.role == "norm" for point in activations.points):
        handles.append(legend_line(color="0.3", ls="", marker="D", ms=2.6, mfc="w", mew=0.6))
        labels.append("normalisation layers' outputs")
    figure.legend(handles, labels, loc="outside upper center", fontsize=6.5, ncols=2)


def _caption(activations: Activations) -> str:
    row, unit = activations.off.row, activations.unit
    text = f"{row.model} on {row.data}, {row.noise} on {where_of(row)}; "
    text += f"{activations.chips} chips, {row.images} images; bands: {INTERVAL}"
    if activations.off.score is None:
        return f"{text}."
    return f"{text}; clean {activations.metric} {unit.value(activations.clean.score)}{unit.sign}."
