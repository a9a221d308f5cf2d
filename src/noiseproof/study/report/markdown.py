"""The report as Markdown that reads well on GitHub."""

import html
import re
import unicodedata
from collections.abc import Sequence

from noiseproof.core.version import __version__
from noiseproof.study.report import phrases, tables
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport, verdict_lead
from noiseproof.study.report.hulls import READ, Hulled
from noiseproof.study.report.profiles import profiles_sentence, profiles_table
from noiseproof.study.report.tables import Table
from noiseproof.study.report.words import many, plain
from noiseproof.study.verdicts import said

PICTURE = "report.svg"  # of the answer, beside the file
PICTURE_WORDS = "All cases of all parts of the claim with their intervals"


def markdown_of(report: StudyReport) -> str:
    """The whole file."""
    parts = [
        *_head(report),
        *_published(report),
        *_matched(report),
        "## Comparisons",
        *(
            part
            for one in report.compared
            for part in (
                _hull(one, report) if isinstance(one, Hulled) else _comparison(one, report)
            )
        ),
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
        *_answer(report),
        _parts(phrases.parts_lines(report)),
        *_profiles(report),
        "More figures: report.html, beside this file.",
        *(["Notes:"] if study.notes else []),
        "\n".join(f"- {text(note)}" for note in study.notes),
    ]


def _answer(report: StudyReport) -> list[str]:
    """The picture, where there is one."""
    if not any(part.cells for part in report.parts if isinstance(part, Compared)):
        return []
    return [f"![{PICTURE_WORDS}]({PICTURE})", text(phrases.answer_sentence(report))]


def _profiles(report: StudyReport) -> list[str]:
    """The study's profiles side by side, where there are several."""
    table = profiles_table(report)
    return [] if table is None else [f"**{text(profiles_sentence(report))}**", _table(table)]


def _parts(lines: Sequence[str]) -> str:
    if len(lines) < 2:
        return "".join(map(text, lines))
    return "\n".join(f"{place}. {text(line)}" for place, line in enumerate(lines, start=1))


def _published(report: StudyReport) -> list[str]:
    if not report.beside:
        return []
    table = tables.beside_table(report)
    return ["## Published beside measured", _folded(table, "All figures"), text(phrases.BESIDE)]


def _matched(report: StudyReport) -> list[str]:
    if not report.matched:
        return []
    parts = ["## Which definition gives the published pair?", text(phrases.MATCHED)]
    for one in report.matched:
        parts.append(text(phrases.pair_sentence(one, report.names)))
        table = tables.matched_table(one, report.names)
        parts.append(_folded(table, "All definitions") if table.rows else "Not measured.")
    return parts


def _facts(compared: Compared | Hulled, report: StudyReport) -> list[str]:
    lead = verdict_lead(report.progress)
    facts = [
        f"- Score: {text(compared.score_text)}.",
        f"- Only: {text(compared.shared_text)}." if compared.shared_text else "",
        f"- Replicated: {text(compared.unit_text)}." if compared.cells else "",
        f"- Found: {text(compared.span_text)}." if compared.cells else "",
        f"- Rule: {text(compared.rule_text)}." if compared.rule_text else "",
        f"- {text(lead)}: **{text(compared.verdict_text)}**.",
    ]
    return [
        f"### {text(compared.comparison.question)}",
        "\n".join(fact for fact in facts if fact),
    ]


def _hull(hulled: Hulled, report: StudyReport) -> list[str]:
    parts = _facts(hulled, report)
    if hulled.cells:
        parts.append(text(f"{READ} {hulled.together_note}".strip()))
    for one in hulled.hull_sets:
        table = tables.hull_table(hulled, one)
        parts += [text(one.sentence), _folded(table, "All definitions, the nearest first")]
    if hulled.absent:
        lines = phrases.first_lines(hulled.absent)
        parts += [text(phrases.ABSENT_HULLS), "\n".join(f"- {text(line)}" for line in lines)]
    return parts


