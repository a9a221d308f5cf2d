"""Chips of unequal dice are no pairs."""

from dataclasses import replace

import pytest

from noiseproof import stats
from noiseproof.core.checks import UnpairedWarning
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.dice import have_same_dice
from tests.rows import NO_NOISE, of_hits

SCORES = (3, 5, 6, 9)
OTHERS = (2, 4, 4, 8)


def curve(hits: tuple[int, ...], dice: str) -> Curve:
    rows = [of_hits(right, chip=chip, dice=dice) for chip, right in enumerate(hits)]
    return curves_of([of_hits(9, **NO_NOISE), *rows])[0]


def test_unequal_dice_are_said_and_compared_as_independent_chips() -> None:
    a, b = curve(SCORES, "kernel:aaaa"), curve(OTHERS, "kernel:bbbb")
    with pytest.warns(UnpairedWarning, match="chips of one number are no pairs"):
        (found,) = a.difference(b).values()
    welch = stats.welch_interval([h / 10 for h in SCORES], [h / 10 for h in OTHERS])
    assert (found.mean, found.low, found.high) == (welch.mean, welch.low, welch.high)


@pytest.mark.parametrize("dice", ["kernel:aaaa", "", "kernel:aaaa,bias:cc"])
def test_equal_dice_and_those_of_older_rows_are_paired(dice: str) -> None:
    (found,) = curve(SCORES, "kernel:aaaa").difference(curve(OTHERS, dice)).values()
    paired = stats.paired_interval([h / 10 for h in SCORES], [h / 10 for h in OTHERS])
    assert (found.mean, found.low, found.high) == (paired.mean, paired.low, paired.high)


def test_dice_are_compared_role_by_role() -> None:
    row = of_hits(3, dice="bias:b,kernel:k")
    assert have_same_dice(row, replace(row, dice="kernel:k"))
    assert not have_same_dice(row, replace(row, dice="kernel:k,bias:c"))
    assert not have_same_dice(row, replace(row, dice="norm_affine:n"))
