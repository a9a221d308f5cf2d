"""Estimates on the axes of a figure, by matplotlib, which is loaded when something is drawn."""

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noiseproof.results.rows import Row
from noiseproof.results.showing import printable
from noiseproof.stats import PERCENT, Interval, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

MOST_NAMES = 48  # on one axis; of more every second, third, ... is written


def axes_or_new(ax: "Axes | None") -> "Axes":
    """`ax`, or the axes of a new figure of pyplot's."""
    if ax is not None:
        return ax
    found: Axes = importlib.import_module("matplotlib.pyplot").subplots(layout="constrained")[1]
    return found


def line_with_band(
    ax: "Axes", x: Sequence[float], intervals: Sequence[Interval], *, unit: Unit, **style: Any
) -> "Line2D":
    """The means as a line in `unit`, their intervals as a band of its colour; no band where an
    interval has no ends. `style` is that of the line."""
    scaled = [interval.scaled(unit.factor) for interval in intervals]
    (line,) = ax.plot(x, [one.mean for one in scaled], **style)
    low, high = [one.low for one in scaled], [one.high for one in scaled]
    if any(math.isfinite(b - a) for a, b in zip(low, high, strict=True)):
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, lw=0)
        if len(x) == 1:  # a band without a width is not seen
            ax.vlines(x, low, high, color=line.get_color())
    return line


def bars(ax: "Axes", names: Sequence[str], intervals: Sequence[Interval], *, unit: Unit) -> None:
    """A horizontal bar for each mean, the first on top, its interval as an error bar."""
    scaled = [interval.scaled(unit.factor) for interval in intervals]
    # t intervals are even about their mean, so one half does for both sides.
    halves = [(one.high - one.low) / 2 for one in scaled]
    places = list(range(len(names)))
    error = [0.0 if math.isnan(half) else half for half in halves]
    ax.barh(places, [one.mean for one in scaled], xerr=error, error_kw={"elinewidth": 0.8})
    ax.axvline(0, color="0.2", lw=0.6)
    ax.set_yticks(places, map(printable, names), parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)


def name_places(ax: "Axes", names: Sequence[str]) -> None:
    """Write along x which layer is at 0, 1, 2 ..., of many not all."""
    places = list(range(0, len(names), -(-len(names) // MOST_NAMES)))
    shown = [printable(names[place]) for place in places]
    ax.set_xticks(places, shown, rotation=90, fontsize=7, parse_math=False)


def name_score(ax: "Axes", row: Row) -> None:
    """The label of the score's axis; percentages start at zero, of other scores nothing is
    known."""
    ax.set_ylabel(score_axis(row))
    if row.unit is PERCENT:
        ax.set_ylim(bottom=0, auto=None)  # the next line may still stretch the axis


def name_lines(ax: "Axes") -> None:
    """The legend of all lines that are there, names printed as they are."""
    for text in ax.legend().get_texts():
        text.set_parse_math(False)  # a name may hold dollars
        text.set_text(printable(text.get_text()))


def score_axis(row: Row, what: str = "") -> str:
    """The label of the score's axis, with its unit, and with the direction where it is not the
    usual one."""
    said = ", ".join(part for part in (row.unit.sign.strip(), row.facts.hint) if part)
    return row.metric + (f" {what}" if what else "") + (f" ({said})" if said else "")