def _comparison(compared: Compared, report: StudyReport) -> list[str]:
    parts = _facts(compared, report)
    if compared.cells:
        parts.append(text(f"{compared.pairing_text} {compared.together_note}".strip()))
        parts.append(_folded(tables.cells_table(compared), "All cases"))
    if compared.peaks:
        parts.append(_folded(tables.peaks_table(compared), "All combinations"))
    if compared.absent:
        lines = phrases.first_lines(compared.absent)
        parts += [text(phrases.ABSENT), "\n".join(f"- {text(line)}" for line in lines)]
    return parts


def _levels(report: StudyReport) -> list[str]:
    if not report.panels:
        return []
    axes = dict.fromkeys(panel.axis for panel in report.panels)
    swept = dict.fromkeys(panel.swept.name for panel in report.panels)
    said = " and ".join(f"{name}s" for name in swept).capitalize()
    return [
        f"## Normalised accuracy at each {' or '.join(swept)}",
        text(f"In percent of the clean accuracy, 95 % intervals. {said}: {'; '.join(axes)}."),
        _folded(tables.levels_table(report.panels), "All curves"),
    ]


def _networks(report: StudyReport) -> list[str]:
    return [
        "## Networks",
        _folded(tables.networks_table(report), "All networks"),
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


def _folded(table: Table, what: str) -> str:
    """The table, folded where it is long; the empty lines make GitHub read it as a table."""
    if len(table.rows) <= tables.FEW:
        return _table(table)
    head = f"<details><summary>{what} ({len(table.rows)} rows)</summary>"
    return f"{head}\n\n{_table(table)}\n\n</details>"


def _table(table: Table) -> str:
    marks = ["---" if place in table.left else "---:" for place in range(len(table.heads))]
    lines = [_row([cell(head) for head in table.heads]), _row(marks)]
    lines += [_row([cell(one) for one in row]) for row in table.rows]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# --- foreign text --------------------------------------------------------------------------------


# An underscore within a word means nothing, nor does a bracket that no link follows.
_MARKS = re.compile(r"([\\`*|~$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_]))")
_START = re.compile(r"^(\d{0,9})([#+\-=.)])(?=[\s#=-]|$)")  # of a heading or a list


def one_line(foreign: str) -> str:
    """The text without line breaks and control characters."""
    kept = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in foreign)
    return " ".join(kept.split())


def text(foreign: str) -> str:
    """The text, escaped, on one line: a paragraph or the rest of one."""
    return _START.sub(r"\1\\\2", cell(foreign))


def cell(foreign: str) -> str:
    """The text, escaped, on one line, where no block can begin: in a table."""
    return html.escape(_MARKS.sub(r"\\\1", one_line(foreign)), quote=False)


def sentence(foreign: str) -> str:
    """The text, escaped, with a full stop."""
    line = one_line(foreign)
    return text(line) + ("" if line.endswith((".", "!", "?")) else ".")


def code(foreign: str) -> str:
    """The text as code, on one line; for prose and for tables."""
    line = one_line(foreign)
    if line and not re.search(r"[`|]", line):
        return f"`{line}`"
    entities = {mark: f"&#{ord(mark)};" for mark in r"\`*_[]|~$"}
    return f"<code>{''.join(entities.get(one, one) for one in html.escape(line))}</code>"


def block(foreign: str) -> str:
    """The text as a block of code of its own, which no number of backticks ends early."""
    line = one_line(foreign)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{line}\n{fence}"


# --- the table of all studies --------------------------------------------------------------------


HEAD = ("claim", "published", "measured, 95 % interval", "verdict", "n", "command")


def summary_head() -> str:
    """The table's head."""
    return f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}"


def summary_row(report: StudyReport) -> str:
    """The line of one study."""
    parts, claim = report.parts, report.study.claim
    verdict = said(*report.verdict)
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
        "<br>".join(dict.fromkeys(part.n_text for part in parts)),
        code(report.command),
    )
    return f"| {' | '.join(columns)} |"


def _measured(part: Compared | Hulled, *, alone: bool) -> str:
    found = cell(part.span_text) or "not measured"
    if alone:
        return found
    return f"{cell(part.comparison.question)} (*{cell(part.verdict.kind)}*): {found}"
