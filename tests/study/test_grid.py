"""A profile, written out: every network and every curve, in an order and by names that last."""

import itertools
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noiseproof.network.norms import chosen
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.comparable import is_selected
from noiseproof.study.grid import training_name


def study(
    trainings: list[dict[str, Any]],
    measurements: list[dict[str, Any]] | None = None,
    *,
    comparisons: list[dict[str, Any]] | None = None,
    **profile: Any,
) -> Study:
    """A study of one profile; compared is whatever is measured, each curve by itself."""
    tables = measurements or [{"levels": [0.1]}]
    anything = {"design": tables[0].get("design", "nested(50)")}
    models = [table["model"] for table in (*trainings, *profile.get("ready", ()))]
    first = models[0] if isinstance(models[0], str) else models[0][0]
    each = {"by": ["network", "noise", "targets", "recalibrate"]}
    usual = [{"question": "q", "order": [anything, anything | {"model": first}]} | each]
    return Study.model_validate(
        {
            "name": "toy",
            "title": "Toy",
            "data": "digits",
            "claim": {"text": "It holds.", "source": "A paper"},
            "comparisons": usual if comparisons is None else comparisons,
            "profiles": {
                "quick": {
                    "about": "seconds",
                    "trainings": trainings,
                    "measurements": tables,
                    **profile,
                }
            },
        }
    )


def grid(*args: Any, **options: Any) -> Grid:
    return grid_of(study(*args, **options), "quick")


def recipe(**changed: Any) -> dict[str, Any]:
    usual = {"epochs": 30, "batch_size": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    return usual | {"augment": True, "bf16": None, "half": True} | changed


# --- networks -------------------------------------------------------------------------------------


def test_every_list_is_crossed_with_every_other() -> None:
    lists = {
        "model": ["resnet8", "vgg11"],
        "norm": ["batch", "none"],
        "norm_where": ["all", "first:1/3"],
        "lr": [0.1, 0.2],
        "epochs": [1, 2],
        "batch_size": [64, 128],
        "weight_decay": [0.0, 5e-4],
        "augment": [True, False],
        "seed": [0, 1],
    }
    networks = grid([lists]).networks
    keys = list(lists)[3:-1]
    found = [
        (n.model, n.norm, n.norm_where, *(dict(n.recipe or ())[key] for key in keys), n.seed)
        for n in networks
    ]
    assert found == list(itertools.product(*lists.values())), "in the order of the file"
    assert len({n.name for n in networks}) == 2**9


def test_a_network_has_the_rest_of_its_recipe_from_the_table() -> None:
    (network,) = grid([{"model": "resnet8", "momentum": 0.5, "bf16": True}]).networks
    assert network.recipe == tuple(recipe(momentum=0.5, bf16=True).items())
    assert (network.data, network.norm, network.norm_where) == ("digits", "batch", "all")


def test_a_name_is_pinned() -> None:
    """Weights lie in a folder of this name: where it changes, everything is trained again."""
    (network,) = grid([{"model": "resnet8", "epochs": 2}]).networks
    assert network.name == "resnet8-batch-lr0.1-e2-s0-9ce7fb"


def test_a_name_does_not_depend_on_what_else_the_study_holds() -> None:
    alone = grid([{"model": "resnet8", "norm": "none", "seed": 3}])
    among = grid(
        [{"model": ["vgg11", "resnet8"], "norm": ["batch", "none"], "seed": [1, 3], "lr": 0.1}],
        [{"levels": [0.3, 0.2], "recalibrate": "match(20)"}],
        images=50,
    )
    assert alone.networks[0] in among.networks


def test_whole_numbers_and_fractions_name_the_same_training() -> None:
    assert grid([{"model": "resnet8", "lr": 1}]) == grid([{"model": "resnet8", "lr": 1.0}])


RECIPES = st.fixed_dictionaries(
    {
        "epochs": st.integers(1, 100),
        "batch_size": st.integers(1, 512),
        "lr": st.sampled_from([0.1, 0.1000000001, 1e-5, 1.0, 123456.0, 123456.5]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "weight_decay": st.sampled_from([0.0, 5e-4]),
        "augment": st.booleans(),
        "bf16": st.sampled_from([None, True, False]),
        "half": st.booleans(),
    }
)
TRAININGS = st.tuples(
    st.sampled_from(["resnet8", "resnet14", "timm:resnet10t", "a.b:c", "a.b-c"]),
    st.sampled_from(["batch", "none", "batch_l1"]),
    st.sampled_from(["all", "first:1/3", "first:13", "name:a*", "name:a?", "name:../x", "name:ä"]),
    st.integers(0, 2**63 - 1),
    RECIPES,
    st.sampled_from(["digits", "cifar10"]),
)


@settings(max_examples=300)
@given(TRAININGS, TRAININGS)
def test_two_trainings_share_a_name_only_where_they_are_one(one: Any, other: Any) -> None:
    assert (training_name(*one) == training_name(*other)) == (one == other)


@settings(max_examples=100)
@given(TRAININGS)
def test_a_name_is_one_folder_on_every_system(one: Any) -> None:
    name = training_name(*one)
    assert name.isascii()
    assert not set(name) & set(' /\\:*?"<>|\n')
    assert not name.startswith((".", "-"))


def test_a_name_fits_a_file_system_however_long_the_pattern_is() -> None:
    text = "name:" + "x" * 400
    assert len(training_name("resnet8", "none", text, 0, recipe(), "digits").encode()) <= 200


def test_a_training_that_two_tables_ask_for_is_one_network() -> None:
    found = grid([{"model": "resnet8", "seed": [0, 1]}, {"model": "resnet8", "seed": [1, 2]}])
    assert [n.seed for n in found.networks] == [0, 1, 2]
    assert len(found.tasks) == 3


def test_trainings_that_differ_in_nothing_but_their_table_have_names_of_their_own() -> None:
    """What is no factor, as momentum, still makes another network."""
    tables = [{"model": "resnet8"}, {"model": "resnet8", "momentum": 0.0}]
    tables += [{"model": "resnet8", "bf16": True}, {"model": "resnet8", "half": False}]
    assert len({n.name for n in grid(tables).networks}) == 4


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("first:1/3", "ab"),
        ("first:2/3", "abcd"),
        ("last:1/3", "ef"),
        ("last:2/3", "cdef"),
        ("first:1/4", "ab"),  # 1.5 is rounded to the even number
        ("first:5/12", "ab"),  # so is 2.5
        ("first:0/5", ""),
        ("first:7/6", "abcdef"),
        ("last:7/6", "abcdef"),
        ("last:6/6", "abcdef"),
    ],
)
def test_a_fraction_is_of_all_layers(where: str, expected: str) -> None:
    assert "".join(chosen(list("abcdef"), where)) == expected
    (network,) = grid([{"model": "resnet8", "norm": "none", "norm_where": where}]).networks
    assert network.factors["norm"] == f"none ({where})"
    assert "/" not in network.name


