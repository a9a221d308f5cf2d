"""Which definition of the noise can have produced the published figures, whatever its levels were?

A published mean over levels that nobody names lies in the convex hull of the curve level -> (share
kept by each side), or it is a mean of another curve. A case is one set of published figures under
one combination of the factors `by`; where several sets are measured under one definition of the
noise at the same levels, one more case reads all of them at once, since the source's levels were
the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from noiseproof.results import Row, have_same_dice
from noiseproof.stats import CONFIDENCE, Interval
from noiseproof.stats.hull import (
    HullDraws,
    between_distance,
    hull_draws,
    largest_step,
    replicates,
)
from noiseproof.stats.intervals import Floats, t_interval
from noiseproof.study.comparable import check_alike, is_selected
from noiseproof.study.file import Claim, Comparison, Published
from noiseproof.study.keys import Value
from noiseproof.study.measured import Measured
from noiseproof.study.verdicts import (
    AGAINST,
    FOR,
    OPEN,
    At,
    Outcome,
    combinations_of,
    depends_on,
)

FEWEST, MOST = 1000, 10_000  # draws of a case
BEYOND = 10  # draws beyond each end of an interval, within these numbers
Unit = tuple[str, int, int]  # network, seed, chip; chip -1: a training


@dataclass(frozen=True, kw_only=True)
class HullSide:
    """What one published figure is a mean of: for each training the shares (levels, chips)."""

    figure: Published
    selection: Mapping[str, Value]
    networks: tuple[str, ...]
    values: tuple[Floats, ...]
    units: tuple[Unit, ...]  # what is replicated: trainings, or the chips of the only one
    missing: int  # networks without a share, since they have not learned
    first: Measured

    @property
    def chips(self) -> tuple[int, ...]:
        """Of each training."""
        return tuple(one.shape[1] for one in self.values)

    @cached_property
    def replicates(self) -> Floats:
        """The curves (n, levels) of the trainings, or of the only one's chips."""
        return replicates(self.values)

    @property
    def means(self) -> Floats:
        """The curve (levels,)."""
        found: Floats = np.mean([one.mean(1) for one in self.values], axis=0)
        return found


