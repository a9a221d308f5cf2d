"""Values -> what the intervals say of the claim, and nothing that they do not say.

A cell is one pair of neighbours in a comparison's order at one combination of its factors `by`.
Cells that are read together share the error: where one of several cells is singled out, its
interval is Bonferroni's, of confidence 1 - 0.05 / cells. "All cells agree" needs no such care,
since every one of them has to (Berger 1982, intersection-union tests).
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from noiseproof import stats
from noiseproof.results import Row, difference_of_chips, have_same_dice
from noiseproof.stats import CONFIDENCE, Interval
from noiseproof.study.comparable import check_alike, is_selected
from noiseproof.study.file import Comparison
from noiseproof.study.keys import Value
from noiseproof.study.measured import Measured, at_levels

At = tuple[tuple[str, Value], ...]
PAIR = "pair"
FOR, AGAINST, OPEN = "for", "against", "open"
NO_VALUE = Interval(mean=math.nan, low=math.nan, high=math.nan)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a cell: the value of each training, or of each chip."""

    selection: Mapping[str, Value]
    values: Mapping[tuple[str, int, int], float]  # by (network, seed, chip); chip -1: a training
    missing: int = 0  # networks without a value, since they have not learned
    rows: tuple[Row, ...] = ()  # one of each curve whose chips these are

    @property
    def networks(self) -> int:
        """How many were measured, with or without a value."""
        return len({name for name, _, _ in self.values}) + self.missing

    @property
    def interval(self) -> Interval:
        """Mean with its interval over trainings or chips."""
        return stats.t_interval(list(self.values.values()))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The claimed better side against the other, at one combination of factors."""

    at: At
    better: Side
    worse: Side
    margin: float  # of the score, not points
    cells: int = 1  # read together

    @property
    def is_paired(self) -> bool:
        """Are both sides the same networks, or the same chips?"""
        same = set(by_unit(self.better)) == set(by_unit(self.worse)) and len(self.better.values) > 0
        return same and all(have_same_dice(a, b) for a in self.better.rows for b in self.worse.rows)

    def difference(self, *, together: bool = False) -> Interval:
        """Better minus worse; `together`: with Bonferroni's confidence for all cells."""
        confidence = 1 - (1 - CONFIDENCE) / self.cells if together else CONFIDENCE
        a, b = by_unit(self.better), by_unit(self.worse)
        paired = self.is_paired
        other = [b[name] for name in a] if paired else list(b.values())
        return difference_of_chips(list(a.values()), other, paired=paired, confidence=confidence)

    def says(self, *, together: bool = False) -> str:
        """`for`, `against` or `open`: which side of minus the margin the interval lies on."""
        found = self.difference(together=together)
        if found.low > -self.margin:
            return FOR
        return AGAINST if found.high < -self.margin else OPEN


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a comparison. `kind`: reproduced, contradicted, depends, partly reproduced,
    partly contradicted, not decided, or not measured, and of hulls: consistent, excluded, partly
    consistent, partly excluded; `text`: the same as a clause."""

    comparison: Comparison
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Verdict(Outcome):
    """Of sides that are compared."""

    cells: tuple[Cell, ...]


def verdict_of(comparison: Comparison, measured: Iterable[Measured]) -> Verdict:
    """The verdict on one comparison.

    Raises:
        ValueError: where a side of a cell holds curves that no factor of `by` tells apart.
    """
    curves = [one for one in measured if one.is_whole]
    if "level" in comparison.by:
        curves = at_levels(curves)
    groups = {
        at: _cells(comparison, at, [c for c in curves if is_selected(dict(c.factors), dict(at))])
        for at in combinations_of(comparison, curves)
    }
    groups = {at: cells for at, cells in groups.items() if cells}
    count = sum(len(cells) for cells in groups.values())
    groups = {at: [_among(cell, count) for cell in cells] for at, cells in groups.items()}
    cells = tuple(cell for group in groups.values() for cell in group)
    if not cells:
        return Verdict(
            comparison=comparison, kind="not measured", text="no case is measured", cells=()
        )
    if comparison.peak:
        alone = together = {at: peak_says(comparison, group) for at, group in groups.items()}
    else:
        alone = {_name(cell): cell.says() for cell in cells}
        together = {_name(cell): cell.says(together=True) for cell in cells}
    kind, text = _decided(comparison, list(alone.values()), together)
    return Verdict(comparison=comparison, kind=kind, text=text, cells=cells)


def _decided(
    comparison: Comparison, alone: Sequence[str], together: Mapping[At, str]
) -> tuple[str, str]:
    # "All cells agree" is an intersection-union test: each cell at 5 % keeps the whole at 5 %, so
    # no correction. Everything below singles cells out, and reads Bonferroni's intervals.
    cases = f" in all {len(alone)} cases" if len(alone) > 1 else ""
    if all(one == FOR for one in alone):
        return "reproduced", f"it holds{cases}"
    if all(one == AGAINST for one in alone):
        return "contradicted", f"the opposite is found{cases}"
    count = {word: sum(one == word for one in together.values()) for word in (FOR, AGAINST, OPEN)}
    tally = _tally(count[FOR], count[AGAINST], count[OPEN])
    if count[FOR] and count[AGAINST]:
        return "depends", f"{tally}; what decides: {depends_on(together)}"
    if count[FOR]:
        return "partly reproduced", tally
    if count[AGAINST]:
        return "partly contradicted", tally
    return "not decided", tally


def _tally(ours: int, theirs: int, neither: int) -> str:
    """`8 of 40 cases are for it, none against it, 32 not told apart`."""
    cases = ours + theirs + neither
    if cases == neither:
        return f"none of {cases} cases is told apart" if cases > 1 else "its case is not told apart"
    be, named = "are" if ours > 1 else "is", "cases" if cases > 1 else "case"
    return (
        f"{ours or 'none'} of {cases} {named} {be} for it, {theirs or 'none'} against it, "
        f"{neither or 'none'} not told apart"
    )


# What is said of one part, and of several.
PARTS = {
    "reproduced": ("holds", "hold"),
    "partly reproduced": ("holds in some cases", "hold in some cases"),
    "depends": ("goes both ways", "go both ways"),
    "partly contradicted": ("is contradicted in some cases", "are contradicted in some cases"),
    "contradicted": ("is contradicted", "are contradicted"),
    "consistent": ("is consistent with the figures", "are consistent with the figures"),
    "partly consistent": (
        "is consistent with the figures in some cases",
        "are consistent with the figures in some cases",
    ),
    "partly excluded": ("is excluded in some cases", "are excluded in some cases"),
    "excluded": ("is excluded", "are excluded"),
    "not decided": ("is not decided", "are not decided"),
    "not measured": ("is not measured", "are not measured"),
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


SUPPORTED = ("reproduced", "partly reproduced", "depends", "consistent", "partly consistent")
OPPOSED = ("contradicted", "partly contradicted", "depends", "excluded", "partly excluded")


def of_parts(verdicts: Sequence[Outcome]) -> tuple[str, str]:
    """Kind and clause of a claim that holds as far as all of its parts do."""
    kinds = [verdict.kind for verdict in verdicts]
    if len(verdicts) == 1:
        return kinds[0], verdicts[0].text
    return _kind_of_parts(kinds), _parts_text(kinds)


def _kind_of_parts(kinds: Sequence[str]) -> str:
    if len(set(kinds)) == 1:
        return kinds[0]
    supported = any(kind in SUPPORTED for kind in kinds)
    opposed = any(kind in OPPOSED for kind in kinds)
    if supported and opposed:
        return "depends"
    if supported:
        return "partly reproduced"
    return "partly contradicted" if opposed else "not decided"


def _parts_text(kinds: Sequence[str]) -> str:
    """`two of its three parts hold, one is contradicted`."""
    every = f"its {_number(len(kinds))} parts"
    if len(set(kinds)) == 1:
        (one, many), pair = PARTS[kinds[0]], len(kinds) == 2
        if " not " in f" {one}":
            return f"{'neither' if pair else 'none'} of {every} {one.replace(' not', '')}"
        return f"both of its parts {many}" if pair else f"all {every[4:]} {many}"
    counts = {kind: kinds.count(kind) for kind in PARTS if kind in kinds}
    said = [f"{_number(count)} {{}}{PARTS[kind][count > 1]}" for kind, count in counts.items()]
    return ", ".join([said[0].format(f"of {every} "), *(one.format("") for one in said[1:])])


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def said(kind: str, text: str) -> str:
    """The verdict as it is printed: `partly reproduced. Two of its three parts hold, ...`."""
    return f"{'it ' if kind == 'depends' else ''}{kind}. {text[:1].upper()}{text[1:]}"


def depends_on(says: Mapping[At, str]) -> str:
    """The factors each of which alone tells for from against; all of them where none does."""
    decided = {at: word for at, word in says.items() if word != OPEN}
    telling, varied = [], []
    for factor in dict.fromkeys(name for at in decided for name, _ in at):
        words: dict[Value, set[str]] = {}
        for at, word in decided.items():
            words.setdefault(dict(at)[factor], set()).add(word)
        shown = "which neighbours are compared" if factor == PAIR else factor
        if len(words) > 1:
            varied.append(shown)
            if all(len(one) == 1 for one in words.values()):
                telling.append(shown)
    return " or ".join(telling) or ", ".join(varied)


def combinations_of(comparison: Comparison, curves: Sequence[Measured]) -> list[At]:
    """The combinations of the factors `by` that were measured, in the order of the grid."""
    chosen = [
        c for c in curves if any(is_selected(dict(c.factors), dict(s)) for s in comparison.order)
    ]
    known = [c for c in chosen if all(name in c.factors for name in comparison.by)]
    return list(
        dict.fromkeys(tuple((name, c.factors[name]) for name in comparison.by) for c in known)
    )


def _cells(comparison: Comparison, at: At, curves: Sequence[Measured]) -> list[Cell]:
    sides = [side_of(comparison, selection, curves) for selection in comparison.order]
    pairs: Iterable[tuple[Side, Side]] = itertools.pairwise(sides)
    if comparison.peak:
        pairs = itertools.product(sides[1:-1], (sides[0], sides[-1]))
    margin = comparison.margin / 100
    return [
        Cell(at=at, better=better, worse=worse, margin=margin)
        for better, worse in pairs
        if better.networks and worse.networks
    ]


def side_of(
    comparison: Comparison, selection: Mapping[str, Value], curves: Sequence[Measured]
) -> Side:
    chosen = [c for c in curves if is_selected(dict(c.factors), dict(selection))]
    # Curves of one network share its clean accuracy: counting each would claim more trainings than
    # there were.
    if comparison.score == "clean":  # of the network, whatever its curves are
        chosen = list({c.task.network: c.of_network() for c in chosen}.values())
    check_alike(comparison, selection, [c.factors for c in chosen])
    values: dict[tuple[str, int, int], float] = {}
    missing = 0
    for curve in chosen:
        name, seed = curve.task.network.name, curve.task.network.seed
        # A network no better than chance keeps an arbitrary share of nothing. It is counted as
        # missing, never as a value, and never silently.
        if math.isnan(curve.value(comparison.score)):
            missing += 1
        elif comparison.unit == "training":
            values[name, seed, -1] = curve.value(comparison.score)
        else:
            by_chip = curve.by_chip(comparison.score)
            values |= {(name, seed, chip): value for (_, chip), value in by_chip.items()}
    # Trainings are pairs by their network, whatever its dice are.
    rows = [] if comparison.unit == "training" else [c.points[0].rows[0] for c in chosen]
    return Side(selection=selection, values=values, missing=missing, rows=tuple(rows))


def by_unit(side: Side) -> dict[tuple[object, ...], float]:
    """Values by what pairs them: the chip, or the network."""
    return {
        (seed, chip) if chip >= 0 else (name,): value
        for (name, seed, chip), value in side.values.items()
    }


def _among(cell: Cell, count: int) -> Cell:
    return Cell(at=cell.at, better=cell.better, worse=cell.worse, margin=cell.margin, cells=count)


def _name(cell: Cell) -> At:
    return (*cell.at, (PAIR, f"{dict(cell.better.selection)} > {dict(cell.worse.selection)}"))


def peak_says(comparison: Comparison, cells: Sequence[Cell]) -> str:
    """For: one value between the ends is better than both. Against: each is worse than an end."""
    between: dict[str, list[Cell]] = {}
    for cell in cells:
        between.setdefault(str(dict(cell.better.selection)), []).append(cell)
    # Two cells for each value between the ends, one against each end: the value is a peak only
    # where it beats both.
    words = [[cell.says(together=True) for cell in group] for group in between.values()]
    if any(len(group) == 2 and all(word == FOR for word in group) for group in words):
        return FOR
    if all(AGAINST in group for group in words):
        return AGAINST
    return OPEN
