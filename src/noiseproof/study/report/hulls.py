"""A comparison that asks for hulls, as the report says it: tables and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from noiseproof.stats import CONFIDENCE
from noiseproof.study.comparable import is_selected
from noiseproof.study.file import NONFINITE, SCORES, Claim, Comparison, Published
from noiseproof.study.hulls import HullCell, HullVerdict, hull_verdict_of
from noiseproof.study.measured import Measured
from noiseproof.study.report.words import (
    Names,
    agreed,
    apart,
    confidence_text,
    counts,
    listed,
    many,
    plain,
    share,
    without,
)
from noiseproof.study.verdicts import AGAINST, FOR, OPEN, said
from noiseproof.study.wanted import Grid

HULL_SAYS = {FOR: "consistent", AGAINST: "excluded", OPEN: "not told apart"}
ALL_ALIKE = ("consistent", "excluded")  # every definition has to agree by itself
READ = (
    "A mean over any levels of noise, each counted as often as one likes, is a point of the convex "
    "hull of the curve that the measured levels and the clean networks span. Distance: from the "
    "published figures to that hull, the largest of the sides', with its 95 % interval; the "
    "trainings' errors are drawn from their t distribution, and with one training a side those of "
    "its chips. At least: what is left of the distance whatever the mean curves do between two "
    "measured levels, as long as they go one way there. Largest step: of a share, between "
    "neighbouring levels."
)


@dataclass(frozen=True, kw_only=True)
class HullSet:
    """The cases of one set of published figures, or of all sets at once, the nearest first."""

    cells: tuple[HullCell, ...]
    shared: str  # what the figures' `where` selects in all of them

    @property
    def published(self) -> tuple[Published, ...]:
        return self.cells[0].published

    @property
    def sets(self) -> int:
        return self.cells[0].sets

    @property
    def sentence(self) -> str:
        """The published figures in words, and what they are read from."""
        figures = "; ".join(f"{one.what}: {plain(one.percent)} %" for one in self.published)
        if self.sets > 1:
            return f"All {self.sets} sets of published figures at one common grid of levels."
        return f"Published: {figures}." + (f" Read from: {self.shared}." if self.shared else "")


@dataclass(frozen=True, kw_only=True)
class Hulled:
    """One comparison that asks for hulls. `absent`: what no case reads, a line each."""

    verdict: HullVerdict
    absent: tuple[str, ...]
    names: Names

    @property
    def comparison(self) -> Comparison:
        return self.verdict.comparison

    @property
    def cells(self) -> tuple[HullCell, ...]:
        return self.verdict.cells

    @property
    def verdict_text(self) -> str:
        """`partly consistent. 3 of 24 definitions ...`."""
        return said(self.verdict.kind, self.verdict.text)

    @property
    def is_together(self) -> bool:
        """Does the verdict single some definitions out, so that the cases share the error?"""
        return len(self.cells) > 1 and self.verdict.kind not in ALL_ALIKE

    @property
    def confidence(self) -> float:
        """Of the cases' intervals when they are read together."""
        return 1 - (1 - CONFIDENCE) / max(1, len(self.cells))

    @property
    def together_text(self) -> str:
        """`99.58 %`, which no line break parts."""
        return confidence_text(self.confidence)

    def word(self, cell: HullCell) -> str:
        """What the case counts as in the verdict."""
        return cell.says(together=self.is_together)

    @cached_property
    def hull_sets(self) -> tuple[HullSet, ...]:
        """The sets of published figures in the file's order, then all of them at once."""
        groups: dict[tuple[int, str], list[HullCell]] = {}
        for cell in self.cells:
            groups.setdefault(
                (cell.sets, repr(cell.published) if cell.sets == 1 else ""), []
            ).append(cell)
        ordered = sorted(groups.items(), key=lambda one: one[0][0])
        return tuple(
            HullSet(
                cells=tuple(sorted(cells, key=lambda one: one.distance().mean)),
                shared=self.names.selection(_agreed(cells)) if sets == 1 else "",
            )
            for (sets, _), cells in ordered
        )

    def definition(self, cell: HullCell, shared: HullSet) -> str:
        """A definition in a line, without what all of its set share."""
        known = _agreed(shared.cells) if shared.sets == 1 else {}
        return self.names.at(without(cell.at, known)) or "all together"

    @property
    def shared_text(self) -> str:
        """What all selections have in common; mostly nothing."""
        return self.names.selection(apart(self.comparison.order)[1])

    @property
    def levels_text(self) -> str:
        """`0.05, 0.1, 0.2, 0.4 or ...`, for which alone a hull speaks."""
        grids = list(dict.fromkeys(cell.levels for cell in self.cells))
        shown = [", ".join(f"{level:g}" for level in one) for one in grids[:3]]
        more = [f"{len(grids) - 3} other grids"] if len(grids) > 3 else []
        return " or ".join([*shown, *more])

    @property
    def score_text(self) -> str:
        """What is averaged, and over which levels it may be."""
        nonfinite = NONFINITE[self.comparison.nonfinite]
        text = f"{SCORES['average_normalised']}, here any levels up to the highest; {nonfinite}"
        return f"{text}; levels {self.levels_text}" if self.cells else text

    @property
    def unit_text(self) -> str:
        """What is replicated, and how often."""
        sides = [side for cell in self.cells for side in cell.sides]
        text = f"the training, by seed; n = {counts(len(s.networks) for s in sides)} on a side"
        if any(len(side.networks) == 1 for side in sides):
            text += (
                "; where a side has one, its chips are what is replicated, and nothing is said of "
                "other trainings"
            )
        return text

    @property
    def n_text(self) -> str:
        """`3 trainings a side`."""
        n = counts(len(side.networks) for cell in self.cells for side in cell.sides)
        return f"{n} trainings a side"

    @property
    def rule_text(self) -> str:
        """When a definition is consistent, and when excluded."""
        margin = self.comparison.margin
        points = f"{margin:g} point" + ("" if margin == 1 else "s")
        rule = (
            f"margin {points}; consistent, so that a definition can have produced the published "
            "figures: the interval of the distance ends at or below the margin; excluded: it "
            "begins above it, and the curve comes no nearer between the measured levels; of levels "
            "beyond the highest nothing is said"
        )
        if any(cell.sets > 1 for cell in self.cells):
            rule += (
                "; a definition has the word of all its sets at once, or is excluded by one case"
            )
        return rule

    @property
    def together_note(self) -> str:
        """Which interval the verdict counts."""
        if len(self.cells) < 2:
            return ""
        share_of = f"Bonferroni's, of confidence {self.together_text} for {len(self.cells)} cases"
        if self.is_together:
            return f"The verdict singles out definitions, so that it counts the column {share_of}."
        return (
            "The verdict needs all definitions to agree, each by itself (95 %). The column "
            f"'together' is {share_of} read together."
        )

    @property
    def span_text(self) -> str:
        """The distance of the nearest definition of each set of figures."""
        shown = []
        for one in self.hull_sets:
            cell = one.cells[0]
            what = self.set_text(one)
            where = self.definition(cell, one)
            shown.append(f"{what}: {share(cell.distance())} ({where}; n = {trainings_text(cell)})")
        if not shown:
            return ""
        lead = "distance of the nearest definition, points; "
        return f"{lead}{'; '.join(shown)}, over {many(len(self.cells), 'case')}"

    def set_text(self, one: HullSet) -> str:
        """`91.95 and 41.32 %`, or `all figures at once`."""
        if one.sets > 1:
            return "all figures at once"
        return f"{listed([plain(figure.percent) for figure in one.published])} %"