def test_factors_are_what_a_comparison_selects_by() -> None:
    found = grid([{"model": "resnet8", "norm": "none", "norm_where": "last:1/3", "seed": 7}])
    (task,) = found.tasks
    assert task.factors == {
        "network": task.network.name,
        "model": "resnet8",
        "norm": "none (last:1/3)",
        "seed": 7,
        "lr": 0.1,
        "epochs": 30,
        "batch_size": 128,
        "weight_decay": 5e-4,
        "augment": True,
        "noise": "gaussian(level, reference=std, scope=tensor)",
        "hardware": "",
        "mapping": "",
        "mvm": "",
        "compensate": "off",
        "targets": "kernel",
        "stats_as": "",
        "fold_norm": False,
        "digital": "",
        "recalibrate": "off",
        "design": "nested(50)",
    }


READY = {"name": "theirs", "weights": "w.pt", "model": "resnet8"}


def test_ready_networks_come_after_those_to_be_trained_and_have_no_recipe() -> None:
    found = grid([{"model": "resnet8"}], ready=[READY | {"norm": "batch", "seed": 4}])
    assert [n.name for n in found.networks][1:] == ["theirs"]
    assert found.trainings == found.networks[:1]
    theirs = found.networks[1]
    assert (theirs.recipe, theirs.weights, theirs.norm_text) == (None, "w.pt", "batch")
    assert "lr" not in theirs.factors
    (own,) = grid([], ready=[READY]).networks
    assert own.norm_text == "own"


