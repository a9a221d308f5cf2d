"""The page's interactive figures, by plotly."""

import html
from math import isnan
from typing import Any

import plotly.graph_objects as go

from noiseproof import stats
from noiseproof.report.panels import Panel, StreamPanel
from noiseproof.report.series import CROWD, Series, dodged, gain_series, score_series, stream_series
from noiseproof.report.words import level_text
from noiseproof.results import Curve, chips_in_common, level_axis, paired_difference
from noiseproof.specs import Chips, parse

# An empty <extra> leaves out plotly's second box, which repeats the name.
HOVER = "<b>%{fullData.name}</b><br>%{text}<extra></extra>"
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
    "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
    "hovermode": "closest",
    "legend": {"orientation": "v", "x": 1.02, "y": 1, "font": {"size": 13}, "tracegroupgap": 2},
}


def score_figure(panel: Panel) -> go.Figure | None:
    """Score against level, one line per curve, its band the 95 % interval over chips; None where
    the noise has no level."""
    all_series = score_series(panel)
    if not any(series.x for series in all_series):
        return None
    figure = go.Figure()
    for curve, series in zip(panel.curves, all_series, strict=True):
        text = [_hover(panel, curve, place) for place in series.places]
        _add_line(figure, series, text, crowd=len(all_series) > CROWD)
    for clean, look in panel.clean_points:
        figure.add_scatter(
            x=[0],
            y=[panel.unit.factor * clean.score],
            mode="markers",
            marker={"symbol": "diamond-open", "size": 9, "color": look.colour},
            name=_escaped(look.label),
            showlegend=False,
            hovertemplate=f"<b>%{{fullData.name}}</b><br>clean %{{y:.2f}}{panel.unit.sign} of "
            f"{clean.images} images<extra></extra>",
        )
    if panel.has_hits:
        _add_chance(figure, 100 / panel.curves[0].clean.classes)
    _lay_out(figure, entries=len(all_series))
    figure.update_xaxes(title=level_axis(panel.family))
    figure.update_yaxes(title=_axis(panel, "on noisy chips"), rangemode=_range(panel))
    return figure


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
            marker={"size": 6},
            text=[
                f"level {point.level:g}<br>{chips_in_common(point, plain[point.level])} chips: "
                + panel.unit.text(paired_difference(point, plain[point.level]))
                + panel.unit.points.lstrip(",")
                for point in points
            ],
            hovertemplate=HOVER,
        )
    figure.add_hline(y=0, line={"color": "#888", "width": 1})
    _lay_out(figure, entries=len(all_series))
    what = f" (points of {panel.metric})" if panel.unit.points else f" ({panel.metric})"
    figure.update_xaxes(title=level_axis(panel.family))
    figure.update_yaxes(title="recalibrated minus off" + what)
    return figure


def spread_figure(panel: Panel) -> go.Figure | None:
    """Every chip as a dot, by level: the spread that a single chip of one's own is drawn from; None
    where no chip saw all test images."""
    if not isinstance(panel.design, Chips):
        return None
    figure, crowd = go.Figure(), len(panel.curves) > CROWD
    for curve, look in zip(panel.curves, panel.looks, strict=True):
        values = [(p.level, row) for p in curve.points for row in p.rows]
        figure.add_box(
            x=[level_text(v, alone=panel.alone).removeprefix("level ") for v, _ in values],
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
            hovertemplate="%{text}: %{y:.4g}" + panel.unit.sign + "<extra>%{fullData.name}</extra>",
        )
    _lay_out(figure, entries=len(panel.curves))
    levels = [level_text(v, alone=panel.alone).removeprefix("level ") for v in panel.levels]
    figure.update_layout(boxmode="group")
    figure.update_xaxes(
        title=level_axis(panel.family),
        # Levels are often unevenly spaced, and boxes on a linear axis would lie on each other.
        type="category",
        categoryorder="array",
        # Of all curves: plotly's own order is that in which the first trace happens to have them.
        categoryarray=levels,
    )
    figure.update_yaxes(title=_axis(panel, "of one chip"), rangemode=_range(panel))
    return figure


