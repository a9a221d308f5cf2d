"""The picture of a published pair: the curves that it may be a mean of, and their hulls."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from noiseproof.report import COLOURS, legend_line
from noiseproof.stats.intervals import Floats
from noiseproof.study.hulls import HullCell
from noiseproof.study.report.figures import MARKERS, cut, new_figure, own_style, svg_of
from noiseproof.study.report.hulls import HULL_SAYS, Hulled, HullSet
from noiseproof.study.report.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAREST = 3  # definitions that are drawn
WIDE, LEFT, BELOW, LINE = 3.3, 0.62, 0.55, 0.2  # inches: the axis, beside it, below it, a label
PUBLISHED = "#000000"
LETTERS = 46


def can_be_drawn(one: HullSet) -> bool:
    """Is it a pair?"""
    return len(one.published) == 2


def hull_svg(hulled: Hulled, one: HullSet, *, number: int) -> str:
    """The nearest definitions' curves and hulls, shares in percent, the first side's to the right.
    `number` keeps names apart that two figures on a page would share."""
    cells = _different(one.cells)[:NEAREST]
    above = 0.3 + LINE * (len(cells) + 1)
    wide, high = LEFT + WIDE + 0.15, BELOW + WIDE + above
    with own_style():
        figure = new_figure(wide, high)
        axis = figure.add_axes((LEFT / wide, BELOW / high, WIDE / wide, WIDE / high))
        handles = []
        for place, cell in reversed(list(enumerate(cells))):
            _draw(axis, cell, place, is_told=place == 0)
            label = f"{hulled.definition(cell, one)}: {HULL_SAYS[hulled.word(cell)]}"
            handles.append(
                legend_line(
                    color=COLOURS[place % len(COLOURS)],
                    marker=MARKERS[place % len(MARKERS)],
                    lw=1.4,
                    ms=4,
                    label=cut(label, 2 * LETTERS),
                )
            )
        _draw_published(axis, cells[0])
        first, second = one.published
        label = f"published: {plain(first.percent)} and {plain(second.percent)} %"
        star = legend_line(color=PUBLISHED, marker="*", lw=0, ms=9, label=label)
        axis.set_xlim(0, 104)
        axis.set_ylim(0, 104)
        axis.set_xticks(range(0, 101, 20))
        axis.set_yticks(range(0, 101, 20))
        axis.set_aspect("equal")
        axis.tick_params(labelsize=8.5)
        axis.set_xlabel(cut(f"{first.what}: kept, %", 60), fontsize=8.5)
        axis.set_ylabel(cut(f"{second.what}: kept, %", 60), fontsize=8.5)
        figure.legend(
            handles=[star, *reversed(handles)],
            loc="upper left",
            bbox_to_anchor=(0.02, 1.0),
            fontsize=8,
            handlelength=1.6,
            labelspacing=0.35,
        )
        return svg_of(figure, number, "Curves of the nearest definitions, hulls, published pair")


def _different(cells: Sequence[HullCell]) -> list[HullCell]:
    """Without those whose curve another one has too."""
    found: list[HullCell] = []
    for cell in cells:
        if not any(np.array_equal(cell.curve, other.curve) for other in found):
            found.append(cell)
    return found


def _draw(axis: "Axes", cell: HullCell, place: int, *, is_told: bool) -> None:
    colour, points = COLOURS[place % len(COLOURS)], 100 * cell.curve
    around = _around(points)
    axis.fill(around[:, 0], around[:, 1], color=colour, alpha=0.14, lw=0)
    closed = np.vstack([around, around[:1]])
    axis.plot(closed[:, 0], closed[:, 1], color=colour, lw=0.5, alpha=0.6)
    marker = MARKERS[place % len(MARKERS)]
    axis.plot(points[:, 0], points[:, 1], color=colour, lw=1.4, marker=marker, ms=4, mew=0)
    if not is_told:
        return
    for level, point in zip(cell.levels, points[1:], strict=True):
        axis.annotate(
            f"{level:g}",
            point,
            xytext=(5, -2),
            textcoords="offset points",
            fontsize=7.5,
            color=colour,
        )


def _around(points: Floats) -> Floats:
    """The corners of the hull in their order; the ends of points that lie on a line."""
    try:
        found: Floats = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        found = points[[points[:, 0].argmin(), points[:, 0].argmax()]]
    return found


def _draw_published(axis: "Axes", cell: HullCell) -> None:
    x, y = 100 * cell.target
    axis.plot([x], [y], "*", color=PUBLISHED, ms=11, mec="white", mew=0.8, zorder=5)
