"""How long to measure: which unit comes next, and when it is enough."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from noiseproof.specs.pace import Pace, parse_seconds
from noiseproof.stats.pacing import Progress
from noiseproof.stats.stopping import stein_interval

FIRST = 5


def followed(
    pace: Pace,
    value: Callable[[int, int], float],
    *,
    points: int = 1,
    most: int | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    stop: int = 10_000,
) -> tuple[list[tuple[int, int]], Progress]:
    """The order of units where `value(point, unit)` is what each scores."""
    progress = Progress(
        pace=pace, scores=[[] for _ in range(points)], images=100, most=most, first=FIRST
    )
    order = []
    for point, unit in itertools.islice(progress.order(clock), stop):
        order.append((point, unit))
        progress.scores[point].append(value(point, unit))
    return order, progress


def noisy(sds: tuple[float, ...]) -> Callable[[int, int], float]:
    draws = np.random.default_rng(0).standard_normal((len(sds), 10_000))
    return lambda point, unit: 0.5 + sds[point] * float(draws[point, unit])


def test_a_fixed_number_goes_level_by_level() -> None:
    order, progress = followed(Pace(), lambda point, unit: 0.0, points=2, most=3)
    assert order == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert progress.left == 0


def test_a_precision_ends_with_the_first_unit_that_reaches_it() -> None:
    order, progress = followed(Pace(precision=0.01), noisy((0.05, 0.02)), points=2)
    for scores in progress.scores:
        now, before = (stein_interval(s, first=FIRST) for s in (scores, scores[:-1]))
        assert (now.high - now.low) / 2 <= 0.01 < (before.high - before.low) / 2
    assert [point for point, _ in order] == sorted(point for point, _ in order)


def test_what_is_left_is_known_once_the_first_units_are_there() -> None:
    order, _ = followed(Pace(precision=0.01), noisy((0.05,)))
    _, progress = followed(Pace(precision=0.01), noisy((0.05,)), stop=FIRST)
    assert progress.left == len(order) - FIRST


def test_equal_first_units_do_not_end_a_measurement_of_shares() -> None:
    order, _ = followed(Pace(precision=0.002), lambda point, unit: 1.0)
    assert len(order) > FIRST


def test_most_ends_it_all_the_same() -> None:
    order, _ = followed(Pace(precision=1e-9), noisy((0.05,)), most=7)
    assert len(order) == 7


def test_a_budget_gives_the_first_units_in_turn_and_then_the_widest_interval() -> None:
    ticks = itertools.count()
    order, progress = followed(
        Pace(budget=300), noisy((0.02, 0.08)), points=2, clock=lambda: float(next(ticks))
    )
    assert [point for point, _ in order[: 2 * FIRST]] == [0, 1] * FIRST
    assert len(order) > 200
    for place in range(2 * FIRST, len(order)):
        counts = [[p for p, _ in order[:place]].count(point) for point in (0, 1)]
        so_far = [scores[:n] for scores, n in zip(progress.scores, counts, strict=True)]
        widths = [i.high - i.low for i in (stein_interval(s, first=FIRST) for s in so_far)]
        assert order[place][0] == widths.index(max(widths))


def test_a_budget_that_is_over_at_once_still_gives_every_point_an_interval() -> None:
    order, _ = followed(Pace(budget=1), noisy((0.1, 0.1)), points=2, clock=lambda: 2.0)
    assert order == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_a_budget_with_a_precision_ends_when_all_is_precise_enough() -> None:
    order, progress = followed(Pace(budget=1e6, precision=0.02), noisy((0.05, 0.02)), points=2)
    for scores in progress.scores:
        found = stein_interval(scores, first=FIRST)
        assert (found.high - found.low) / 2 <= 0.02
    assert len(order) < 1000


def test_the_order_does_not_depend_on_later_values() -> None:
    """What comes next may follow from the first units' spread only: the proof of the interval."""
    first = noisy((0.05, 0.02))
    changed = lambda point, unit: first(point, unit) if unit < FIRST else 0.9  # noqa: E731
    pace = Pace(precision=0.01)
    assert followed(pace, first, points=2)[0] == followed(pace, changed, points=2)[0]


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("1.5m", 90), ("2min", 120), (" 1 h ", 3600)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "1e3", "5 days", "nan", "٣s"])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="budget must be a time as 60s, 5m or 1h, got"):
        parse_seconds(text)


def test_a_pace_says_itself() -> None:
    assert str(Pace()) == ""
    assert str(Pace(precision=0.01)) == "precision(0.01)"
    assert str(Pace(precision=0.01, budget=60.0)) == "precision(0.01) budget(60 s)"
    with pytest.raises(ValueError, match="budget must be > 0 and <= 1e"):
        Pace(budget=float("inf"))
