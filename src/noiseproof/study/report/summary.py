"""One line for each study: the table of all studies."""

from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.escaping import cell, code
from noiseproof.study.report.words import counts, many, plain

HEAD = ("claim", "published", "measured, 95 % interval", "verdict", "n", "command")


def summary_head() -> str:
    """The table's head."""
    return f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}"


def summary_row(report: StudyReport) -> str:
    """The line of one study."""
    first, claim = report.first, report.study.claim
    unit = "trainings" if first.comparison.unit == "training" else "chips of one network"
    n = counts(len(s.values) for one in first.cells for s in (one.better, one.worse))
    verdict = first.verdict.text
    if report.progress.text:
        verdict += f" ({report.progress.text})"
    if first.absent:
        verdict += f"; {many(len(first.absent), 'pair')} not compared"
    published = [f"{cell(one.what)}: {plain(one.percent)} %" for one in claim.published]
    columns = (
        f"{cell(claim.text)} ({cell(claim.source)})",
        "<br>".join(published) or "no figure",
        cell(first.span_text) or "not measured",
        f"**{cell(verdict)}**",
        f"{n} {unit} a side",
        code(report.command),
    )
    return f"| {' | '.join(columns)} |"
