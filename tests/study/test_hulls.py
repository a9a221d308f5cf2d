"""Can published figures be means over levels of these curves? By made-up means, and by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy.spatial import ConvexHull

from noiseproof.stats import CONFIDENCE
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.hulls import HullCell, HullVerdict, hull_verdict_of, shares_of, tally
from noiseproof.study.measured import measured_of
from noiseproof.study.verdicts import AGAINST, FOR, OPEN, of_parts
from noiseproof.study.wanted import Task
from tests.study.report.answers import results, study_of

LEVELS = [0.05, 0.1, 0.2, 0.4, 0.8]
HULL = """
[[comparisons]]
question = "can it be?"
hull = true
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets"]
"""
MEASUREMENTS = """
[[profiles.quick.measurements]]
levels = [0.05, 0.1, 0.2, 0.4, 0.8]
targets = ["kernel", "kernel,bias"]
design = "chips"
chips = 2
"""
TWO_MODELS = """
[[profiles.quick.trainings]]
model = ["resnet8", "vgg11"]
norm = ["batch", "none"]
epochs = 3
seed = [0, 1, 2]
"""
ONE_MODEL = TWO_MODELS.replace('["resnet8", "vgg11"]', '"resnet8"')


def published(*pairs: tuple[str, float, float]) -> str:
    """Figures without and with normalisation, for each of the models."""
    return "".join(
        f'[[claim.published]]\nwhat = "{model} {side}"\npercent = {percent}\nside = {side}\n'
        f'where = {{ model = "{model}" }}\n'
        for model, *figures in pairs
        for side, percent in enumerate(figures)
    )


def kept(norm: str, level: float) -> float:
    """Without normalisation a share falls late, with it early: a curve that bends."""
    return 1 - 0.6 * level**2 if norm == "none" else 1 / (1 + 6 * level)


def curved(task: Task, level: float, chip: int) -> float:
    """Where biases are noisy too, both sides lose the same; seeds and chips differ a little."""
    norm = task.network.norm_text
    mean = kept(norm, level) if task.targets == ("kernel",) else kept("batch", level)
    return mean + 0.001 * (task.network.seed - 1) + 0.001 * (chip - 0.5)


def bent(task: Task, level: float, chip: int) -> float:
    """Where biases are noisy too, the side with normalisation loses more."""
    share = kept(task.network.norm_text, level)
    power = 2 if task.targets != ("kernel",) and task.network.norm_text == "batch" else 1
    return 0.8 * share**power + 0.01 * (task.network.seed - 1) + 0.002 * (chip - 0.5)


def decided(
    study: Study,
    noisy: Callable[[Task, float, int], float] = curved,
    clean: Callable[[object], float] = lambda network: 1.0,
) -> HullVerdict:
    grid = grid_of(study, "quick")
    facts, rows = results(grid, noisy, clean=clean)
    return hull_verdict_of(study.comparisons[0], study.claim, measured_of(grid, facts, rows))


def mean_of(grid: list[float]) -> tuple[float, float]:
    """In percent, as a paper would print it with all its digits."""
    return (
        100 * float(np.mean([kept("none", level) for level in grid])),
        100 * float(np.mean([kept("batch", level) for level in grid])),
    )


def words(verdict: HullVerdict) -> dict[str, str]:
    return {str(dict(one.at)["targets"]): one.says(together=True) for one in verdict.definitions}


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [[0.05, 0.4, 0.8], [0.1, 0.2, 0.4, 0.8], [0.05, 0.05, 0.8]])
def test_a_mean_over_a_grid_of_the_curve_is_consistent_with_it_and_with_no_other(
    grid: list[float],
) -> None:
    """The definition that the mean was made of, and one under which both sides lose alike."""
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", *mean_of(grid))),
    )
    verdict = decided(study)
    assert words(verdict) == {"kernel": FOR, "kernel,bias": AGAINST}
    assert verdict.kind == "partly consistent"
    assert verdict.text == (
        "1 of 2 definitions is consistent with the published figures, 1 is excluded; what tells "
        "them apart: targets"
    )


def test_figures_far_off_exclude_every_definition() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", 20.0, 95.0)),
    )
    verdict = decided(study)
    assert (verdict.kind, set(words(verdict).values())) == ("excluded", {AGAINST})
    assert verdict.text.startswith("none of 2 definitions can have produced the published figures")


def test_with_a_margin_beyond_the_distance_every_definition_is_consistent() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL + "margin = 90.0\n",
        published=published(("resnet8", 20.0, 95.0)),
    )
    verdict = decided(study)
    assert (verdict.kind, verdict.text) == (
        "consistent",
        "all 2 definitions can have produced the published figures",
    )


def test_a_figure_that_the_curve_may_pass_between_two_levels_is_not_excluded() -> None:
    """Between levels 0.1 and 0.8 the curve may go straight on and then down, or down first."""
    coarse = MEASUREMENTS.replace("[0.05, 0.1, 0.2, 0.4, 0.8]", "[0.1, 0.8]")
    study = study_of(
        trainings=ONE_MODEL,
        measurements=coarse.replace('["kernel", "kernel,bias"]', '"kernel"'),
        comparisons=HULL,
        published=published(("resnet8", 95.0, 30.0)),
    )
    verdict = decided(study)
    (cell,) = verdict.cells
    assert cell.distance().low > 0.02
    assert cell.between == 0.0
    assert cell.step == pytest.approx(kept("batch", 0.1) - kept("batch", 0.8), abs=1e-3)
    assert (verdict.kind, cell.says()) == ("not decided", OPEN)


def _of_two_models(*grids: list[float]) -> HullVerdict:
    """Of each model a pair that is the mean over its grid."""
    pairs = zip(("resnet8", "vgg11"), grids, strict=True)
    study = study_of(
        trainings=TWO_MODELS,
        measurements=MEASUREMENTS.replace('["kernel", "kernel,bias"]', '"kernel"'),
        comparisons=HULL + "margin = 1.0\n",
        published=published(*((model, *mean_of(grid)) for model, grid in pairs)),
    )
    return decided(study)


def test_all_sets_at_once_need_one_grid() -> None:
    """Each pair is a mean of its own model's curve, but one of low levels and one of high ones."""
    unlike = _of_two_models([0.05, 0.1, 0.2], [0.2, 0.4, 0.8])
    told = [(cell.sets, cell.says()) for cell in unlike.cells]
    assert told == [(1, FOR), (1, FOR), (2, AGAINST)]
    assert unlike.kind == "excluded"
    alike = _of_two_models([0.1, 0.4, 0.8], [0.1, 0.4, 0.8])
    assert [cell.says() for cell in alike.cells] == [FOR, FOR, FOR]
    assert alike.kind == "consistent"
    assert alike.cells[-1].curve.shape == (6, 4)


