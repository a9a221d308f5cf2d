"""How long to measure: a fixed number of units, until a precision, or until a time is over.

What a measurement does next may depend on the spread of the first units and on the clock, never on
the later values: that is what keeps the intervals valid under stopping (`stopping`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from noiseproof.specs import Design, Pace, PerImage, blocks_of
from noiseproof.stats.stopping import next_point, units_needed

USUAL_CHIPS = {"chips": 25, "nested": 200}


def most_units(
    design: Design, pace: Pace, *, chips: int | None, passes: int | None, images: int
) -> int | None:
    """How many units a point gets at most; None: as many as it takes. `images`: of the test set;
    the design has its sizes."""
    if chips is None and passes is None and not pace.is_fixed:
        return None
    if isinstance(design, PerImage):
        return blocks_of(design, images) * (passes or 1)
    return chips or USUAL_CHIPS[design.kind]


def units_wanted(
    found: Sequence[float], pace: Pace, *, most: int | None, first: int, images: int | None
) -> int:
    """How many units a point needs in all, without a budget; `first` while these are not there to
    tell it. `found` are the scores of units 0, 1, ... so far; the rest as in `Progress`."""
    if pace.precision is None:
        return first if most is None else most
    if len(found) < first:
        return first if most is None else min(first, most)
    needed = units_needed(found[:first], half_width=pace.precision, images=images)
    return needed if most is None else min(needed, most)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the measurement of several points (noises at their levels) stands.

    `scores` are the units' scores so far, whoever measures appends to them; each is the share of
    hits among about `images` images, or None where equal scores need no caution. `most`: how many
    units a point gets, and with a precision or a budget at most; None: no limit. `first`: how many
    units tell the spread.
    """

    pace: Pace
    scores: Sequence[list[float]]
    images: int | None
    most: int | None
    first: int

    def order(self, clock: Callable[[], float]) -> Iterator[tuple[int, int]]:
        """(point, unit) to measure next; `clock` gives the seconds since the start."""
        if self.pace.budget is not None:
            yield from self._until_over(self.pace.budget, clock)
            return
        for point, found in enumerate(self.scores):
            while not self._is_done(point):
                yield point, len(found)

    @property
    def left(self) -> int:
        """How many units are still to come, as far as the first ones of each point tell."""
        return sum(max(0, self._needed(found) - len(found)) for found in self.scores)

    def _is_done(self, point: int) -> bool:
        found = self.scores[point]
        # The limit comes first: with a precision that cannot be reached, measuring has to end too.
        if self.most is not None and len(found) >= self.most:
            return True
        return self.pace.precision is not None and len(found) >= self._needed(found)

    def _needed(self, found: Sequence[float]) -> int:
        """Units that the point needs, or `first` while they are not there to tell it."""
        return units_wanted(found, self.pace, most=self.most, first=self.first, images=self.images)

    def _until_over(self, budget: float, clock: Callable[[], float]) -> Iterator[tuple[int, int]]:
        """The first units of every point in turn, then one more for the widest interval, while
        there is time; two of each point in any case, since one gives no interval."""
        while not self._is_over(budget, clock):
            free = [point for point in range(len(self.scores)) if not self._is_done(point)]
            if not free:
                return
            # Only counts and first-stage variances decide (see `stopping`): looking at the later
            # scores would bias the intervals.
            waiting = [p for p in free if len(self.scores[p]) < self.first]
            if waiting:
                point = min(waiting, key=lambda p: len(self.scores[p]))
            else:
                point = self._widest(free)
            yield point, len(self.scores[point])

    def _widest(self, free: Sequence[int]) -> int:
        scores = [self.scores[point] for point in free]
        return free[next_point(scores, first=self.first, images=self.images)]

    def _is_over(self, budget: float, clock: Callable[[], float]) -> bool:
        return min(len(found) for found in self.scores) >= 2 and clock() >= budget
