"""Rows of streams to estimates, against loops over rows."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as sps

from noiseproof.results.curves import curves_of
from noiseproof.results.rows import Row
from noiseproof.results.streams import Trace, stream_key, traces_of, without_recalibration
from tests.rows import DETECTOR, of_score

WINDOW = 50


def made(score: float, **changes: Any) -> Row:
    usual = {"targets": "kernel,bias", "stream": "redraw(every=100)", "images": WINDOW}
    return of_score(score, **DETECTOR | usual | changes)


def along(scores: list[list[float]], **changes: Any) -> list[Row]:
    """A chip for each list, a window for each of its scores."""
    return [
        made(score, seen=WINDOW * place, chip=chip, **changes)
        for chip, line in enumerate(scores)
        for place, score in enumerate(line)
    ]


def one(rows: list[Row]) -> Trace:
    (trace,) = traces_of(rows)
    return trace


def slow_interval(values: list[float]) -> tuple[float, float, float]:
    n = len(values)
    mean = sum(values) / n
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(sps.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return mean, mean - half, mean + half


def ends(interval: Any) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


SCORES = [[0.5, 0.4, 0.6], [0.52, 0.41, 0.55], [0.47, 0.45, 0.61], [0.55, 0.36, 0.5]]


def test_a_trace_is_what_loops_over_its_rows_say() -> None:
    rows = along(SCORES)
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    trace = one(shuffled)
    assert trace.positions == (0, 50, 100)
    assert trace.chips == ((0, 0), (0, 1), (0, 2), (0, 3))
    for place in range(3):
        expected = slow_interval([line[place] for line in SCORES])
        assert ends(trace.at(place)) == pytest.approx(expected, rel=1e-12)
    expected = slow_interval([sum(line) / 3 for line in SCORES])
    assert ends(trace.overall) == pytest.approx(expected, rel=1e-12)


def test_the_difference_is_paired_over_the_chips_of_both() -> None:
    better = [[score + 0.1 + 0.01 * chip for score in line] for chip, line in enumerate(SCORES)]
    ours, theirs = one(along(better, recalibrate="batch(8)")), one(along(SCORES[:3]))
    expected = slow_interval([0.1, 0.11, 0.12])
    assert ends(ours.difference(theirs)) == pytest.approx(expected, rel=1e-9)
    assert ends(theirs.difference(ours))[0] == pytest.approx(-expected[0])


def test_traces_without_a_chip_in_common_have_no_difference() -> None:
    ours, theirs = one(along(SCORES)), one(along(SCORES, seed=1))
    assert all(math.isnan(end) for end in ends(ours.difference(theirs)))


def test_other_windows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="the two traces have different windows"):
        one(along(SCORES)).difference(one(along([line[:2] for line in SCORES])))


def test_a_chip_that_was_not_followed_to_the_end_does_not_count() -> None:
    rows = along(SCORES)[:-1]
    trace = one(rows)
    assert trace.chips == ((0, 0), (0, 1), (0, 2))
    expected = slow_interval([line[0] for line in SCORES[:3]])
    assert ends(trace.at(0)) == pytest.approx(expected, rel=1e-12)


def test_chips_of_two_seeds_are_chips_of_one_trace() -> None:
    assert len(one(along(SCORES) + along(SCORES, seed=1)).chips) == 8


def test_one_chip_has_a_mean_and_no_interval() -> None:
    trace = one(along(SCORES[:1]))
    assert trace.overall.mean == pytest.approx(0.5)
    assert math.isnan(trace.overall.low)


def test_scores_of_named_tasks_stay_between_0_and_1_and_others_do_not() -> None:
    wide = [[0.01, 0.02], [0.9, 0.99]]
    inside, outside = one(along(wide)), one(along(wide, task="my.module:score"))
    assert (inside.overall.low, inside.overall.high) == (0, 1)
    assert outside.overall.low < 0 < 1 < outside.overall.high
    assert (inside.metric, outside.metric) == ("mAP", "score")


OTHER = {
    "recalibrate": {"recalibrate": "ema(0.1, batch=8)"},
    "calibration": {"calibration_sha256": "e" * 64},
    "stream": {"stream": "redraw(every=200)"},
    "noise": {"noise": "gaussian(0.2, reference=std, scope=tensor)"},
    "targets": {"targets": "kernel"},
    "network": {"checkpoint": "f" * 64},
    "window": {"images": 25},
}


@pytest.mark.parametrize("what", OTHER)
def test_rows_that_differ_in_it_are_two_traces(what: str) -> None:
    traces = traces_of(along(SCORES) + along(SCORES[::-1], **OTHER[what]))
    assert [trace.scores[0, 0][0] for trace in traces] == [0.5, 0.55]


def test_rows_outside_streams_are_no_trace_and_rows_of_streams_no_curve() -> None:
    still = [replace(row, stream="", seen=0) for row in along([[0.5], [0.6]])]
    clean = replace(still[0], noise="none", targets="", level=None)
    rows = [clean, *still, *along(SCORES)]
    assert len(traces_of(rows)) == 1
    assert traces_of(still) == []
    (curve,) = curves_of(rows)
    assert curve.points[0].by_chip == (0.5, 0.6)


def test_the_trace_with_frozen_statistics_is_found_by_its_stream() -> None:
    rows = along(SCORES) + along(SCORES, recalibrate="batch(8)")
    rows += along(SCORES, stream="redraw(every=50)", recalibrate="batch(8)")
    traces = traces_of(rows)
    found = without_recalibration(traces)
    assert list(found) == [stream_key(traces[0].first)]
    assert found[stream_key(traces[1].first)].first.recalibrate == "off"


def test_the_document_has_these_keys_and_no_nan() -> None:
    found = json.loads(json.dumps(one(along(SCORES[:1])).as_json(), allow_nan=False))
    assert found["seen"] == [0, 50, 100]
    assert found["chips"] == 1
    assert found["window"] == WINDOW
    assert found["targets"] == ["kernel", "bias"]
    assert found["mAP"][1] == {"mean": 0.4, "low": None, "high": None}
    assert found["overall"]["mean"] == pytest.approx(0.5)
    same = {"recalibrate": "off", "stream": "redraw(every=100)", "calibration": ""}
    assert {name: found[name] for name in same} == same
