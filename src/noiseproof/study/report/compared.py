"""A comparison with its verdict: what each cell says, and the pairs that have no cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from noiseproof.stats import CONFIDENCE
from noiseproof.study.file import SCORES, Comparison
from noiseproof.study.keys import Value
from noiseproof.study.measured import Measured
from noiseproof.study.planned import PlannedSide, planned_cells
from noiseproof.study.report.words import (
    Names,
    apart,
    confidence_text,
    counts,
    many,
    share,
    side_names,
    with_n,
)
from noiseproof.study.verdicts import At, Cell, Side, Verdict, peak_says, said, verdict_of
from noiseproof.study.wanted import Grid, Task

ALL_ALIKE = ("reproduced", "contradicted")  # every cell has to agree by itself
Pair = tuple[At, str, str]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One comparison: `levels` are those of its curves, times by their texts, and `levels_text`
    says them; `absent` are the pairs of the grid that no cell compares, since a side has no network
    with a value."""

    verdict: Verdict
    levels: tuple[tuple[Value, ...], ...]
    levels_text: str
    absent: tuple[str, ...]
    names: Names

    @property
    def comparison(self) -> Comparison:
        return self.verdict.comparison

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Grouped by the first factor, in the order in which its values come."""
        groups: dict[At, list[Cell]] = {}
        for cell in self.verdict.cells:
            groups.setdefault(cell.at[:1], []).append(cell)
        return tuple(cell for group in groups.values() for cell in group)

    def name(self, side: Side) -> str:
        """A side of a cell: `norm none`."""
        place = [dict(one) for one in self.comparison.order].index(dict(side.selection))
        return side_names(self.comparison.order, self.names)[place]

    @property
    def verdict_text(self) -> str:
        """`not decided. None of 2 cases ...`."""
        return said(self.verdict.kind, self.verdict.text)

    @property
    def shared_text(self) -> str:
        """What all selections have in common: `model resnet14`; mostly nothing."""
        return self.names.selection(apart(self.comparison.order)[1])

    @property
    def is_together(self) -> bool:
        """Does the verdict single out some of several cells, so that these share the error?"""
        return len(self.cells) > 1 and (self.verdict.kind not in ALL_ALIKE or self.comparison.peak)

    @property
    def confidence(self) -> float:
        """Of the cells' intervals when they are read together."""
        return 1 - (1 - CONFIDENCE) / max(1, len(self.cells))

    @property
    def together_text(self) -> str:
        """`99.58 %`, which no line break parts."""
        return confidence_text(self.confidence)

    def word(self, cell: Cell) -> str:
        """What the cell counts as in the verdict."""
        return cell.says(together=self.is_together)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The different pairs of selections that cells compare."""
        found = [(self.name(cell.better), self.name(cell.worse)) for cell in self.cells]
        return tuple(dict.fromkeys(found))

    @cached_property
    def peaks(self) -> tuple[tuple[At, str], ...]:
        """Where a peak is claimed: what each combination says of it."""
        if not self.comparison.peak:
            return ()
        groups: dict[At, list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(cell.at, []).append(cell)
        return tuple((at, peak_says(self.comparison, cells)) for at, cells in groups.items())

    @property
    def score_text(self) -> str:
        """The score, with the levels, or times, that it is averaged over."""
        text = SCORES[self.comparison.score]
        if self.comparison.score == "clean" or "level" in self.comparison.by or not self.levels:
            return text
        return f"{text}; {self.levels_text}"

    @property
    def unit_text(self) -> str:
        """What is replicated, and how often."""
        found = counts(len(s.values) for cell in self.cells for s in (cell.better, cell.worse))
        if self.comparison.unit == "training":
            return f"the training, by seed; n = {found} on a side"
        return (
            f"the chip, of one network a side; n = {found} on a side; nothing is said of other "
            "trainings of these networks"
        )

    @property
    def n_text(self) -> str:
        """`3 trainings a side`."""
        unit = "trainings" if self.comparison.unit == "training" else "chips of one network"
        n = counts(len(s.values) for one in self.cells for s in (one.better, one.worse))
        return f"{n} {unit} a side"

    @property
    def rule_text(self) -> str:
        """What would be for the claim, where that is not plainly a difference above zero."""
        points = "point" if self.comparison.margin == 1 else "points"
        margin = f"{self.comparison.margin:g} {points}"
        if self.comparison.peak:
            rule = "for: a value between the ends is better than both ends; against: each value "
            rule += "between them is worse than an end"
            return rule + (f"; worse by less than {margin} counts as not worse"
                           if self.comparison.margin else "")  # fmt: skip
        if self.comparison.margin:
            return (
                f"margin {margin}: the claim is that the first side is not worse by more than "
                "that; for: the whole interval lies above minus the margin"
            )
        return ""

    @property
    def pairing_text(self) -> str:
        """How differences were taken."""
        same = "chips" if self.comparison.unit == "chip" else "networks"
        paired = {cell.is_paired for cell in self.cells}
        if paired == {True}:
            return f"Differences are paired on the same {same}, with Student's t interval."
        if paired == {False}:
            return "Differences are of independent samples, with Welch's interval (1947)."
        return (
            f"Differences marked (paired) are on the same {same}; the others are of independent "
            "samples, with Welch's interval (1947)."
        )

    @property
    def together_note(self) -> str:
        """Which of the two columns the verdict counts; "" with one cell."""
        if len(self.cells) < 2:
            return ""
        share_of = f"Bonferroni's, of confidence {self.together_text} for {len(self.cells)} cases"
        if self.is_together:
            return f"The verdict singles out cases, so that it counts the last column: {share_of}."
        return (
            f"The verdict needs all cases to agree, each by itself (95 %). The last column is "
            f"{share_of} read together."
        )

    @property
    def span_text(self) -> str:
        """The difference, or the lowest and the highest of the cells, in points."""
        known = [(cell, cell.difference()) for cell in self.cells]
        if not known:
            return ""
        what = f"{self.pairs[0][0]} minus {self.pairs[0][1]}"
        if len(known) == 1:
            cell, found = known[0]
            return f"{what}: {share(found)} points, {_n_text(cell)}"
        ends = (min(known, key=lambda k: k[1].mean), max(known, key=lambda k: k[1].mean))
        shown = []
        for cell, found in ends:
            pair = "" if len(self.pairs) == 1 else f"{self.pair_text(cell)}, "
            where = f"{pair}{self.names.at(cell.at)}" if cell.at else pair.removesuffix(", ")
            shown.append(f"{share(found)} ({where}; {_n_text(cell)})")
        lead = f"{what}, " if len(self.pairs) == 1 else "differences "
        return f"{lead}points: from {shown[0]} to {shown[1]}, over {many(len(known), 'case')}"

    def pair_text(self, cell: Cell) -> str:
        """`norm none minus norm batch`."""
        return f"{self.name(cell.better)} minus {self.name(cell.worse)}"

    def side_text(self, side: Side) -> str:
        """`91.2 [90.1, 92.3], n = 3`, with the networks that have no value."""
        lost = f", {side.missing} not learned" if side.missing else ""
        return with_n(side.interval, len(side.values)) + lost


def compared_of(
    comparison: Comparison, grid: Grid, measured: Sequence[Measured], names: Names
) -> Compared:
    """The comparison with its verdict.

    Raises:
        ValueError: where the comparison does not tell curves apart that it selects.
    """
    verdict = verdict_of(comparison, measured)
    tasks = [t for t in grid.tasks if any(_fits(t, dict(one)) for one in comparison.order)]
    levels = [tuple(task.at(spec.level) for spec in task.specs) for task in tasks]
    there = {_pair_name(cell.at, cell.better, cell.worse, names) for cell in verdict.cells}
    absent = [pair for pair in _planned(comparison, tasks, names) if pair not in there]
    return Compared(
        verdict=verdict,
        levels=tuple(dict.fromkeys(levels)),
        levels_text=_levels_text(tasks),
        absent=tuple(f"{better} against {worse}: {names.at(at)}" for at, better, worse in absent),
        names=names,
    )


def _levels_text(tasks: Sequence[Task]) -> str:
    """`levels 0.1, 0.3`, `times 0 s, 1 h`; of several grids all."""
    grids: dict[str, dict[str, None]] = {}
    for task in tasks:
        shown = ", ".join(task.swept.short(spec.level) for spec in task.specs)
        grids.setdefault(f"{task.swept.name}s", {})[shown] = None
    text = " or ".join(f"{name} {' or '.join(some)}" for name, some in grids.items())
    return text if sum(map(len, grids.values())) < 2 else f"{text}, by curve"


def _planned(comparison: Comparison, tasks: Sequence[Task], names: Names) -> Iterator[Pair]:
    """The pairs that the grid lets be compared."""
    for cell in planned_cells(comparison, tasks):
        yield _pair_name(cell.at, cell.better, cell.worse, names)


def _fits(task: Task, selection: dict[str, Value]) -> bool:
    """Does the selection hold the curve, or a level of it?"""
    return all(name == "level" or task.factors.get(name) == v for name, v in selection.items())


def _pair_name(at: At, better: Side | PlannedSide, worse: Side | PlannedSide, names: Names) -> Pair:
    return at, names.selection(better.selection), names.selection(worse.selection)


def _n_text(cell: Cell) -> str:
    a, b = len(cell.better.values), len(cell.worse.values)
    return f"n = {a}" if a == b else f"n = {a} and {b}"
