"""Could a published mean be a mean over levels of these curves, whatever the levels were?

A mean over any grid of levels, each counted as often as one likes, is a convex combination of the
points that the curve passes: so it lies in their convex hull, or the curve is another one.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from noiseproof.core import seeds
from noiseproof.stats.intervals import CONFIDENCE, Floats, Interval

Trainings = Sequence[Floats]  # of one side: for each training the values (levels, chips)


def hull_distance(points: Floats, target: Floats) -> float:
    """How far `target` (d,) is from the convex hull of `points` (n, d): the smallest t such that a
    mixture of the points agrees with it within t in every coordinate (the largest-coordinate norm);
    0 within the hull.

    Raises:
        ValueError: for no points, values that are not finite, or sizes that do not fit.
    """
    points, target = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if points.ndim != 2 or not len(points) or target.shape != points.shape[1:]:
        raise ValueError(
            f"a hull needs points (n, d) and a target (d,), got {points.shape} and {target.shape}"
        )
    if not (np.isfinite(points).all() and np.isfinite(target).all()):
        raise ValueError("a hull needs finite points and a finite target")
    return _nearest(points, points, target)[0]


def between_distance(points: Floats, target: Floats) -> float:
    """The same for all curves that pass `points` (n, d) in this order and go one way, up or down,
    between two neighbours: it is as near as any of them comes to `target`."""
    points, target = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    before, after = points[:-1], points[1:]
    if not len(before):
        return hull_distance(points, target)
    return _nearest(np.minimum(before, after), np.maximum(before, after), target)[0]


def _nearest(low: Floats, high: Floats, target: Floats) -> tuple[float, Floats]:
    """How near a mixture of boxes, with these corners (n, d), comes to `target`, and the direction
    u (d,), |u|_1 = 1, in which it is that far off: no box reaches beyond u target minus that."""
    # Unknowns: a weight for each box, and t. The mixture's lower corner is not more than t above
    # the target, its upper one not more than t below: a row a coordinate each.
    n, d = low.shape
    bound = -np.ones((2 * d, 1))
    found = linprog(
        c=np.append(np.zeros(n), 1.0),
        A_ub=np.hstack([np.vstack([low.T, -high.T]), bound]),
        b_ub=np.concatenate([target, -target]),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    assert found.success, "there is a mixture, and a t that is large enough, for any target"
    # A vertex of the programme: what is left within the hull is the solver's tolerance.
    if found.fun < TOLERANCE:
        return 0.0, np.zeros(d)
    prices = found.ineqlin.marginals  # what t gains where the target moves
    direction: Floats = prices[:d] - prices[d:]
    return float(found.fun), direction


TOLERANCE = 1e-7  # of the solver, for coordinates of order one


def largest_step(points: Floats) -> float:
    """The largest change of any coordinate between neighbours of `points` (n, d), which stand in
    the order of their levels: what the curve does between two levels, nobody has measured."""
    return float(np.abs(np.diff(np.asarray(points), axis=0)).max(initial=0.0))


@dataclass(frozen=True, kw_only=True)
class HullDraws:
    """A distance, and for each of many curves that the measured values allow for: how far they are
    at least, in the direction in which the measured curve is that far (`along`; negative where they
    reach beyond the target), and their own distance (`away`)."""

    found: float
    sides: int
    along: Floats  # (draws,)
    away: Floats  # (draws,)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The distance with its interval, from quantiles of the draws: the low end of `along`, 0 at
        least, the high end of `away`."""
        # The low end of `away` would not do: of a thin hull that holds the target nearly every
        # draw is off, to one side or the other, and no draw's distance is below 0. `along` has the
        # sign; its direction is the worst of as many as there are sides, which share the error.
        high = np.quantile(self.away, 1 - (1 - confidence) / 2)
        low = np.quantile(self.along, (1 - confidence) / max(2, self.sides))
        return Interval(mean=self.found, low=max(0.0, float(low)), high=float(high))


