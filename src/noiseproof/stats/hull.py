"""Could a published mean be a mean over levels of these curves, whatever the levels were?

A mean over any grid of levels, each counted as often as one likes, is a convex combination of the
points that the curve passes: so it lies in their convex hull, or the curve is another one.
"""

from collections.abc import Sequence

import numpy as np
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
    n, d = points.shape
    # Unknowns: a weight for each point, and t. Both |mixture - target| <= t, as two rows a
    # coordinate: mixture - t <= target and -mixture - t <= -target.
    bound = -np.ones((2 * d, 1))
    found = linprog(
        c=np.append(np.zeros(n), 1.0),
        A_ub=np.hstack([np.vstack([points.T, -points.T]), bound]),
        b_ub=np.concatenate([target, -target]),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    assert found.success, "there is a mixture, and a t that is large enough, for any target"
    # A vertex of the programme: what is left within the hull is the solver's tolerance.
    return 0.0 if found.fun < TOLERANCE else float(found.fun)


TOLERANCE = 1e-7  # of the solver, for coordinates of order one


def largest_step(points: Floats) -> float:
    """The largest change of any coordinate between neighbours of `points` (n, d), which stand in
    the order of their levels: what the curve does between two levels, nobody has measured."""
    return float(np.abs(np.diff(np.asarray(points), axis=0)).max(initial=0.0))


def hull_interval(
    sides: Sequence[Trainings],
    target: Floats,
    *,
    also: Floats | None = None,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The distance of `target` (d,) from the hull of the curve whose coordinates are the means of
    `sides`, with its percentile bootstrap interval. Trainings are drawn with replacement, and of
    each drawn training its chips, the same for all levels, since a chip is one draw of noise that
    the levels scale. With one training a side the interval speaks of its chips alone.

    - `sides`: d sides; of each, for every training the values (levels, chips); the levels are the
      same on all sides.
    - `also`: points (m, d) that are known without noise, as the clean one.
    - `draws`: bootstrap draws. `seed`: of their dice.

    Raises:
        ValueError: for sides of unlike levels, or without a training or a chip.
    """
    arrays = [[np.asarray(one, dtype=np.float64) for one in side] for side in sides]
    shapes = {one.shape[0] for side in arrays for one in side if one.ndim == 2 and one.size}
    if len(shapes) != 1 or any(not side for side in arrays):
        raise ValueError(
            "each side needs a training with values (levels, chips), and all the same levels, got "
            f"{[[one.shape for one in side] for side in arrays]}"
        )
    known = np.empty((0, len(arrays))) if also is None else np.asarray(also, dtype=np.float64)

    def distance(means: list[Floats]) -> float:
        return hull_distance(np.vstack([np.stack(means, axis=1), known]), target)

    found = distance([np.mean([one.mean(1) for one in side], axis=0) for side in arrays])
    dice = seeds.dice(seed, "hull")
    drawn = [distance([_redrawn(side, dice) for side in arrays]) for _ in range(draws)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(mean=found, low=float(low), high=float(high))


def _redrawn(side: Sequence[Floats], dice: np.random.Generator) -> Floats:
    """The mean curve (levels,) of as many trainings, and of as many chips in each, drawn again."""
    chosen = dice.integers(len(side), size=len(side))
    means = []
    for place in chosen:
        values = side[place]
        means.append(values[:, dice.integers(values.shape[1], size=values.shape[1])].mean(1))
    found: Floats = np.mean(means, axis=0)
    return found
