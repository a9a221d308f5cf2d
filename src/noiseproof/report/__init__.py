"""Rows -> a page and a figure. Reads estimates only: no torch, no GPU, no network."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.report.activations.figure import write_anatomy_figure as write_anatomy_figure
    from noiseproof.report.activations.page import write_anatomy as write_anatomy
    from noiseproof.report.activations.table import anatomy_tables as anatomy_tables
    from noiseproof.report.activations.table import score_lines as score_lines
    from noiseproof.report.choosing import chosen as chosen
    from noiseproof.report.choosing import parse_labels as parse_labels
    from noiseproof.report.device import draw_fit as draw_fit
    from noiseproof.report.looks import COLOURS as COLOURS
    from noiseproof.report.page import write_report as write_report
    from noiseproof.report.paper import write_figure as write_figure
    from noiseproof.report.plotting import DASHES as DASHES
    from noiseproof.report.plotting import ENDINGS as ENDINGS
    from noiseproof.report.plotting import STYLE as STYLE
    from noiseproof.report.plotting import legend_line as legend_line
    from noiseproof.report.sensitivity.figures import write_ranking_figure as write_ranking_figure
    from noiseproof.report.sensitivity.tables import finding_text as finding_text
    from noiseproof.report.sensitivity.tables import terminal_tables as terminal_tables

__getattr__, __dir__ = face(
    __name__,
    {
        "COLOURS": "report.looks",
        "DASHES": "report.plotting",
        "ENDINGS": "report.plotting",
        "STYLE": "report.plotting",
        "anatomy_tables": "report.activations.table",
        "chosen": "report.choosing",
        "draw_fit": "report.device",
        "finding_text": "report.sensitivity.tables",
        "legend_line": "report.plotting",
        "parse_labels": "report.choosing",
        "score_lines": "report.activations.table",
        "terminal_tables": "report.sensitivity.tables",
        "write_anatomy": "report.activations.page",
        "write_anatomy_figure": "report.activations.figure",
        "write_figure": "report.paper",
        "write_ranking_figure": "report.sensitivity.figures",
        "write_report": "report.page",
    },
)