def hull_interval(
    sides: Sequence[Trainings],
    target: Floats,
    *,
    also: Floats | None = None,
    groups: Sequence[Hashable] = (),
    draws: int = 1000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The distance of `target` (d,) from the hull of the curve whose coordinates are the means of
    `sides`, with its interval; the arguments are those of `hull_draws`.

    - `confidence`: of the interval; its ends need draws beyond them, so more of them where it is
      higher.
    """
    found = hull_draws(sides, target, also=also, groups=groups, draws=draws, seed=seed)
    return found.interval(confidence)


def hull_draws(
    sides: Sequence[Trainings],
    target: Floats,
    *,
    also: Floats | None = None,
    groups: Sequence[Hashable] = (),
    draws: int = 1000,
    seed: int = 0,
) -> HullDraws:
    """The distance of `target` (d,) from the hull of the curve whose coordinates are the means of
    `sides`, and the same for `draws` other curves, which the measured values allow for: each side's
    mean with an error drawn from the t distribution of its trainings (n - 1 degrees of freedom,
    all levels at once), or of its chips where it has one training. So with one coordinate and
    one level the interval is Student's. Resampling three trainings instead covers 81 % where 95 %
    is asked for (150 simulated sides).

    - `sides`: d sides; of each, for every training the values (levels, chips); the levels are the
      same on all sides.
    - `also`: points (m, d) that are known without noise, as the clean one.
    - `groups`: a name for each side; sides of one name have the same trainings (or the same chips
      of one) in the same order, and their errors are drawn together. None: all sides by themselves.
    - `seed`: of the dice.

    Raises:
        ValueError: for sides of unlike levels, or without a training or a chip, or a group of
            unlike numbers.
    """
    arrays = [[np.asarray(one, dtype=np.float64) for one in side] for side in sides]
    shapes = {one.shape[0] for side in arrays for one in side if one.ndim == 2 and one.size}
    if len(shapes) != 1 or any(not side for side in arrays):
        raise ValueError(
            "each side needs a training with values (levels, chips), and all the same levels, got "
            f"{[[one.shape for one in side] for side in arrays]}"
        )
    values = [replicates(side) for side in arrays]
    names = tuple(groups) or tuple(range(len(values)))
    sizes = {(name, len(one)) for name, one in zip(names, values, strict=True)}
    if len(sizes) > len(set(names)):
        raise ValueError(
            "sides of one group need equally many trainings or chips, got "
            f"{[len(one) for one in values]} in groups {list(names)}"
        )
    target = np.asarray(target, dtype=np.float64)
    known = np.empty((0, len(arrays))) if also is None else np.asarray(also, dtype=np.float64)
    means = np.vstack([np.stack([one.mean(0) for one in values], axis=1), known])
    found = hull_distance(means, target)
    direction = _nearest(means, means, target)[1]
    dice = seeds.dice(seed, "hull")
    along, away = np.empty(draws), np.empty(draws)
    for first in range(0, draws, CHUNK):
        place = slice(first, min(first + CHUNK, draws))
        count = place.stop - first
        errors = np.stack(_errors(values, names, count, dice), axis=2)
        points = means + np.hstack([errors, np.zeros((count, *known.shape))])  # (draws, points, d)
        along[place] = ((target - points) @ direction).min(1)
        away[place] = _distances(points, target)
    return HullDraws(found=found, sides=len(arrays), along=along, away=away)


CHUNK = 1000  # draws at a time, for the memory


def replicates(side: Sequence[Floats]) -> Floats:
    """What is replicated (n, levels): the curves of the trainings, or of the only one's chips."""
    found: Floats = side[0].T if len(side) == 1 else np.stack([one.mean(1) for one in side])
    return found


def _errors(
    values: Sequence[Floats], names: Sequence[Hashable], draws: int, dice: np.random.Generator
) -> list[Floats]:
    """Of each side's mean `draws` errors (draws, levels): multivariate t, of the covariance that
    the values have, so that the levels keep going together."""
    weights: dict[Hashable, Floats] = {}
    for name, one in zip(names, values, strict=True):
        n = len(one)
        if name not in weights and n > 1:
            scale = np.sqrt((n - 1) / dice.chisquare(n - 1, size=(draws, 1)))
            weights[name] = dice.standard_normal((draws, n)) * scale / np.sqrt(n * (n - 1))
        elif n == 1:  # nothing tells how far it may be off
            weights[name] = np.zeros((draws, 1))
    return [weights[name] @ (one - one.mean(0)) for name, one in zip(names, values, strict=True)]


def _distances(points: Floats, target: Floats) -> Floats:
    """`hull_distance` of each of many sets `points` (k, n, d), all at once.

    By the simplex method on the same programme, from the nearest point on. What it finds is checked
    against the direction that belongs to it, and solved again by scipy where the two do not meet.
    """
    k, n, d = points.shape
    every, inverse = np.arange(k), np.broadcast_to(np.eye(2 * d), (k, 2 * d, 2 * d))
    # Columns: a weight for each point, t, a slack for each of 2 d rows, the value. Rows: mixture
    # - t <= target, -mixture - t <= -target, the weights' sum, and what is to be lowered: t.
    table = np.zeros((k, 2 * d + 2, n + 2 + 2 * d))
    table[:, :d, :n], table[:, :d, -1] = points.transpose(0, 2, 1), target
    table[:, d : 2 * d] = -table[:, :d]
    table[:, : 2 * d, n], table[:, : 2 * d, n + 1 : -1] = -1.0, inverse
    table[:, 2 * d, :n] = table[:, 2 * d, -1] = table[:, -1, n] = 1.0
    basis = np.broadcast_to(n + 1 + np.arange(2 * d + 1), (k, 2 * d + 1)).copy()
    # All weight on the nearest point, and t its distance: all other rows then hold.
    _pivot(table, basis, every, np.full(k, 2 * d), np.abs(points - target).max(2).argmin(1))
    _pivot(table, basis, every, table[:, : 2 * d, -1].argmin(1), np.full(k, n))
    _lower(table, basis)
    found = -table[:, -1, -1]
    prices = table[:, -1, n + 1 : -1]
    direction = prices[:, d:] - prices[:, :d]
    least = np.einsum("knd,kd->kn", target - points, direction).min(1)
    for place in np.flatnonzero((found >= TOLERANCE) & ~(np.abs(found - least) < TOLERANCE / 10)):
        found[place] = hull_distance(points[place], target)
    found[found < TOLERANCE] = 0.0
    return found


def _lower(table: Floats, basis: NDArray[np.int64]) -> None:
    """Steps of the simplex method in all tables at once, each until no column lowers its value, or
    that is 0."""
    columns = table.shape[2]
    for step in range(50 * columns):
        gain = table[:, -1, :-1] < -EPSILON
        live = np.flatnonzero(gain.any(1) & (table[:, -1, -1] < -TOLERANCE / 10))
        if not len(live):
            return
        # The steepest column; after many steps Bland's rule (1977), which never cycles: the first
        # column that gains, and of equal ratios the row whose variable comes first.
        steepest = table[live, -1, :-1].argmin(1)
        column = steepest if step < columns else gain[live].argmax(1)
        entering = table[live, :-1, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(entering > EPSILON, table[live, :-1, -1] / entering, np.inf)
        ties = ratio <= ratio.min(1, keepdims=True) + EPSILON
        _pivot(table, basis, live, np.where(ties, basis[live], columns).argmin(1), column)


def _pivot(
    table: Floats,
    basis: NDArray[np.int64],
    live: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
) -> None:
    """Take a column into the basis in place of a row's, in each of the tables `live`."""
    part, every = table[live], np.arange(len(live))
    pivot = part[every, row] / part[every, row, column][:, None]
    part -= part[every, :, column][:, :, None] * pivot[:, None, :]
    part[every, row] = pivot
    table[live] = part
    basis[live, row] = column


EPSILON = 1e-11
