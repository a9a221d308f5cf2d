"""Intervals over whole chips, against longhand sums."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as sps

from noiseproof import stats
from noiseproof.report.page import render
from noiseproof.report.sensitivity.tables import finding_text, terminal_tables
from noiseproof.results.pairing import over_chips
from noiseproof.results.rows import Row
from noiseproof.results.sensitivity import Ranking, rankings_of
from tests.rows import NO_NOISE, of_hits

NOISE = "lognormal(0.5)"
HITS = np.arange(20)


def chip(part: str, number: int, right: int, **more: Any) -> Row:
    """A row of 20 images, the first `right` of which are."""
    facts = json.dumps({"groups": 2, "weights": 10, "macs": 100})
    named = {"noise": NOISE, "level": 0.5, "chip": number, "part": part, "details": facts}
    return of_hits(right > HITS, **named | more)


def whole() -> list[Row]:
    """A network of 18 right images; noise in `a` takes 8, 6 and 7, in `b` always 1, in both 10, 9
    and 8."""
    rows = [of_hits(HITS < 18, **NO_NOISE)]
    rows += [chip("only:layer:a", number, right) for number, right in enumerate((10, 12, 11))]
    rows += [chip("only:layer:b", number, 17) for number in range(3)]
    rows += [chip("but:layer:", 10**6 + n, right) for n, right in enumerate((8, 9, 10))]
    rows += [chip("but:layer:a", 10**6 + n, right) for n, right in enumerate((17, 17, 16))]
    return rows


def only(rows: list[Row]) -> Ranking:
    (found,) = rankings_of(rows)
    return found


def test_drops_over_chips_are_t_intervals_of_the_losses() -> None:
    ranking = only(whole())
    assert [group.name for group in ranking.groups] == ["a", "b"]
    expected = stats.t_interval([8 / 20, 6 / 20, 7 / 20])
    drop = ranking.groups[0].drop
    assert (drop.mean, drop.low, drop.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    ahead = stats.t_interval([7 / 20, 5 / 20, 6 / 20])
    assert ranking.groups[0].ahead.low == pytest.approx(ahead.low)
    assert ranking.groups[0].is_told_apart
    assert (ranking.units, ranking.what, ranking.whom) == (3, "chip", "new chips, this test set")
    assert ranking.clean_accuracy.mean == 18 / 20
    assert math.isnan(ranking.clean_accuracy.low)


def test_chips_that_score_the_same_may_hide_a_step_of_one_image() -> None:
    drop = only(whole()).groups[1].drop
    assert drop.mean == pytest.approx(1 / 20)
    # So likely, at the end of its interval, is one chip's score to fall on the step where it fell.
    inside = 0.025 ** (1 / 3)
    sd = 0.5 / 20 / float(sps.norm.ppf((1 + inside) / 2))
    half = float(sps.t.ppf(0.975, 2)) * sd / math.sqrt(3)
    assert drop.high - drop.mean == pytest.approx(half)
    exact = over_chips(
        np.array([0.05] * 3), [chip("all", 0, 17, noise="quantize(bits=4)")], confidence=0.95
    )
    assert exact.low == exact.high == 0.05


def test_kept_digital_the_gain_is_paired_on_the_same_dice() -> None:
    steps = only(whole()).steps
    assert [step.kept for step in steps] == [(), ("a",), ("a", "b")]
    gain = stats.t_interval([9 / 20, 8 / 20, 6 / 20])
    assert (steps[1].gain.mean, steps[1].gain.low) == pytest.approx((gain.mean, gain.low))
    assert steps[2].accuracy.mean == 18 / 20
    assert math.isnan(steps[2].accuracy.high)


def test_a_finding_holds_for_all_numbers_together() -> None:
    ranking = only(whole())
    # Beyond the half of the way: 17 - 13, 17 - 13.5 and 16 - 14 of 20 images.
    beyond = stats.t_interval([4 / 20, 3.5 / 20, 2 / 20])
    assert beyond.low > 0
    assert ranking.finding is not None
    text = finding_text(ranking)
    assert text is not None
    assert text.endswith("more than half of the way to the clean 90.0 %.")


def test_without_the_clean_row_or_a_whole_group_there_is_no_ranking() -> None:
    assert rankings_of(whole()[1:]) == []
    assert rankings_of(whole()[:4]) == []


def test_chips_that_a_group_has_not_met_are_left_out() -> None:
    rows = [row for row in whole() if (row.part, row.chip) != ("only:layer:b", 2)]
    assert only(rows).units == 2


def test_words_tables_and_the_page_say_chips() -> None:
    ranking = only(whole())
    document = ranking.as_json()
    assert (document["chips"], document["interval_for"]) == (3, "new chips, this test set")
    assert document["clean"] == {"mean": 0.9, "low": None, "high": None}
    assert json.loads(json.dumps(document, allow_nan=False))["digital"][1]["chips"] == 3
    first, second = terminal_tables(ranking)
    assert "over 3 chips, each with all images (new chips, this test set)" in str(first.caption)
    assert "clean accuracy 90.00 %" in str(first.title)
    assert list(second.columns[2].cells)[-1] == "90.00"
    body = render([], source="s.db", rankings=[ranking])
    assert "over 3 chips, each with all images" in body
    assert "Drop: clean minus noisy accuracy in points (clean 90.00 %)" in body
    assert "over 3 chips" in repr(ranking)
