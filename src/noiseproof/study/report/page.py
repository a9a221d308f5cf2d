"""The report as one self-contained HTML page."""

from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from noiseproof.core.version import __version__
from noiseproof.study.report import figures, phrases, tables
from noiseproof.study.report.answer import answer_svg
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport, verdict_lead
from noiseproof.study.report.panels import MOST
from noiseproof.study.report.words import SAYS


def page_of(report: StudyReport) -> str:
    """The page as text. Every text from a file is escaped, and the page forbids itself every
    outside address and every script."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = resources.files("noiseproof.study.report").joinpath("page.html.j2").read_text()
    return environment.from_string(template).render(
        report=report,
        study=report.study,
        version=__version__,
        lead=verdict_lead(report.progress),
        parts=phrases.parts_lines(report),
        answer=Markup(answer_svg(report, number=2000)),
        answer_note=phrases.answer_sentence(report),
        few=tables.FEW,
        beside=tables.beside_table(report),
        beside_note=phrases.BESIDE,
        matched=[
            (phrases.pair_sentence(one, report.names), tables.matched_table(one, report.names))
            for one in report.matched
        ],
        matched_note=phrases.MATCHED,
        compared=[_compared(one, place) for place, one in enumerate(report.compared)],
        panels=_panels(report),
        legend=_legend(report),
        panels_note=phrases.panels_sentence(report),
        counts=phrases.counts_sentence(report),
        levels=tables.levels_table(report.panels),
        networks=tables.networks_table(report),
        learned=tables.learned_text(report),
        gaps=phrases.first_lines(report.progress.gaps),
        absent_note=phrases.ABSENT,
        limits=phrases.LIMITS,
        tones={word: tone for tone, word in SAYS.items()},
    )


def _compared(compared: Compared, place: int) -> dict[str, Any]:
    has_cells = bool(compared.cells)
    return {
        "about": compared,
        "table": tables.cells_table(compared) if has_cells else None,
        "absent": phrases.first_lines(compared.absent),
        "peaks": tables.peaks_table(compared) if compared.peaks else None,
        "forest": Markup(figures.forest_svg(compared, number=place)) if has_cells else None,
    }


def _panels(report: StudyReport) -> list[tuple[str, Markup]]:
    drawn = report.panels[:MOST]
    first, top = len(report.compared), figures.top_of(drawn)
    return [
        (panel.title, Markup(figures.panel_svg(panel, number=first + place, top=top)))
        for place, panel in enumerate(drawn)
    ]


def _legend(report: StudyReport) -> list[tuple[str, Markup]]:
    """Each side with a piece of its line."""
    places = {line.place: line.label for panel in report.panels for line in panel.lines}
    return [(places[place], Markup(figures.key_svg(place))) for place in sorted(places)]
