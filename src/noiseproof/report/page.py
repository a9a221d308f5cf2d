"""One self-contained HTML page."""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from noiseproof import stats
from noiseproof.core.files import replacing
from noiseproof.core.version import __version__
from noiseproof.report import figures, tables
from noiseproof.report.choosing import chosen, own_names
from noiseproof.report.panels import (
    Names,
    Panel,
    StreamPanel,
    clean_rows,
    network_of,
    panels_of,
    stream_panels_of,
)
from noiseproof.report.sensitivity import figures as ranking_figures
from noiseproof.report.sensitivity import tables as ranking_tables
from noiseproof.report.stating import chip_lines
from noiseproof.report.words import NOTHING_RENAMED, short_names, title_of
from noiseproof.results import Curve, Ranking, Row, Trace, network_key, reach_text, where_of
from noiseproof.results.clean import clean_sentence, clean_value

CONFIG = {  # the page's figures stay on the page
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
}


def write_report(
    curves: Sequence[Curve],
    path: str | Path,
    *,
    source: str,
    traces: Sequence[Trace] = (),
    rankings: Sequence[Ranking] = (),
    only: Sequence[str] = (),
    labels: Mapping[str, str] = NOTHING_RENAMED,
    title: str = "",
) -> None:
    """Write the page, whole or not at all.

    Every text from a row is escaped, and the page forbids itself every outside address.

    - `curves`, `traces`, `rankings`: what is shown, as measured or read from a store.
    - `path`: the HTML file.
    - `source`: the store's name, as printed on the page.
    - `only`: patterns, of which what is shown has to fit one: `resnet14`, `norm=batch*`.
    - `labels`: texts in place of names in legends, tables and titles.
    - `title`: of the page.

    Raises:
        ValueError: where the file cannot be written, there is nothing to show, or a pattern or
            label fits nothing.
    """
    followed = [trace for trace in traces if trace.chips]
    if not curves and not rankings and not followed:
        raise ValueError("there is nothing to report: no measured chips")
    shown = chosen([*curves, *followed, *rankings], only)
    text = render(
        [one for one in shown if isinstance(one, Curve)],
        source=source,
        traces=[one for one in shown if isinstance(one, Trace)],
        rankings=[one for one in shown if isinstance(one, Ranking)],
        labels=labels,
        title=title,
    )
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(
    curves: Sequence[Curve],
    *,
    source: str,
    traces: Sequence[Trace] = (),
    rankings: Sequence[Ranking] = (),
    labels: Mapping[str, str] = NOTHING_RENAMED,
    title: str = "",
) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        # Names of models and data come from files of others: nothing in them may become a tag.
        # Strict: a misspelt name in the template is an error and no empty place.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = resources.files("noiseproof.report").joinpath("page.html.j2").read_text()
    followed = [trace for trace in traces if trace.chips]
    # Rows of curves win: those of rankings are joined from blocks.
    clean = {network_key(one.clean): one.clean for one in rankings} | clean_rows(curves, followed)
    # Of all that is on the page at once, so that one name is one network in all of its parts.
    plain = panels_of(curves, short_names(clean.values()))
    firsts = [one.first for one in curves] + [one.first for one in followed]
    firsts += [one.first for one in rankings]
    conditions = [panel.condition for panel in plain]
    names = own_names(clean.values(), firsts, conditions, labels)
    metrics = [c.points[0].metric for c in curves] + [t.metric for t in followed]
    metrics += [ranking.metric for ranking in rankings]
    return environment.from_string(template).render(
        source=source,
        version=__version__,
        # Markup marks what is not escaped: plotly's own code and
        # figures, whose labels `figures` escapes.
        plotly=Markup(_plotly_without_addresses()),
        own_title=title,
        title=title or f"{title_of(metrics)} on noisy chips",
        has_hits=any(curve.first.hits for curve in curves),
        networks=tables.networks(clean, names),
        panels=[_panel(panel, names) for panel in panels_of(curves, names, labels)],
        streams=[_stream(panel) for panel in stream_panels_of(followed, names, labels)],
        rankings=[_ranking(ranking, names) for ranking in rankings],
        chips=sum(point.chips for curve in curves for point in curve.points),
        followed=sum(len(trace.chips) for trace in followed),
        acts=_acts(curves, firsts, has_streams=bool(followed)),
        absent=_absent(curves, firsts),
        confidence=round(100 * stats.CONFIDENCE),
    )


