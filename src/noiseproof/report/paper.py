"""The figure for a paper, by matplotlib: .pdf, .svg or .png."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof.report.choosing import chosen, own_names
from noiseproof.report.facets import Band, Facet, bands_of, caption_of
from noiseproof.report.looks import Look
from noiseproof.report.panels import clean_rows, panels_of, stream_panels_of
from noiseproof.report.plotting import (
    DASHES,
    MARKERS,
    checked_path,
    figure_for,
    legend_line,
    parse_size,
)
from noiseproof.report.words import NOTHING_RENAMED, short_names
from noiseproof.results import Curve, Trace, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

LETTER = 0.05  # inches: a letter of the legend
TIMES = 3.0  # names of times on an inch
PALE = "0.86"
LONGEST = 60  # letters of a label: a longer one would leave no room for the panels


def write_figure(
    curves: Sequence[Curve],
    path: str | Path,
    *,
    traces: Sequence[Trace] = (),
    only: Sequence[str] = (),
    labels: Mapping[str, str] = NOTHING_RENAMED,
    title: str = "",
    size: str = "",
) -> str:
    """Write score against level, and score against images seen, and return a caption: what the
    picture leaves to the text. Panels for each kind of noise and targets; small ones side by side
    for many networks or many ways to recalibrate; the legend stands beside them and says only what
    differs.

    - `curves`, `traces`: what is drawn, as measured or read from a store.
    - `path`: the file; its ending says which kind.
    - `only`: patterns, of which a curve has to fit one: `resnet14`, `pooled*`, `norm=batch*`.
    - `labels`: texts in place of names in legends and titles.
    - `title`: above the panels.
    - `size`: of the whole, `7x4in` or `17x10cm`; as large as the panels need by default.

    Raises:
        ValueError: for another ending or size, a pattern or a label of nothing, where the file
            cannot be written, or nothing is to be drawn.
    """
    checked_path(path)
    followed = [trace for trace in traces if trace.chips]
    both = chosen([*curves, *followed], only)
    curves = [one for one in both if isinstance(one, Curve)]
    followed = [one for one in both if isinstance(one, Trace)]
    if not both:
        raise ValueError("there is nothing to draw: no measured chips")
    clean = list(clean_rows(curves, followed).values())
    plain = panels_of(curves, short_names(clean)) if curves else []
    conditions = [one.condition for one in plain]
    own = own_names(clean, [one.first for one in both], conditions, labels)
    panels = panels_of(curves, own, labels) if curves else []
    streams = stream_panels_of(followed, own, labels)
    write_bands(bands_of(panels, streams), path, title=title, size=size)
    return caption_of(panels, streams)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a band's panels stand; all in inches."""

    columns: int
    rows: int
    wide: float
    high: float
    beside: float  # of the legend; 0 without


