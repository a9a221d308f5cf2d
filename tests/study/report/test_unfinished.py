"""What is not there is said: unfinished studies, failed trainings, panels left out."""

import json
import math

import pytest
from scipy import stats as sps

from noiseproof.specs import parse
from noiseproof.stats.intervals import Interval
from noiseproof.study import grid_of
from noiseproof.study.report import (
    document_of,
    report_of,
    summary_row,
)
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import (
    cells_table,
    levels_table,
    networks_table,
)
from noiseproof.study.report.words import names_of, share, side_names
from noiseproof.study.wanted import Network, Task
from tests.study.report.answers import (
    COMMAND,
    COMPARISON,
    MEASUREMENTS,
    PAIR,
    T2,
    TRAININGS,
    apart,
    reported,
    results,
    sha_of,
    study_of,
)

# --- what is not there ----------------------------------------------------------------------------


def test_an_unfinished_study_says_so_first() -> None:
    def noisy(task: Task, level: float, chip: int) -> float:
        seed, high = task.network.seed, level > 0.2
        lost = (seed == 2) or (seed == 1 and high) or (task.targets == ("kernel",) and chip)
        return math.nan if lost and task.network.norm_text == "none" else apart(task, level, chip)

    report = reported(study_of(), noisy)
    # Of 12 curves none has 2 without rows, 2 without a level; kernel of seed 0 lacks a chip.
    progress = report.progress
    assert (progress.curves, progress.done, progress.begun, progress.absent) == (12, 7, 3, 2)
    assert report.headline.startswith("Verdict so far (unfinished: 7 of 12 curves measured): ")
    page, markdown = page_of(report), markdown_of(report)
    assert page.index("7 of 12 curves measured (3 begun, 2 without a row)") < page.index("none is")
    assert markdown.split("\n\n")[1].startswith("**Unfinished: 7 of 12 curves measured**")
    assert "1 of 2 units at level 0.1; 1 of 2 units at level 0.3" in page
    assert "no rows at level 0.3" in page
    assert "2 curves without rows" in markdown
    assert document_of(report)["finished"] is False
    assert "unfinished: 7 of 12" in summary_row(report)


def test_a_precision_decides_how_many_units_a_level_needs() -> None:
    precise = MEASUREMENTS.replace("chips = 2", "precision = 0.02")
    study = study_of(measurements=precise)
    assert reported(study, apart, chips=2).progress.done == 0  # the first 20 tell the spread
    assert reported(study, apart, chips=20).progress.done == 12
    report = reported(study, lambda task, level, chip: 0.5 + 0.2 * (-1) ** chip, chips=20)
    needed = math.ceil((float(sps.t.ppf(0.975, 19)) * 0.2 * math.sqrt(20 / 19) / 0.02) ** 2)
    assert report.progress.done == 0
    assert f"20 of {needed} units" in report.progress.gaps[0]


def test_without_rows_nothing_is_claimed() -> None:
    study = study_of(published=PAIR)
    report = report_of(study, "quick", grid_of(study, "quick"), {}, [], command=COMMAND)
    assert report.first.verdict.kind == "not measured"
    assert "0 of 12 curves measured" in page_of(report)
    assert "not measured" in summary_row(report)
    assert {line.state for line in report.networks} == {"not there yet"}
    json.dumps(document_of(report), allow_nan=False)
    markdown_of(report)


def test_a_failed_training_is_told_and_does_not_leave_the_study_unfinished() -> None:
    def clean(network: Network) -> float | None:
        return None if network.norm_text == "none" and network.seed == 2 else 1.0

    report = reported(study_of(), apart, clean=clean)
    assert report.progress.is_finished
    assert (
        report.headline
        == "Verdict (incomplete: 10 of 12 curves measured): reproduced. It holds in all 2 cases"
    )
    remarks = [row[-1] for row in networks_table(report).rows]
    assert remarks.count("training failed: the loss is nan") == 1
    assert cells_table(report.first).rows[0][1].endswith("n = 2")
    assert "impossible, since a training failed" in page_of(report)


def test_networks_that_have_not_learned_are_marked_and_left_out() -> None:
    def clean(network: Network) -> float:
        return 0.15 if network.norm_text == "none" and network.seed == 2 else 1.0

    report = reported(
        study_of(), lambda t, v, c: min(apart(t, v, c), clean(t.network)), clean=clean
    )
    assert [line.network.seed for line in report.not_learned] == [2]
    assert cells_table(report.first).rows[0][1].endswith("n = 2, 1 not learned")
    page = page_of(report)
    assert "1 network has not learned" in page
    assert "at most 2 times chance" in page
    assert report.panels[0].lines[0].n == 2
    assert [n["learned"] for n in document_of(report)["networks"]].count(False) == 1


def test_a_network_is_told_with_its_recipe_and_what_became_of_it() -> None:
    report = reported(study_of(), lambda t, v, c: 0.5, clean=lambda network: 0.915)
    row, network = networks_table(report).rows[1], report.networks[1].network
    sha = sha_of(network)[:12]
    about = ("resnet8", "batch", "0.1", "3", "1", "91.5", "12", "cpu x1", sha, "")
    assert row == (network.name, *about)


