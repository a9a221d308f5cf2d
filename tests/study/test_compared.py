"""What a verdict compares: pairs, units, curves, networks that have learned."""

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from noiseproof.specs.noise import Spec
from noiseproof.study import grid_of
from noiseproof.study.measured import Measured, measured_of
from noiseproof.study.verdicts import Verdict, verdict_of
from noiseproof.study.wanted import Network, Task
from tests.study.verdict_cases import (
    CELL,
    CLEAN,
    ScoreOf,
    facts_of,
    measured,
    rows_of,
    shares,
    study,
)

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
    assert verdict.text == (
        "2 of 3 cases are for it, 1 against it, none not told apart; what decides: level"
    )


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
    assert verdict.text == "1 of 2 cases is for it, none against it, 1 not told apart"


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


def said(cell: Any, confidence: float, margin: float) -> str:
    found = sps.ttest_ind(*cell, equal_var=False).confidence_interval(confidence)
    if found.low > -margin:
        return "for"
    return "against" if found.high < -margin else "open"


@settings(max_examples=120)
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


@settings(max_examples=60)
@given(st.lists(CELL, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_cells_does_not_matter(cells: list[Any], random: Any) -> None:
    turned = list(cells)
    random.shuffle(turned)
    assert shares(cells).kind == shares(turned).kind


@settings(max_examples=60)
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
