"""The figure for a paper, by matplotlib: .pdf, .svg or .png."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from noiseproof import stats
from noiseproof.report.panels import Panel, StreamPanel, clean_rows, panels_of, stream_panels_of
from noiseproof.report.plotting import DASHES, INTERVAL, checked_path, figure_for
from noiseproof.report.series import CROWD, Series, score_series, stream_series
from noiseproof.report.words import count_text, short_names
from noiseproof.results import Curve, Trace, level_axis, score_axis, where_of
from noiseproof.specs import PerImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Facet:
    """What one pair of axes shows."""

    series: tuple[Series, ...]
    x_label: str
    y_label: str
    caption: str
    from_zero: bool
    chance: float | None = None
    clean: tuple[tuple[float, str], ...] = ()  # value, colour
    changes: tuple[int, ...] = ()
    kind: str = ""  # of the only ways to recalibrate that it shows; "" where it shows all


def write_figure(
    curves: Sequence[Curve], path: str | Path, *, traces: Sequence[Trace] = ()
) -> None:
    """Score against level, a panel for each kind of noise and targets, 3.4 inches each, the width
    of a text column; where there are no curves, score against images seen, a panel for each stream.
    A panel with many ways to recalibrate becomes small ones, one for each kind of way, with off in
    all of them.

    Raises:
        ValueError: for another ending, where the file cannot be written, or nothing is to be drawn.
    """
    checked_path(path)
    groups = facets_of(curves, traces)
    if not groups:
        raise ValueError("there is nothing to draw: no measured chips")
    bands = _bands(groups)
    lines = [-(-len(band) // COLUMNS) for band in bands]  # rows of panels in each band
    split = any(facet.kind for band in bands for facet in band)
    # Inches: 3.4 is a text column, 7.0 are two with the gap between them.
    wide, high = (7.0 / COLUMNS, 2.0) if split else (3.4, 2.6)
    columns = max(min(COLUMNS, len(band)) for band in bands)
    with figure_for(path, wide=wide * columns, high=high * sum(lines)) as figure:
        parts = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=lines)[:, 0]
        for part, band in zip(parts, bands, strict=True):
            _draw_band(part, band, columns, size=5 if split else 6.5)


def _bands(groups: Sequence[Sequence[Facet]]) -> list[list[Facet]]:
    """A band for each panel that is split; whole panels share one with their neighbours."""
    bands: list[list[Facet]] = []
    for group in groups:
        # A split panel has a band to itself, since its small ones share axes and a caption.
        if len(group) == 1 and bands and not bands[-1][0].kind:
            bands[-1].append(group[0])
        else:
            bands.append(list(group))
    return bands


def facets_of(curves: Sequence[Curve], traces: Sequence[Trace]) -> list[list[Facet]]:
    """The facets of each panel of curves, or of streams where there are no curves."""
    followed = [trace for trace in traces if trace.chips]
    names = short_names(clean_rows(curves, followed).values())
    if curves:
        return [_split(_of_panel(panel)) for panel in panels_of(curves, names)]
    return [_split(_of_stream(panel)) for panel in stream_panels_of(followed, names)]


def _of_panel(panel: Panel) -> Facet:
    points = [point for curve in panel.curves for point in curve.points]
    chips, images = count_text(p.chips for p in points), count_text(p.images for p in points)
    seen = f"{chips} chips, {images} images"
    if isinstance(panel.design, PerImage):
        seen = f"{chips} images, each on its own chip"
    noise = panel.family.split("(")[0]
    name = f"{panel.network}\n" if panel.network else ""
    factor = panel.unit.factor
    return Facet(
        series=tuple(score_series(panel)),
        x_label=level_axis(panel.family),
        y_label=score_axis(panel.metric, panel.unit),
        caption=f"{name}{noise} on {panel.where}; {seen}\n{INTERVAL}",
        from_zero=panel.unit is not stats.PLAIN,
        # Scores without hits, as mAP, have no level of chance.
        chance=100 / panel.curves[0].clean.classes if panel.curves[0].clean.hits else None,
        clean=tuple((factor * row.score, look.colour) for row, look in panel.clean_points),
    )


def _of_stream(panel: StreamPanel) -> Facet:
    chips = count_text(len(trace.chips) for trace in panel.traces)
    windows = f"windows of {panel.first.images:,} images"
    noise = panel.first.noise.split("(")[0]
    return Facet(
        series=tuple(stream_series(panel)),
        x_label="images seen",
        y_label=score_axis(panel.traces[0].metric, panel.unit),
        caption=f"{panel.network}\n{noise} on {where_of(panel.first)}, {panel.first.stream}\n"
        f"{chips} chips, {windows}; {INTERVAL}",
        from_zero=panel.unit is not stats.PLAIN,
        changes=tuple(panel.changes),
    )


def _split(facet: Facet) -> list[Facet]:
    """The facet itself, or one for each kind of recalibration where there are too many lines."""
    kinds = dict.fromkeys(series.look.kind for series in facet.series if series.look.kind)
    # Ways of one kind are shades of one hue and would stay together anyway.
    if len(facet.series) <= CROWD or len(kinds) < 2:
        return [facet]
    return [
        replace(
            facet, kind=kind, series=tuple(s for s in facet.series if s.look.kind in ("", kind))
        )
        for kind in kinds
    ]


def _draw_band(part: "SubFigure", band: Sequence[Facet], columns: int, *, size: float) -> None:
    """Panels side by side; the small ones of one panel share their axes and its caption."""
    split = bool(band[0].kind)
    if split:
        part.suptitle(band[0].caption, fontsize=6.5, color="0.35")
    rows = -(-len(band) // columns)
    grid = part.subplots(rows, columns, squeeze=False, sharex=split, sharey=split)
    for place, axis in enumerate(grid.flat):
        if place >= len(band):
            axis.set_axis_off()
            continue
        facet = band[place]
        _draw(axis, facet)
        if not split:
            axis.set_title(facet.caption, fontsize=size, color="0.35")
            continue
        axis.set_title(facet.kind, fontsize=7)
        last_row, first_column = place + columns >= len(band), place % columns == 0
        # By hand: with shared axes matplotlib labels the last row of the
        # grid, where places may be empty.
        axis.tick_params(labelbottom=last_row, labelleft=first_column)
        axis.set_xlabel(facet.x_label if last_row else "")
        axis.set_ylabel(facet.y_label if first_column else "")


def _draw(axis: "Axes", facet: Facet) -> None:
    for x in facet.changes:
        axis.axvline(x, color="0.7", lw=0.4, zorder=0)
    lines = []
    for series in facet.series:
        colour, dash = series.look.colour, DASHES[series.look.dash]
        lines += axis.plot(series.x, series.y, linestyle=dash, color=colour, lw=1.2)
        axis.fill_between(series.x, series.low, series.high, color=colour, alpha=0.2, lw=0)
    for value, colour in facet.clean:
        axis.plot([0], [value], "D", color=colour, ms=3.5, mfc="none")
    if facet.chance is not None:
        axis.axhline(facet.chance, color="0.5", lw=0.6, ls=":")
    axis.set(xlabel=facet.x_label, ylabel=facet.y_label)
    if facet.from_zero:
        axis.set_ylim(bottom=0)
    labels = [series.look.label for series in facet.series]
    axis.legend(lines, labels, fontsize=6, handlelength=2.2)
