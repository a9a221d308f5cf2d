"""The report as Markdown that reads well on GitHub."""

from collections.abc import Sequence

from noiseproof.core.version import __version__
from noiseproof.study.report import phrases, tables
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport, verdict_lead
from noiseproof.study.report.escaping import block, cell, code, sentence, text
from noiseproof.study.report.tables import Table


def markdown_of(report: StudyReport) -> str:
    """The whole file."""
    parts = [
        *_head(report),
        *_published(report),
        *_matched(report),
        "## Comparisons",
        *(part for one in report.compared for part in _comparison(one, report)),
        *_levels(report),
        *_networks(report),
        *_provenance(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: StudyReport) -> list[str]:
    study, progress = report.study, report.progress
    unfinished = ""
    if progress.text:
        word, _, rest = progress.text.partition(":")
        unfinished = f"**{word.capitalize()}:{rest}** ({progress.rest_text}). "
        unfinished += "What is missing is listed at the end."
    return [
        f"# {text(study.title)}",
        unfinished,
        f"> {text(study.claim.text)}",
        f"Source of the claim: {sentence(study.claim.source)}",
        f"**{text(report.headline)}.**",
        _parts(phrases.parts_lines(report)),
        "Figures: report.html, beside this file.",
        *(["Notes:"] if study.notes else []),
        "\n".join(f"- {text(note)}" for note in study.notes),
    ]


def _parts(lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return text(lines[0])
    return "\n".join(f"{place}. {text(line)}" for place, line in enumerate(lines, start=1))


def _published(report: StudyReport) -> list[str]:
    if not report.beside:
        return []
    table = tables.beside_table(report)
    return ["## Published beside measured", _table(table), text(phrases.BESIDE)]


def _matched(report: StudyReport) -> list[str]:
    if not report.matched:
        return []
    parts = ["## Which definition gives the published pair?", text(phrases.MATCHED)]
    for one in report.matched:
        parts.append(text(phrases.pair_sentence(one, report.names)))
        table = tables.matched_table(one, report.names)
        parts.append(_table(table) if table.rows else "Not measured.")
    return parts


def _comparison(compared: Compared, report: StudyReport) -> list[str]:
    lead = verdict_lead(report.progress)
    facts = [
        f"- Score: {text(compared.score_text)}.",
        f"- Only: {text(compared.shared_text)}." if compared.shared_text else "",
        f"- Replicated: {text(compared.unit_text)}." if compared.cells else "",
        f"- Rule: {text(compared.rule_text)}." if compared.rule_text else "",
        f"- {text(lead)}: **{text(compared.verdict.text)}**.",
    ]
    parts = [
        f"### {text(compared.comparison.question)}",
        "\n".join(fact for fact in facts if fact),
    ]
    if compared.cells:
        parts.append(_table(tables.cells_table(compared)))
        parts.append(text(f"{compared.pairing_text} {compared.together_note}".strip()))
    if compared.peaks:
        parts.append(_table(tables.peaks_table(compared)))
    if compared.absent:
        lines = phrases.first_lines(compared.absent)
        parts += [text(phrases.ABSENT), "\n".join(f"- {text(line)}" for line in lines)]
    return parts


def _levels(report: StudyReport) -> list[str]:
    if not report.panels:
        return []
    axes = dict.fromkeys(panel.axis for panel in report.panels)
    return [
        "## Normalised accuracy at each level",
        text(f"In percent of the clean accuracy, 95 % intervals. Levels: {'; '.join(axes)}."),
        _table(tables.levels_table(report.panels)),
    ]


def _networks(report: StudyReport) -> list[str]:
    return [
        "## Networks",
        _table(tables.networks_table(report)),
        text(tables.learned_text(report)),
    ]


def _provenance(report: StudyReport) -> list[str]:
    facts = [f"- {text(name)}: {text(value)}" for name, value in report.provenance]
    gaps = [f"- {text(line)}" for line in phrases.first_lines(report.progress.gaps)]
    return [
        "## Provenance",
        "\n".join(facts),
        "Repeat it:",
        block(report.command),
        text(phrases.LIMITS),
        *(["### What is missing", "\n".join(gaps)] if gaps else []),
        f"Written by noiseproof {code(__version__)}.",
    ]


def _table(table: Table) -> str:
    marks = ["---" if place in table.left else "---:" for place in range(len(table.heads))]
    lines = [_row([cell(head) for head in table.heads]), _row(marks)]
    lines += [_row([cell(one) for one in row]) for row in table.rows]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
