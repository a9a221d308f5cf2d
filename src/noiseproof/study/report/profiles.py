"""The verdicts of a study's profiles side by side, and where they differ."""

from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.tables import Table
from noiseproof.study.report.words import listed

ALIKE, DIFFER = "alike", "differ"


def profiles_table(report: StudyReport) -> Table | None:
    """The claim and each question of this profile, a column for each profile that has rows; None
    where it is the only one."""
    if not report.others:
        return None
    asked = _in_order(report)
    rows = [("the claim", *(_claim(one) for one in asked), _mark([_kind(one) for one in asked]))]
    for part in report.compared:
        question = part.comparison.question
        kinds = [_kind(one, question) for one in asked]
        rows.append((question, *(_answer(one, question) for one in asked), _mark(kinds)))
    heads = ("question", *(f"{one.profile}: {_models(one)}" for one in asked), "")
    return Table(heads=heads, rows=tuple(rows), left=frozenset(range(len(heads))))


def profiles_sentence(report: StudyReport) -> str:
    """`The profiles differ: quick: partly reproduced (...); depth: not decided (...).`; "" where
    there is one only."""
    if not report.others:
        return ""
    asked = _in_order(report)
    told = "; ".join(
        f"{one.profile}: {one.verdict[0]} (n = {_n(one)}; {_models(one)}{_open(one)})"
        for one in asked
    )
    kinds = [_kind(one) for one in asked]
    if _mark(kinds) == DIFFER:
        return f"The verdicts of the profiles differ: {told}."
    return f"The profiles side by side: {told}."


def _in_order(report: StudyReport) -> list[StudyReport]:
    """This profile and the others, as the file has them."""
    order = list(report.study.profiles)
    return sorted([report, *report.others], key=lambda one: order.index(one.profile))


def _claim(report: StudyReport) -> str:
    kind, text = report.verdict
    return f"{kind}{_open(report)}: {text}; n = {_n(report)}"


def _n(report: StudyReport) -> str:
    """Values a side of the parts of the claim."""
    return listed(list(dict.fromkeys(part.n_text for part in report.parts)))


def _answer(report: StudyReport, question: str) -> str:
    for part in report.compared:
        if part.comparison.question == question:
            return f"{part.verdict.kind}: {part.verdict.text}; n = {part.n_text}"
    return "not asked"


def _kind(report: StudyReport, question: str | None = None) -> str:
    """Of the claim, or of a question; "" where it is not asked or not measured."""
    kinds = [p.verdict.kind for p in report.compared if p.comparison.question == question]
    kind = report.verdict[0] if question is None else next(iter(kinds), "")
    return "" if kind == "not measured" else kind


def _mark(kinds: list[str]) -> str:
    known = [kind for kind in kinds if kind]
    if len(known) < 2:
        return ""
    return ALIKE if len(set(known)) == 1 else DIFFER


def _models(report: StudyReport) -> str:
    """The models whose networks are there."""
    found = [line.network.model for line in report.networks if line.clean is not None]
    return ", ".join(dict.fromkeys(found))


def _open(report: StudyReport) -> str:
    return "" if report.progress.is_finished else ", unfinished"
