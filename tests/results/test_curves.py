"""From rows to estimates: what is one point, what is one curve, what is paired with what."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as sps

from noiseproof import stats
from noiseproof.results.curves import Curve, as_json, curves_of, paired_difference, way_of
from noiseproof.results.estimates import NEW_BOTH, NEW_CHIPS
from noiseproof.results.rows import Row
from tests.rows import NO_NOISE
from tests.rows import of_hits as made


def clean(hits: int | list[int] = 8, **changes: Any) -> Row:
    return made(hits, **NO_NOISE | changes)


def at(level: float, *hits: int, **changes: Any) -> list[Row]:
    """One chip for each of `hits`, at one level."""
    text = f"gaussian({level!r}, reference=std, scope=tensor)"
    return [
        made(count, **{"noise": text, "level": level, "chip": chip, **changes})
        for chip, count in enumerate(hits)
    ]


def one(rows: list[Row]) -> Curve:
    (curve,) = curves_of(rows)
    return curve


# --- grouping -----------------------------------------------------------------------------------


def test_a_curve_holds_its_levels_in_ascending_order() -> None:
    curve = one([*at(1.0, 1, 2), clean(), *at(0.0, 8, 8), *at(0.25, 5, 6)])
    assert curve.levels == (0.0, 0.25, 1.0)
    assert [point.by_chip for point in curve.points] == [(0.8, 0.8), (0.5, 0.6), (0.1, 0.2)]
    assert curve.family == "gaussian(level, reference=std, scope=tensor)"
    assert curve.clean.correct == 8


OTHER = {
    "noise": {"noise": "laplace(0.1, reference=std, scope=tensor)"},
    "reference": {"noise": "gaussian(0.1, reference=max, scope=tensor)"},
    "first stage": {
        "noise": "quantize(bits=4, scope=tensor) + gaussian(0.1, reference=std, scope=tensor)"
    },
    "targets": {"targets": "kernel,bias"},
    "recalibration": {"recalibrate": "pooled(100)", "calibration_sha256": "e" * 64},
}


@pytest.mark.parametrize("what", OTHER)
def test_rows_that_differ_in_it_are_two_curves(what: str) -> None:
    curves = curves_of([clean(), *at(0.1, 5, 6), *at(0.1, 3, 4, **OTHER[what])])
    assert [curve.points[0].by_chip for curve in curves] == [(0.5, 0.6), (0.3, 0.4)]


@pytest.mark.parametrize("name", ["checkpoint", "model", "norm", "task", "data", "scale"])
def test_each_network_is_related_to_its_own_clean_row(name: str) -> None:
    other = {name: "segment" if name == "task" else "other"}
    rows = [clean(8), clean(4, **other), *at(0.1, 2, 2, **other), *at(0.1, 2, 2)]
    means = {
        getattr(curve.clean, name): curve.points[0].normalised.mean for curve in curves_of(rows)
    }
    shares = {other[name]: 0.5, getattr(made(), name): 0.25}
    assert means == {key: pytest.approx(share) for key, share in shares.items()}


def test_rows_without_a_clean_network_are_left_out() -> None:
    assert curves_of(at(0.1, 5, 6)) == []
    assert len(curves_of([clean(), *at(0.1, 5), *at(0.1, 5, checkpoint="f" * 64)])) == 1


def test_noise_without_a_level_is_one_point() -> None:
    rows = [made(chip=chip, noise="quantize(bits=4, scope=tensor)", level=None) for chip in (0, 1)]
    curve = one([clean(), *rows])
    assert curve.levels == (None,)
    assert curve.points[0].chips == 2


def test_chips_of_two_seeds_are_chips_of_one_point() -> None:
    point = one([clean(), *at(0.1, 4, 5), *at(0.1, 6, 7, seed=1)]).points[0]
    assert point.by_chip == (0.4, 0.5, 0.6, 0.7)


# --- estimates ----------------------------------------------------------------------------------


def test_normalised_accuracy_is_accuracy_over_clean_accuracy() -> None:
    point = one([clean(8), *at(0.1, 2, 4, 6)]).points[0]
    half = sps.t.ppf(0.975, 2) * 0.2 / math.sqrt(3)  # the three accuracies have sd 0.2
    assert point.accuracy.mean == pytest.approx(0.4)
    assert point.accuracy.high == pytest.approx(0.4 + half)
    assert point.accuracy.low == 0, "an accuracy is never below zero"
    assert point.normalised.mean == pytest.approx(0.5)
    assert point.normalised.high == pytest.approx((0.4 + half) / 0.8)


def test_average_normalised_accuracy_is_a_mean_per_chip_then_over_chips() -> None:
    """By hand: chip 0 has (0.8 + 0.4) / 2 / 0.8 = 0.75, chip 1 has (0.6 + 0.6) / 2 / 0.8 = 0.75;
    each level alone varies, the chips' averages do not, so the interval is a point."""
    average = one([clean(8), *at(0.1, 8, 6), *at(0.2, 4, 6)]).average_normalised
    assert (average.mean, average.low, average.high) == pytest.approx((0.75, 0.75, 0.75))