def _plotly_without_addresses() -> str:
    """plotly.js, its addresses (map tiles, fonts, help pages) taken out: no figure here uses them.
    XML namespaces, which only look like addresses, stay."""
    return re.sub(r"https?://(?!www\.w3\.org/)", "about:blank#", get_plotlyjs())


def _panel(panel: Panel, names: Names) -> dict[str, Any]:
    """One kind of noise on one set of targets: its figures, tables and comparisons."""
    shown = {
        "score": figures.score_figure(panel),
        "spread": figures.spread_figure(panel),
        "gain": figures.gain_figure(panel),
    }
    return {
        "about": panel,
        "title": title_of([panel.metric]),
        "clean": [
            f"{names[network_key(row)]} {clean_value(row)}"
            for row in {network_of(c): c.clean for c in panel.curves}.values()
        ],
        "seeds": sorted({row.seed for c in panel.curves for p in c.points for row in p.rows}),
        "figures": {name: _embed(figure) for name, figure in shown.items() if figure is not None},
        "overview": tables.overview(panel),
        "averages": tables.averages(panel),
        "estimates": tables.estimates(panel),
        "states": chip_lines([curve.first for curve in panel.curves]),
        "spreads": tables.spreads(panel),
        "gains": tables.gains(panel),
        "changes": tables.changes(panel),
        "what": " and ".join(panel.remedies),
        "way": ", ".join(panel.remedies) or "recalibration",
        "over": panel.swept.name,
        "rivals": tables.against(panel, names),
        "rival": names[network_of(panel.rivals[0][0])] if panel.rivals else "",
    }


def _acts(curves: Sequence[Curve], firsts: Sequence[Row], *, has_streams: bool) -> str:
    """When the noise of the page acts, beside programming."""
    words = {
        ", as its devices age": any(curve.swept.is_time for curve in curves),
        ", at every product": any(row.mvm for row in firsts),
        ", and in a stream at each change": has_streams,
    }
    return "".join(text for text, is_so in words.items() if is_so)


def _absent(curves: Sequence[Curve], firsts: Sequence[Row]) -> str:
    """What of hardware no noise of the page has."""
    said = " ".join(row.mvm for row in firsts)
    words = {
        "read noise of every product": "read(" in said,
        "voltage drops along wires": "wires(" in said,
        "converters": "dac(" in said or "adc(" in said,
        "drift": any(curve.swept.is_time for curve in curves),
    }
    found = [text for text, is_there in words.items() if not is_there] or ["Temperature"]
    text = " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
    return f"{text[0].upper()}{text[1:]} {'is' if len(found) == 1 else 'are'}"


def _stream(panel: StreamPanel) -> dict[str, Any]:
    """One stream of noise: its figure and table."""
    return {
        "about": panel,
        "row": panel.first,
        "where": where_of(panel.first),
        "reach": reach_text(panel.first),
        "title": title_of([panel.traces[0].metric]),
        "clean": "" if panel.clean is None else clean_sentence(panel.clean),
        "metric": panel.traces[0].metric,
        "seeds": sorted({seed for trace in panel.traces for seed, _ in trace.chips}),
        "dotted": any(look.dash == "dot" for look in panel.looks),
        "figure": _embed(figures.stream_figure(panel)),
        "lines": tables.stream_lines(panel),
    }


def _ranking(ranking: Ranking, names: Names) -> dict[str, Any]:
    """Which layers lose the score: figures and tables."""
    digital = ranking_figures.digital_figure(ranking)
    return {
        "about": ranking,
        "where": where_of(ranking.first),
        "network": names[network_key(ranking.clean)],
        "clean": ranking.text(ranking.clean_accuracy) + ranking.unit.sign,
        "drops": _embed(ranking_figures.drop_figure(ranking)),
        "digital": None if digital is None else _embed(digital),
        "groups": ranking_tables.group_lines(ranking),
        "steps": ranking_tables.step_lines(ranking),
        "finding": ranking_tables.finding_text(ranking),
    }


def _embed(figure: go.Figure) -> Markup:
    # Without plotly.js, megabytes of it: the page has it once.
    text = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
    return Markup(text)