def stream_figure(panel: StreamPanel) -> go.Figure:
    """Score against images seen, one line per way to recalibrate; thin lines where the noise
    changes."""
    figure, all_series = go.Figure(), stream_series(panel)
    for trace, series in zip(panel.traces, all_series, strict=True):
        text = [
            f"images {seen + 1:,} to {seen + panel.first.images:,}<br>"
            f"{panel.unit.text(trace.at(place))}{panel.unit.sign} over {len(trace.chips)} chips"
            for place, seen in enumerate(trace.positions)
        ]
        _add_line(figure, series, text, crowd=len(all_series) > CROWD)
    # From bottom to top whatever the scores are; shapes rather than
    # traces, which the legend would list.
    thin = {"type": "line", "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    thin |= {"line": {"color": "#999", "width": 0.8}}
    figure.update_layout(shapes=[{**thin, "x0": x, "x1": x} for x in panel.changes])
    _lay_out(figure, entries=len(all_series))
    figure.update_xaxes(title="images seen", range=[0, panel.length], showgrid=False)
    rangemode = "normal" if panel.unit is stats.PLAIN else "tozero"
    metric = panel.traces[0].metric + (f" ({panel.unit.sign.strip()})" if panel.unit.sign else "")
    figure.update_yaxes(title=metric, rangemode=rangemode)
    return figure


def _add_line(figure: go.Figure, series: Series, text: list[str], *, crowd: bool) -> None:
    """A line with its band; in a crowd the band is fainter."""
    label, look = _escaped(series.look.label), series.look
    figure.add_scatter(
        # There and back: the outline of the band, as one closed line.
        x=series.x + series.x[::-1],
        y=series.high + series.low[::-1],
        mode="lines",
        fill="toself",
        fillcolor=_transparent(look.colour, 0.07 if crowd else 0.18),
        line={"width": 0},
        # The line's points answer, not the corners of the band.
        hoverinfo="skip",
        showlegend=False,
        legendgroup=label,
    )
    figure.add_scatter(
        x=series.x,
        y=series.y,
        mode="lines+markers",
        name=label,
        legendgroup=label,
        line={"color": look.colour, "dash": look.dash, "width": 2},
        marker={"size": 5 if crowd else 7},
        text=text,
        hovertemplate=HOVER,
    )


def _above(series: Series) -> list[float]:
    return [high - mean for high, mean in zip(series.high, series.y, strict=True)]


def _hover(panel: Panel, curve: Curve, place: int) -> str:
    point, unit = curve.points[place], panel.unit
    lines = [
        level_text(point.level, alone=panel.alone),
        f"{panel.metric} {unit.text(point.score)}{unit.sign} over {point.chips} chips",
    ]
    if panel.has_hits:
        lines.append(f"new images too {unit.text(point.crossed)}{unit.sign}")
    if panel.metric != "score":
        lines.append(f"normalised {stats.percent(point.normalised)} %")
    spread = {"sd over chips": point.sd, "worst": point.worst}
    known = [f"{k} {unit.value(value)}" for k, value in spread.items() if not isnan(value)]
    lines += [", ".join(known)] if known else []
    lines.append(f"{point.images} images, {point.nonfinite} non-finite outputs")
    wnr = parse(point.noise).wnr_db
    lines += [] if wnr is None else [f"weight-to-noise ratio {wnr:.1f} dB"]
    # Escaped line by line, so that the breaks between them stay tags.
    return "<br>".join(html.escape(line) for line in lines)


def _add_chance(figure: go.Figure, chance: float) -> None:
    figure.add_hline(y=chance, line={"color": "#888", "dash": "dot", "width": 1})
    figure.add_annotation(
        x=0, xref="paper", y=chance, text="chance", showarrow=False, xanchor="left", yshift=9
    )


def _lay_out(figure: go.Figure, *, entries: int) -> None:
    """The shared layout, high enough for so many entries of the legend."""
    # 22 pixels for an entry: plotly would make a long legend scroll, which print does not.
    figure.update_layout(**LAYOUT, height=max(460, 100 + 22 * entries), showlegend=True)


def _axis(panel: Panel, what: str) -> str:
    sign = f" ({panel.unit.sign.strip()})" if panel.unit.sign else ""
    return f"{panel.metric} {what}{sign}"


def _range(panel: Panel) -> str:
    """Percentages start at zero; of a score of the user's own nothing is known."""
    return "normal" if panel.unit is stats.PLAIN else "tozero"


def _escaped(label: str) -> str:
    """The legend's text; plotly reads tags in it, but no entities of quotes."""
    return html.escape(label, quote=False)


def _transparent(colour: str, share: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))  # of #RRGGBB
    return f"rgba({red},{green},{blue},{share})"
