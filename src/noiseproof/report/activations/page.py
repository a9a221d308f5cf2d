"""Where the noise bites, as one self-contained HTML page."""

import html
from collections.abc import Sequence
from importlib import resources
from math import ceil, floor, isnan, log10
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from noiseproof import stats
from noiseproof.core.files import replacing
from noiseproof.core.version import __version__
from noiseproof.report.activations.figure import (
    Trail,
    floor_of,
    is_steep,
    looks_of,
    named_places,
    trails_of,
)
from noiseproof.report.activations.table import short
from noiseproof.report.figures import HOVER, LAYOUT, _escaped, _transparent
from noiseproof.report.page import CONFIG, _plotly_without_addresses
from noiseproof.report.words import origin_of, title_of
from noiseproof.results import (
    FLOOR,
    QUANTITIES,
    RATIO,
    SHIFT,
    SNR,
    TINY,
    Activations,
    Point,
    Quantity,
    findings,
    reach_text,
    where_of,
)
from noiseproof.results.clean import clean_value


def write_anatomy(activations: Activations, path: str | Path) -> None:
    """Write the page, whole or not at all.

    Every text is escaped, and the page forbids itself every outside address.

    Raises:
        ValueError: where the file cannot be written.
    """
    text = render(activations)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(activations: Activations) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("noiseproof.report.activations").joinpath("page.html.j2").read_text()
    figure = depth_figure(activations).to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG
    )
    return environment.from_string(template).render(
        activations=activations,
        row=activations.off.row,
        clean=clean_value(activations.clean),
        where=where_of(activations.off.row),
        reach=reach_text(activations.off.row),
        version=__version__,
        plotly=Markup(_plotly_without_addresses()),
        figure=Markup(figure),
        findings=findings(activations),
        title=title_of([activations.metric]),
        labelled=activations.off.score is not None,
        has_norms=any(point.role == "norm" for point in activations.points),
        ways=_ways(activations),
        lines=_lines(activations),
        quantities=QUANTITIES,
        confidence=round(100 * stats.CONFIDENCE),
        tiny=TINY,
        floor=FLOOR,
    )


def _ways(activations: Activations) -> list[dict[str, Any]]:
    """The score of each way, and what it does to score and SNR on the same chips."""
    unit, last, found = activations.unit, len(activations.points) - 1, []
    for way, look in zip(activations.ways, looks_of(activations), strict=True):
        gain, is_off = activations.score_gain(way), way is activations.off
        found.append(
            {
                "look": look,
                "origin": origin_of(way.row),
                "score": "" if way.score is None else unit.text(way.score),
                "gain": "" if gain is None or is_off else unit.text(gain),
                "snr": stats.number(way.estimate(SNR, last)),
                "snr_gain": "" if is_off else stats.number(activations.gain(way, last)),
            }
        )
    return found


def _lines(activations: Activations) -> list[dict[str, Any]]:
    return [
        {
            "point": point,
            "cells": [
                short(way.estimate(q, place), q) for way in activations.ways for q in QUANTITIES
            ],
        }
        for place, point in enumerate(activations.points)
    ]


# --- the figure ----------------------------------------------------------------------------------


def depth_figure(activations: Activations) -> go.Figure:
    """Three panels over depth: SNR, mean shift, variance ratio."""
    figure = make_subplots(rows=len(QUANTITIES), cols=1, shared_xaxes=True, vertical_spacing=0.035)
    for row, quantity in enumerate(QUANTITIES, start=1):
        trails = trails_of(activations, quantity)
        steep = is_steep(quantity, trails)
        for trail in trails:
            if trail.role == "analog" and trail.has_band:
                _add_band(figure, trail, row, lowest=1e-2 * floor_of(trails) if steep else None)
            _add_trail(figure, activations, trail, row)
        figure.update_yaxes(title=quantity.title, row=row, col=1)
        figure.update_yaxes(**(_log_axis(quantity, trails) if steep else {}), row=row, col=1)
        # The neutral shift is 0, which a logarithmic axis does not have.
        if not (steep and quantity is SHIFT):
            thin = {"color": "#888", "dash": "dot", "width": 1}
            figure.add_hline(y=quantity.neutral, line=thin, row=row, col=1)
    named = named_places(len(activations.points))
    names = [_escaped(activations.points[place].name) for place in named]
    ends = [-0.6, len(activations.points) - 0.4]
    figure.update_xaxes(range=ends, showgrid=False, zeroline=False, tickvals=named, ticktext=names)
    figure.update_xaxes(tickangle=-90, tickfont={"size": 11}, row=len(QUANTITIES), col=1)
    figure.update_layout(**LAYOUT, height=980)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    return figure


def _log_axis(quantity: Quantity, trails: Sequence[Trail]) -> dict[str, Any]:
    ends = [value for trail in trails for value in (*trail.mean, *trail.high) if not isnan(value)]
    low, high = floor_of(trails), 1.2 * max(ends)
    steps = (1, 2, 5) if quantity is RATIO else (1,)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {
        "type": "log",
        # plotly wants the ends of a logarithmic axis as exponents.
        "range": [log10(low), log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _add_band(figure: go.Figure, trail: Trail, row: int, *, lowest: float | None) -> None:
    """`lowest`: what a logarithmic axis can still show."""
    # plotly drops what a logarithmic axis cannot show, and the outline of the band with it.
    low = trail.low if lowest is None else [max(value, lowest) for value in trail.low]
    figure.add_scatter(
        x=trail.places + trail.places[::-1],
        y=trail.high + low[::-1],
        mode="lines",
        fill="toself",
        fillcolor=_transparent(trail.look.colour, 0.18),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=_escaped(trail.look.label),
        row=row,
        col=1,
    )


def _add_trail(figure: go.Figure, activations: Activations, trail: Trail, row: int) -> None:
    look, label = trail.look, _escaped(trail.look.label)
    shared: dict[str, Any] = {
        "x": trail.places,
        "y": trail.mean,
        "legendgroup": label,
        # Each way has a trace in every panel; the legend names it once and switches all of them.
        "showlegend": row == 1,
        "text": [
            _hover(activations.points[place], trail, step)
            for step, place in enumerate(trail.places)
        ],
        "hovertemplate": HOVER,
        "row": row,
        "col": 1,
    }
    if trail.role == "analog":
        line = {"color": look.colour, "dash": look.dash, "width": 2}
        marker: dict[str, Any] = {"size": 5}
        figure.add_scatter(**shared, mode="lines+markers", name=label, line=line, marker=marker)
        return
    bars: dict[str, Any] = {"thickness": 1, "width": 0, "color": look.colour}
    if trail.has_band:
        bars |= {"type": "data", "symmetric": False, "array": trail.above}
        bars |= {"arrayminus": trail.below}
    marker = {"symbol": "diamond-open", "size": 7, "color": look.colour}
    name = f"{label}, normalisation layers"
    figure.add_scatter(**shared, mode="markers", name=name, marker=marker, error_y=bars)


def _hover(point: Point, trail: Trail, step: int) -> str:
    shown = stats.Interval(mean=trail.mean[step], low=trail.low[step], high=trail.high[step])
    lines = [f"{point.name}, {point.kind}", f"{trail.quantity.title} {stats.number(shown)}"]
    lines += [f"{point.channels} channels"]
    lines += [f"{point.excluded} of them in the SNR only"] if point.excluded else []
    return "<br>".join(html.escape(line) for line in lines)
