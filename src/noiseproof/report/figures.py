"""The page's interactive figures, by plotly."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from noiseproof import stats
from noiseproof.report.looks import Look
from noiseproof.report.panels import Panel, StreamPanel
from noiseproof.report.series import Series, dodged, gain_series, score_series, stream_series
from noiseproof.report.splitting import CROWD, Split
from noiseproof.report.tables import value_name
from noiseproof.results import Curve, Row, chips_in_common, paired_difference, score_axis
from noiseproof.specs import Chips, parse

# An empty <extra> leaves out plotly's second box, which repeats the name.
HOVER = "<b>%{fullData.name}</b><br>%{text}<extra></extra>"
EVERY: dict[str, Any] = {"row": "all", "col": "all"}  # of the small panels
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
    "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
    "hovermode": "closest",
    "legend": {"orientation": "v", "x": 1.02, "y": 1, "font": {"size": 13}, "tracegroupgap": 2},
}


def score_figure(panel: Panel) -> go.Figure | None:
    """Score against level or time, one line per curve, its band the 95 % interval over chips; small
    panels on shared axes for many curves; None where the noise has no level."""
    all_series = score_series(panel)
    if not any(series.x for series in all_series):
        return None
    texts = [
        [_hover(panel, curve, place) for place in series.places]
        for curve, series in zip(panel.curves, all_series, strict=True)
    ]
    grid = Grid.of(panel.splits)
    for number, split in enumerate(panel.splits):
        _add_split(grid, number, split, all_series, texts)
        looks = dict(zip(split.places, split.looks, strict=True))
        for clean, place in panel.clean_points:
            if place in looks:
                look = replace(looks[place], label=panel.looks[place].label)
                _add_clean(grid, number, panel, clean, look)
    if panel.swept.is_time and len(panel.clean_points) == 1:
        value = panel.unit.factor * panel.clean.score
        _add_name(grid, "clean", value, at=1, side="right")
    if panel.has_chance and panel.facts.chance is not None:
        _add_chance(grid, panel.unit.factor * panel.facts.chance)
    grid.lay_out(panel.swept.axis, _axis(panel, "on noisy chips"), _range(panel.unit))
    _name_times(grid.figure, panel, room=11 // grid.columns)
    return grid.figure


def gain_figure(panel: Panel) -> go.Figure | None:
    """What recalibration changes, paired on the same chips, the ways side by side at each level;
    None where nothing is recalibrated."""
    all_series = gain_series(panel)
    if not any(series.x for series in all_series):
        return None
    figure = go.Figure()
    crowd = len(all_series) > CROWD
    # Side by side: at one level the error bars of several ways would lie on each other.
    lines = zip(panel.pairs, all_series, dodged(all_series), strict=True)
    for (before, after, _), series, x in lines:
        plain = {point.level: point for point in before.points}
        points = [after.points[place] for place in series.places]
        figure.add_scatter(
            x=x,
            y=series.y,
            # One array does for both sides: a paired t interval is even about its mean.
            error_y={"array": _above(series), "thickness": 1.5, "width": 2},
            mode="markers" if crowd else "lines+markers",
            name=_escaped(series.look.label),
            line={"color": series.look.colour, "dash": series.look.dash, "width": 1.5},
            marker=_marker(series.look, 6),
            text=[
                panel.swept.text(point.level, alone=False)
                + f"<br>{chips_in_common(point, plain[point.level])} chips: "
                + panel.unit.text(paired_difference(point, plain[point.level]))
                + _escaped(panel.unit.points.lstrip(","))
                for point in points
            ],
            hovertemplate=HOVER,
        )
    figure.add_hline(y=0, line={"color": "#888", "width": 1})
    _lay_out(figure, entries=len(all_series))
    axis = f"points of {panel.metric}" if panel.unit is stats.PERCENT else score_axis(panel.clean)
    figure.update_xaxes(title=panel.swept.axis)
    _name_times(figure, panel, room=11)
    what = "recalibrated" if panel.remedies == ["recalibration"] else "with a remedy"
    figure.update_yaxes(title=_escaped(f"{what} minus off ({axis})"))
    return figure


def spread_figure(panel: Panel) -> go.Figure | None:
    """Every chip as a dot, by level: the spread that a single chip of one's own is drawn from; None
    where no chip saw all test images."""
    if not isinstance(panel.design, Chips):
        return None
    figure, crowd = go.Figure(), len(panel.curves) > CROWD
    sign = _escaped(panel.unit.sign)
    for curve, look in zip(panel.curves, panel.looks, strict=True):
        values = [(p.level, row) for p in curve.points for row in p.rows]
        figure.add_box(
            x=[value_name(panel, v) for v, _ in values],
            y=[panel.unit.factor * row.score for _, row in values],
            text=[f"chip {row.chip} of seed {row.seed}" for _, row in values],
            name=_escaped(look.label),
            # Every chip is shown: a box alone hides that there are two kinds of them.
            boxpoints="all",
            jitter=0.5,
            pointpos=0,  # on the box, not beside it
            marker={"color": look.colour, "size": 3 if crowd else 4, "opacity": 0.6},
            line={"color": look.colour, "width": 1},
            fillcolor=_transparent(look.colour, 0.18) if look.kind else "rgba(0,0,0,0)",
            hovertemplate=f"%{{text}}: %{{y:.4g}}{sign}<extra>%{{fullData.name}}</extra>",
        )
    _lay_out(figure, entries=len(panel.curves))
    levels = [value_name(panel, v) for v in panel.levels]
    figure.update_layout(boxmode="group")
    figure.update_xaxes(
        title=panel.swept.axis,
        # Levels are often unevenly spaced, and boxes on a linear axis would lie on each other.
        type="category",
        categoryorder="array",
        # Of all curves: plotly's own order is that in which the first trace happens to have them.
        categoryarray=levels,
    )
    figure.update_yaxes(title=_axis(panel, "of one chip"), rangemode=_range(panel.unit))
    return figure


def stream_figure(panel: StreamPanel) -> go.Figure:
    """Score against images seen, one line per way to recalibrate; thin lines where the noise
    changes."""
    all_series, grid = stream_series(panel), Grid.of(panel.splits)
    sign = _escaped(panel.unit.sign)
    texts = [
        [
            f"images {seen + 1:,} to {seen + panel.first.images:,}<br>"
            f"{panel.unit.text(trace.at(place))}{sign} over {len(trace.chips)} chips"
            for place, seen in enumerate(trace.positions)
        ]
        for trace in panel.traces
    ]
    for number, split in enumerate(panel.splits):
        _add_split(grid, number, split, all_series, texts)
    # From bottom to top whatever the scores are; shapes rather than
    # traces, which the legend would list.
    for x in panel.changes:
        grid.figure.add_vline(x=x, layer="below", line={"color": "#999", "width": 0.8}, **EVERY)
    grid.lay_out("images seen", _escaped(score_axis(panel.first)), _range(panel.unit))
    grid.figure.update_xaxes(range=[0, panel.length], showgrid=False)
    return grid.figure


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Small panels on shared axes, or one large one, and the names in their legend."""

    figure: go.Figure
    columns: int
    rows: int
    named: set[str]

    @classmethod
    def of(cls, splits: Sequence[Split]) -> "Grid":
        """Empty ones for the splits of a panel."""
        count = len(splits)
        columns = min(count, 4 if count % 4 == 0 or count > 9 else 3)
        rows = -(-count // columns)
        figure = make_subplots(
            rows=rows,
            cols=columns,
            shared_xaxes="all",
            shared_yaxes="all",
            subplot_titles=[_escaped(split.title) for split in splits] if count > 1 else None,
            horizontal_spacing=0.03,
            vertical_spacing=0.08 if rows > 1 else 0,
        )
        return cls(figure=figure, columns=columns, rows=rows, named=set())

    def cell(self, number: int) -> dict[str, int]:
        """Where panel `number` stands, in words of plotly's."""
        return {"row": number // self.columns + 1, "col": number % self.columns + 1}

    @property
    def is_crowded(self) -> bool:
        return self.columns > 1

    def lay_out(self, x: str, y: str, rangemode: str) -> None:
        """The shared layout and the axes' titles, once for all panels."""
        _lay_out(self.figure, entries=len(self.named))
        if len(self.named) < 2:  # the page says which it is
            self.figure.update_layout(showlegend=False)
        self.figure.update_yaxes(rangemode=rangemode)
        if not self.is_crowded:
            self.figure.update_xaxes(title=x)
            self.figure.update_yaxes(title=y)
            return
        self.figure.update_layout(height=max(300, 60 + 190 * self.rows))
        self.figure.update_annotations(font={"size": 13})
        around = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": 14}}
        self.figure.add_annotation(x=0.5, y=0, text=x, yshift=-46, yanchor="middle", **around)
        self.figure.add_annotation(x=0, y=0.5, text=y, xshift=-50, textangle=-90, **around)


def _add_split(
    grid: Grid,
    number: int,
    split: Split,
    all_series: Sequence[Series],
    texts: Sequence[list[str]],
) -> None:
    """The lines of one pair of axes, the pale ones first."""
    cell = grid.cell(number)
    for place in split.behind:
        grid.figure.add_scatter(
            x=all_series[place].x,
            y=all_series[place].y,
            mode="lines",
            line={"color": "#dddddd", "width": 1},
            hoverinfo="skip",
            showlegend=False,
            **cell,
        )
    for place, look in zip(split.places, split.looks, strict=True):
        series = replace(all_series[place], look=look)
        is_new = look.label not in grid.named
        grid.named.add(look.label)
        _add_line(grid, series, texts[place], shown=is_new, cell=cell)


def _add_line(
    grid: Grid, series: Series, text: list[str], *, shown: bool, cell: dict[str, int]
) -> None:
    """A line with its band; `shown`: in the legend. Small panels have finer lines."""
    label, look, small = _escaped(series.look.label), series.look, grid.is_crowded
    grid.figure.add_scatter(
        # There and back: the outline of the band, as one closed line.
        x=series.x + series.x[::-1],
        y=series.high + series.low[::-1],
        mode="lines",
        fill="toself",
        fillcolor=_transparent(look.colour, 0.18),
        line={"width": 0},
        # The line's points answer, not the corners of the band.
        hoverinfo="skip",
        showlegend=False,
        legendgroup=label,
        **cell,
    )
    grid.figure.add_scatter(
        x=series.x,
        y=series.y,
        mode="lines+markers",
        name=label,
        legendgroup=label,
        showlegend=shown,
        line={"color": look.colour, "dash": look.dash, "width": 1.6 if small else 2},
        marker=_marker(look, 5 if small else 7),
        text=text,
        hovertemplate=HOVER,
        **cell,
    )


def _marker(look: Look, size: int) -> dict[str, Any]:
    """A ring goes round the marker that it lies on."""
    if look.is_open:
        return {"size": size + 4, "symbol": f"{look.marker}-open", "line": {"width": 1.5}}
    return {"size": size, "symbol": look.marker}


def _above(series: Series) -> list[float]:
    return [high - mean for high, mean in zip(series.high, series.y, strict=True)]


def _hover(panel: Panel, curve: Curve, place: int) -> str:
    point, unit = curve.points[place], panel.unit
    lines = [
        panel.swept.text(point.level, alone=panel.alone),
        f"{panel.metric} {unit.text(point.score)}{unit.sign} over {point.chips} chips",
    ]
    if panel.has_hits:
        lines.append(f"new images too {unit.text(point.crossed)}{unit.sign}")
    if not isnan(point.normalised.mean):
        lines.append(f"normalised {stats.percent(point.normalised)} %")
    spread = {"sd over chips": point.sd, "worst": point.worst}
    known = [f"{k} {unit.value(value)}" for k, value in spread.items() if not isnan(value)]
    lines += [", ".join(known)] if known else []
    lines.append(f"{point.images} images, {point.nonfinite} non-finite outputs")
    wnr = parse(point.noise).wnr_db
    lines += [] if wnr is None else [f"weight-to-noise ratio {wnr:.1f} dB"]
    # Escaped line by line, so that the breaks between them stay tags.
    return "<br>".join(html.escape(line) for line in lines)


def _add_clean(grid: Grid, number: int, panel: Panel, clean: Row, look: Look) -> None:
    """What the network scores without noise: a point at level 0, or a line along all times."""
    ends = [x for x in map(panel.swept.place, panel.levels) if x is not None]
    style: dict[str, Any] = {"x": [0], "mode": "markers"}
    style["marker"] = {"symbol": "diamond-open", "size": 9, "color": look.colour}
    if panel.swept.is_time:
        style = {"x": [ends[0], ends[-1]], "mode": "lines"}
        style["line"] = {"color": look.colour, "width": 1}
    value = panel.unit.factor * clean.score
    grid.figure.add_scatter(
        y=[value] * len(style["x"]),
        name=_escaped(look.label),
        showlegend=False,
        hovertemplate="<b>%{fullData.name}</b><br>clean %{y:.4g}"
        f"{_escaped(panel.unit.sign)} of {clean.images} images<extra></extra>",
        **style,
        **grid.cell(number),
    )


def _add_name(grid: Grid, text: str, y: float, *, at: float, side: str) -> None:
    """A name on a horizontal line of the first panel, at that share of its width."""
    place: dict[str, Any] = {"x": at, "xref": "x domain", "y": y, "xanchor": side, "yshift": 9}
    grid.figure.add_annotation(text=text, showarrow=False, row=1, col=1, **place)


def _name_times(figure: go.Figure, panel: Panel, *, room: int) -> None:
    """Write an axis of times; of levels plotly does it."""
    if ticks := panel.swept.ticks(panel.levels, room=room):
        texts = [text.replace("\n", "<br>") for _, text in ticks]
        figure.update_xaxes(tickvals=[x for x, _ in ticks], ticktext=texts)


def _add_chance(grid: Grid, chance: float) -> None:
    grid.figure.add_hline(y=chance, line={"color": "#888", "dash": "dot", "width": 1}, **EVERY)
    _add_name(grid, "chance", chance, at=0, side="left")


def _lay_out(figure: go.Figure, *, entries: int) -> None:
    """The shared layout, high enough for so many entries of the legend."""
    # 22 pixels for an entry: plotly would make a long legend scroll, which print does not.
    figure.update_layout(**LAYOUT, height=max(460, 100 + 22 * entries), showlegend=True)


def _axis(panel: Panel, what: str) -> str:
    # plotly reads tags in titles, and the name of a score comes from a row.
    return _escaped(score_axis(panel.clean, what))


def _range(unit: stats.Unit) -> str:
    """Percentages start at zero; of other scores nothing is known."""
    return "tozero" if unit is stats.PERCENT else "normal"


def _escaped(label: str) -> str:
    """The legend's text; plotly reads tags in it, but no entities of quotes."""
    return html.escape(label, quote=False)


def _transparent(colour: str, share: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))  # of #RRGGBB
    return f"rgba({red},{green},{blue},{share})"