@dataclass(frozen=True, kw_only=True)
class HullCell:
    """Published figures and the curve that they may be a mean of. `sets`: how many sets of figures
    are read at once."""

    at: At
    sides: tuple[HullSide, ...]
    levels: tuple[float, ...]
    margin: float  # of a share, not points
    sets: int = 1
    cells: int = 1  # read together

    @property
    def published(self) -> tuple[Published, ...]:
        return tuple(side.figure for side in self.sides)

    @property
    def target(self) -> Floats:
        """The published shares, one a side."""
        return np.array([one.percent / 100 for one in self.published])

    @cached_property
    def curve(self) -> Floats:
        """The mean shares (levels + 1, sides); the first point is the clean one."""
        means = np.stack([side.means for side in self.sides], axis=1)
        return np.vstack([np.ones((1, len(self.sides))), means])

    @property
    def intervals(self) -> list[list[tuple[float, float]]]:
        """At each level of each side's mean the ends of its 95 % interval, over trainings, or over
        the chips of the only one."""
        return [
            [t_interval(side.replicates[:, place]).ends for side in self.sides]
            for place in range(len(self.levels))
        ]

    @cached_property
    def _drawn(self) -> HullDraws:
        beyond = (1 - self.confidence) / max(2, len(self.sides))
        return hull_draws(
            [side.values for side in self.sides],
            self.target,
            also=np.ones((1, len(self.sides))),
            groups=_groups(self.sides),
            draws=min(max(FEWEST, math.ceil(BEYOND / beyond)), MOST),
        )

    @property
    def confidence(self) -> float:
        """Bonferroni's, for all cases together."""
        return 1 - (1 - CONFIDENCE) / self.cells

    def distance(self, *, together: bool = False) -> Interval:
        """From the published figures to the hull, the largest of all sides'."""
        return self._drawn.interval(self.confidence if together else CONFIDENCE)

    def says(self, *, together: bool = False, among: int = 1) -> str:
        """For: the interval ends at or below the margin, so that the figures can be a mean of this
        curve. Against: it begins above it, and the curve comes no nearer between the measured
        levels. `among`: how many cases are read with this one where not all are together."""
        confidence = self.confidence if together else 1 - (1 - CONFIDENCE) / among
        found = self._drawn.interval(confidence)
        if found.high <= self.margin:
            return FOR
        return AGAINST if min(found.low, self.between) > self.margin else OPEN

    @cached_property
    def step(self) -> float:
        """The largest change of a share between neighbouring levels."""
        return largest_step(self.curve)

    @cached_property
    def between(self) -> float:
        """The distance that is left whatever the mean curves do between neighbouring levels, as
        long as they go one way there."""
        return between_distance(self.curve, self.target)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One definition of the noise, with all cases that it has."""

    at: At
    cells: tuple[HullCell, ...]

    def says(self, *, together: bool = False) -> str:
        """Against where one case is, of which there are several chances, so that these share the
        error. Else the word of the case that reads all sets of figures at once; without one, for
        needs all cases."""
        among = len(self.cells)
        words = [(cell.sets, cell.says(together=together, among=among)) for cell in self.cells]
        if any(word == AGAINST for _, word in words):
            return AGAINST
        most = max(sets for sets, _ in words)
        return FOR if all(word == FOR for sets, word in words if sets == most) else OPEN


@dataclass(frozen=True, kw_only=True)
class HullVerdict(Outcome):
    """What came of a comparison that asks for hulls."""

    cells: tuple[HullCell, ...]
    definitions: tuple[Definition, ...]


def hull_verdict_of(
    comparison: Comparison, claim: Claim, measured: Iterable[Measured]
) -> HullVerdict:
    """The verdict on a comparison that asks for hulls.

    Raises:
        ValueError: where a side of a case holds curves that no factor of `by` tells apart.
    """
    curves = [one for one in measured if one.is_whole]
    found = [
        cell
        for figures in claim.pairs(len(comparison.order))
        for cell in _cells(comparison, figures, curves)
    ]
    groups: dict[At, list[HullCell]] = {}
    for cell in found:
        own = tuple(one for one in cell.at if one[0] not in cell.published[0].where)
        groups.setdefault(own, []).append(cell)
    joint = {at: _joint(at, cells) for at, cells in groups.items()}
    count = len(found) + sum(len(one) for one in joint.values())
    definitions = tuple(
        Definition(at=at, cells=tuple(replace(one, cells=count) for one in (*cells, *joint[at])))
        for at, cells in groups.items()
    )
    kind, text = _decided(definitions)
    cells = tuple(cell for one in definitions for cell in one.cells)
    return HullVerdict(
        comparison=comparison, kind=kind, text=text, cells=cells, definitions=definitions
    )


def _cells(
    comparison: Comparison, figures: Sequence[Published], curves: Sequence[Measured]
) -> list[HullCell]:
    """The cases of one set of figures."""
    fitting = [c for c in curves if is_selected(dict(c.factors), dict(figures[0].where))]
    found = []
    for at in combinations_of(comparison, fitting):
        here = [c for c in fitting if is_selected(dict(c.factors), dict(at))]
        sides = [_side(comparison, one, here) for one in figures]
        whole = [side for side in sides if side is not None]
        if len(whole) == len(sides):
            levels = tuple(float(point.level or 0.0) for point in whole[0].first.points)
            margin = comparison.margin / 100
            found.append(HullCell(at=at, sides=tuple(whole), levels=levels, margin=margin))
    return found


def _side(comparison: Comparison, figure: Published, curves: Sequence[Measured]) -> HullSide | None:
    """None where no network that has learned is measured."""
    selection = comparison.order[figure.side or 0]
    chosen = [c for c in curves if is_selected(dict(c.factors), dict(selection))]
    check_alike(comparison, selection, [c.factors for c in chosen])
    learned = [c for c in chosen if c.has_learned]
    if not learned:
        return None
    shares = [shares_of(one, comparison.nonfinite) for one in learned]
    names = [one.task.network.name for one in learned]
    units = [(name, c.task.network.seed, -1) for name, c in zip(names, learned, strict=True)]
    if len(learned) == 1:
        units = [(names[0], seed, chip) for seed, chip in shares[0][1]]
    return HullSide(
        figure=figure,
        selection=selection,
        networks=tuple(names),
        values=tuple(values for values, _ in shares),
        units=tuple(units),
        missing=len(chosen) - len(learned),
        first=learned[0],
    )


def shares_of(curve: Measured, nonfinite: str) -> tuple[Floats, list[tuple[int, int]]]:
    """The shares of the clean accuracy (levels, chips), of the chips that every level has, by seed
    and number; their mean at a level is the level's share, as everywhere in the report."""
    found = [{(row.seed, row.chip): row for row in point.rows} for point in curve.points]
    chips = [chip for chip in found[0] if all(chip in one for one in found)]
    values = []
    for rows, point in zip(found, curve.points, strict=True):
        clean = curve.clean_on(point.rows)
        extra = {chip: _right(row, nonfinite) for chip, row in rows.items()}
        images = [row.images for row in rows.values()]
        share = (point.score.mean + float(np.average(list(extra.values()), weights=images))) / clean
        # The error of a ratio of means (Cochran, 1977, chapter 6): what a chip scores beyond what
        # its own images, easier or harder than others', let expect.
        own = np.array(
            [rows[c].score + extra[c] - share * curve.clean_on([rows[c]]) for c in chips]
        )
        values.append(share + (own - own.mean()) / clean)
    return np.array(values), chips