def test_a_ready_network_never_takes_the_place_of_a_training() -> None:
    name = grid([{"model": "resnet8"}]).networks[0].name
    with pytest.raises(ValueError, match=name):
        grid([{"model": "resnet8"}], ready=[READY | {"name": name}])


# --- curves ---------------------------------------------------------------------------------------


def test_each_network_has_a_curve_for_each_noise_target_and_recalibration() -> None:
    measurement = {
        "levels": [0.3, 0.1],
        "kind": ["gaussian", "uniform"],
        "scope": ["tensor", "global"],
        "targets": ["kernel", "norm_affine,bias"],
        "recalibrate": ["off", "match(20)"],
    }
    tasks = grid([{"model": "resnet8", "seed": [0, 1]}], [measurement]).tasks
    found = [(t.network.seed, t.family, ",".join(t.targets), t.recalibrate) for t in tasks]
    noises = [
        f"{kind}(level, reference=std, scope={scope})"
        for kind in ("gaussian", "uniform")
        for scope in ("tensor", "global")
    ]
    targets = ["kernel", "bias,norm_affine"]
    assert found == list(itertools.product([0, 1], noises, targets, ["off", "match(20)"]))
    assert {tuple(spec.level for spec in task.specs) for task in tasks} == {(0.1, 0.3)}


def test_a_curve_carries_design_numbers_and_calibration() -> None:
    measurement = {"levels": 0.1, "design": "chips", "chips": 7, "augment_calibration": True}
    measurement |= {"recalibrate": ["match(5)", "off", "batch(50)"], "precision": 0.02}
    tasks = grid([{"model": "resnet8"}], [measurement]).tasks
    assert {(str(task.design), task.chips, task.passes) for task in tasks} == {("chips", 7, None)}
    assert [task.pace.precision for task in tasks] == [0.02] * 3
    assert [task.augment for task in tasks] == [True, False, False], "where there is calibration"


def test_a_curve_that_two_tables_ask_for_is_measured_once() -> None:
    table = {"levels": [0.1, 0.2]}
    assert len(grid([{"model": "resnet8"}], [table, table]).tasks) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"levels": [0.2, 0.4]},
        {"levels": [0.1, 0.2], "chips": 9},
        {"levels": [0.1, 0.2], "precision": 0.05},
    ],
    ids=["levels", "chips", "precision"],
)
def test_one_curve_measured_in_two_ways_that_no_factor_tells_apart_is_refused(
    other: dict[str, Any],
) -> None:
    """A comparison would take the one or the other."""
    with pytest.raises(ValueError, match=r"measurements\[1\]|two curves of one network"):
        grid([{"model": "resnet8"}], [{"levels": [0.1, 0.2]}, other])


def test_a_way_to_recalibrate_is_called_as_the_rows_call_it() -> None:
    measurement = {"levels": 0.1, "recalibrate": ["50", "match( images=20 )"]}
    tasks = grid([{"model": "resnet8"}], [measurement]).tasks
    assert [task.recalibrate for task in tasks] == ["pooled(50)", "match(20)"]


# --- selections -----------------------------------------------------------------------------------


TABLE = {"model": ["resnet8", "vgg11"], "norm": ["batch", "none", "group"], "seed": [0, 1]}


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ({}, 12),
        ({"model": "vgg11"}, 6),
        ({"model": "vgg11", "norm": "none"}, 2),
        ({"norm": ["none", "group"]}, 8),
        ({"norm": ["none", "group"], "seed": 1}, 4),
        ({"lr": 0.1}, 12),
        ({"epochs": 30.0}, 12),
    ],
)
def test_only_measures_some_networks(only: dict[str, Any], count: int) -> None:
    order = [{"seed": 1}, {"design": "nested(50)"}]
    comparison = {"question": "q", "order": order, "by": ["network"]}
    found = grid([TABLE], [{"levels": 0.1, "only": only}], comparisons=[comparison])
    assert len(found.tasks) == count


def test_only_a_factor_that_a_network_has_can_select_it() -> None:
    assert not is_selected({"norm": "none"}, {"norm": "none", "lr": 0.1})
    assert is_selected({"norm": "none", "lr": 0.1}, {"lr": (0.1, 0.2)})
    assert is_selected({"norm": "none"}, {})