def test_the_average_takes_each_chip_by_its_name_not_its_place() -> None:
    rows = at(0.2, 4, 6)
    average = one([clean(8), *at(0.1, 8, 6), *reversed(rows)]).average_normalised
    assert average.high - average.low == pytest.approx(0, abs=1e-12)


def test_the_average_is_over_the_chips_that_every_level_has() -> None:
    average = one([clean(8), *at(0.1, 8, 6, 0), *at(0.2, 4, 6)]).average_normalised
    assert average.mean == pytest.approx(0.75)


def test_the_average_says_over_how_many_chips_it_is() -> None:
    curve = one([clean(8), *at(0.1, 8, 6, 0), *at(0.2, 4, 6)])
    assert as_json([curve])["average_normalised"][0]["chips"] == 2


def test_levels_measured_on_different_chips_have_no_average() -> None:
    curve = one([clean(), *at(0.1, 5, 6), *at(0.2, 3, 4, seed=1)])
    assert math.isnan(curve.average_normalised.mean)
    assert as_json([curve])["average_normalised"][0]["mean"] is None


def test_a_chip_is_paired_with_itself_whatever_the_order() -> None:
    before = at(0.1, 1, 3, 5, seed=0) + at(0.1, 7, seed=1)
    after = [
        replace(made(round(10 * row.score) + 2), seed=row.seed, chip=row.chip) for row in before
    ]
    a = one([clean(), *reversed(after)]).points[0]
    b = one([clean(), *before]).points[0]
    gain = paired_difference(a, b)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.2, 0.2, 0.2))


def test_only_chips_of_both_count_in_a_difference() -> None:
    a = one([clean(), *at(0.1, 6, 8, 0), *at(0.2, 1, 1)])
    b = one([clean(), *at(0.1, 5, 6, seed=0), *at(0.1, 9, 9, seed=1), *at(0.3, 1, 1)])
    found = a.difference(b)
    assert list(found) == [0.1]
    expected = stats.t_interval([0.1, 0.2])
    assert found[0.1].mean == pytest.approx(expected.mean)
    assert found[0.1].low == pytest.approx(expected.low)


def test_curves_without_two_chips_in_common_have_no_difference() -> None:
    a, b = one([clean(), *at(0.1, 5, 6)]), one([clean(), *at(0.1, 5, 6, seed=1)])
    with pytest.raises(ValueError, match="the two curves have no level with two chips in common"):
        a.difference(b)


def test_chance_corrected_is_zero_at_chance_and_one_when_nothing_is_lost() -> None:
    lost = one([clean(8), *at(0.1, 1, 1)]).points[0]
    kept = one([clean(8), *at(0.1, 8, 8)]).points[0]
    assert lost.chance_corrected.mean == pytest.approx(0, abs=1e-12)
    same = kept.chance_corrected
    assert (same.mean, same.low, same.high) == pytest.approx((1, 1, 1))


def test_chance_comes_from_the_number_of_classes() -> None:
    point = one([clean(10, classes=4), *at(0.1, 4, 4, classes=4)]).points[0]
    assert point.chance_corrected.mean == pytest.approx((0.4 - 0.25) / 0.75)


def test_crossed_is_the_two_way_interval_of_the_hits() -> None:
    hits = [[1, 0] * 5, [1, 1] * 5, [0, 1] * 5]
    point = one([clean(), *(made(h, chip=chip) for chip, h in enumerate(hits))]).points[0]
    expected = stats.crossed_interval(np.array(hits)).within(0, 1)
    assert point.crossed == expected
    assert point.hits.tolist() == np.array(hits, dtype=bool).tolist()


def test_nonfinite_images_are_counted_over_all_chips() -> None:
    rows = [made(chip=0, nonfinite=2), made(chip=1, nonfinite=3)]
    assert one([clean(), *rows]).points[0].nonfinite == 5


def boxes(score: float, **changes: Any) -> Row:
    """A detector's chip: a score without hits."""
    return replace(made(), task="detect", score=score, correct=None, hits=b"", **changes)


def detector(*scores: float, **changes: Any) -> Curve:
    clean_row = boxes(0.8, noise="none", targets="", level=None, details='{"mAP@.5": 1.0}')
    rows = [
        boxes(score, chip=chip, details=json.dumps({"mAP@.5": score / 2}))
        for chip, score in enumerate(scores)
    ]
    return one([replace(row, **changes) for row in (clean_row, *rows)])


def test_a_score_without_hits_has_its_t_interval_alone() -> None:
    point = detector(0.4, 0.5, 0.6).points[0]
    assert point.metric == "mAP"
    assert point.score == stats.t_interval([0.4, 0.5, 0.6])
    assert point.figure("mAP@.5").mean == pytest.approx(0.25)
    assert math.isnan(point.crossed.low)
    assert math.isnan(point.chance_corrected.mean)
    found = json.loads(json.dumps(point.as_json(), allow_nan=False))
    assert found["mAP"]["mean"] == pytest.approx(0.5)
    assert found["figures"]["mAP@.5"]["mean"] == pytest.approx(0.25)
    assert found["crossed"] == {"low": None, "high": None, "for": NEW_BOTH}


