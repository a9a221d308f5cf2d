"""What the planned seeds and chips can tell apart, before they are measured.

A cell's interval is read as `verdicts` reads it. How much trainings, or chips, differ is measured
on rows that are there already: of this profile, else of another one of the study; else assumed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from noiseproof import stats
from noiseproof.stats import CONFIDENCE, POWER
from noiseproof.study.comparable import is_selected
from noiseproof.study.file import Comparison
from noiseproof.study.planned import PlannedCell, PlannedSide, planned_cells
from noiseproof.study.profiles import Profile
from noiseproof.study.verdicts import Cell, by_unit, verdict_of
from noiseproof.study.wanted import Grid

# In points, where nothing is measured yet. Of the 18 comparisons of the committed studies (n = 3
# trainings of small networks, or 100 chips of 50 images): clean 0.5 and 0.7; shares and noisy
# accuracies of trainings 0.8 to 1.9, two of 3.8 and 5.5; of chips 7.4 and 8.8.
ASSUMED_CLEAN, ASSUMED_TRAINING, ASSUMED_CHIP = 0.6, 1.5, 8.0
USUAL = (1.0, 2.0, 5.0)  # points that are asked for beside the margin


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The assumed standard deviations, in points: of paired differences (one), or of the values of
    either side (two). `source`: where they come from."""

    sds: tuple[float, ...]
    source: str

    @property
    def is_paired(self) -> bool:
        """Is it of paired differences?"""
        return len(self.sds) == 1

    def power(self, difference: float, n: tuple[int, int], confidence: float) -> float:
        """How often `n` values a side tell this difference, in points, apart; 0 where they are too
        few for an interval."""
        if min(n) < 2:
            return 0.0
        if self.is_paired:
            sd = self.sds[0]
            return stats.t_power(difference, sd=sd, n=min(n), confidence=confidence)
        sds = (self.sds[0], self.sds[1])
        return stats.welch_power(difference, sds=sds, n=n, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class CellPower:
    """What one planned cell can tell apart. `n`: values a side."""

    cell: PlannedCell
    n: tuple[int, int]
    spread: Spread
    power: float
    confidence: float  # where all cells are read together

    @property
    def alone(self) -> float:
        """The smallest difference, in points, where the cell is read by itself; inf where n is too
        small for an interval."""
        return _smallest(self.spread, self.n, CONFIDENCE, self.power)

    @property
    def together(self) -> float:
        """The same with Bonferroni's confidence."""
        return _smallest(self.spread, self.n, self.confidence, self.power)

    def needed(self, difference: float, confidence: float) -> int:
        """The values a side that tell this difference apart; `MOST + 1`: more than `MOST`."""
        return stats.fewest(
            lambda n: self.spread.power(difference, (n, n), confidence), power=self.power
        )


@lru_cache
def _smallest(spread: Spread, n: tuple[int, int], confidence: float, power: float) -> float:
    if min(n) < 2:
        return math.inf
    at: Callable[[float], float] = partial(spread.power, n=n, confidence=confidence)
    return stats.smallest_difference(at, power=power)


@dataclass(frozen=True, kw_only=True)
class ComparisonPower:
    """What one comparison can tell apart: the power of each of its cells."""

    comparison: Comparison
    cells: tuple[CellPower, ...]

    @property
    def confidence(self) -> float:
        """Of each interval where all cells are read together."""
        return 1 - (1 - CONFIDENCE) / len(self.cells)

    @property
    def differences(self) -> tuple[float, ...]:
        """The differences, in points, for which the needed n is asked."""
        margin = self.comparison.margin
        return tuple(sorted({*USUAL, margin} - {0.0}))

    def needed(self, difference: float, *, together: bool) -> int:
        """Values a side with which each cell tells this difference apart."""
        confidence = self.confidence if together else CONFIDENCE
        kinds = {cell.spread: cell for cell in self.cells}
        return max(cell.needed(difference, confidence) for cell in kinds.values())


def powers_of(
    comparisons: Iterable[Comparison],
    grid: Grid,
    profiles: Sequence[Profile],
    *,
    test_images: int,
) -> list[ComparisonPower]:
    """The power of each comparison of a grid. `profiles`: those of the study that have rows, this
    one's first. Left out: a comparison that no two sides of the grid meet in, and one that asks for
    hulls, whose interval is a bootstrap."""
    found = []
    for comparison in comparisons:
        if comparison.hull:
            continue
        planned = list(planned_cells(comparison, grid.tasks))
        sources = list(_sources(comparison, profiles))
        # A peak has to beat both ends: with half the risk at each, both are beaten in 4 of 5.
        risk = (1 - POWER) / (2 if comparison.peak else 1)
        cells = tuple(
            CellPower(
                cell=cell,
                n=(
                    _n(comparison, cell.better, test_images),
                    _n(comparison, cell.worse, test_images),
                ),
                spread=_spread(comparison, cell, sources),
                power=1 - risk,
                confidence=1 - (1 - CONFIDENCE) / len(planned),
            )
            for cell in planned
        )
        if cells:
            found.append(ComparisonPower(comparison=comparison, cells=cells))
    return found


def _counts(comparison: Comparison, cell: PlannedCell, test_images: int) -> tuple[int, int]:
    return _n(comparison, cell.better, test_images), _n(comparison, cell.worse, test_images)


def _n(comparison: Comparison, side: PlannedSide, test_images: int) -> int:
    if comparison.unit == "training":
        return len({task.network.name for task in side.tasks})
    return max(task.units_wanted({}, test_images=test_images) for task in side.tasks)


def _is_paired(comparison: Comparison, cell: PlannedCell) -> bool:
    """Will both sides be the same networks, or chips of the same dice?"""
    sides = (cell.better.tasks, cell.worse.tasks)
    if comparison.unit == "training":
        ours, theirs = ({task.network.name for task in tasks} for tasks in sides)
    else:
        ours, theirs = (
            {f"{t.network.model} {t.network.norm_text} {t.network.seed}" for t in tasks}
            for tasks in sides
        )
    return ours == theirs


# --- how much trainings differ -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Cells of a comparison that were measured in a profile."""

    profile: str
    cells: tuple[Cell, ...]


def _sources(comparison: Comparison, profiles: Sequence[Profile]) -> Iterable[_Source]:
    """Of each profile the cells of this comparison, then those of its own one that asks the same
    question."""
    for profile in profiles:
        for one in (comparison, *profile.comparisons):
            if one is not comparison and one.question != comparison.question:
                continue
            if (one.unit, one.score, one.hull) != (comparison.unit, comparison.score, False):
                continue
            try:
                cells = verdict_of(one, profile.measured).cells
            except ValueError:  # another profile's curves, which this comparison tells not apart
                continue
            if cells:
                yield _Source(profile=profile.name, cells=cells)


def _spread(comparison: Comparison, cell: PlannedCell, sources: Sequence[_Source]) -> Spread:
    for source in sources:
        for chosen in (_of_model(cell, source.cells), _of_pair(cell, source.cells), source.cells):
            found = _pooled(chosen, is_paired=_is_paired(comparison, cell))
            if found is not None:
                return Spread(sds=found, source=_told(source.profile, chosen))
    if comparison.unit == "chip":
        assumed = ASSUMED_CHIP
    else:
        assumed = ASSUMED_CLEAN if comparison.score == "clean" else ASSUMED_TRAINING
    sds = (assumed,) if _is_paired(comparison, cell) else (assumed, assumed)
    return Spread(sds=sds, source="assumed: nothing like it is measured yet")


def _of_pair(cell: PlannedCell, cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """The cells of the same two sides."""
    wanted = [dict(side.selection) for side in (cell.better, cell.worse)]
    return tuple(c for c in cells if [dict(s.selection) for s in (c.better, c.worse)] == wanted)


def _of_model(cell: PlannedCell, cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Those of them that are of the same model too, where cells tell it."""
    model = {name: value for name, value in cell.at if name == "model"}
    return tuple(c for c in _of_pair(cell, cells) if is_selected(dict(c.at), model))


def _pooled(cells: Sequence[Cell], *, is_paired: bool) -> tuple[float, ...] | None:
    """Standard deviations over all cells, in points: of the differences, or of either side; None
    where no cell has two values."""
    if is_paired:
        pairs = [
            [a - b for a, b in zip(*_in_order(cell), strict=True)]
            for cell in cells
            if cell.is_paired
        ]
        sd = _pooled_sd(pairs)
        return None if math.isnan(sd) else (sd,)
    ours, theirs = (
        _pooled_sd([list(side.values.values()) for side in sides])
        for sides in ([c.better for c in cells], [c.worse for c in cells])
    )
    if math.isnan(ours) and math.isnan(theirs):
        return None
    # A side with a single training says nothing of its spread: as the other one's.
    return (theirs if math.isnan(ours) else ours, ours if math.isnan(theirs) else theirs)


def _in_order(cell: Cell) -> tuple[list[float], list[float]]:
    ours, theirs = by_unit(cell.better), by_unit(cell.worse)
    return list(ours.values()), [theirs[unit] for unit in ours]


def _pooled_sd(groups: Iterable[Sequence[float]]) -> float:
    """In points: the root of the mean variance, each group weighed by its degrees of freedom."""
    known = [(len(one) - 1, stats.sd(one)) for one in groups if len(one) > 1]
    degrees = sum(free for free, _ in known)
    if not degrees:
        return math.nan
    return 100 * math.sqrt(sum(free * sd * sd for free, sd in known) / degrees)


def _told(profile: str, cells: Sequence[Cell]) -> str:
    """`rows of profile quick: 40 cases, n = 3 a side`."""
    sides = [len(side.values) for cell in cells for side in (cell.better, cell.worse)]
    n = sorted({size for size in sides if size > 1})  # one value says nothing of a spread
    shown = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    cases = f"{len(cells)} case" + ("" if len(cells) == 1 else "s")
    return f"rows of profile {profile}: {cases}, n = {shown} a side"
