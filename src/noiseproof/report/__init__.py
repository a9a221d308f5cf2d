"""Rows -> a page and a figure. Reads estimates only: no torch, no GPU, no network."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.report.page import write_report as write_report
    from noiseproof.report.paper import write_figure as write_figure

__getattr__, __dir__ = face(
    __name__,
    {
        "write_figure": "report.paper",
        "write_report": "report.page",
    },
)