def layout_of(band: Band) -> Layout:
    """A single panel is a text column wide, several together two of them."""
    count = len(band.facets)
    columns = count if count < 4 else 4 if count % 4 == 0 or count > 9 or count == 7 else 3
    lines = max(facet.title.count("\n") + bool(facet.title) for facet in band.facets)
    # Inches: 3.4 is a text column, 7.0 are two with the gap between them.
    wide, high = {1: (3.4, 2.4), 2: (2.9, 2.2)}.get(count, (7.0 / max(3, columns), 1.6))
    letters = [min(len(look.label), LONGEST) for look in band.legend]
    beside = 0.55 + LETTER * max(letters) if letters else 0.0
    rows = -(-count // columns)
    return Layout(
        columns=columns,
        rows=rows,
        wide=wide * columns,
        high=max((high + 0.11 * lines) * rows + 0.25, 0.2 + 0.14 * len(letters)),
        beside=beside,
    )


def write_bands(bands: Sequence[Band], path: str | Path, *, title: str, size: str) -> None:
    """Write bands below each other; as large as they need where no `size` is given."""
    inches = parse_size(size) if size else None
    layouts = [layout_of(band) for band in bands]
    heights = [layout.high for layout in layouts]
    wide = max(layout.wide + layout.beside for layout in layouts)
    usual = (wide, sum(heights) + (0.25 if title else 0))
    wide, high = inches or usual
    with figure_for(path, wide=wide, high=high) as figure:
        if title:
            figure.suptitle(printable(title), fontsize=9)
        parts = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, band, layout in zip(parts, bands, layouts, strict=True):
            _draw_band(part, band, layout)


def _draw_band(part: "SubFigure", band: Band, layout: Layout) -> None:
    """Panels side by side on shared axes, the legend to their right."""
    levels = len({facet.x_label for facet in band.facets}) == 1
    grid = part.subplots(layout.rows, layout.columns, squeeze=False, sharex=levels, sharey=True)
    for place, axis in enumerate(grid.flat):
        if place >= len(band.facets):
            axis.set_axis_off()
            continue
        facet = band.facets[place]
        _draw(axis, facet)
        small = len(band.facets) > 1
        _name_times(axis, band, facet, room=int(TIMES * layout.wide / layout.columns))
        # Long names in small panels would run into those beside them.
        longest = max(map(len, facet.title.split("\n")))
        size = min(8.0, 110 * layout.wide / layout.columns / max(1, longest))
        axis.set_title(printable_lines(facet.title), fontsize=min(size, 7) if small else size)
        last_row = place + layout.columns >= len(band.facets) or not levels
        first_column = place % layout.columns == 0
        # By hand: with shared axes matplotlib labels the last row of the
        # grid, where places may be empty.
        axis.tick_params(labelbottom=last_row, labelleft=first_column)
        axis.set_xlabel("")
        axis.set_ylabel("")
        if not levels:
            axis.set_xlabel(facet.x_label.replace(" (", "\n("), fontsize=7)
    # Once for all panels: a label under each of twelve says the same twelve times.
    if levels:
        part.supxlabel(band.facets[0].x_label, fontsize=8)
    part.supylabel(band.facets[0].y_label, fontsize=8)
    if band.legend:
        lines = [legend_line(**_style(look)) for look in band.legend]
        texts = [printable(look.label[:LONGEST]) for look in band.legend]
        part.legend(lines, texts, loc="outside right center", fontsize=6.5, handlelength=2.6)


def _name_times(axis: "Axes", band: Band, facet: Facet, *, room: int) -> None:
    """Write an axis of times, with `room` for so many names; panels that share it have all their
    times on it."""
    if facet.swept is not None:
        shared = {time for one in band.facets if one.swept is not None for time in one.times}
        ticks = facet.swept.ticks(shared, room=room)
        axis.set_xticks([x for x, _ in ticks], [text for _, text in ticks])


def printable_lines(text: str) -> str:
    """Lines that a name may hold no others in."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "linestyle": DASHES[look.dash],
        "marker": MARKERS[look.marker],
        "lw": 1.2,
        # A ring goes round the marker that it lies on.
        "ms": 5 if look.is_open else 3,
        "mew": 0.8 if look.is_open else 0,
        "mfc": "none" if look.is_open else look.colour,
    }


def _draw(axis: "Axes", facet: Facet) -> None:
    for x in facet.changes:
        axis.axvline(x, color="0.7", lw=0.4, zorder=0)
    for series in facet.behind:
        axis.plot(series.x, series.y, color=PALE, lw=0.7, zorder=0.5)
    for series in facet.series:
        axis.fill_between(
            series.x, series.low, series.high, color=series.look.colour, alpha=0.18, lw=0
        )
        # Markers stand at the levels that were measured; between them the line is a guess.
        axis.plot(series.x, series.y, **_style(series.look))
    for value, look in facet.clean:
        if facet.times:  # no time is without noise
            axis.axhline(value, color=look.colour, lw=0.5, zorder=0)
        else:
            axis.plot([0], [value], MARKERS[look.marker], color=look.colour, ms=4, mfc="none")
    if facet.times and len(facet.clean) == 1:
        over: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axis.annotate("clean", (1, facet.clean[0][0]), (2, 0), va="center", fontsize=6, **over)
    if facet.chance is not None:
        axis.axhline(facet.chance, color="0.5", lw=0.6, ls=":")
    axis.tick_params(labelsize=7)
    if not facet.times:
        axis.locator_params(axis="x", nbins=5)  # so that numbers do not touch
    if facet.from_zero:
        axis.set_ylim(bottom=0)
