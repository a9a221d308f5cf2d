"""The source's figures beside the measured ones, and the level where a share is reached."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.study.report import (
    document_of,
)
from noiseproof.study.report.page import page_of
from noiseproof.study.report.published import level_at, share_at
from noiseproof.study.report.tables import (
    beside_table,
    matched_table,
)
from noiseproof.study.wanted import Task
from tests.study.report.answers import (
    COMPARISON,
    MEASUREMENTS,
    PAIR,
    T2,
    falling,
    reported,
    study_of,
)


def test_the_matched_level_is_read_by_hand() -> None:
    report = reported(study_of(published=PAIR), falling)
    (matched,) = report.matched
    near, far = matched.matches
    # none falls from .9 at .1 to .5 at .3: .7 at .2. There batch keeps .5, .6, .7 by seed.
    assert dict(near.at) == {"targets": "kernel"}
    assert near.level == pytest.approx(0.2)
    half = T2 * 0.1 / math.sqrt(3)
    assert (near.kept.mean, near.kept.low) == pytest.approx((0.6, 0.6 - half))
    assert dict(far.at) == {"targets": "kernel,bias"}
    assert far.kept.mean == pytest.approx(0.85)
    table = matched_table(matched, report.names)
    low, high = 60 - 100 * half, 60 + 100 * half
    assert table.rows[0] == ("kernel", "0.2", f"60 [{low:.0f}, {high:.0f}], n = 3", "+19")
    assert table.rows[1][:2] == ("kernel,bias", "0.2")
    page = page_of(report)
    assert "which is not the source&#39;s own average" in page
    assert "are given without noise levels" in page


def test_a_published_share_that_is_never_reached_is_beyond_the_levels() -> None:
    report = reported(study_of(published=PAIR.replace("70.0", "30.0")), falling)
    rows = matched_table(report.matched[0], report.names).rows
    assert [row[1:] for row in rows] == [
        ("beyond the levels (keeps 50.0 % at the highest)", "-", "-")
    ] * 2
    matches = document_of(report)["matched"][0]["matches"]
    assert [(one["level"], one["mean"]) for one in matches] == [(None, None)] * 2


@pytest.mark.parametrize(
    "change",
    {
        "another where": ("}\n[[", ', targets = "kernel" }\n[['),
        "a level": ('"resnet8" }', '"resnet8", level = 0.1 }'),
        "no second side": ("side = 1", "# none"),
    }.items(),
    ids=lambda item: item[0],
)
def test_no_pair_is_matched_without_two_sides_one_where_and_a_free_level(
    change: tuple[str, tuple[str, str]],
) -> None:
    assert reported(study_of(published=PAIR), falling).matched
    assert not reported(study_of(published=PAIR.replace(*change[1])), falling).matched


def test_no_pair_is_matched_where_the_score_is_no_share() -> None:
    study = study_of(published=PAIR, comparisons=COMPARISON + 'score = "average"\n')
    assert not reported(study, falling).matched


def test_the_level_is_where_the_line_falls_to_the_share_first() -> None:
    line = {0.0: 1.0, 0.1: 0.6, 0.2: 0.8, 0.3: 0.2}
    assert level_at(line, 0.7) == pytest.approx(0.075)
    assert level_at(line, 0.6) == pytest.approx(0.1)
    assert level_at(line, 0.5) == pytest.approx(0.25)
    assert level_at(line, 0.1) is None
    assert level_at(line, 1.0) == 0.0


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.floats(0.01, 1.0))
def test_the_line_at_the_found_level_has_the_share(values: list[float], wanted: float) -> None:
    line = {0.0: 1.0} | {0.1 * (place + 1): value for place, value in enumerate(values)}
    level = level_at(line, wanted)
    if level is None:
        assert min(values) > wanted
    else:
        assert share_at(line, level) == pytest.approx(wanted, abs=1e-9)


def test_published_figures_stand_beside_the_measured_side() -> None:
    report = reported(study_of(published=PAIR), falling)
    rows = beside_table(report).rows
    half = 100 * T2 * 0.02 / math.sqrt(3)
    assert rows[0] == (
        "without (beside it: model resnet8)",
        "70",
        f"70.0 [{70 - half:.1f}, {70 + half:.1f}], n = 3",
        "kernel",
    )
    assert rows[1][:2] == ("", "")
    assert rows[2][:2] == ("with (beside it: model resnet8)", "41.32")
    assert rows[2][2].startswith("60 [")  # batch: mean of .8 and .4


def test_of_many_combinations_the_closest_lowest_and_highest_are_named() -> None:
    targets = ["kernel", "bias", "kernel,bias", "norm_affine", "kernel,norm_affine"]
    many = MEASUREMENTS.replace('["kernel", "kernel,bias"]', json.dumps(targets))
    means = dict(zip(targets, (0.5, 0.68, 0.9, 0.6, 0.8), strict=True))

    def noisy(task: Task, level: float, chip: int) -> float:
        return means[",".join(task.targets)] + 0.001 * task.network.seed

    rows = beside_table(reported(study_of(measurements=many, published=PAIR), noisy)).rows
    assert [row[3] for row in rows[:3]] == [
        "closest of 5: bias",
        "lowest of 5: kernel",
        "highest of 5: kernel,bias",
    ]
    assert [row[2][:4] for row in rows[:3]] == ["68.1", "50.1", "90.1"]
    assert [row[3] for row in rows[3:]] == [
        "closest and lowest of 5: kernel",
        "highest of 5: kernel,bias",
    ]


def test_a_figure_of_one_level_stands_beside_that_level() -> None:
    at_level = PAIR.replace('model = "resnet8"', "level = 0.1")
    rows = beside_table(reported(study_of(published=at_level), falling)).rows
    assert rows[0][2].startswith("90")


def test_a_figure_of_no_side_has_nothing_beside_it() -> None:
    alone = '[[claim.published]]\nwhat = "another"\npercent = 12.5\n'
    report = reported(study_of(published=alone), falling)
    assert beside_table(report).rows == (("another", "12.5", "belongs to no side", ""),)
    assert document_of(report)["published"][0]["measured"] == []
