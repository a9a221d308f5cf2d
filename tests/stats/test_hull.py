"""Is a published mean a mixture of the points of a curve?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.stats.hull import (
    Floats,
    _distances,
    between_distance,
    hull_distance,
    hull_draws,
    hull_interval,
    largest_step,
)

TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("target", "distance"),
    [
        ((0.2, 0.3), 0.0),  # inside
        ((0.5, 0.5), 0.0),  # on an edge
        ((0.0, 1.0), 0.0),  # a corner
        ((-0.25, 0.5), 0.25),  # straight off one side
        ((1.0, 1.0), 0.5),  # (0.5, 0.5) is 0.5 away in each coordinate
        ((2.0, 0.0), 1.0),  # no mixture has more of x than the corner (1, 0)
    ],
)
def test_the_distance_to_a_triangle(target: tuple[float, float], distance: float) -> None:
    assert hull_distance(TRIANGLE, np.array(target)) == pytest.approx(distance, abs=1e-6)


POINTS = st.lists(
    st.tuples(*[st.floats(0, 1, width=32)] * 3), min_size=1, max_size=6, unique=True
).map(np.array)


@settings(max_examples=60, deadline=None)
@given(POINTS, st.data())
def test_any_mixture_of_the_points_is_in_their_hull(points: Floats, data: st.DataObject) -> None:
    raw = np.array([data.draw(st.floats(0.01, 1)) for _ in points])
    assert hull_distance(points, raw / raw.sum() @ points) == 0.0


@settings(max_examples=60, deadline=None)
@given(POINTS, st.tuples(*[st.floats(-1, 2, width=32)] * 3).map(np.array))
def test_no_mixture_comes_nearer_than_the_distance(points: Floats, target: Floats) -> None:
    found = hull_distance(points, target)
    mixtures = np.random.default_rng(0).dirichlet(np.ones(len(points)), size=200) @ points
    nearest = np.abs(np.vstack([mixtures, points]) - target).max(axis=1).min()
    assert found <= nearest + 1e-7
    # And a single coordinate already keeps it as far away as the points' range does.
    beyond = np.maximum(points.min(0) - target, target - points.max(0)).max()
    assert found >= beyond - 1e-7


def test_the_largest_step_is_between_neighbours() -> None:
    assert largest_step(np.array([[1.0, 1.0], [0.9, 0.4], [0.2, 0.3]])) == pytest.approx(0.7)
    assert largest_step(np.array([[1.0, 1.0]])) == 0.0


def _side(means: list[float], trainings: int, chips: int, spread: float, seed: int) -> list[Floats]:
    dice = np.random.default_rng(seed)
    return [
        np.array(means)[:, None] + spread * dice.standard_normal((1, chips))
        for _ in range(trainings)
    ]


def test_the_interval_is_that_of_the_mean_where_one_level_is_beyond_all_others() -> None:
    # One coordinate, one level: the distance of 1.0 is 1.0 - mean, and its bootstrap interval over
    # chips is that of a mean, s / sqrt(n) on each side.
    side = _side([0.5], trainings=1, chips=400, spread=0.1, seed=1)
    found = hull_interval([side], np.array([1.0]), draws=2000)
    values = side[0][0]
    assert found.mean == pytest.approx(1 - values.mean())
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_trainings_that_differ_widen_the_interval_more_than_their_chips() -> None:
    alike = [np.full((1, 50), 0.5) for _ in range(4)]
    unlike = [np.full((1, 50), value) for value in (0.3, 0.45, 0.55, 0.7)]
    target = np.array([1.0])
    narrow, wide = hull_interval([alike], target), hull_interval([unlike], target)
    assert narrow.low == narrow.high == 0.5
    assert wide.mean == pytest.approx(0.5)
    assert wide.low < 0.45 < 0.55 < wide.high


def test_a_point_that_is_known_belongs_to_the_hull() -> None:
    sides = [[np.array([[0.2]])], [np.array([[0.1]])]]
    target = np.array([0.6, 0.55])  # half way to the clean network
    assert hull_interval(sides, target).mean == pytest.approx(0.45)
    assert hull_interval(sides, target, also=np.ones((1, 2))).high == 0.0


@pytest.mark.parametrize("sides", [[], [[]], [[np.ones((2, 3))], [np.ones((3, 3))]]])
def test_sides_that_do_not_fit_are_refused(sides: list[list[Floats]]) -> None:
    with pytest.raises(ValueError, match="each side needs a training"):
        hull_interval(sides, np.ones(len(sides)))


def test_a_target_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(3,\)"):
        hull_distance(TRIANGLE, np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        hull_distance(TRIANGLE, np.array([np.nan, 0.0]))


# --- many hulls at once, and how sure a distance is -----------------------------------------------


SETS = st.integers(1, 4).flatmap(
    lambda d: st.tuples(
        st.lists(
            st.lists(st.tuples(*[st.floats(-1, 1, width=16)] * d), min_size=4, max_size=4),
            min_size=1,
            max_size=3,
        ).map(np.array),
        st.tuples(*[st.floats(-1, 1, width=16)] * d).map(np.array),
    )
)


@settings(max_examples=80, deadline=None)
@given(SETS)
def test_many_hulls_at_once_have_the_distances_that_scipy_finds(
    case: tuple[Floats, Floats],
) -> None:
    points, target = case
    alone = [hull_distance(one, target) for one in points]
    assert _distances(points, target) == pytest.approx(alone, abs=3e-7)


def test_of_one_coordinate_and_level_the_interval_is_students() -> None:
    """And not the resampled one, which three trainings leave too narrow."""
    values = [0.52, 0.47, 0.51]
    side = [np.full((1, 8), value) for value in values]
    found = hull_interval([side], np.array([1.0]), draws=40_000)
    half = sps.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert found.mean == pytest.approx(0.5)
    # The end is a quantile of 40,000 draws of Student's law, whose density there is 0.0108 for two
    # degrees of freedom: five standard errors are 5 sqrt(0.025 0.975 / 40000) / 0.0108 = 0.36 of
    # the mean's standard error, 8.5 % of the half-width.
    assert found.mean - found.low == pytest.approx(half, rel=0.085)
    assert found.high - found.mean == pytest.approx(half, rel=0.085)


def test_sides_of_the_same_trainings_err_together() -> None:
    """Two sides that always move alike have the distance of one; by themselves they do not."""
    side = [np.array([[value]]) for value in (0.4, 0.5, 0.6)]
    target = np.array([0.5, 0.5])
    alike = hull_draws([side, side], target, groups=("a", "a")).away
    single = hull_draws([side], target[:1]).away
    assert alike == pytest.approx(single)
    apart = hull_draws([side, side], target).away
    assert np.mean(apart) > np.mean(single)
    with pytest.raises(ValueError, match=r"equally many trainings or chips, got \[3, 2\]"):
        hull_draws([side, side[:2]], target, groups=("a", "a"))


def test_a_curve_between_its_points_may_pass_any_corner_of_the_box_around_two_neighbours() -> None:
    points = np.array([[1.0, 1.0], [0.8, 0.2]])
    assert hull_distance(points, np.array([0.95, 0.3])) > 0.05
    assert between_distance(points, np.array([0.95, 0.3])) == 0.0
    assert between_distance(points, np.array([0.9, 0.1])) == pytest.approx(0.1)
    assert between_distance(points[:1], np.array([0.9, 0.9])) == pytest.approx(0.1)


@pytest.mark.slow
def test_a_mean_of_a_curve_is_excluded_in_no_more_than_the_stated_share_of_experiments() -> None:
    """The worst place for it: a corner of the hull, here the last level, of two sides and of four.
    200 experiments of 5 trainings; at a rate of 7.5 % (simulated: 5 %, of 600) 36 or more have a
    probability below 1e-6."""
    levels = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
    curve = np.stack([1 - 0.5 * levels**2, 1 - 0.9 * levels**0.7, 1 - 0.3 * levels**2], axis=1)
    curve = np.column_stack([curve, 1 - levels**0.7])
    dice = np.random.default_rng(1)
    for sides in (2, 4):
        excluded = 0
        for experiment in range(200):
            measured = [
                [
                    (curve[:, side] + dice.normal(0, 0.03) * levels / 0.4)[:, None]
                    + dice.normal(0, 0.02, (5, 10))
                    for _ in range(5)
                ]
                for side in range(sides)
            ]
            found = hull_interval(
                measured, curve[-1, :sides], also=np.ones((1, sides)), seed=experiment
            )
            excluded += found.low > 1e-9
        assert excluded < 36


def test_a_mean_of_a_straight_curve_is_not_excluded_though_every_drawn_curve_misses_it() -> None:
    """Four sides fall in proportion, so that their hull is a line, which no drawn curve is."""
    levels, slopes = np.array([0.1, 0.4, 0.8]), (0.5, 0.9, 0.3, 1.0)
    dice = np.random.default_rng(2)
    sides = [
        [(1 - slope * levels * dice.normal(1, 0.05))[:, None] for _ in range(4)] for slope in slopes
    ]
    target = 1 - 0.3 * np.array(slopes)
    found = hull_draws(sides, target, also=np.ones((1, 4)))
    assert np.quantile(found.away, 0.025) > 0
    assert found.interval().low == 0
