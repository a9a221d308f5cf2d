"""One line for each study: the table of all studies."""

from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.escaping import cell, code
from noiseproof.study.report.words import counts, many, plain

HEAD = ("claim", "published", "measured, 95 % interval", "verdict", "n", "command")


def summary_head() -> str:
    """The table's head."""
    return f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}"


def summary_row(report: StudyReport) -> str:
    """The line of one study."""
    parts, claim = report.parts, report.study.claim
    verdict = report.verdict[1]
    if report.progress.text:
        verdict += f" ({report.progress.text})"
    absent = sum(len(part.absent) for part in parts)
    if absent:
        verdict += f"; {many(absent, 'pair')} not compared"
    published = [f"{cell(one.what)}: {plain(one.percent)} %" for one in claim.published]
    columns = (
        f"{cell(claim.text)} ({cell(claim.source)})",
        "<br>".join(published) or "no figure",
        "<br>".join(_measured(part, alone=len(parts) == 1) for part in parts),
        f"**{cell(verdict)}**",
        "<br>".join(dict.fromkeys(_n(part) for part in parts)),
        code(report.command),
    )
    return f"| {' | '.join(columns)} |"


def _measured(part: Compared, *, alone: bool) -> str:
    found = cell(part.span_text) or "not measured"
    if alone:
        return found
    return f"{cell(part.comparison.question)} (*{cell(part.verdict.kind)}*): {found}"


def _n(part: Compared) -> str:
    unit = "trainings" if part.comparison.unit == "training" else "chips of one network"
    n = counts(len(s.values) for one in part.cells for s in (one.better, one.worse))
    return f"{n} {unit} a side"
