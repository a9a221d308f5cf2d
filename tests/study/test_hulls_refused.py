"""Comparisons that ask for a hull and cannot have one: a line with its key, the rule, the value."""

from pathlib import Path

import pytest

from noiseproof.study import grid_of, read_study
from tests.study.files import PARTS, C, refusal, text, written

ORDER = '{ norm = "none" }, { norm = "batch" }'
HULL = f'[[comparisons]]\nquestion = "q"\nhull = true\norder = [{ORDER}]\n'
FIGURES = "".join(
    f'\n[[claim.published]]\nwhat = "{side}"\npercent = 50\nside = {side}\n'
    f'where = {{ model = "resnet8" }}\n'
    for side in (0, 1)
)
BY = 'by = ["model", "targets"]\n'


def study(
    tmp_path: Path, comparison: str = HULL + BY, figures: str = FIGURES, **parts: str
) -> Path:
    usual = {"claim": PARTS["claim"] + figures, "comparison": comparison}
    return written(tmp_path, text(**usual | parts))


def test_a_hull_with_its_figures_has_a_grid(tmp_path: Path) -> None:
    assert grid_of(read_study(study(tmp_path)), "quick").tasks


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        ("peak = true", "peak needs 3 values"),
        (
            'score = "average"',
            "score must be average_normalised, got 'average'",
        ),
        ('score = "clean"', "score must be average_normalised, got 'clean'"),
        ('unit = "chip"', "take unit out, got 'chip'"),
        ('nonfinite = "hits"', "nonfinite: input should be 'misses' or 'class 0'"),
        ("hulls = true", "hulls: there is no such key"),
        ("margin = -1.0", "margin: must be >= 0.0, got -1.0"),
    ],
)
def test_what_does_not_go_with_a_hull_is_one_line(
    tmp_path: Path, comparison: str, sentence: str
) -> None:
    found = refusal(study(tmp_path, f"{HULL}{BY}{comparison}\n"))
    assert C in found
    assert sentence in found


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (HULL + 'by = ["model", "level"]\n', "take level out of by"),
        (HULL.replace("{ norm", "{ level = 0.1, norm") + BY, "order cannot select levels"),
        (HULL.replace(', { norm = "batch" }', "") + BY, "order: must have 2 or more"),
        (HULL.replace("true", '"yes"') + BY, "hull: must be true or false, got 'yes'"),
        (
            HULL.replace("hull = true\n", 'nonfinite = "class 0"\n') + BY,
            "nonfinite is of a hull, got 'class 0': add hull = true",
        ),
        (
            HULL.replace(ORDER, ORDER + ', { norm = "group" }') + BY + "peak = true\n",
            "a hull has no peak",
        ),
    ],
)
def test_a_hull_of_something_else_is_one_line(
    tmp_path: Path, comparison: str, sentence: str
) -> None:
    assert sentence in refusal(study(tmp_path, comparison))


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ("", "got 0 figures that make no such set"),
        (FIGURES.replace("side = 1", "side = 2"), "got 2 figures that make no such set"),
        (FIGURES.replace("side = 1\n", ""), "got 2 figures that make no such set"),
        (FIGURES.replace("resnet8", "vgg11", 1), "got 2 figures that make no such set"),
        (FIGURES.replace('"resnet8"', '"resnet8", level = 0.1'), "of one where and no level"),
        (FIGURES.replace("side = 1", "side = 0"), "need different sides, got side 0 twice: '1'"),
    ],
    ids=["none", "other side", "no side", "other where", "a level", "twice"],
)
def test_figures_that_make_no_set_are_one_line(tmp_path: Path, figures: str, sentence: str) -> None:
    assert sentence in refusal(study(tmp_path, figures=figures))


def grid_refusal(file: Path) -> str:
    with pytest.raises(ValueError) as caught:
        grid_of(read_study(file), "quick")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_a_grid_cannot_give_a_hull_is_one_line(tmp_path: Path) -> None:
    two = "[[profiles.quick.measurements]]\nlevels = [0.1]\ntargets = ['kernel', 'bias']"
    found = grid_refusal(study(tmp_path, HULL, measurement=two))
    assert "several values of targets (bias, kernel): add targets to by, or select one" in found
    elsewhere = FIGURES.replace("resnet8", "resnet44")
    found = grid_refusal(study(tmp_path, figures=elsewhere))
    assert "measured under one combination of model, targets: the grid has none" in found
    of_batch = PARTS["first"] + "\nseed = [0, 1]"
    levels = "".join(
        f"[[profiles.quick.measurements]]\nlevels = {values}\nonly = {{ seed = {seed} }}\n"
        for seed, values in enumerate(("[0.1, 0.3]", "[0.1, 0.2]"))
    )
    found = grid_refusal(study(tmp_path, first=of_batch, training="", measurement=levels))
    assert "a hull needs the same levels on all sides, got 0.1, 0.2 and 0.1, 0.3" in found
