"""One self-contained HTML page."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import noiseproof
from noiseproof import stats
from noiseproof.curves import Curve, chips_in_common, paired_difference
from noiseproof.records import Row, replacing
from noiseproof.report import figures
from noiseproof.report.words import (
    Network,
    curve_label,
    network_of,
    pairs,
    panels,
    rivals,
    short_names,
)

CONFIG = {  # the page's figures stay on the page
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
}


def write_report(curves: Sequence[Curve], path: str | Path, *, source: str) -> None:
    """Write the page, whole or not at all. `source` is the store's name, as printed on the page.

    Every text from a row is escaped, and the page forbids itself every outside address.

    Raises:
        ValueError: where the file cannot be written, or there is nothing to show.
    """
    if not curves:
        raise ValueError("there is nothing to report: no measured chips")
    text = render(curves, source=source)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(curves: Sequence[Curve], *, source: str) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("noiseproof.report").joinpath("page.html.j2").read_text()
    environment.filters["percent"] = stats.percent
    names = short_names(curves)
    return environment.from_string(template).render(
        source=source,
        version=noiseproof.__version__,
        plotly=Markup(_plotly_without_addresses()),
        networks=_networks(curves, names),
        panels=[_panel(part, names) for part in panels(curves).values()],
        chips=sum(point.chips for curve in curves for point in curve.points),
        confidence=round(100 * stats.CONFIDENCE),
    )


def _plotly_without_addresses() -> str:
    """plotly.js, its addresses (map tiles, fonts, help pages) taken out: no figure here uses them.
    XML namespaces, which only look like addresses, stay."""
    return re.sub(r"https?://(?!www\.w3\.org/)", "about:blank#", get_plotlyjs())


def _networks(curves: Sequence[Curve], names: dict[Network, str]) -> list[dict[str, Any]]:
    """What was measured: one entry per network."""
    clean: dict[Network, Row] = {network_of(curve): curve.clean for curve in curves}
    return [
        {"name": names[network], "row": row, "clean": f"{100 * row.score:.2f}"}
        for network, row in clean.items()
    ]


def _panel(curves: Sequence[Curve], names: dict[Network, str]) -> dict[str, Any]:
    """One kind of noise on one set of targets: its figures, table and comparisons."""
    first = curves[0].first
    shown = {
        "accuracy": figures.accuracy_figure(curves),
        "spread": figures.spread_figure(curves),
        "recalibration": figures.recalibration_figure(curves),
    }
    return {
        "family": curves[0].family,
        "targets": first.targets,
        "seeds": sorted({row.seed for c in curves for p in c.points for row in p.rows}),
        "figures": {name: _embed(figure) for name, figure in shown.items() if figure is not None},
        "averages": [
            {
                "label": curve_label(curve, names),
                "value": stats.percent(curve.average_normalised),
                "levels": ", ".join("-" if v is None else f"{v:g}" for v in curve.levels),
                "chips": curve.shared_chips,
            }
            for curve in curves
        ],
        "lines": [line for curve in curves for line in _lines(curve, names)],
        "gains": [gain for pair in pairs(curves) for gain in _gains(*pair, names)],
        "rivals": [gain for pair in rivals(curves) for gain in _gains(*pair, names)],
        "rival": curve_label(rivals(curves)[0][0], names) if rivals(curves) else "",
    }


def _embed(figure: go.Figure) -> Markup:
    text = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
    return Markup(text)


def _lines(curve: Curve, names: dict[Network, str]) -> list[dict[str, Any]]:
    return [
        {
            "label": curve_label(curve, names),
            "point": point,
            "level": "-" if point.level is None else f"{point.level:g}",
            "sd": f"{100 * stats.sd(point.by_chip):.1f}",
            "worst": f"{100 * min(point.by_chip):.1f}",
            "low_quantile": f"{100 * stats.low_quantile(point.by_chip):.1f}",
        }
        for point in curve.points
    ]


def _gains(before: Curve, after: Curve, names: dict[Network, str]) -> list[dict[str, Any]]:
    plain = {point.level: point for point in before.points}
    return [
        {
            "label": curve_label(after, names),
            "level": "-" if point.level is None else f"{point.level:g}",
            "chips": chips_in_common(point, plain[point.level]),
            "before": stats.percent(plain[point.level].accuracy),
            "after": stats.percent(point.accuracy),
            "gain": stats.percent(paired_difference(point, plain[point.level])),
        }
        for point in after.points
        if point.level in plain and chips_in_common(point, plain[point.level])
    ]
