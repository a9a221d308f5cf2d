"""The report's sentences that are not the study file's own."""

from collections.abc import Sequence

from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.hulls import Hulled
from noiseproof.study.report.panels import MOST
from noiseproof.study.report.published import Matched
from noiseproof.study.report.words import Names, listed, many, plain

BESIDE = (
    "Measured: mean over trainings, or over chips of one network, with its 95 % interval. A "
    "figure's where says which combinations it is compared with; the source's own conditions may "
    "differ from all of them."
)
MATCHED = (
    "The published figures are given without noise levels. This table reads the pair at one common "
    "level, which is not the source's own average: the level at which the first side's mean "
    "normalised accuracy (straight lines between level 0 and the measured levels) falls to its "
    "published figure, and what the other side keeps at that level. The interval is over the "
    "other side's trainings and takes the level as known."
)
LIMITS = (
    "A chip is one draw of all that is random when weights are programmed. Normalised accuracy is "
    "noisy over clean accuracy of the same network, of trainings on the very images that the chips "
    "saw. The noise is a model "
    "of programming: read noise, converters and drift are not in it. Intervals are two-sided, 95 % "
    "where nothing else is said."
)
ABSENT = "Not compared, since a side has no whole curve of a network that has learned:"
ABSENT_HULLS = "Not read: published figures or definitions without a curve for every side:"
HULL_PICTURE = (
    "Share of the clean accuracy that is kept, one side against the other: the curves of the "
    "nearest definitions from the clean networks (100, 100) on, a mark for each level, their hulls "
    "shaded; of the nearest the numbers are levels and the crosses 95 % intervals of the shares. "
    "Off: the distance in points. The published pair can be a mean over levels of a definition "
    "only within its hull."
)
LINES = 20  # of a list of what is missing that are shown


def parts_lines(report: StudyReport) -> list[str]:
    """Of each part of the claim its verdict, where there are several, and what it leaves out."""
    if len(report.parts) == 1:
        return [line] if (line := _absent_sentence(report.parts[0])) else []
    return [
        f"{part.comparison.question}: {part.verdict.text}. {_absent_sentence(part)}".rstrip()
        for part in report.parts
    ]


def _absent_sentence(part: Compared | Hulled) -> str:
    if not part.absent:
        return ""
    if isinstance(part, Hulled):
        return f"Not in the verdict: {many(len(part.absent), 'case')} (listed below)."
    return (
        f"Not in the verdict: {many(len(part.absent), 'pair')} of the grid that could not be "
        "compared (listed below)."
    )


def answer_sentence(report: StudyReport) -> str:
    """How to read the picture of the answer."""
    parts = [part for part in report.parts if isinstance(part, Compared)]
    margins = any(part.comparison.margin for part in parts)
    zero = "zero, or of minus the margin (dashed)," if margins else "zero"
    if any(part.comparison.peak for part in parts):
        return (
            "Each mark: a value between the ends minus one end, in points, with its interval; "
            f"right of {zero} it is better. A case is for the claim where one value is better than "
            "both ends."
        )
    return (
        "Each mark is a case: the claimed better side minus the other, in points, with its "
        f"interval; right of {zero} is for the claim."
    )


def pair_sentence(matched: Matched, names: Names) -> str:
    """The published pair in words, and what it is read from."""
    first, second = matched.first, matched.second
    pair = f"{first.what}: {plain(first.percent)} %; {second.what}: {plain(second.percent)} %"
    where = names.selection(matched.shared)
    return f"Published: {pair}." + (f" Read from: {where}." if where else "")


def panels_sentence(report: StudyReport) -> str:
    """What lines and bands are, and how many panels are not drawn."""
    over = (
        "chips of one network"
        if report.first.comparison.unit == "chip"
        else "trainings; thin lines are single trainings"
    )
    text = f"Thick lines are means, bands their 95 % intervals over {over}."
    hidden = len(report.panels) - MOST
    if hidden > 0:
        text += (
            f" {many(hidden, 'further combination')} of {len(report.panels)} not drawn here: "
            "the table below and the rows hold them."
        )
    return text


def counts_sentence(report: StudyReport) -> str:
    """How many values each line is of: `norm none: n = 3`."""
    found: dict[str, set[int]] = {}
    for panel in report.panels:
        for line in panel.lines:
            found.setdefault(line.label, set()).add(line.n)
    parts = [
        f"{label}: n = {listed([str(n) for n in sorted(numbers)])}"
        for label, numbers in found.items()
    ]
    return "; ".join(parts) + "." if parts else ""


def first_lines(lines: Sequence[str]) -> list[str]:
    """The first of many lines, and how many more there would be."""
    more = len(lines) - LINES
    return [*lines[:LINES], *([f"and {more} more"] if more > 0 else [])]
