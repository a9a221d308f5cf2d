"""What a study's plan can tell apart, and what that rests on."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noiseproof import stats
from noiseproof.results.store import export
from noiseproof.study import Study, grid_of
from noiseproof.study.facts import write_facts
from noiseproof.study.folder import EXPORTED, FACTS
from noiseproof.study.power import ASSUMED_CHIP, ASSUMED_TRAINING, ComparisonPower, powers_of
from noiseproof.study.profiles import Profile, profiles_of
from noiseproof.study.report import power_document, power_lines
from noiseproof.study.wanted import Task
from tests.study.verdict_cases import CLEAN, facts_of, rows_of, study

TRAININGS: dict[str, Any] = {"model": "resnet8", "norm": ["none", "batch"], "seed": [0, 1, 2]}
MEASUREMENTS: dict[str, Any] = {"levels": 0.1, "design": "chips", "chips": 2}
SHARES = {("none", "kernel"): (0.9, 0.93, 0.87), ("batch", "kernel"): (0.7, 0.74, 0.66)}
SHARES |= {("none", "bias"): (0.8, 0.81, 0.85), ("batch", "bias"): (0.6, 0.61, 0.62)}


def score(task: Task, spec: object, chip: int) -> float:
    shares = SHARES[task.network.norm_text, ",".join(task.targets)]
    return CLEAN * shares[task.network.seed % 3]


def planned(made: Study, *, rows_of_profiles: tuple[str, ...] = ()) -> list[ComparisonPower]:
    """Of the first profile, with rows of these profiles at hand."""
    first = next(iter(made.profiles))
    profiles = []
    for name in rows_of_profiles:
        grid = grid_of(made, name)
        found = rows_of(grid, score, lambda network: CLEAN)
        profiles.append(
            Profile(
                name=name,
                grid=grid,
                comparisons=made.comparisons_of(name),
                facts=facts_of(grid),
                rows=tuple(found),
            )
        )
    return powers_of(made.comparisons_of(first), grid_of(made, first), profiles, test_images=500)


def two_profiles(**changed: Any) -> Study:
    """`quick` plans five seeds, `small` has three."""
    made = study(
        TRAININGS | {"seed": [0, 1, 2, 3, 4]},
        MEASUREMENTS | {"targets": ["kernel", "bias"]},
        by=["targets"],
    ).model_dump(exclude_unset=True)
    small = made["profiles"]["quick"] | {"trainings": [TRAININGS | changed]}
    return Study.model_validate(made | {"profiles": made["profiles"] | {"small": small}})


def pooled(norm: str) -> float:
    found = [np.var(SHARES[norm, targets], ddof=1) for targets in ("kernel", "bias")]
    return float(100 * np.sqrt(np.mean(found)))


def test_the_spread_is_pooled_over_the_cells_that_are_measured() -> None:
    made = study(TRAININGS, MEASUREMENTS | {"targets": ["kernel", "bias"]}, by=["targets"])
    [power] = planned(made, rows_of_profiles=("quick",))
    for cell in power.cells:
        assert cell.n == (3, 3)
        assert cell.spread.sds == pytest.approx((pooled("none"), pooled("batch")))
        assert cell.spread.source == "rows of profile quick: 2 cases, n = 3 a side"


def test_a_profile_without_rows_borrows_the_spread_of_another() -> None:
    [power] = planned(two_profiles(), rows_of_profiles=("small",))
    assert {cell.n for cell in power.cells} == {(5, 5)}
    assert {cell.spread.source for cell in power.cells} == {
        "rows of profile small: 2 cases, n = 3 a side"
    }
    assert power.cells[0].spread.sds == pytest.approx((pooled("none"), pooled("batch")))


def test_another_model_lends_its_spread_only_where_there_is_no_better() -> None:
    made = two_profiles(model="vgg11")
    [power] = planned(made, rows_of_profiles=("small",))
    assert power.cells[0].spread.source == "rows of profile small: 2 cases, n = 3 a side"
    by_model = made.model_dump(exclude_unset=True)
    by_model["comparisons"][0]["by"] = ["model", "targets"]
    [power] = planned(Study.model_validate(by_model), rows_of_profiles=("small",))
    assert power.cells[0].spread.source == "rows of profile small: 2 cases, n = 3 a side"


def test_what_nobody_has_measured_is_assumed_and_said_so() -> None:
    [power] = planned(study(TRAININGS, MEASUREMENTS))
    [cell] = power.cells
    assert cell.spread.sds == (ASSUMED_TRAINING, ASSUMED_TRAINING)
    assert cell.spread.source == "assumed: nothing like it is measured yet"


def test_a_cell_tells_apart_what_its_interval_would() -> None:
    made = study(TRAININGS, MEASUREMENTS | {"targets": ["kernel", "bias"]}, by=["targets"])
    [power] = planned(made)
    cell = power.cells[0]
    assert power.confidence == pytest.approx(1 - 0.05 / 2)
    for smallest, confidence in ((cell.alone, 0.95), (cell.together, 1 - 0.05 / 2)):
        found = stats.welch_power(
            smallest, sds=(ASSUMED_TRAINING,) * 2, n=(3, 3), confidence=confidence
        )
        assert found == pytest.approx(0.8, abs=1e-4)
        n = power.needed(2.0, together=confidence > 0.95)
        at = [
            stats.welch_power(2.0, sds=(ASSUMED_TRAINING,) * 2, n=(m, m), confidence=confidence)
            for m in (n - 1, n)
        ]
        assert at[0] < 0.8 <= at[1]


def test_a_peak_leaves_half_the_risk_to_each_of_its_ends() -> None:
    order = [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.4}]
    made = study(
        {"model": "resnet8", "lr": [0.1, 0.2, 0.4], "seed": [0, 1, 2]},
        MEASUREMENTS,
        order=order,
        peak=True,
    )
    [power] = planned(made)
    assert [(dict(c.cell.better.selection), c.power) for c in power.cells] == [
        ({"lr": 0.2}, pytest.approx(0.9))
    ] * 2


def test_chips_are_counted_where_chips_are_compared_and_paired_on_one_network() -> None:
    made = study(
        TRAININGS | {"seed": 0},
        MEASUREMENTS | {"chips": 12, "targets": ["kernel", "kernel,bias"]},
        order=[{"targets": "kernel"}, {"targets": "kernel,bias"}],
        by=["norm"],
        unit="chip",
    )
    [power] = planned(made)
    assert [(cell.n, cell.spread.sds) for cell in power.cells] == [((12, 12), (ASSUMED_CHIP,))] * 2


def test_pairs_of_one_network_have_the_spread_of_their_differences() -> None:
    made = study(
        TRAININGS | {"norm": "none"},
        MEASUREMENTS | {"targets": ["kernel", "bias"]},
        order=[{"targets": "kernel"}, {"targets": "bias"}],
    )
    [power] = planned(made, rows_of_profiles=("quick",))
    differences = np.subtract(SHARES["none", "kernel"], SHARES["none", "bias"])
    assert power.cells[0].spread.sds == pytest.approx((100 * np.std(differences, ddof=1),))


def test_one_seed_tells_nothing_apart() -> None:
    made = study(TRAININGS | {"seed": 0}, MEASUREMENTS)
    powers = planned(made)
    lines = power_lines(powers, grid_of(made, "quick"))
    assert lines[2] == "  tells apart: nothing: one value a side has no interval"
    [found] = power_document(powers)
    assert found["cells"][0]["smallest_difference"] is None


def test_the_plan_in_words() -> None:
    made = two_profiles()
    powers = planned(made, rows_of_profiles=("small",))
    [power] = powers
    lines = power_lines(powers, grid_of(made, "quick"))
    needed = [power.needed(p, together=t) for p, t in itertools.product((1, 2, 5), (False, True))]
    cell = power.cells[0]
    assert lines == [
        "The smallest difference, in points, that these seeds and chips can tell apart "
        "(two-sided 95 %, power 80 %):",
        "q",
        f"  tells apart: {cell.alone:.2g} points in one case; {cell.together:.2g} where all cases "
        "are read together (97.5\u00a0%)",
        "  n: 5 trainings a side, 2 cases",
        f"  spread: {pooled('none'):.2g} (norm none), {pooled('batch'):.2g} (norm batch) points; "
        "rows of profile small: 2 cases, n = 3 a side",
        "  n a side needed for 1 point: {} ({} together); 2 points: {} ({} together); "
        "5 points: {} ({} together)".format(*needed),
    ]
    assert power_lines([], grid_of(made, "quick")) == []


def test_a_margin_is_one_of_the_differences_that_are_asked_for() -> None:
    made = study(TRAININGS, MEASUREMENTS, margin=0.5)
    powers = planned(made)
    assert powers[0].differences == (0.5, 1.0, 2.0, 5.0)
    assert power_lines(powers, grid_of(made, "quick"))[2].endswith("; from the margin, -0.5")


# --- where rows are found ------------------------------------------------------------------------


def left(folder: Path, made: Study, profile: str) -> None:
    """The files of a finished run, exported."""
    folder.mkdir(parents=True)
    grid = grid_of(made, profile)
    export(rows_of(grid, score, lambda network: CLEAN), folder / EXPORTED)
    write_facts(facts_of(grid), folder / FACTS)


@pytest.mark.parametrize("place", ["runs/toy-small", "study/small"])
def test_rows_of_another_profile_lie_beside_the_run_or_beside_the_file(
    tmp_path: Path, place: str
) -> None:
    pytest.importorskip("pyarrow")
    made = two_profiles()
    left(tmp_path / place, made, "small")
    file, out = tmp_path / "study" / "study.toml", tmp_path / "runs" / "toy-quick"
    [found] = profiles_of(file, made, "quick", out)
    assert (found.name, len(found.measured)) == ("small", 12)
    assert not list(profiles_of(tmp_path / "a" / "study.toml", made, "quick", tmp_path / "b"))