def test_sets_of_unlike_levels_are_not_read_at_once() -> None:
    grids = (("resnet8", "[0.05, 0.1, 0.2, 0.4, 0.8]"), ("vgg11", "[0.1, 0.4, 0.8]"))
    study = study_of(
        trainings=TWO_MODELS,
        measurements="".join(
            f'[[profiles.quick.measurements]]\nlevels = {levels}\nonly = {{ model = "{model}" }}\n'
            'design = "chips"\nchips = 2\n'
            for model, levels in grids
        ),
        comparisons=HULL,
        published=published(*((model, *mean_of([0.1, 0.4, 0.8])) for model, _ in grids)),
    )
    verdict = decided(study)
    assert [(cell.sets, len(cell.levels)) for cell in verdict.cells] == [(1, 5), (1, 3)]
    assert len(verdict.definitions) == 1


def test_the_cases_that_are_read_together_share_the_error() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", *mean_of(LEVELS))),
    )
    for cell in decided(study).cells:
        assert cell.cells == 2
        assert cell.confidence == pytest.approx(1 - (1 - CONFIDENCE) / 2)
        wide, narrow = cell.distance(together=True), cell.distance()
        assert wide.low <= narrow.low <= narrow.mean <= wide.high


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (
            (3, 18, 3),
            "3 of 24 definitions are consistent with the published figures, 18 are excluded, "
            "3 not told apart",
        ),
        ((0, 1, 4), "1 of 5 definitions is excluded, 4 not told apart"),
        ((0, 0, 4), "none of 4 definitions is told apart"),
        ((0, 0, 1), "its definition is not told apart"),
    ],
)
def test_the_tally_says_how_many_definitions_are_what(
    counts: tuple[int, int, int], text: str
) -> None:
    assert tally(*counts) == text


def test_a_claim_of_a_hull_and_another_part_reads_both() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", *mean_of(LEVELS))),
    )
    verdict = decided(study)
    kind, text = of_parts([verdict, replace(verdict, kind="contradicted")])
    assert kind == "depends"
    assert text == (
        "one of its two parts is contradicted, one is consistent with the figures in some cases"
    )


# --- figures, by other code -----------------------------------------------------------------------


def chebyshev(points: np.ndarray, target: np.ndarray) -> float:
    """The distance of a point from a polygon by its largest coordinate: an edge at a time, at the
    places where it can be least."""
    corners = points[ConvexHull(points).vertices]
    if Outline(corners).contains_point(target):
        return 0.0
    found = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        away, along = target - a, b - a
        ends = [away[0] / along[0], away[1] / along[1]]
        ends += [(away[0] - s * away[1]) / (along[0] - s * along[1]) for s in (1, -1)]
        places = np.clip([0, 1, *ends], 0, 1)
        found += [float(np.abs(away - s * along).max()) for s in places]
    return min(found)


