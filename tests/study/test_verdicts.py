"""What the intervals say of a claim: computed by hand, and by scipy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.specs.noise import Spec
from noiseproof.stats.intervals import welch_interval
from noiseproof.study import grid_of
from noiseproof.study.measured import at_levels, measured_of
from noiseproof.study.verdicts import Cell, Side, Verdict, of_parts
from noiseproof.study.wanted import Task
from tests.study.verdict_cases import (
    CLEAN,
    SAMPLES,
    Cells,
    decide,
    facts_of,
    rows_of,
    shares,
    side,
    study,
)


def test_the_share_is_taken_on_the_images_that_the_units_saw() -> None:
    """Of two units of 500 images that the clean network, at 0.5, gets right in 300 and 260."""
    made = study(
        {"model": "resnet8", "seed": [0, 1]},
        {"levels": [0.1, 0.2], "design": "nested(500)", "chips": 2},
        order=[{"seed": 0}, {"seed": 1}],
    )
    grid = grid_of(made, "quick")
    rows = rows_of(grid, lambda task, spec, chip: 0.3 + 0.1 * chip, lambda network: CLEAN)
    without = facts_of(grid)
    name, fact = next(iter(without.items()))

    def value(hits: dict[str, list[int]]) -> float:
        facts = {name: fact.model_copy(update={"clean_hits": hits})}
        (found,) = measured_of(grid, facts, [row for row in rows if row.checkpoint == fact.sha256])
        assert found.by_level[0.1] == pytest.approx(found.value("average_normalised"))
        assert found.value("average") == pytest.approx(0.35)
        assert at_levels([found])[1].value("normalised") == pytest.approx(found.by_level[0.2])
        return found.value("average_normalised")

    assert value({}) == pytest.approx(0.35 / CLEAN)
    assert value({"nested(500)": [300, 260]}) == pytest.approx(0.35 / (560 / 1000))
    assert value({"nested(500)": [300, 260, 999]}) == pytest.approx(0.35 / (560 / 1000))
    assert value({"nested(500)": [300]}) == pytest.approx(0.35 / CLEAN), "one is not known"
    assert value({"nested(50)": [300, 260]}) == pytest.approx(0.35 / CLEAN), "of other samples"


FAR = ([0.9, 0.91, 0.92], [0.3, 0.31, 0.33])
BACK = (FAR[1], FAR[0])
NEAR = ([0.5, 0.6, 0.7], [0.55, 0.6, 0.64])


# --- intervals ------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(SAMPLES, SAMPLES, st.sampled_from([0.5, 0.95, 0.999]))
def test_welchs_interval_is_scipys(a: list[float], b: list[float], confidence: float) -> None:
    found = welch_interval(a, b, confidence=confidence)
    wanted = sps.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9, abs=1e-12)


def test_welchs_interval_of_equal_variances_has_all_degrees_of_freedom() -> None:
    """By hand: means 2 and 12, variances 1, n = 3: half-width t(4) sqrt(2 / 3)."""
    found = welch_interval([1, 2, 3], [11, 12, 13])
    half = 2.7764451051977987 * math.sqrt(2 / 3)
    assert (found.mean, found.low, found.high) == pytest.approx((-10, -10 - half, -10 + half))


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0]), ([1.0], [2.0])])
def test_one_value_has_a_difference_but_no_interval(a: list[float], b: list[float]) -> None:
    found = welch_interval(a, b)
    assert found.mean == np.mean(a) - np.mean(b)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_no_value_has_no_difference() -> None:
    assert math.isnan(welch_interval([], [1.0, 2.0]).mean)


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = welch_interval([0.5, 0.5], [0.25, 0.25, 0.25])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


# --- one cell -------------------------------------------------------------------------------------


def test_different_networks_are_compared_by_welchs_interval() -> None:
    a, b = [0.9, 0.8, 0.85], [0.4, 0.5, 0.1]
    cell = Cell(at=(), better=side(a, name="a"), worse=side(b, name="b"), margin=0)
    assert not cell.is_paired
    wanted = sps.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    found = cell.difference()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_the_same_networks_are_compared_in_pairs() -> None:
    a, b = [0.9, 0.5, 0.1], [0.85, 0.46, 0.04]
    cell = Cell(at=(), better=side(a), worse=side(b), margin=0)
    assert cell.is_paired
    wanted = sps.ttest_rel(a, b).confidence_interval(0.95)
    found = cell.difference()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert cell.says() == "for"


def test_pairs_are_found_by_name_not_by_order() -> None:
    a = Side(selection={}, values={("x", 0, -1): 0.9, ("y", 1, -1): 0.5, ("z", 2, -1): 0.2})
    b = Side(selection={}, values={("z", 2, -1): 0.1, ("x", 0, -1): 0.8, ("y", 1, -1): 0.4})
    found = Cell(at=(), better=a, worse=b, margin=0).difference()
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_the_chips_of_two_networks_are_paired_by_seed_and_number() -> None:
    a, b = [0.9, 0.5, 0.1], [0.85, 0.46, 0.04]
    better, worse = side(a, name="a", chips=True), side(b, name="b", chips=True)
    assert Cell(at=(), better=better, worse=worse, margin=0).is_paired


def test_read_together_an_interval_is_bonferronis() -> None:
    a, b = [0.9, 0.8, 0.85], [0.4, 0.5, 0.1]
    cell = Cell(at=(), better=side(a, name="a"), worse=side(b, name="b"), margin=0, cells=7)
    wanted = sps.ttest_ind(a, b, equal_var=False).confidence_interval(1 - 0.05 / 7)
    found = cell.difference(together=True)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("shift", "margin", "expected"),
    [
        (0.2, 0.0, "for"),
        (-0.2, 0.0, "against"),
        (0.0, 0.0, "open"),
        (0.0, 0.05, "for"),
        (-0.03, 0.05, "open"),
        (-0.2, 0.05, "against"),
        (-0.2, 0.3, "for"),
    ],
)
def test_an_interval_speaks_by_its_side_of_minus_the_margin(
    shift: float, margin: float, expected: str
) -> None:
    a, b = [0.5 + shift, 0.51 + shift, 0.52 + shift], [0.5, 0.51, 0.52]
    cell = Cell(at=(), better=side(a, name="a"), worse=side(b, name="b"), margin=margin)
    found = cell.difference()
    assert (found.high - found.low) / 2 == pytest.approx(0.0227, abs=1e-4)
    assert cell.says() == expected


def test_the_end_of_an_interval_on_the_margin_decides_nothing() -> None:
    same = side([0.5, 0.5, 0.5])
    assert Cell(at=(), better=same, worse=same, margin=0).says() == "open"


def test_single_trainings_decide_nothing() -> None:
    assert shares([([0.9], [0.1])]).kind == "not decided"


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind", "text"),
    [
        ([FAR], "reproduced", "it holds"),
        ([FAR, FAR], "reproduced", "it holds in all 2 cases"),
        ([BACK, BACK], "contradicted", "the opposite is found in all 2 cases"),
        ([NEAR], "not decided", "its case is not told apart"),
        ([NEAR, NEAR], "not decided", "none of 2 cases is told apart"),
        (
            [FAR, NEAR],
            "partly reproduced",
            "1 of 2 cases is for it, none against it, 1 not told apart",
        ),
        (
            [BACK, NEAR, NEAR],
            "partly contradicted",
            "none of 3 cases is for it, 1 against it, 2 not told apart",
        ),
        (
            [FAR, BACK],
            "depends",
            "1 of 2 cases is for it, 1 against it, none not told apart; what decides: targets",
        ),
        (
            [FAR, FAR, BACK, NEAR],
            "depends",
            "2 of 4 cases are for it, 1 against it, 1 not told apart; what decides: targets",
        ),
    ],
)
def test_a_verdict_is_what_its_cells_say(cells: Cells, kind: str, text: str) -> None:
    verdict = shares(cells)
    assert len(verdict.cells) == len(cells)
    assert (verdict.kind, verdict.text) == (kind, text)


@pytest.mark.parametrize(
    ("parts", "kind", "text"),
    [
        (
            [[FAR, NEAR]],
            "partly reproduced",
            "1 of 2 cases is for it, none against it, 1 not told apart",
        ),
        ([[FAR], [FAR, FAR]], "reproduced", "both of its parts hold"),
        ([[FAR], [FAR], [FAR]], "reproduced", "all three parts hold"),
        ([[BACK], [BACK]], "contradicted", "both of its parts are contradicted"),
        ([[NEAR], [NEAR]], "not decided", "neither of its two parts is decided"),
        ([[NEAR], [NEAR], [NEAR]], "not decided", "none of its three parts is decided"),
        (
            [[FAR], [NEAR], [NEAR]],
            "partly reproduced",
            "one of its three parts holds, two are not decided",
        ),
        (
            [[NEAR], [BACK, NEAR]],
            "partly contradicted",
            "one of its two parts is contradicted in some cases, one is not decided",
        ),
        (
            [[FAR], [BACK], [FAR]],
            "depends",
            "two of its three parts hold, one is contradicted",
        ),
        (
            [[FAR, BACK], [FAR]],
            "depends",
            "one of its two parts holds, one goes both ways",
        ),
    ],
)
def test_a_claim_holds_as_far_as_all_of_its_parts(parts: list[Cells], kind: str, text: str) -> None:
    assert of_parts([shares(cells) for cells in parts]) == (kind, text)


def p_value(cell: tuple[Sequence[float], Sequence[float]]) -> float:
    return float(sps.ttest_ind(*cell, equal_var=False).pvalue)


WEAK = ([0.69, 0.72, 0.75], [0.64, 0.65, 0.66])


def test_cells_that_are_singled_out_share_the_error() -> None:
    """Each difference is significant by itself (p between 2.5 and 5 %), of two neither is."""
    assert 0.025 < p_value(WEAK) < 0.05
    assert shares([WEAK, NEAR]).kind == "not decided"
    assert shares([WEAK, (WEAK[1], WEAK[0])]).kind == "not decided"
    assert shares([WEAK]).kind == "reproduced"


def test_cells_that_all_agree_need_no_care_for_their_number() -> None:
    assert shares([WEAK] * 5).kind == "reproduced"
    assert shares([(WEAK[1], WEAK[0])] * 5).kind == "contradicted"


def test_nothing_measured_is_no_verdict() -> None:
    nothing = ([math.nan] * 2, [math.nan] * 2)
    verdict = shares([nothing])
    assert (verdict.kind, verdict.cells) == ("not measured", ())
    one_side = ([0.9, 0.8], [math.nan] * 2)
    assert shares([one_side]).kind == "not measured"


def test_a_margin_is_in_points() -> None:
    cell = ([0.90, 0.91, 0.92], [0.91, 0.92, 0.93])  # one point worse, +- 2.3
    assert shares([cell]).kind == "not decided"
    assert shares([cell], margin=2.0).kind == "not decided"
    assert shares([cell], margin=4.0).kind == "reproduced"
    assert shares([BACK], margin=4.0).kind == "contradicted"


def ways(says: Mapping[tuple[str, str], tuple[Any, Any]]) -> Verdict:
    """A verdict by targets and way to recalibrate."""
    made = study(
        {"model": "resnet8", "norm": ["none", "batch"], "seed": [0, 1, 2]},
        {
            "levels": 0.1,
            "design": "chips",
            "chips": 1,
            "targets": list(dict.fromkeys(targets for targets, _ in says)),
            "recalibrate": list(dict.fromkeys(way for _, way in says)),
        },
        by=["targets", "recalibrate"],
    )

    def score(task: Task, spec: Spec, chip: int) -> float:
        cell = says.get((",".join(task.targets), task.recalibrate))
        if cell is None:
            return math.nan
        return CLEAN * float(cell[task.network.norm == "batch"][task.network.seed])

    return decide(made, score)


@pytest.mark.parametrize(
    ("says", "factor"),
    [
        ([FAR, FAR, BACK, BACK], "; what decides: targets"),
        ([FAR, BACK, FAR, BACK], "; what decides: recalibrate"),
        ([FAR, NEAR, FAR, BACK], "; what decides: recalibrate"),
        ([FAR, BACK, BACK, FAR], "; what decides: targets, recalibrate"),
        ([FAR, FAR, FAR, BACK], "; what decides: targets, recalibrate"),
    ],
)
def test_what_a_verdict_depends_on_is_named(says: list[Any], factor: str) -> None:
    places = [(t, w) for t in ("kernel", "bias") for w in ("off", "match(5)")]
    verdict = ways(dict(zip(places, says, strict=True)))
    assert verdict.kind == "depends"
    assert verdict.text.endswith(factor)


def test_two_factors_that_tell_for_from_against_equally_well_are_both_named() -> None:
    """Nothing measured says which of the two it is."""
    verdict = ways({("kernel", "off"): FAR, ("bias", "match(5)"): BACK})
    assert verdict.kind == "depends"
    assert "targets" in verdict.text
    assert "recalibrate" in verdict.text


def ordered(values: Mapping[str, Sequence[float]], **comparison: Any) -> Verdict:
    """The verdict on an order of normalisations, by targets."""
    made = study(
        {"model": "resnet8", "norm": list(values), "seed": [0, 1, 2]},
        {"levels": 0.1, "design": "chips", "chips": 1, "targets": ["kernel", "bias"]},
        **{"order": [{"norm": norm} for norm in values], "by": ["targets"]} | comparison,
    )
    return decide(
        made,
        lambda task, spec, chip: CLEAN * values[str(task.network.norm)][task.network.seed],
    )


TOP, MIDDLE, LOW = [0.9, 0.91, 0.92], [0.6, 0.61, 0.62], [0.3, 0.31, 0.32]


def test_an_order_compares_each_neighbouring_pair() -> None:
    verdict = ordered({"none": TOP, "group": MIDDLE, "batch": LOW})
    assert verdict.kind == "reproduced"
    assert [len(verdict.cells), {cell.cells for cell in verdict.cells}] == [4, {4}]
    pairs = [(c.better.selection["norm"], c.worse.selection["norm"]) for c in verdict.cells[:2]]
    assert pairs == [("none", "group"), ("group", "batch")]


def test_an_order_that_holds_for_some_neighbours_depends_on_them() -> None:
    verdict = ordered({"none": TOP, "group": LOW, "batch": MIDDLE})
    assert verdict.kind == "depends"
    assert "what decides: which neighbours are compared" in verdict.text
    alone = ordered({"none": TOP, "group": LOW, "batch": MIDDLE}, by=["targets", "model"])
    assert "what decides: which neighbours are compared" in alone.text


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([LOW, TOP, MIDDLE], "reproduced"),
        ([TOP, LOW, MIDDLE], "contradicted"),
        ([TOP, MIDDLE, LOW], "contradicted"),  # below one of the ends
        ([LOW, MIDDLE, TOP], "contradicted"),
        ([MIDDLE, MIDDLE, LOW], "not decided"),
        ([MIDDLE, NEAR[0], MIDDLE], "not decided"),
    ],
)
def test_a_peak_is_better_than_both_ends(values: list[Any], kind: str) -> None:
    named = dict(zip(("none", "group", "batch"), values, strict=True))
    assert ordered(named, peak=True).kind == kind


def test_one_peak_among_several_values_is_enough() -> None:
    values = {"none": LOW, "group": [0.2, 0.21, 0.22], "layer": TOP, "batch": MIDDLE}
    assert ordered(values, peak=True).kind == "reproduced"
