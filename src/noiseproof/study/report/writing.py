"""The report's files."""

from pathlib import Path

from noiseproof.core.files import replacing
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of


def write_study_report(report: StudyReport, folder: Path) -> list[Path]:
    """Write report.html and report.md into the folder, each whole or not at all, and both made
    before the first is written.

    Raises:
        ValueError: where a file cannot be written.
    """
    texts = {folder / "report.html": page_of(report), folder / "report.md": markdown_of(report)}
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)