@pytest.mark.parametrize("pair", [(95.0, 20.0), (60.0, 60.0), (90.0, 50.0), (99.0, 99.5)])
def test_a_case_has_the_distance_that_a_loop_over_the_rows_finds(pair: tuple[float, float]) -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", *pair)),
    )
    grid = grid_of(study, "quick")
    facts, rows = results(grid, bent, clean=lambda network: 0.8)
    verdict = hull_verdict_of(study.comparisons[0], study.claim, measured_of(grid, facts, rows))
    norm_of = {one.sha256: str(one.factors["norm"]) for one in facts.values()}
    for cell in verdict.cells:
        curve = [[1.0, 1.0]]
        for level in LEVELS:
            point = []
            for norm in ("none", "batch"):
                scores = [
                    row.score
                    for row in rows
                    if norm_of[row.checkpoint] == norm
                    and row.level == level
                    and row.targets == dict(cell.at)["targets"]
                ]
                assert len(scores) == 6
                point.append(sum(scores) / 6 / 0.8)
            curve.append(point)
        points = np.array(curve)
        assert cell.curve == pytest.approx(points)
        found = chebyshev(points, np.array(pair) / 100)
        assert cell.distance().mean == pytest.approx(found, abs=1e-6)


def _measured(noisy: Callable[[Task, float, int], float], nonfinite: int = 0) -> HullCell:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS.replace('["kernel", "kernel,bias"]', '"kernel"'),
        comparisons=HULL + ('nonfinite = "class 0"\n' if nonfinite else ""),
        published=published(("resnet8", 90.0, 40.0)),
    )
    grid = grid_of(study, "quick")
    facts, rows = results(grid, noisy)
    rows = [replace(row, nonfinite=nonfinite if row.noise != "none" else 0) for row in rows]
    (cell,) = hull_verdict_of(
        study.comparisons[0], study.claim, measured_of(grid, facts, rows)
    ).cells
    return cell


def test_outputs_that_are_not_finite_can_count_as_class_0() -> None:
    """400 of 1000 images of 10 classes: 40 of them are expected to be of that class."""
    plain, argmax = _measured(curved), _measured(curved, nonfinite=400)
    assert argmax.curve[1:] == pytest.approx(plain.curve[1:] + 0.04)
    assert argmax.curve[0].tolist() == [1.0, 1.0]


def test_the_chips_of_a_case_have_the_levels_own_share_as_their_mean() -> None:
    """Also where the clean network has luck with the chips' images; and a chip's value is what it
    adds to that of its images."""
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS.replace('"chips"', '"nested(500)"'),
        comparisons=HULL,
        published=published(("resnet8", 90.0, 40.0)),
    )
    grid: Grid = grid_of(study, "quick")
    facts, rows = results(grid, curved, clean=lambda network: 0.6)
    rows = [row if row.noise == "none" else replace(row, images=500) for row in rows]
    hits = {"nested(500)": [280, 320]}
    facts = {name: one.model_copy(update={"clean_hits": hits}) for name, one in facts.items()}
    for curve in measured_of(grid, facts, rows):
        values, chips = shares_of(curve, "misses")
        assert len(chips) == 2
        for level, found in zip(LEVELS, values, strict=True):
            point = next(one for one in curve.points if one.level == level)
            first, second = (row.score for row in point.rows)
            share = (first + second) / (0.56 + 0.64)
            assert found.mean() == pytest.approx(curve.by_level[level]) == pytest.approx(share)
            assert found[0] - share == pytest.approx((first - share * 0.56) / 0.6)


def test_of_one_training_the_chips_are_what_is_replicated() -> None:
    one = ONE_MODEL.replace("[0, 1, 2]", "0")
    study = study_of(
        trainings=one,
        measurements=MEASUREMENTS.replace('["kernel", "kernel,bias"]', '"kernel"'),
        comparisons=HULL,
        published=published(("resnet8", 90.0, 90.0)),
    )
    (cell,) = decided(study).cells
    assert [len(side.units) for side in cell.sides] == [2, 2]
    assert cell.distance().low < cell.distance().mean


def test_networks_that_have_not_learned_are_counted_and_not_read() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", 90.0, 40.0)),
    )
    verdict = decided(study, clean=lambda network: 0.1 if network.seed == 1 else 1.0)
    assert {side.missing for cell in verdict.cells for side in cell.sides} == {1}
    assert {len(side.networks) for cell in verdict.cells for side in cell.sides} == {2}
    none = decided(study, clean=lambda network: 0.1)
    assert (none.kind, none.text, none.cells) == ("not measured", "no case is measured", ())