def _right(row: Row, nonfinite: str) -> float:
    """The share of its images that an output without a finite value makes right beside the hits:
    none, or the expected share of class 0."""
    if nonfinite == "misses" or not row.classes:
        return 0.0
    return row.nonfinite / row.classes / row.images


def _groups(sides: Sequence[HullSide]) -> tuple[tuple[object, ...], ...]:
    """A name for each side, the same for sides whose errors go together: those of the same
    trainings, or of chips whose dice fell alike."""
    names: list[tuple[object, ...]] = []
    for place, side in enumerate(sides):
        own: tuple[object, ...] = (place,)
        for other, name in zip(sides[:place], names, strict=True):
            if _is_paired(side, other):
                own = name
                break
        names.append(own)
    return tuple(names)


def _is_paired(one: HullSide, other: HullSide) -> bool:
    if one.units[0][2] < 0 or other.units[0][2] < 0:
        return one.units == other.units
    same = [unit[1:] for unit in one.units] == [unit[1:] for unit in other.units]
    return same and have_same_dice(one.first.points[0].rows[0], other.first.points[0].rows[0])


def _joint(at: At, cells: Sequence[HullCell]) -> list[HullCell]:
    """One case for all sets of figures, where each has one and all have the same levels."""
    wheres = [str(cell.published[0].where) for cell in cells]
    levels = {cell.levels for cell in cells}
    if len(cells) < 2 or len(set(wheres)) < len(wheres) or len(levels) > 1:
        return []
    sides = tuple(side for cell in cells for side in cell.sides)
    return [replace(cells[0], at=at, sides=sides, sets=len(cells))]


def _decided(definitions: Sequence[Definition]) -> tuple[str, str]:
    # As for differences: what all definitions agree in needs no correction, what singles some out
    # reads Bonferroni's intervals.
    if not definitions:
        return "not measured", "no case is measured"
    alone = [one.says() for one in definitions]
    count = len(definitions)
    if all(word == FOR for word in alone):
        who = f"all {count} definitions" if count > 1 else "its definition"
        return "consistent", f"{who} can have produced the published figures"
    if all(word == AGAINST for word in alone):
        who = f"none of {count} definitions can" if count > 1 else "its definition cannot"
        return "excluded", f"{who} have produced the published figures within the measured levels"
    together = {one.at: one.says(together=True) for one in definitions}
    words = list(together.values())
    ours, theirs = words.count(FOR), words.count(AGAINST)
    text = tally(ours, theirs, words.count(OPEN))
    if ours:
        telling = depends_on(together) if theirs else ""
        told = f"; what tells them apart: {telling}" if telling else ""
        return "partly consistent", text + told
    return ("partly excluded" if theirs else "not decided"), text


def tally(ours: int, theirs: int, neither: int) -> str:
    """`3 of 24 definitions are consistent with the published figures, 18 are excluded, 3 not told
    apart`."""
    count = ours + theirs + neither
    if count == neither:
        return (
            f"none of {count} definitions is told apart"
            if count > 1
            else ("its definition is not told apart")
        )
    parts = []
    if ours:
        parts.append(f"{{}}{'is' if ours == 1 else 'are'} consistent with the published figures")
    if theirs:
        parts.append(f"{{}}{'is' if theirs == 1 else 'are'} excluded")
    if neither:
        parts.append("{}not told apart")
    numbers = [number for number in (ours, theirs, neither) if number]
    first = f"{numbers[0]} of {count} definitions "
    return ", ".join(
        part.format(first if not place else f"{numbers[place]} ")
        for place, part in enumerate(parts)
    )