def test_a_score_of_ones_own_is_not_bounded() -> None:
    point = detector(-3.0, 5.0, task="my:score").points[0]
    assert point.metric == "score"
    assert point.score == stats.t_interval([-3.0, 5.0])
    assert point.score.low < 0 < 1 < point.score.high
    assert point.figure("mAP@.5").low < 0


def test_a_negative_clean_score_has_no_ratio() -> None:
    curve = detector(-3.0, 5.0, task="my:score")
    negative = replace(curve.points[0], clean=replace(curve.clean, score=-1.0))
    assert math.isnan(negative.normalised.mean)
    assert math.isnan(replace(curve, points=(negative,)).average_normalised.mean)


def test_words_say_what_the_recalibration_sees() -> None:
    row = made(recalibrate="ema(0.1, batch=8)")
    assert way_of(row) == "ema(0.1, batch=8)"
    assert way_of(replace(row, calibration="test")) == "ema(0.1, batch=8) [test images]"
    assert way_of(replace(row, calibration="train augmented")).endswith(" [augmented]")
    assert way_of(replace(row, calibration="train")) == "ema(0.1, batch=8)"


# --- the document -------------------------------------------------------------------------------


def document(rows: list[Row]) -> Any:
    return json.loads(json.dumps(as_json(curves_of(rows)), allow_nan=False))


def test_the_document_has_these_keys_and_these_numbers() -> None:
    found = document([clean(8), *at(0.5, 2, 4, 6, targets="kernel,bias", nonfinite=1)])
    # Clopper and Pearson's ends for 8 of 10, as in any table of them.
    ends = {"low": pytest.approx(0.4439, abs=1e-4), "high": pytest.approx(0.9748, abs=1e-4)}
    said = {"for": "new images", "confidence": 0.95, "better": "higher", "unit": "%"}
    assert found["clean"] == {"accuracy": 0.8, "images": 10, "near_chance": False} | ends | said
    assert found["chance"] == 0.1
    (point,) = found["curves"]
    same = {"level": 0.5, "chips": 3, "images": 10, "nonfinite": 3, "recalibrate": "off"}
    same |= {"targets": ["kernel", "bias"], "noise": "gaussian(0.5, reference=std, scope=tensor)"}
    assert {key: point[key] for key in same} == same
    assert point["accuracy"]["mean"] == pytest.approx(0.4)
    assert point["accuracy"]["sd"] == pytest.approx(0.2)
    assert set(point["accuracy"]) == {"mean", "low", "high", "sd", "for"}
    assert set(point["crossed"]) == {"low", "high", "for"}
    for name in ("normalised", "chance_corrected"):
        assert set(point[name]) == {"mean", "low", "high", "for"}
        assert point[name]["low"] < point[name]["mean"] < point[name]["high"]
    (average,) = found["average_normalised"]
    assert average["levels"] == [0.5]
    assert average["chips"] == 3
    assert found["provenance"]["checkpoint"] == "c" * 64
    assert found["provenance"]["interval"] == 0.95


def test_every_point_of_every_curve_is_an_entry() -> None:
    rows = [clean(), *at(0.1, 5, 6), *at(0.2, 3, 4), *at(0.1, 7, 7, recalibrate="pooled(9)")]
    entries = document(rows)["curves"]
    assert [(e["recalibrate"], e["level"]) for e in entries] == [
        ("off", 0.1),
        ("off", 0.2),
        ("pooled(9)", 0.1),
    ]


def test_an_interval_that_does_not_exist_is_null() -> None:
    (point,) = document([clean(), *at(0.1, 4)])["curves"]
    here = {"low": None, "high": None, "for": NEW_CHIPS}
    assert point["accuracy"] == {"mean": 0.4, "sd": None} | here
    assert point["crossed"] == {"low": None, "high": None, "for": NEW_BOTH}
    assert point["normalised"] == {"mean": 0.5} | here
    assert point["chance_corrected"]["low"] is None


def test_a_clean_network_without_a_hit_has_null_for_ratios() -> None:
    found = document([clean(0), *at(0.1, 4, 5)])
    none = {"mean": None, "low": None, "high": None, "for": NEW_CHIPS}
    assert found["curves"][0]["normalised"] == none
    assert found["average_normalised"][0]["mean"] is None


def test_a_single_image_has_no_interval_over_images() -> None:
    one_image = {"noise": "gaussian(0.1, reference=std, scope=tensor)"}
    rows = [clean([1]), made([1], chip=0, **one_image), made([0], chip=1, **one_image)]
    (point,) = document(rows)["curves"]
    assert point["accuracy"]["mean"] == 0.5
    assert point["crossed"] == {"low": None, "high": None, "for": NEW_BOTH}
    assert point["chance_corrected"]["low"] is None
