"""What the intervals say of a claim: computed by hand, and by scipy."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.results.rows import Row
from noiseproof.specs.noise import Spec
from noiseproof.stats.intervals import welch_interval
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.measured import Measured, at_levels, measured_of
from noiseproof.study.verdicts import Cell, Side, Verdict, of_parts, verdict_of
from noiseproof.study.wanted import Network, Task

CLEAN = 0.5
TARGETS = ("kernel", "bias", "norm_affine", "kernel,bias", "kernel,norm_affine")
ScoreOf = Callable[[Task, Spec, int], float]


def study(
    trainings: Any = None, measurements: Any = None, ready: Any = (), **comparison: Any
) -> Study:
    usual = {"question": "q", "order": [{"norm": "none"}, {"norm": "batch"}]}
    return Study.model_validate(
        {
            "name": "toy",
            "title": "Toy",
            "data": "digits",
            "claim": {"text": "It holds.", "source": "A paper"},
            "comparisons": [usual | comparison],
            "profiles": {
                "quick": {
                    "about": "seconds",
                    "trainings": [trainings] if isinstance(trainings, dict) else trainings or [],
                    "ready": list(ready),
                    "measurements": (
                        [measurements] if isinstance(measurements, dict) else measurements
                    ),
                }
            },
        }
    )


def row(network: Network, **changed: Any) -> Row:
    usual: dict[str, Any] = {
        "checkpoint": network.weights or network.name,
        "model": network.model,
        "norm": network.norm_text,
        "task": "classify",
        "data": "digits",
        "data_sha256": "d",
        "scale": "1,1",
        "noise": "none",
        "targets": "",
        "recalibrate": "off",
        "calibration_sha256": "",
        "seed": 0,
        "chip": 0,
        "images": 500,
        "level": None,
        "classes": 10,
        "score": CLEAN,
        "correct": None,
        "nonfinite": 0,
        "hits": b"",
        "seconds": 0.0,
        "device": "cpu",
        "versions": "",
    }
    return Row(**usual | changed)


def rows_of(
    grid: Grid, score: ScoreOf, clean: Callable[[Network], float], **changed: Any
) -> list[Row]:
    """All rows of a grid, as a run leaves them; nothing where the score is nan."""
    rows = [row(network, score=clean(network), **changed) for network in grid.networks]
    for task in grid.tasks:
        for spec in task.specs:
            for chip in range(task.chips or 1):
                found = score(task, spec, chip)
                if math.isnan(found):
                    continue
                named = {
                    "noise": str(spec),
                    "level": spec.level,
                    "targets": ",".join(task.targets),
                    "recalibrate": task.recalibrate,
                    "calibration": "train augmented" if task.augment else "train",
                    "design": str(task.design),
                    "seed": task.network.seed,
                    "chip": chip,
                    "score": found,
                }
                rows.append(row(task.network, **named | changed))
    return rows


def facts_of(grid: Grid) -> Facts:
    return {
        network.name: NetworkFacts(factors=network.factors, sha256=network.weights or network.name)
        for network in grid.networks
    }


def measured(
    study: Study, score: ScoreOf, clean: Callable[[Network], float] = lambda network: CLEAN
) -> list[Measured]:
    grid = grid_of(study, "quick")
    return measured_of(grid, facts_of(grid), rows_of(grid, score, clean))


def decide(study: Study, score: ScoreOf, **options: Any) -> Verdict:
    return verdict_of(study.comparisons[0], measured(study, score, **options))


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


Cells = Sequence[tuple[Sequence[float], Sequence[float]]]


def shares(cells: Cells, **comparison: Any) -> Verdict:
    """The verdict on shares of the clean accuracy: of each cell those of the networks without
    normalisation and those with it, one network each. A cell is a value of `targets`."""
    count = max(len(side) for cell in cells for side in cell)
    made = study(
        {"model": "resnet8", "norm": ["none", "batch"], "seed": list(range(count))},
        {"levels": 0.1, "design": "chips", "chips": 1, "targets": list(TARGETS[: len(cells)])},
        **{"by": ["targets"]} | comparison,
    )

    def score(task: Task, spec: Spec, chip: int) -> float:
        values = cells[TARGETS.index(",".join(task.targets))][task.network.norm == "batch"]
        seed = task.network.seed
        return CLEAN * values[seed] if seed < len(values) else math.nan

    return decide(made, score)


FAR = ([0.9, 0.91, 0.92], [0.3, 0.31, 0.33])
BACK = (FAR[1], FAR[0])
NEAR = ([0.5, 0.6, 0.7], [0.55, 0.6, 0.64])


# --- intervals ------------------------------------------------------------------------------------

SAMPLES = st.lists(st.integers(1, 1999), min_size=2, max_size=6, unique=True).map(
    lambda found: [value / 1000 for value in found]
)


@settings(max_examples=100, deadline=None)
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


def side(values: Sequence[float], *, name: str = "", chips: bool = False) -> Side:
    keys = [(name, 0, n) if chips else (f"{name}{n}", n, -1) for n in range(len(values))]
    return Side(selection={"norm": name}, values=dict(zip(keys, values, strict=True)))


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
        ([FAR], "reproduced", "reproduced"),
        ([FAR, FAR], "reproduced", "reproduced"),
        ([BACK, BACK], "contradicted", "contradicted"),
        ([NEAR, NEAR], "not decided", "0 for the claim, 0 against it, 2 not told apart"),
        ([FAR, NEAR], "partly reproduced", "of 2 cells 1 for the claim, 0 against it, 1 not"),
        ([BACK, NEAR, NEAR], "partly contradicted", "of 3 cells 0 for the claim, 1 against it"),
        ([FAR, BACK], "depends", "depends on targets .of 2 cells 1 for the claim, 1 against it, 0"),
        ([FAR, BACK, NEAR], "depends", "1 for the claim, 1 against it, 1 not told apart"),
    ],
)
def test_a_verdict_is_what_its_cells_say(cells: Cells, kind: str, text: str) -> None:
    verdict = shares(cells)
    assert verdict.kind == kind
    assert len(verdict.cells) == len(cells)
    assert verdict.text.startswith(kind)
    assert text.replace(".of", "(of") in verdict.text


@pytest.mark.parametrize(
    ("parts", "kind", "text"),
    [
        ([[FAR, NEAR]], "partly reproduced", "partly reproduced (of 2 cells 1 for the claim"),
        ([[FAR], [FAR, FAR]], "reproduced", "reproduced (each of 2 parts of the claim)"),
        ([[BACK], [BACK]], "contradicted", "contradicted (each of 2 parts of the claim)"),
        ([[NEAR], [NEAR]], "not decided", "not decided (each of 2 parts of the claim)"),
        (
            [[FAR], [NEAR], [NEAR]],
            "partly reproduced",
            "partly reproduced (of 3 parts of the claim 1 reproduced, 2 not decided)",
        ),
        (
            [[NEAR], [BACK, NEAR]],
            "partly contradicted",
            "partly contradicted (of 2 parts of the claim 1 not decided, 1 partly contradicted)",
        ),
        (
            [[FAR], [BACK]],
            "depends",
            "depends on the part or the cell (of 2 parts of the claim "
            "1 reproduced, 1 contradicted)",
        ),
        (
            [[FAR, BACK], [FAR]],
            "depends",
            "depends on the part or the cell (of 2 parts of the claim "
            "1 depends on the part or the cell, 1 reproduced)",
        ),
    ],
)
def test_a_claim_holds_as_far_as_all_of_its_parts(parts: list[Cells], kind: str, text: str) -> None:
    found = of_parts([shares(cells) for cells in parts])
    assert found[0] == kind
    assert found[1].startswith(text)


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
        ([FAR, FAR, BACK, BACK], "depends on targets ("),
        ([FAR, BACK, FAR, BACK], "depends on recalibrate ("),
        ([FAR, NEAR, FAR, BACK], "depends on recalibrate ("),
        ([FAR, BACK, BACK, FAR], "depends on targets, recalibrate ("),
        ([FAR, FAR, FAR, BACK], "depends on targets, recalibrate ("),
    ],
)
def test_what_a_verdict_depends_on_is_named(says: list[Any], factor: str) -> None:
    places = [(t, w) for t in ("kernel", "bias") for w in ("off", "match(5)")]
    verdict = ways(dict(zip(places, says, strict=True)))
    assert verdict.kind == "depends"
    assert factor in verdict.text


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
    assert "depends on which neighbours are compared (" in verdict.text
    alone = ordered({"none": TOP, "group": LOW, "batch": MIDDLE}, by=["targets", "model"])
    assert "depends on which neighbours are compared (" in alone.text


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


# --- what is compared -----------------------------------------------------------------------------


def two_norms(measurements: Any, values: ScoreOf, trainings: Any = None, **options: Any) -> Verdict:
    clean = options.pop("clean", lambda network: CLEAN)
    usual = {"model": "resnet8", "norm": ["none", "batch"], "seed": [0, 1, 2]}
    made = study(usual | (trainings or {}), measurements, **options)
    return verdict_of(made.comparisons[0], measured(made, values, clean))


CHIPS = {"levels": 0.1, "design": "chips", "chips": 4}


def by_norm(task: Task, spec: Spec, chip: int) -> float:
    shift = 0.01 * task.network.seed + 0.001 * chip
    return (0.4 if task.network.norm == "none" else 0.2) + shift


def test_a_training_counts_once_whatever_its_number_of_chips() -> None:
    (cell,) = two_norms(CHIPS, by_norm).cells
    assert [len(cell.better.values), len(cell.worse.values)] == [3, 3]
    wanted = [(0.4 + 0.01 * seed + 0.0015) / CLEAN for seed in range(3)]
    assert list(cell.better.values.values()) == pytest.approx(wanted)


def test_chips_of_one_network_a_side_are_paired_by_their_number() -> None:
    order = [{"norm": "none", "seed": 1}, {"norm": "batch", "seed": 1}]
    (cell,) = two_norms(CHIPS, by_norm, order=order, unit="chip").cells
    assert cell.is_paired
    assert [len(cell.better.values), len(cell.worse.values)] == [4, 4]
    found = cell.difference()
    assert (found.low, found.high) == pytest.approx((0.4, 0.4))


def test_chips_of_several_networks_on_one_side_are_refused() -> None:
    with pytest.raises(ValueError, match="several values of (network|seed) .*add .* to by, or"):
        two_norms(CHIPS, by_norm, unit="chip")


def test_recalibrated_and_not_are_the_same_networks() -> None:
    order = [{"recalibrate": "match(5)"}, {"recalibrate": "off"}]
    table = CHIPS | {"recalibrate": ["off", "match(5)"]}

    def score(task: Task, spec: Spec, chip: int) -> float:
        gain = 0.02 if task.recalibrate != "off" else 0.0
        return 0.1 + 0.1 * task.network.seed + gain + 0.001 * chip

    verdict = two_norms(table, score, order=order, by=["norm"])
    assert [cell.is_paired for cell in verdict.cells] == [True, True]
    assert verdict.kind == "reproduced"


@pytest.mark.parametrize(
    ("table", "trainings", "factor"),
    [
        ({"targets": ["kernel", "bias"]}, {}, "targets"),
        ({"kind": ["gaussian", "uniform"]}, {}, "noise"),
        ({"recalibrate": ["off", "match(5)"]}, {}, "recalibrate"),
        ({}, {"lr": [0.1, 0.2]}, "lr"),
        ({}, {"epochs": [1, 2]}, "epochs"),
        ({}, {"augment": [True, False]}, "augment"),
        ({}, {"model": ["resnet8", "vgg11"]}, "model"),
    ],
)
def test_curves_of_several_kinds_on_one_side_are_refused(
    table: dict[str, Any], trainings: dict[str, Any], factor: str
) -> None:
    sentence = rf"comparison 'q': \{{'norm': 'none'\}} selects curves of several values of {factor}"
    with pytest.raises(ValueError, match=sentence):
        two_norms(CHIPS | table, by_norm, trainings)
    by_factor = two_norms(CHIPS | table, by_norm, trainings, by=[factor])
    assert len(by_factor.cells) == 2


@pytest.mark.parametrize(
    "other", [{"augment_calibration": True}, {"levels": 0.2}, {"chips": 5}], ids=str
)
def test_curves_that_no_factor_tells_apart_are_refused(other: dict[str, Any]) -> None:
    """Otherwise the last of them would be taken, and nobody told."""
    table = CHIPS | {"recalibrate": "match(5)"}
    with pytest.raises(ValueError):
        two_norms([table, table | other], by_norm)


def test_sides_that_were_measured_at_different_levels_are_refused() -> None:
    tables = [
        CHIPS | {"levels": 0.01, "only": {"norm": "none"}},
        CHIPS | {"levels": 0.4, "only": {"norm": "batch"}},
    ]
    with pytest.raises(ValueError, match="level"):
        two_norms(tables, by_norm)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "laplace"},
        {"targets": "bias"},
        {"design": "nested(50)"},
        {"recalibrate": "match(5)"},
    ],
    ids=str,
)
def test_sides_that_differ_in_what_nobody_asked_about_are_refused(other: dict[str, Any]) -> None:
    tables = [CHIPS | {"only": {"norm": "none"}}, CHIPS | other | {"only": {"norm": "batch"}}]
    with pytest.raises(ValueError, match=r"noise|targets|design|recalibrate"):
        two_norms(tables, by_norm)


def test_each_level_by_itself() -> None:
    table = CHIPS | {"levels": [0.1, 0.2, 0.4]}

    def score(task: Task, spec: Spec, chip: int) -> float:
        found = by_norm(task, spec, chip)
        is_swapped = spec.level == 0.4
        return 0.6 - found if is_swapped else found

    verdict = two_norms(table, score, by=["level"], score="normalised")
    assert [dict(cell.at)["level"] for cell in verdict.cells] == [0.1, 0.2, 0.4]
    assert [cell.says(together=True) for cell in verdict.cells] == ["for", "for", "against"]
    assert "depends on level (of 3 cells 2 for the claim, 1 against it" in verdict.text


def test_all_levels_together_are_their_mean() -> None:
    table = CHIPS | {"levels": [0.1, 0.2], "chips": 1}
    (cell,) = two_norms(table, lambda t, spec, c: by_norm(t, spec, c) * (spec.level or 0)).cells
    wanted = [(0.4 + 0.01 * seed) * 0.15 / CLEAN for seed in range(3)]
    assert list(cell.better.values.values()) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("score", "expected"), [("average", 0.4), ("average_normalised", 0.8), ("clean", CLEAN)]
)
def test_a_score_is_what_its_name_says(score: str, expected: float) -> None:
    table = CHIPS | {"chips": 1}
    (cell,) = two_norms(table, by_norm, score=score).cells
    assert cell.better.values[sorted(cell.better.values)[0]] == pytest.approx(expected)


def test_a_curve_that_is_not_finished_has_no_part_in_a_verdict() -> None:
    def score(task: Task, spec: Spec, chip: int) -> float:
        is_missing = task.network.seed == 2 and spec.level == 0.2 and chip == 3
        return math.nan if is_missing else by_norm(task, spec, chip)

    (cell,) = two_norms(CHIPS | {"levels": [0.1, 0.2]}, score).cells
    assert [len(cell.better.values), len(cell.worse.values)] == [2, 2]


# --- networks that have not learned ---------------------------------------------------------------


def test_a_network_that_has_not_learned_is_left_out_and_counted() -> None:
    def clean(network: Network) -> float:
        return 0.2 if network.norm == "none" and network.seed == 1 else CLEAN  # twice chance

    (cell,) = two_norms(CHIPS, by_norm, clean=clean).cells
    assert [len(cell.better.values), cell.better.missing] == [2, 1]
    assert [len(cell.worse.values), cell.worse.missing] == [3, 0]


def test_accuracy_itself_needs_no_clean_network_that_has_learned() -> None:
    (cell,) = two_norms(CHIPS, by_norm, clean=lambda network: 0.1, score="average").cells
    assert [len(cell.better.values), cell.better.missing] == [3, 0]


def test_a_cell_without_any_network_that_has_learned_stays_in_the_count() -> None:
    """All of what was asked did not agree: half of it could not be answered."""
    trainings = {"model": ["resnet8", "vgg11"]}

    def clean(network: Network) -> float:
        return 0.1 if network.norm == "none" and network.model == "vgg11" else CLEAN

    verdict = two_norms(CHIPS, by_norm, trainings, clean=clean, by=["model"])
    assert verdict.kind == "partly reproduced"
    assert "of 2 cells 1 for the claim, 0 against it, 1 not told apart" in verdict.text


ANY = [{"norm": "batch"}, {"model": "resnet8"}]  # what is compared does not matter here


def one(clean: float, *, classes: int = 10, score: float = 0.25) -> Measured:
    """One curve of one network."""
    made = study({"model": "resnet8"}, CHIPS | {"chips": 1}, order=ANY)
    grid = grid_of(made, "quick")
    rows = rows_of(grid, lambda t, s, c: score, lambda network: clean, classes=classes)
    (found,) = measured_of(grid, facts_of(grid), rows)
    return found


@pytest.mark.parametrize(
    ("clean", "classes", "expected"),
    [(0.2, 10, False), (0.21, 10, True), (0.02, 100, False), (0.03, 100, True)],
)
def test_twice_chance_is_learned(clean: float, classes: int, expected: bool) -> None:
    assert one(clean, classes=classes).has_learned == expected


@pytest.mark.parametrize(("clean", "classes"), [(0.95, 2), (0.6, 3)])
def test_a_network_for_few_classes_can_learn_too(clean: float, classes: int) -> None:
    assert one(clean, classes=classes).has_learned
    assert not one(1 / classes, classes=classes).has_learned


def test_a_network_that_is_never_right_has_no_share_left() -> None:
    nothing = one(0.0, score=0.0)
    assert math.isnan(nothing.value("average_normalised"))
    assert all(math.isnan(value) for value in nothing.by_chip("average_normalised").values())
    assert nothing.by_level[0.0] == 1.0  # and no division by zero


# --- which rows are which curve -------------------------------------------------------------------


def test_rows_of_other_test_images_are_not_taken_for_these() -> None:
    made = study({"model": "resnet8"}, CHIPS | {"chips": 1}, order=ANY)
    profile = made.profiles["quick"].model_copy(update={"images": 100})
    grid = grid_of(made.model_copy(update={"profiles": {"quick": profile}}), "quick")
    now = rows_of(grid, lambda t, s, c: 0.4, lambda n: CLEAN, images=100, data_sha256="few")
    before = rows_of(grid, lambda t, s, c: 0.1, lambda n: CLEAN, images=500, data_sha256="all")
    for rows in (before + now, now + before):
        (found,) = measured_of(grid, facts_of(grid), rows)
        assert found.value("average") == pytest.approx(0.4)


def test_designs_of_two_sizes_are_two_curves() -> None:
    tables = [CHIPS | {"design": f"nested({n})", "chips": 1} for n in (50, 100)]
    made = study({"model": "resnet8"}, tables, order=ANY, by=["design"])
    found = measured(made, lambda task, s, c: 0.1 if str(task.design) == "nested(50)" else 0.4)
    assert [one.value("average") for one in found] == pytest.approx([0.1, 0.4])


READY = {"weights": "w.pt", "model": "resnet8"}


@pytest.mark.parametrize(
    "others",
    [
        [{"norm": "batch"}, {"norm": "group"}],
        [{"norm": "batch", "seed": 0}, {"norm": "batch", "seed": 1}],
        [{"model": "resnet8"}, {"model": "vgg11"}],
    ],
    ids=["norms", "seeds", "models"],
)
def test_two_networks_from_one_file_of_weights_are_two_curves(others: list[Any]) -> None:
    ready = [READY | {"name": name} | other for name, other in zip("ab", others, strict=True)]
    anything = [{"network": "a"}, {"network": "b"}]
    made = study(None, CHIPS | {"chips": 1}, ready, order=anything)
    found = measured(made, lambda task, s, c: 0.1 if task.network.name == "a" else 0.4)
    assert [one.task.network.name for one in found] == ["a", "b"]
    assert [one.value("average") for one in found] == pytest.approx([0.1, 0.4])


def test_a_network_without_facts_or_clean_row_is_not_measured() -> None:
    made = study({"model": "resnet8"}, CHIPS | {"chips": 1}, order=ANY)
    grid = grid_of(made, "quick")
    rows = rows_of(grid, lambda t, s, c: 0.4, lambda n: CLEAN)
    assert len(measured_of(grid, facts_of(grid), rows)) == 1
    assert measured_of(grid, {}, rows) == []
    assert measured_of(grid, facts_of(grid), rows[1:]) == []


# --- any values -----------------------------------------------------------------------------------

CELL = st.tuples(
    *(st.lists(st.integers(1, 1999), min_size=3, max_size=3, unique=True) for _ in range(2)),
    st.sampled_from([1, 10, 100]),
).map(
    lambda found: tuple(
        [(1000 + (value - 1000) / found[2]) / 1000 + shift for value in side]
        for side, shift in zip(found[:2], (0.0, 0.03), strict=True)
    )
)


def said(cell: Any, confidence: float, margin: float) -> str:
    found = sps.ttest_ind(*cell, equal_var=False).confidence_interval(confidence)
    if found.low > -margin:
        return "for"
    return "against" if found.high < -margin else "open"


@settings(max_examples=120, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=4), st.sampled_from([0.0, 2.0, 10.0]))
def test_a_verdict_says_what_scipys_intervals_say_and_no_more(cells: Any, margin: float) -> None:
    alone = [said(cell, 0.95, margin / 100) for cell in cells]
    together = [said(cell, 1 - 0.05 / len(cells), margin / 100) for cell in cells]
    nearest = min(
        abs(end + margin / 100)
        for cell in cells
        for c in (0.95, 1 - 0.05 / len(cells))
        for end in sps.ttest_ind(*cell, equal_var=False).confidence_interval(c)
    )
    assume(nearest > 1e-9)
    kind = shares(cells, margin=margin).kind
    assert (kind == "reproduced") == (set(alone) == {"for"})
    assert (kind == "contradicted") == (set(alone) == {"against"})
    if kind == "depends":
        assert {"for", "against"} <= set(together)
    if kind.startswith("partly"):
        word, other = ("for", "against") if kind.endswith("reproduced") else ("against", "for")
        assert word in together
        assert other not in together
    if kind == "not decided":
        assert set(together) == {"open"} or len(cells) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_cells_does_not_matter(cells: list[Any], random: Any) -> None:
    turned = list(cells)
    random.shuffle(turned)
    assert shares(cells).kind == shares(turned).kind


@settings(max_examples=60, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=3))
def test_the_opposite_claim_has_the_opposite_verdict(cells: list[Any]) -> None:
    opposite = {
        "reproduced": "contradicted",
        "contradicted": "reproduced",
        "partly reproduced": "partly contradicted",
        "partly contradicted": "partly reproduced",
    }
    kind = shares(cells).kind
    turned = shares([(b, a) for a, b in cells]).kind
    assert turned == opposite.get(kind, kind)
