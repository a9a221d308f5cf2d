"""The report of a study: one page, the same as Markdown, and as plain values. No torch.

(study, grid, facts, rows) -> report_of -> StudyReport -> writing, document_of, summary_row
"""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.study.report.content import StudyReport as StudyReport
    from noiseproof.study.report.content import report_of as report_of
    from noiseproof.study.report.curves import write_study_figure as write_study_figure
    from noiseproof.study.report.document import document_of as document_of
    from noiseproof.study.report.markdown import summary_head as summary_head
    from noiseproof.study.report.markdown import summary_row as summary_row
    from noiseproof.study.report.power import power_document as power_document
    from noiseproof.study.report.power import power_lines as power_lines
    from noiseproof.study.report.writing import write_study_report as write_study_report

__getattr__, __dir__ = face(
    __name__,
    {
        "StudyReport": "study.report.content",
        "document_of": "study.report.document",
        "power_document": "study.report.power",
        "power_lines": "study.report.power",
        "report_of": "study.report.content",
        "summary_head": "study.report.markdown",
        "summary_row": "study.report.markdown",
        "write_study_figure": "study.report.curves",
        "write_study_report": "study.report.writing",
    },
)
