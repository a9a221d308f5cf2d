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
from noiseproof.study.report.hull_figure import can_be_drawn, hull_svg
from noiseproof.study.report.hulls import HULL_SAYS, READ, Hulled
from noiseproof.study.report.panels import MOST
from noiseproof.study.report.profiles import profiles_sentence, profiles_table
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
        profiles=profiles_table(report),
        profiles_note=profiles_sentence(report),
        few=tables.FEW,
        beside=tables.beside_table(report),
        beside_note=phrases.BESIDE,
        matched=[
            (phrases.pair_sentence(one, report.names), tables.matched_table(one, report.names))
            for one in report.matched
        ],
        matched_note=phrases.MATCHED,
        compared=[
            _hulled(one, place) if isinstance(one, Hulled) else _compared(one, place)
            for place, one in enumerate(report.compared)
        ],
        panels=_panels(report),
        legend=_legend(report),
        panels_note=phrases.panels_sentence(report),
        counts=phrases.counts_sentence(report),
        levels=tables.levels_table(report.panels),
        swept=" or ".join(dict.fromkeys(panel.swept.name for panel in report.panels)),
        networks=tables.networks_table(report),
        learned=tables.learned_text(report),
        gaps=phrases.first_lines(report.progress.gaps),
        limits=phrases.LIMITS,
        tones={word: tone for words in (SAYS, HULL_SAYS) for tone, word in words.items()},
    )


def _compared(compared: Compared, place: int) -> dict[str, Any]:
    has_cells = bool(compared.cells)
    return {
        "about": compared,
        "table": tables.cells_table(compared) if has_cells else None,
        "absent": phrases.first_lines(compared.absent),
        "peaks": tables.peaks_table(compared) if compared.peaks else None,
        "forest": Markup(figures.forest_svg(compared, number=place)) if has_cells else None,
        "absent_note": phrases.ABSENT,
        "note": f"{compared.pairing_text} {compared.together_note}",
        "sets": (),
    }


def _hulled(hulled: Hulled, place: int) -> dict[str, Any]:
    return {
        "about": hulled,
        "table": None,
        "absent": phrases.first_lines(hulled.absent),
        "peaks": None,
        "forest": None,
        "absent_note": phrases.ABSENT_HULLS,
        "note": f"{READ} {hulled.together_note}",
        "picture_note": phrases.HULL_PICTURE,
        "pictures": [
            Markup(hull_svg(hulled, one, number=3000 + 100 * place + which))
            for which, one in enumerate(hulled.hull_sets)
            if can_be_drawn(one)
        ],
        "sets": [(one.sentence, tables.hull_table(hulled, one)) for one in hulled.hull_sets],
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
