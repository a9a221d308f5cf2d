"""The page's interactive figures, by plotly."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from noiseproof import stats
from noiseproof.curves import Curve, chips_in_common, paired_difference
from noiseproof.report.words import (
    Network,
    clean_points,
    colours,
    curve_label,
    level_axis,
    network_of,
    pairs,
    short_names,
)
from noiseproof.spec import parse

LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
    "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
    "height": 460,
    "hovermode": "closest",
    "legend": {"orientation": "v", "x": 1.02, "y": 1},
}


def accuracy_figure(curves: Sequence[Curve]) -> go.Figure:
    """Accuracy against level, one line per curve, its band the 95 % interval over chips."""
    figure, names, hues = go.Figure(), short_names(curves), colours(curves)
    for curve in curves:
        hue, label = hues[network_of(curve)], _label(curve, names)
        x = [point.level for point in curve.points]
        band = [100 * p.accuracy.high for p in curve.points]
        band += [100 * p.accuracy.low for p in reversed(curve.points)]
        figure.add_scatter(
            x=x + x[::-1],
            y=band,
            mode="lines",
            fill="toself",
            fillcolor=_transparent(hue),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=label,
        )
        figure.add_scatter(
            x=x,
            y=[100 * p.accuracy.mean for p in curve.points],
            mode="lines+markers",
            name=label,
            legendgroup=label,
            line={"color": hue, "dash": "dash" if curve.first.recalibrate else "solid"},
            marker={"size": 7},
            text=[_hover(curve, place) for place in range(len(curve.points))],
            hovertemplate="<b>%{fullData.name}</b><br>%{text}<extra></extra>",
        )
    for curve in clean_points(curves):
        clean = curve.clean
        figure.add_scatter(
            x=[0],
            y=[100 * clean.score],
            mode="markers",
            marker={"symbol": "diamond-open", "size": 9, "color": hues[network_of(curve)]},
            name=html.escape(names[network_of(curve)], quote=False),
            showlegend=False,
            hovertemplate=f"<b>%{{fullData.name}}</b><br>clean %{{y:.2f}} % of {clean.images} "
            "images<extra></extra>",
        )
    chance = 100 / curves[0].clean.classes
    figure.add_hline(y=chance, line={"color": "#888", "dash": "dot", "width": 1})
    figure.add_annotation(
        x=0, xref="paper", y=chance, text="chance", showarrow=False, xanchor="left", yshift=9
    )
    figure.update_layout(**LAYOUT)
    figure.update_xaxes(title=level_axis(curves[0].family))
    figure.update_yaxes(title="accuracy on noisy chips (%)", rangemode="tozero")
    return figure


def _hover(curve: Curve, place: int) -> str:
    point = curve.points[place]
    lines = [
        f"level {point.level:g}" if point.level is not None else "no level",
        f"accuracy {stats.percent(point.accuracy)} % over {point.chips} chips",
        f"new images too {stats.percent(point.crossed)} %",
        f"normalised {stats.percent(point.normalised)} %",
        f"sd over chips {100 * stats.sd(point.by_chip):.1f}, worst {100 * min(point.by_chip):.1f}",
        f"{point.images} images, {point.nonfinite} non-finite outputs",
    ]
    wnr = parse(point.noise).wnr_db
    lines += [] if wnr is None else [f"weight-to-noise ratio {wnr:.1f} dB"]
    return "<br>".join(html.escape(line) for line in lines)


def spread_figure(curves: Sequence[Curve]) -> go.Figure:
    """Every chip as a dot, by level: the spread that a single chip of one's own is drawn from."""
    figure, names, hues = go.Figure(), short_names(curves), colours(curves)
    for curve in curves:
        hue, label = hues[network_of(curve)], _label(curve, names)
        values = [(p.level, row) for p in curve.points for row in p.rows]
        figure.add_box(
            x=["clean" if level is None else f"{level:g}" for level, _ in values],
            y=[100 * row.score for _, row in values],
            text=[f"chip {row.chip} of seed {row.seed}" for _, row in values],
            name=label,
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker={"color": hue, "size": 4, "opacity": 0.6},
            line={"color": hue, "width": 1},
            fillcolor=_transparent(hue) if curve.first.recalibrate else "rgba(0,0,0,0)",
            hovertemplate="%{text}: %{y:.1f} %<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(**LAYOUT, boxmode="group")
    figure.update_xaxes(title=level_axis(curves[0].family), type="category")
    figure.update_yaxes(title="accuracy of one chip (%)", rangemode="tozero")
    return figure


def recalibration_figure(curves: Sequence[Curve]) -> go.Figure | None:
    """What recalibration changes, paired on the same chips; None where nothing is recalibrated."""
    figure, names, hues = go.Figure(), short_names(curves), colours(curves)
    for before, after in pairs(curves):
        plain = {point.level: point for point in before.points}
        shared = [
            point
            for point in after.points
            if point.level in plain and chips_in_common(point, plain[point.level])
        ]
        gains = [paired_difference(point, plain[point.level]) for point in shared]
        figure.add_scatter(
            x=[point.level for point in shared],
            y=[100 * gain.mean for gain in gains],
            error_y={"array": [100 * (gain.high - gain.mean) for gain in gains], "thickness": 1.5},
            mode="lines+markers",
            name=_label(after, names),
            line={"color": hues[network_of(after)]},
            text=[
                f"{chips_in_common(point, plain[point.level])} chips: {stats.percent(gain)} points"
                for point, gain in zip(shared, gains, strict=True)
            ],
            hovertemplate="<b>%{fullData.name}</b><br>level %{x}<br>%{text}<extra></extra>",
        )
    if not figure.data:
        return None
    figure.add_hline(y=0, line={"color": "#888", "width": 1})
    figure.update_layout(**LAYOUT)
    figure.update_xaxes(title=level_axis(curves[0].family))
    figure.update_yaxes(title="recalibrated minus not (points of accuracy)")
    return figure


def _label(curve: Curve, names: dict[Network, str]) -> str:
    """The legend's text; plotly reads tags in it, but no entities of quotes."""
    return html.escape(curve_label(curve, names), quote=False)


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
