"""The report's figures, by matplotlib, as SVG that stands in the page."""

import html
import importlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from noiseproof import stats
from noiseproof.report import COLOURS, DASHES, STYLE, legend_line
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.panels import Panel
from noiseproof.study.report.words import SAYS, factor_name, share
from noiseproof.study.verdicts import AGAINST, FOR, OPEN, Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

OWN_STYLE: Any = {
    **STYLE,
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "svg.hashsalt": "noiseproof",
    "axes.linewidth": 0.7,
}
WORD_LOOKS = {FOR: ("#0072B2", "o"), AGAINST: ("#D55E00", "s"), OPEN: ("#666666", "D")}
LINE_DASHES = tuple(DASHES.values())
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LETTER, WIDE, RIGHT = 0.074, 3.1, 1.35  # inches: a label's letter, the axis, its figures
LONGEST = 58  # characters of a label
MOST_POINTS = 1.1  # a difference of shares, beyond which an interval's end is not drawn


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the forest plot: a cell, or the head of a group."""

    label: str
    cell: Cell | None = None


# --- the forest plot -----------------------------------------------------------------------------


def forest_svg(compared: Compared, *, number: int) -> str:
    """The differences with their intervals, a row for each cell. `number` keeps names apart that
    two figures on one page would share."""
    entries = _entries(compared)
    high = 0.215 * len(entries) + 1.15
    left = 0.15 + LETTER * max(len(cut(one.label)) for one in entries)
    wide = left + WIDE + RIGHT
    with own_style():
        figure = new_figure(wide, high)
        axis = figure.add_axes((left / wide, 0.62 / high, WIDE / wide, 1 - 1.13 / high))
        low, top = _ends(compared)
        for place, entry in enumerate(entries):
            _draw_entry(axis, compared, entry, place, ends=(low, top), left=left)
        axis.axvline(0, color="0.25", lw=0.8, zorder=0)
        if compared.comparison.margin:
            axis.axvline(-compared.comparison.margin, color="0.25", lw=0.8, ls="--", zorder=0)
        axis.set_xlim(low, top)
        axis.set_ylim(len(entries) - 0.4, -0.6)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.tick_params(labelsize=8.5)
        axis.set_xlabel(_difference_label(compared), fontsize=8.5)
        _word_legend(axis, compared)
        return svg_of(figure, number, "Differences with their intervals, a row for each cell")


def _entries(compared: Compared) -> list[Entry]:
    found: list[Entry] = []
    by, last = compared.comparison.by, None
    several = len(compared.pairs) > 1
    grouped = len(by) + several > 1
    for cell in compared.cells:
        if grouped and cell.at and cell.at[0] != last:
            last = cell.at[0]
            found.append(Entry(label=f"{factor_name(last[0])} {compared.names.value(*last)}"))
        parts = (
            [compared.names.at(cell.at[1:] if grouped else cell.at)] if cell.at[grouped:] else []
        )
        parts += [compared.pair_text(cell)] if several or not parts else []
        found.append(Entry(label="; ".join(parts), cell=cell))
    return found


def _draw_entry(
    axis: "Axes",
    compared: Compared,
    entry: Entry,
    place: int,
    *,
    ends: tuple[float, float],
    left: float,
) -> None:
    """One row; `left`: inches of room for its label."""
    beside: Any = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 8.5}
    label = cut(entry.label)
    if entry.cell is None:
        axis.text(0.05 - left / WIDE, place, label, fontweight="bold", **beside)
        return
    axis.text(-0.03, place, label, ha="right", **beside)
    colour, marker = WORD_LOOKS[compared.word(entry.cell)]
    found = entry.cell.difference()
    if compared.is_together:
        bar(axis, entry.cell.difference(together=True), place, ends, color=colour, lw=0.7)
    bar(axis, found, place, ends, color=colour, lw=2.2)
    hollow = compared.word(entry.cell) == OPEN
    face = "white" if hollow else colour
    axis.plot([100 * found.mean], [place], marker, color=colour, mfc=face, ms=4.5, mew=1.1)
    axis.text(1.03, place, share(found), color="0.2", **beside)


def bar(
    axis: "Axes",
    found: stats.Interval,
    place: float,
    ends: tuple[float, float],
    **look: Any,
) -> None:
    """The interval; an arrow where it leaves the axis."""
    if not isfinite(found.low + found.high):
        return
    low, high = 100 * found.low, 100 * found.high
    shown = max(low, ends[0]), min(high, ends[1])
    axis.plot(shown, [place, place], solid_capstyle="butt", **look)
    for end, value, marker in ((ends[0], low, "<"), (ends[1], -high, ">")):
        if value < (ends[0] if marker == "<" else -ends[1]):
            axis.plot([end], [place], marker, color=look["color"], ms=3.5, clip_on=False)


def _ends(compared: Compared) -> tuple[float, float]:
    """Of the axis: all means, and intervals as far as a difference of shares can go."""
    values = [0.0, -compared.comparison.margin]
    for cell in compared.cells:
        found = cell.difference()
        values.append(100 * found.mean)
        for end in (found.low, found.high):
            if isfinite(end):
                values.append(100 * min(max(end, -MOST_POINTS), MOST_POINTS))
    low, high = min(values), max(values)
    room = 0.06 * max(high - low, 1.0)
    return low - room, high + room


def _difference_label(compared: Compared) -> str:
    if len(compared.pairs) == 1:
        return cut(f"{' minus '.join(compared.pairs[0])}, points", LONGEST)
    return "claimed better minus other side, points"


def word_handles(words: set[str]) -> list["Line2D"]:
    """A mark for each word that is there, for the legend."""
    handles = []
    for word in (FOR, AGAINST, OPEN):
        colour, marker = WORD_LOOKS[word]
        face = "white" if word == OPEN else colour
        if word in words:
            handles.append(
                legend_line(color=colour, marker=marker, mfc=face, ms=4.5, label=SAYS[word])
            )
    return handles


def _word_legend(axis: "Axes", compared: Compared) -> None:
    handles = word_handles({compared.word(cell) for cell in compared.cells})
    if compared.is_together:
        thin = f"thin: {compared.together_text}, for all cases together"
        handles.append(legend_line(color="0.4", lw=0.7, label=thin))
    if compared.comparison.margin:
        handles.append(legend_line(color="0.25", lw=0.8, ls="--", label="margin"))
    axis.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.4, 1.0),
        ncols=len(handles),
        fontsize=8.5,
        handlelength=1.8,
        columnspacing=1.4,
    )


# --- accuracy against level or time --------------------------------------------------------------


def panel_svg(panel: Panel, *, number: int, top: float) -> str:
    """Normalised accuracy against level or time: a thick line with its band for each side, a thin
    line for each training. `top`: of the axis, the same for all panels."""
    with own_style():
        figure = new_figure(2.7, 2.05)
        # `programmed` is a line below the other times.
        low = 0.205 if None not in panel.levels else 0.255
        axis = figure.add_axes((0.165, low, 0.81, 0.97 - low))
        axis.set_ylim(0, top)
        for line in panel.lines:
            (colour, dash, marker), x = line_look(line.place), panel.x(line)
            for one in line.each if len(line.each) > 1 else ():
                axis.plot(x, [100 * v for v in one], color=colour, lw=0.5, alpha=0.6)
            means = [100 * one.mean for one in line.means]
            lows, highs = ([100 * getattr(o, e) for o in line.means] for e in ("low", "high"))
            axis.fill_between(x, lows, highs, color=colour, alpha=0.15, lw=0)
            axis.plot(x, means, color=colour, ls=dash, lw=1.5, marker=marker, ms=3, mew=0)
        if ticks := panel.swept.ticks(panel.levels, room=7):
            axis.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
        else:
            axis.set_xlim(left=0)
        axis.tick_params(labelsize=7, length=2.5, width=0.7)
        axis.set_xlabel(panel.axis, fontsize=7)
        axis.set_ylabel("normalised accuracy, %", fontsize=7)
        return svg_of(
            figure, number, f"Normalised accuracy against {panel.swept.name}: {cut(panel.title)}"
        )


def top_of(panels: Sequence[Panel]) -> float:
    """Of the shared axis: what shows all means."""
    means = [one.mean for panel in panels for line in panel.lines for one in line.means]
    singles = [v for panel in panels for line in panel.lines for one in line.each for v in one]
    return max([105.0, *(103 * value for value in (*means, *singles) if isfinite(value))])


def line_look(place: int) -> tuple[str, Any, str]:
    """Colour, dash and marker of the selection at that place of the order."""
    return (
        COLOURS[place % len(COLOURS)],
        LINE_DASHES[place % len(LINE_DASHES)],
        MARKERS[place % len(MARKERS)],
    )


def key_svg(place: int) -> str:
    """A piece of that selection's line, for the legend."""
    colour, dash, marker = line_look(place)
    with own_style():
        figure = new_figure(0.42, 0.15)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        axis.plot([0, 1, 2], [0, 0, 0], color=colour, ls=dash, lw=1.5)
        axis.plot([1], [0], marker, color=colour, ms=3.5, mew=0)
        return svg_of(figure, 1000 + place, "line")


# --- SVG -----------------------------------------------------------------------------------------


@contextmanager
def own_style() -> Iterator[None]:
    """The figures' style; a letter that the measuring font lacks is the reader's font's affair."""
    with importlib.import_module("matplotlib").rc_context(OWN_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> "Figure":
    figure: Figure = importlib.import_module("matplotlib.figure").Figure(figsize=(width, height))
    figure.patch.set_alpha(0)
    return figure


def svg_of(figure: "Figure", number: int, about: str) -> str:
    """The figure as an element of the page: its names its own, and no address in it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>f{number}-", text)
    label = html.escape(about, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def cut(label: str, most: int = LONGEST) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    return line if len(line) <= most else line[: most - 1] + "…"
