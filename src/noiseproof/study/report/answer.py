"""The answer as one picture: every case of every part of the claim."""

import textwrap
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from noiseproof.results import printable
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.figures import (
    WORD_LOOKS,
    bar,
    new_figure,
    own_style,
    svg_of,
    word_handles,
)
from noiseproof.study.verdicts import OPEN, Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEFT, WIDE = 3.5, 5.2  # inches: the questions, the axis
LETTERS, LINES = 46, 3  # of a question
ROW, MOST_ROWS = 0.13, 1.4  # inches: a case, and all cases of a part
GAP = 0.16


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the claim on the picture: its cases, the largest difference on top, from `top` on,
    in inches."""

    compared: Compared
    lines: tuple[str, ...]  # of the question
    cells: tuple[Cell, ...]
    top: float
    high: float


def answer_svg(report: StudyReport, *, number: int = 0) -> str:
    """The differences of all cases with the intervals that the verdict counts, part by part; ""
    where nothing is measured, or no part is of differences. `number` keeps names apart that two
    figures on a page would share."""
    parts = _parts(report)
    if not any(part.cells for part in parts):
        return ""
    high = parts[-1].top + parts[-1].high + GAP / 2
    around = 0.28 + 0.5
    with own_style():
        figure = new_figure(LEFT + WIDE + 0.25, high + around)
        figure.patch.set(alpha=1, facecolor="white")
        width = LEFT + WIDE + 0.25
        box = (LEFT / width, 0.5 / (high + around), WIDE / width, high / (high + around))
        axis = figure.add_axes(box)
        low, top = _ends(parts)
        for part in parts:
            _draw(axis, part, (low, top))
        axis.axvline(0, color="0.25", lw=0.8, zorder=0)
        axis.set_xlim(low, top)
        axis.set_ylim(high, 0)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.set_xlabel("claimed better minus other side, points", fontsize=9)
        words = {part.compared.word(cell) for part in parts for cell in part.cells}
        axis.legend(
            handles=word_handles(words),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=3,
            fontsize=9,
            handlelength=1.4,
        )
        return svg_of(figure, number, "All cases of all parts of the claim with their intervals")


def _parts(report: StudyReport) -> list[Part]:
    found: list[Part] = []
    top = GAP / 2
    for one in report.parts:
        if not isinstance(one, Compared):
            continue
        wrapped = textwrap.wrap(printable(one.comparison.question), LETTERS)
        if len(wrapped) > LINES:
            wrapped = [*wrapped[: LINES - 1], f"{wrapped[LINES - 1][: LETTERS - 2]} ..."]
        cells = tuple(sorted(one.cells, key=lambda cell: -cell.difference().mean))
        high = max(0.15 * len(wrapped) + 0.05, min(ROW * len(cells), MOST_ROWS))
        part = Part(compared=one, lines=tuple(wrapped), cells=cells, top=top, high=high)
        found.append(part)
        top += high + GAP
    return found


def _ends(parts: list[Part]) -> tuple[float, float]:
    """Of the axis: all means, and of the intervals as much as does not press these together."""
    means, ends = [0.0], [0.0]
    for part in parts:
        for cell in part.cells:
            found = cell.difference(together=part.compared.is_together)
            means.append(100 * found.mean)
            shown = (found.mean, found.low, found.high)
            ends += [100 * end for end in shown if isfinite(end)]
        ends.append(-part.compared.comparison.margin)
    room = max(5.0, max(means) - min(means))
    low = max(min(ends), min(means) - room)
    high = min(max(ends), max(means) + room)
    edge = 0.04 * max(1.0, high - low)
    return low - edge, high + edge


def _draw(axis: "Axes", part: Part, ends: tuple[float, float]) -> None:
    middle = part.top + part.high / 2
    beside = axis.get_yaxis_transform()
    # A line each: a reader's font is not the one that matplotlib measures several lines with.
    for place, line in enumerate(part.lines):
        y = middle + 0.15 * (place - (len(part.lines) - 1) / 2)
        axis.text(-0.02, y, line, ha="right", va="center", fontsize=9, transform=beside)
    axis.axhline(part.top - GAP / 2, color="0.9", lw=0.6, zorder=0)
    margin = part.compared.comparison.margin
    if margin:
        axis.vlines(-margin, part.top, part.top + part.high, color="0.25", lw=0.8, ls="--")
    step = part.high / max(1, len(part.cells))
    size = max(2.0, min(4.5, 46 * step))
    for place, cell in enumerate(part.cells):
        y = part.top + (place + 0.5) * step
        word = part.compared.word(cell)
        colour, marker = WORD_LOOKS[word]
        found = cell.difference(together=part.compared.is_together)
        bar(axis, found, y, ends, color=colour, lw=min(1.4, 14 * step))
        face = "white" if word == OPEN else colour
        axis.plot([100 * found.mean], [y], marker, color=colour, mfc=face, ms=size, mew=0.9)
