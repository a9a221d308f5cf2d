"""The report's files."""

from pathlib import Path

from noiseproof.core.files import replacing
from noiseproof.study.report.answer import answer_svg
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.markdown import PICTURE, markdown_of
from noiseproof.study.report.page import page_of


def write_study_report(report: StudyReport, folder: Path) -> list[Path]:
    """Write report.html, report.md and its picture report.svg into the folder, each whole or not at
    all, and all made before the first is written; no picture where nothing is measured.

    Raises:
        ValueError: where a file cannot be written.
    """
    texts = {folder / "report.html": page_of(report), folder / "report.md": markdown_of(report)}
    if picture := answer_svg(report):
        texts[folder / PICTURE] = picture
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)