def hulled_of(
    comparison: Comparison,
    claim: Claim,
    grid: Grid,
    measured: Sequence[Measured],
    names: Names,
) -> Hulled:
    """The comparison with its verdict.

    Raises:
        ValueError: where the comparison does not tell curves apart that it selects.
    """
    verdict = hull_verdict_of(comparison, claim, measured)
    return Hulled(
        verdict=verdict,
        absent=(*_unread(comparison, claim), *_unmeasured(verdict, claim, grid, names)),
        names=names,
    )


def _unread(comparison: Comparison, claim: Claim) -> list[str]:
    """Published figures that belong to no set."""
    read = [one for figures in claim.pairs(len(comparison.order)) for one in figures]
    return [
        f"{one.what}, {plain(one.percent)} %: no other figures of the same where for all sides"
        for one in claim.published
        if one not in read
    ]


def _unmeasured(verdict: HullVerdict, claim: Claim, grid: Grid, names: Names) -> list[str]:
    """The cases of the grid that have no curve of a network that has learned on some side."""
    comparison, found = verdict.comparison, []
    there = {(repr(cell.published), cell.at) for cell in verdict.cells if cell.sets == 1}
    for figures in claim.pairs(len(comparison.order)):
        tasks = [t for t in grid.tasks if is_selected(t.factors, figures[0].where)]
        sides = [
            {
                tuple((name, t.factors[name]) for name in comparison.by)
                for t in tasks
                if is_selected(t.factors, one) and all(n in t.factors for n in comparison.by)
            }
            for one in comparison.order
        ]
        planned = dict.fromkeys(at for side in sides for at in side if all(at in s for s in sides))
        what = " and ".join(plain(one.percent) for one in figures)
        if not planned:
            found.append(f"{what} %: not measured on all sides")
        found += [f"{what} %: {names.at(at)}" for at in planned if (repr(figures), at) not in there]
    return found


def trainings_text(cell: HullCell) -> str:
    """`3`, or `3 and 2` by side."""
    n = [len(side.networks) for side in cell.sides]
    return str(n[0]) if len(set(n)) == 1 else listed([str(one) for one in n])


def _agreed(cells: Sequence[HullCell]) -> dict[str, str | int | float | bool]:
    factors = [side.first.factors for cell in cells for side in cell.sides]
    return agreed(factors, cells[0].published[0].where)