def test_pairs_that_no_cell_compares_are_listed() -> None:
    made = study_of()
    grid = grid_of(made, "quick")
    facts, rows = results(grid, apart, clean=lambda network: 1.0, chips=2)
    known = {name: fact for name, fact in facts.items() if fact.factors["norm"] != "none"}
    report = report_of(made, "quick", grid, known, rows, command=COMMAND)
    assert report.first.verdict.kind == "not measured"
    assert report.first.absent == (
        "norm none against norm batch: kernel",
        "norm none against norm batch: kernel,bias",
    )
    assert "2 pairs of the grid that could not be compared" in page_of(report)
    assert "2 pairs not compared" in summary_row(report)
    assert reported(study_of(), apart).first.absent == ()


def test_networks_that_have_not_learned_leave_their_cells_open() -> None:
    def clean(network: Network) -> float:
        return 0.15 if network.norm_text == "none" else 1.0

    report = reported(
        study_of(), lambda t, v, c: min(apart(t, v, c), clean(t.network)), clean=clean
    )
    assert report.first.verdict.kind == "not decided"
    assert "one of 2 cases is told apart" in page_of(report)
    assert report.first.absent == ()


# --- panels ---------------------------------------------------------------------------------------


def test_the_levels_table_holds_the_means_of_the_panels() -> None:
    report = reported(study_of(), apart)
    table = levels_table(report.panels)
    half = 100 * T2 * 0.01 / math.sqrt(3)
    assert table.heads == ("combination", "side", "n", "level 0.1", "level 0.3")
    shown = f"40.0 [{40 - half:.1f}, {40 + half:.1f}]"
    assert table.rows[1] == ("kernel", "norm batch", "3", table.rows[1][3], shown)
    assert report.panels[0].lines[0].levels == (0.0, 0.1, 0.3)
    assert report.panels[0].axis == "noise level (sigma / std per tensor)"


def test_more_panels_than_fit_are_counted_and_tabled() -> None:
    noises = [f"laplace({0.1}, reference={r}, scope={s})" for r in ("std", "max", "rms", "range")
              for s in ("tensor", "channel", "global")]  # fmt: skip
    noises += [noise.replace("laplace", "uniform") for noise in noises]
    many = MEASUREMENTS.replace("levels", f"noise = {json.dumps(noises)}\nlevels")
    many = many.replace("chips = 2", "chips = 1")
    by = COMPARISON.replace('["targets"]', '["targets", "noise"]')
    small = TRAININGS.replace("[0, 1, 2]", "[0, 1]")
    report = reported(study_of(trainings=small, measurements=many, comparisons=by), apart, chips=1)
    assert len(report.panels) == len(report.first.cells) == 48
    page = page_of(report)
    assert page.count("<figure>") == 24
    assert "24 further combinations of 48 not drawn here" in page
    assert len(page) < 1_000_000
    assert len(levels_table(report.panels).rows) == 96
    assert "laplace, std per tensor" in page


# --- words ----------------------------------------------------------------------------------------


def test_noises_have_short_names_that_tell_them_apart() -> None:
    std, most = (parse(f"gaussian(0.1, reference={one})") for one in ("std", "max"))
    assert names_of([std, most, std.at(0.2)]).noises == {
        std.family: "std per tensor",
        most.family: "max per tensor",
    }
    assert names_of([std]).noises == {std.family: "gaussian, std per tensor"}
    laplace = parse("laplace(0.1)")
    assert names_of([std, laplace]).noises[laplace.family] == "laplace, std per tensor"
    whole = parse("gaussian(0.1, scope=global)")
    assert names_of([std, whole]).noises[whole.family] == "std, global"
    at = (("stats_as", "inverse"), ("fold_norm", True), ("noise", std.family))
    assert names_of([std, most]).at(at) == "statistics as inverse; folded; std per tensor"
    at = (("stats_as", ""), ("fold_norm", False), ("noise", std.family))
    assert names_of([std, most]).at(at) == "std per tensor"


@pytest.mark.parametrize(
    "text", ["lognormal(0.1)", "device(pcm, time=1d)", "own(mine:drift, level=0.1)"]
)
def test_other_noises_keep_their_whole_text(text: str) -> None:
    assert names_of([parse("gaussian(0.1)"), parse(text)]).noises == {}


def test_sides_are_called_by_what_tells_them_apart() -> None:
    order = [{"norm": "none", "model": "m"}, {"norm": "batch", "model": "m"}]
    assert side_names(order, names_of([])) == ["norm none", "norm batch"]
    assert side_names([{"norm": "none"}, {"model": "m"}], names_of([])) == ["norm none", "model m"]


def test_zero_has_no_sign() -> None:
    assert share(Interval(mean=-0.0001, low=-0.2, high=0.2)) == "0 [-20, 20]"
    assert share(Interval(mean=-0.00001, low=-0.02, high=0.02)) == "0.0 [-2.0, 2.0]"
    assert share(Interval(mean=math.nan, low=math.nan, high=math.nan)) == "-"
