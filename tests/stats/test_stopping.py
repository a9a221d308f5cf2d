"""Stopping by Stein's rule: closed forms, the least count by search, coverage under stopping."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.stats.intervals import Interval, t_interval
from noiseproof.stats.stopping import FIRST, next_point, stein_interval, units_needed

FALSE_FAIL = 1e-6
TAIL = 0.025

values = st.lists(st.integers(0, 640).map(lambda i: i / 640), min_size=2, max_size=30)


def half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def test_up_to_the_first_stage_it_is_the_t_interval() -> None:
    x = np.random.default_rng(0).random(10)
    for n in range(1, 11):
        found, expected = stein_interval(x[:n], first=10), t_interval(x[:n])
        assert (found.mean, found.low, found.high) == pytest.approx(
            (expected.mean, expected.low, expected.high), rel=1e-12, nan_ok=True
        )
    assert math.isnan(stein_interval([], first=10).mean)


def test_beyond_it_the_first_units_give_the_variance_and_all_the_mean() -> None:
    x = np.random.default_rng(1).random(50)
    found = stein_interval(x, first=10)
    width = sps.t.ppf(0.975, 9) * np.std(x[:10], ddof=1) / math.sqrt(50)
    assert found.mean == pytest.approx(x.mean(), rel=1e-12)
    assert half(found) == pytest.approx(width, rel=1e-12)
    assert half(stein_interval([*x[:10], *(9 * x[10:])], first=10)) == pytest.approx(width)


@given(values, st.floats(0.01, 1.0))
def test_the_units_needed_are_the_fewest_that_suffice(x: list[float], wanted: float) -> None:
    """Later values move the mean only, so any will do to read the width."""
    n, first = units_needed(x, half_width=wanted), len(x)
    assert n >= first
    assert half(stein_interval(x + [0.5] * (n - first), first=first)) <= wanted * (1 + 1e-9)
    if n > first:
        short = stein_interval(x + [0.5] * (n - 1 - first), first=first)
        assert half(short) > wanted * (1 - 1e-9)


def normal_runs(experiments: int, length: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((experiments, length))


def covered_band(experiments: int) -> tuple[float, float]:
    """Of intervals that cover at 95 %: two-sided, false-fail 1e-6; 92 % would be caught."""
    law = sps.binom(experiments, 0.95)
    low, high = law.ppf(FALSE_FAIL / 2), law.isf(FALSE_FAIL / 2)
    assert sps.binom(experiments, 0.92).cdf(low - 1) > 0.99, "underpowered"
    return low, high


@pytest.mark.parametrize("first", sorted(FIRST.values()))
def test_stopped_at_a_half_width_it_covers_at_95_percent(first: int) -> None:
    experiments, covered = 5000, 0
    for x in normal_runs(experiments, 400):
        n = units_needed(x[:first], half_width=0.3)
        found = stein_interval(x[:n], first=first)
        covered += found.low <= 0 <= found.high
        assert half(found) <= 0.3 + 1e-12
    low, high = covered_band(experiments)
    assert low <= covered <= high


def test_stopped_where_it_looks_best_the_t_interval_misses_and_steins_does_not() -> None:
    """Of lengths 10 to 60, the one with the least sd * t: Stein's shows the same at all."""
    experiments, lengths = 5000, np.arange(10, 61)
    x = normal_runs(experiments, 60)
    sums, squares = x.cumsum(1)[:, 9:], np.square(x).cumsum(1)[:, 9:]
    means = sums / lengths
    sds = np.sqrt((squares - lengths * means**2) / (lengths - 1))
    best = (sps.t.ppf(0.975, lengths - 1) * sds).argmin(1)
    usual = stein = 0
    for run, at in zip(x, best, strict=True):
        t, s = t_interval(run[: at + 10]), stein_interval(run[: at + 10], first=10)
        usual += t.low <= 0 <= t.high
        stein += s.low <= 0 <= s.high
    low, high = covered_band(experiments)
    assert low <= stein <= high
    assert usual < low


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_all_hits_or_all_misses_do_not_stop_at_a_width_of_zero(score: float) -> None:
    """The largest share that 40 x 50 misses leave possible gives the variance."""
    edge = 1 - TAIL ** (1 / 2000)
    width = sps.t.ppf(0.975, 39) * math.sqrt(edge * (1 - edge) / 50 / 40)
    found = stein_interval([score] * 40, first=40, images=50)
    assert half(found) == pytest.approx(width, rel=1e-9)
    assert units_needed([score] * 40, half_width=width / 2, images=50) == pytest.approx(160, abs=1)
    assert half(stein_interval([score] * 40, first=40)) == 0
    assert units_needed([score] * 10, half_width=0.01) == 10


def test_equal_shares_have_the_binomial_variance() -> None:
    width = sps.t.ppf(0.975, 19) * math.sqrt(0.25 / 100 / 20)
    assert half(stein_interval([0.5] * 20, first=20, images=100)) == pytest.approx(width)


def test_the_next_unit_goes_to_the_shortest_and_then_to_the_widest() -> None:
    dice = np.random.default_rng(6)
    points = [scale * dice.random(30) for scale in (1.0, 3.0, 2.0)]
    assert next_point([p[:n] for p, n in zip(points, (10, 4, 4), strict=True)], first=10) == 1
    counts = [0, 0, 0]
    for _ in range(60):
        measured = [p[:n] for p, n in zip(points, counts, strict=True)]
        widths = [
            half(stein_interval(m, first=10)) if len(m) >= 10 else 1e9 - len(m) for m in measured
        ]
        chosen = next_point(measured, first=10)
        assert chosen == widths.index(max(widths))
        counts[chosen] += 1
    assert min(counts) >= 10


def test_later_values_do_not_decide_who_is_next() -> None:
    calm, wild = [0.4, 0.5, 0.6], [0.2, 0.5, 0.8]
    assert next_point([[*calm, 0.0, 1.0], [*wild, 0.5, 0.5]], first=3) == 1


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="first must be at least 2 units, got 1"):
        stein_interval([0.5, 0.6], first=1)
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        stein_interval([0.5, 0.6], first=2, images=0)
    for width in (0, -1, math.nan):
        with pytest.raises(ValueError, match=f"half_width must be > 0, got {width}"):
            units_needed([0.5, 0.6], half_width=width)
    with pytest.raises(ValueError, match="first_values must be at least 2 units, got 1"):
        units_needed([0.5], half_width=0.1)
    with pytest.raises(ValueError, match="points must be at least one, got none"):
        next_point([], first=10)
