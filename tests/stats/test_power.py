"""The power of an interval, against scipy's noncentral t and against literal experiments."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.stats import (
    MOST,
    fewest,
    smallest_difference,
    t_interval,
    t_power,
    welch_interval,
    welch_power,
)

EXPERIMENTS, FALSE_ALARMS = 4000, 1e-6


def tolerance(power: float) -> float:
    """Of a share of the experiments: what a binomial passes once in a million times, and a
    thousandth for its normal law."""
    reach = float(sps.norm.ppf(1 - FALSE_ALARMS / 2))
    return reach * math.sqrt(power * (1 - power) / EXPERIMENTS) + 1e-3


@pytest.mark.parametrize("n", [2, 3, 5, 20, 1000])
@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 40])
def test_the_power_of_the_t_interval_is_scipys_noncentral_t(n: int, confidence: float) -> None:
    limit = sps.t.ppf((1 + confidence) / 2, n - 1)
    for shift in (0.5 * limit, limit, 1.5 * limit):
        found = t_power(2 * shift / math.sqrt(n), sd=2.0, n=n, confidence=confidence)
        assert found == pytest.approx(sps.nct.sf(limit, n - 1, shift), abs=1e-5)


@pytest.mark.parametrize(
    ("sds", "n", "confidence"),
    [
        ((1.0, 1.0), (3, 3), 0.95),
        ((1.0, 4.0), (3, 3), 0.95),
        ((1.0, 1.0), (2, 6), 0.95),
        ((2.0, 1.0), (4, 3), 1 - 0.05 / 12),
    ],
)
def test_so_many_experiments_tell_the_smallest_difference_apart(
    sds: tuple[float, float], n: tuple[int, int], confidence: float
) -> None:
    smallest = smallest_difference(
        lambda one: welch_power(one, sds=sds, n=n, confidence=confidence)
    )
    for difference in (smallest, 0.6 * smallest):
        power = welch_power(difference, sds=sds, n=n, confidence=confidence)
        dice = np.random.default_rng(0)
        told = sum(
            welch_interval(
                dice.normal(difference, sds[0], n[0]),
                dice.normal(0, sds[1], n[1]),
                confidence=confidence,
            ).low
            > 0
            for _ in range(EXPERIMENTS)
        )
        assert told / EXPERIMENTS == pytest.approx(power, abs=tolerance(power))


def test_pairs_too_are_told_apart_so_often() -> None:
    power = t_power(1.0, sd=0.7, n=4)
    dice = np.random.default_rng(1)
    told = sum(t_interval(dice.normal(1.0, 0.7, 4)).low > 0 for _ in range(EXPERIMENTS))
    assert told / EXPERIMENTS == pytest.approx(power, abs=tolerance(power))


def test_a_side_without_spread_leaves_the_t_interval_of_the_other() -> None:
    for sds in ((2.0, 0.0), (0.0, 2.0)):
        found = welch_power(3.0, sds=sds, n=(4, 4))
        assert found == pytest.approx(t_power(3.0, sd=2.0, n=4), abs=1e-6)


def test_with_many_values_it_is_the_textbooks_normal_formula() -> None:
    z = sps.norm.ppf(0.975) + sps.norm.ppf(0.8)
    found = smallest_difference(lambda one: welch_power(one, sds=(3.0, 4.0), n=(900, 900)))
    assert found == pytest.approx(z * 5 / 30, rel=3e-3)
    assert fewest(lambda n: t_power(1.0, sd=5.0, n=n)) == pytest.approx((5 * z) ** 2, abs=3)


def test_the_fewest_values_have_the_power_and_one_less_has_not() -> None:
    for difference in (0.9, 2.0, 5.0):

        def power(n: int, difference: float = difference) -> float:
            return welch_power(difference, sds=(1.0, 1.5), n=(n, n))

        n = fewest(power)
        assert power(n) >= 0.8
        assert n == 2 or power(n - 1) < 0.8


def test_what_no_number_of_values_tells_apart_is_one_more_than_the_most() -> None:
    assert fewest(lambda n: t_power(0.01, sd=1.0, n=n)) == MOST + 1
    assert fewest(lambda n: t_power(1.0, sd=1.0, n=n), most=12) <= 12
    assert smallest_difference(lambda one: 0.5) == math.inf


def test_without_spread_every_difference_is_told_apart() -> None:
    assert t_power(0.1, sd=0.0, n=2) == welch_power(0.1, sds=(0.0, 0.0), n=(2, 2)) == 1.0
    assert welch_power(0.0, sds=(0.0, 0.0), n=(2, 2)) == 0.0
    assert smallest_difference(lambda one: t_power(one, sd=0.0, n=2)) <= 1e-6


@given(
    st.floats(0.1, 10),
    st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)),
    st.tuples(st.integers(2, 30), st.integers(2, 30)),
)
@settings(max_examples=40, deadline=None)
def test_power_grows_with_the_difference_and_knows_no_unit_and_no_order(
    difference: float, sds: tuple[float, float], n: tuple[int, int]
) -> None:
    power = welch_power(difference, sds=sds, n=n)
    assert 0 <= power <= 1 + 1e-9
    assert welch_power(1.1 * difference, sds=sds, n=n) >= power - 1e-9
    scaled = welch_power(7 * difference, sds=(7 * sds[0], 7 * sds[1]), n=n)
    assert scaled == pytest.approx(power, abs=1e-9)
    assert welch_power(difference, sds=sds[::-1], n=n[::-1]) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sd": 1.0, "n": 1}, "n must be at least 2, got 1"),
        ({"sd": -1.0, "n": 3}, "sd must be >= 0, got -1"),
        ({"sd": math.nan, "n": 3}, "sd must be >= 0, got nan"),
        ({"sd": 1.0, "n": 3, "confidence": 1.0}, "confidence must lie between 0 and 1, got 1"),
    ],
)
def test_a_power_of_nonsense_is_refused(given: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        t_power(1.0, **given)  # type: ignore[arg-type]