def test_true_is_not_one_and_false_is_not_zero() -> None:
    assert not is_selected({"seed": 0}, {"seed": False})
    assert not is_selected({"augment": True}, {"augment": 1})
    assert is_selected({"augment": True}, {"augment": True})
    assert is_selected({"epochs": 1}, {"epochs": 1.0})


@pytest.mark.parametrize("only", [{"norm": "layer"}, {"norm": []}, {"noise": "x"}, {"seed": 9}])
def test_only_has_to_select_a_network(only: dict[str, Any]) -> None:
    sentence = r"profiles\.quick\.measurements\[0\]\.only: .*got \{"
    with pytest.raises(ValueError, match=sentence):
        grid([TABLE], [{"levels": 0.1, "only": only}])


@pytest.mark.parametrize(("place", "order"), [(1, ["none", "layer"]), (0, ["layer", "none"])])
def test_each_side_of_a_comparison_has_to_be_measured(place: int, order: list[str]) -> None:
    comparison = {"question": "q", "order": [{"norm": n} for n in order], "by": ["model"]}
    sentence = rf"comparisons\[0\] in profile quick, order\[{place}\]: .*'layer'"
    with pytest.raises(ValueError, match=sentence):
        grid([TABLE], comparisons=[comparison])


# --- profiles -------------------------------------------------------------------------------------

PROFILES = """
name = "toy"
title = "Toy"
data = "digits"
claim = { text = "x", source = "y" }
comparisons = [{ question = "whole", order = [{ norm = "none" }, { norm = "batch" }] }]

[profiles.quick]
about = "seconds"
images = 100
trainings = [{ model = "resnet8", norm = ["batch", "none"] }]
measurements = [{ levels = 0.1 }]

[profiles.full]
about = "hours"
trainings = [{ model = "resnet8", norm = ["group", "none"] }]
measurements = [{ levels = 0.1 }]
comparisons = [{ question = "own", order = [{ norm = "none" }, { norm = "group" }] }]
"""


def test_a_profile_has_its_own_networks_images_and_comparisons() -> None:
    both = Study.model_validate(tomllib.loads(PROFILES))
    quick, full = grid_of(both, "quick"), grid_of(both, "full")
    assert (quick.images, full.images) == (100, None)
    assert {n.norm for n in full.networks} == {"group", "none"}
    assert [c.question for c in both.comparisons_of("quick")] == ["whole"]
    assert [c.question for c in both.comparisons_of("full")] == ["own"]


def test_an_unknown_profile_is_refused() -> None:
    both = Study.model_validate(tomllib.loads(PROFILES))
    with pytest.raises(ValueError, match="study toy has no profile 'half': .*one of quick, full"):
        grid_of(both, "half")


def test_the_same_file_gives_the_same_grid() -> None:
    one, other = (grid_of(Study.model_validate(tomllib.loads(PROFILES)), "full") for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


def test_what_a_recipe_could_not_ask_for_before_leaves_older_names_as_they_are() -> None:
    table = {"model": "resnet20", "lr": 0.3, "epochs": 12, "bf16": True}
    (usual,) = grid([table]).networks
    assert usual.name == "resnet20-batch-lr0.3-e12-s0-35d5b5"
    (newer,) = grid([table | {"clip_gradient": 1.0, "compiled": True}]).networks
    assert dict(newer.recipe or ()) == dict(usual.recipe or ()) | {
        "clip_gradient": 1.0,
        "compiled": True,
    }
    assert newer.name != usual.name


def test_the_form_of_statistics_is_crossed_where_noise_is_on_them() -> None:
    found = grid(
        [{"model": "resnet8"}],
        [
            {
                "levels": [0.1, 0.2],
                "targets": ["kernel", "kernel,norm_stats"],
                "stats_as": ["variance", "deviation"],
                "fold_norm": [False, True],
            }
        ],
        comparisons=[
            {
                "question": "q",
                "order": [{"stats_as": "variance"}, {"stats_as": "deviation"}],
                "by": ["targets", "fold_norm"],
            }
        ],
    )
    assert [
        (task.factors["targets"], task.factors["stats_as"], task.factors["fold_norm"])
        for task in found.tasks
    ] == [
        ("kernel", "", False),
        ("kernel", "", True),
        ("kernel,norm_stats", "variance", False),
        ("kernel,norm_stats", "variance", True),
        ("kernel,norm_stats", "deviation", False),
        ("kernel,norm_stats", "deviation", True),
    ]
