"""The picture of a published pair: the curves that it may be a mean of, and their hulls."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from noiseproof.report import COLOURS, legend_line
from noiseproof.stats.intervals import Floats
from noiseproof.study.hulls import HullCell
from noiseproof.study.report.figures import MARKERS, cut, new_figure, own_style, svg_of
from noiseproof.study.report.hulls import Hulled, HullSet
from noiseproof.study.report.words import plain, share, side_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NEAREST = 3  # definitions that are drawn
WIDE, LEFT, BELOW, LINE = 3.3, 0.62, 0.55, 0.17  # inches: the axis, beside it, below it, a label
PUBLISHED = "#000000"
EVERYTHING = "kernel,bias,norm_affine,norm_stats"
FULL, APART = 104, 7  # percent: the axis, two levels whose numbers can be told apart


def can_be_drawn(one: HullSet) -> bool:
    """Is it a pair?"""
    return len(one.published) == 2


def hull_svg(hulled: Hulled, one: HullSet, *, number: int) -> str:
    """The nearest definitions' curves and hulls, shares in percent, the first side's to the right.
    `number` keeps names apart that two figures on a page would share."""
    cells = _different(one.cells)[:NEAREST]
    above = 0.1 + LINE * (len(cells) + 1)
    wide, high = LEFT + WIDE + 0.15, BELOW + WIDE + above
    with own_style():
        figure = new_figure(wide, high)
        axis = figure.add_axes((LEFT / wide, BELOW / high, WIDE / wide, WIDE / high))
        handles = []
        for place, cell in reversed(list(enumerate(cells))):
            _draw(axis, cell, place, is_told=place == 0)
            handles.append(_key(hulled, one, cell, place))
        x, y = 100 * cells[0].target
        axis.plot([x], [y], "*", color=PUBLISHED, ms=11, mec="white", mew=0.8, zorder=6)
        first, second = one.published
        label = f"published: {plain(first.percent)} and {plain(second.percent)} %"
        handles.append(legend_line(color=PUBLISHED, marker="*", lw=0, ms=9, label=label))
        _axes(axis, hulled, one)
        figure.legend(
            handles=handles[::-1],
            loc="upper left",
            bbox_to_anchor=(0.02, 1.0),
            borderpad=0,
            fontsize=8,
            handlelength=1.6,
            labelspacing=0.35,
        )
        return svg_of(figure, number, "Curves of the nearest definitions, hulls, published pair")


def _key(hulled: Hulled, one: HullSet, cell: HullCell, place: int) -> "Line2D":
    """A definition's line, with how far off the published pair is, in points."""
    named = hulled.definition(cell, one).replace(EVERYTHING, "all tensors")
    label = f"{cut(named, 52)}: {share(cell.distance())} off"
    return legend_line(color=_colour(place), marker=_marker(place), lw=1.4, ms=4, label=label)


def _axes(axis: "Axes", hulled: Hulled, one: HullSet) -> None:
    axis.set_xlim(0, FULL)
    axis.set_ylim(0, FULL)
    axis.set_xticks(range(0, 101, 20))
    axis.set_yticks(range(0, 101, 20))
    axis.set_aspect("equal")
    axis.grid(color="0.92", lw=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8.5)
    names = side_names(hulled.comparison.order, hulled.names)
    axis.set_xlabel(cut(f"share kept by {names[0]}, %", 56), fontsize=8.5)
    axis.set_ylabel(cut(f"share kept by {names[1]}, %", 56), fontsize=8.5)
    if one.shared:
        axis.text(3, 98, cut(one.shared, 44), fontsize=8.5, va="top")


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def _different(cells: Sequence[HullCell]) -> list[HullCell]:
    """Without those whose curve another one has too."""
    found: list[HullCell] = []
    for cell in cells:
        if not any(np.array_equal(cell.curve, other.curve) for other in found):
            found.append(cell)
    return found


def _draw(axis: "Axes", cell: HullCell, place: int, *, is_told: bool) -> None:
    """A definition's curve and hull; `is_told`: with its levels and the intervals of its shares."""
    colour, points = _colour(place), 100 * cell.curve
    around = _around(points)
    axis.fill(around[:, 0], around[:, 1], color=colour, alpha=0.2, lw=0)
    closed = np.vstack([around, around[:1]])
    axis.plot(closed[:, 0], closed[:, 1], color=colour, lw=0.6, ls=":")
    axis.plot(points[:, 0], points[:, 1], color=colour, lw=1.4, marker=_marker(place), ms=4, mew=0)
    if not is_told:
        return
    for index, ends in enumerate(cell.intervals):
        x, y = points[index + 1]
        for flat, (low, high) in zip((True, False), ends, strict=True):
            bar = ([100 * low, 100 * high], [y, y]) if flat else ([x, x], [100 * low, 100 * high])
            if np.isfinite(bar).all():
                axis.plot(*bar, color=colour, lw=0.7)
    last = points[0]
    for level, point in zip(cell.levels, points[1:], strict=True):
        if np.abs(point - last).max() < APART:  # its number would stand on another one's
            continue
        last = point
        axis.annotate(
            f"{level:g}",
            point,
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=7.5,
            color=colour,
            zorder=5,
        )


def _around(points: Floats) -> Floats:
    """The corners of the hull in their order; the ends of points that lie on a line."""
    try:
        found: Floats = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        found = points[[points[:, 0].argmin(), points[:, 0].argmax()]]
    return found
