"""What the clean network scores, and whether that says anything."""

import json
import math
from typing import Any

import pytest
from scipy import stats as sps

from noiseproof.results.clean import clean_interval, clean_sentence, clean_value, sees_nothing
from noiseproof.results.curves import curves_of
from noiseproof.results.rows import Row
from tests.rows import DETECTOR, NO_NOISE, of_hits, of_score


@pytest.mark.parametrize(("hits", "images"), [(0, 12), (5, 40), (39, 40), (40, 40)])
def test_the_clean_interval_is_that_of_an_exact_binomial_test(hits: int, images: int) -> None:
    row = of_hits(hits, images, **NO_NOISE)
    exact = sps.binomtest(hits, images).proportion_ci(method="exact")
    found = clean_interval(row)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.mean == row.score


@pytest.mark.parametrize("hits", range(0, 41, 2))
def test_near_chance_is_what_an_exact_test_against_chance_does_not_reject(hits: int) -> None:
    row = of_hits(hits, 40, **NO_NOISE, classes=4)
    rejected = sps.binomtest(hits, 40, 0.25, alternative="greater").pvalue < 0.025
    assert sees_nothing(row) == (not rejected)


SCORES: dict[str, tuple[dict[str, Any], bool]] = {
    # One class everywhere scores at most 1 of 11.
    "a wrong scale": ({"score": 0.03, "task": "segment", "classes": 11}, True),
    "a segmenter": ({"score": 0.2, "task": "segment", "classes": 11}, False),
    "no boxes": ({"score": 0.0, "task": "detect"}, True),
    "a detector": ({"score": 0.3, "task": "detect"}, False),
    "an error below chance": ({"score": 1.0, "better": "lower", "blind": 2.0}, False),
    "an error at chance": ({"score": 2.0, "better": "lower", "blind": 2.0}, True),
    "unknown": ({"score": -5.0}, False),
    "no labels": ({"score": math.nan, "task": "detect"}, False),
}


@pytest.mark.parametrize("kind", SCORES)
def test_other_scores_are_near_chance_where_their_rule_says_so(kind: str) -> None:
    given, expected = SCORES[kind]
    assert sees_nothing(scored(**given)) == expected


def scored(score: float, **given: Any) -> Row:
    said = {name: given.pop(name) for name in ("better", "blind") if name in given}
    own = {"task": "my:score", "score_is": json.dumps(said) if said else ""}
    return of_score(score, **DETECTOR | NO_NOISE | own | given)


def test_nothing_is_normalised_by_a_clean_score_near_chance() -> None:
    noisy = [of_hits(hits, 40, chip=hits) for hits in (3, 5)]
    (near,) = curves_of([of_hits(4, 40, **NO_NOISE), *noisy])
    (clear,) = curves_of([of_hits(20, 40, **NO_NOISE), *noisy])
    for curve, is_there in ((near, False), (clear, True)):
        point = curve.points[0]
        for share in (point.normalised, point.chance_corrected, curve.average_normalised):
            assert math.isfinite(share.mean) == is_there


def test_a_clean_score_says_its_interval_its_images_and_that_it_is_near_chance() -> None:
    assert clean_sentence(of_hits(36, 40, **NO_NOISE)) == (
        "clean accuracy 90.00 [76.3, 97.2] % of 40 test images"
    )
    assert clean_value(of_hits(4, 40, **NO_NOISE)).endswith(" %, not told apart from chance")
    assert clean_value(scored(math.nan)) == "-"
