"""The report of a study: one page, the same as Markdown, and as plain values. No torch.

(study, grid, facts, rows) -> report_of -> StudyReport -> write_study_report, as_json, summary_row
"""

from noiseproof.study.report.content import StudyReport as StudyReport
from noiseproof.study.report.content import report_of as report_of
from noiseproof.study.report.summary import summary_head as summary_head
from noiseproof.study.report.summary import summary_row as summary_row
from noiseproof.study.report.writing import write_study_report as write_study_report
