"""Reading a study: what is understood, and what is refused in one line."""

import re
from pathlib import Path

import pytest

from noiseproof.study import grid_of, read_study
from tests.study.files import (
    HEADS,
    PARTS,
    C,
    R,
    added,
    levels,
    order,
    outcome,
    refusal,
    text,
    written,
)

# --- what is understood ---------------------------------------------------------------------------


def test_a_small_study_is_read(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, text()))
    assert (study.name, study.data, list(study.profiles)) == ("toy", "digits", ["quick"])
    quick = study.profiles["quick"]
    assert [one.model for one in quick.trainings] == [("resnet8",), ("vgg11",)]
    assert quick.trainings[0].norm == ("batch", "none")
    assert quick.measurements[0].levels == (0.1, 0.3)
    assert quick.measurements[0].noises == ("gaussian(0.1, reference=std, scope=tensor)",)
    assert study.comparisons_of("quick") == study.comparisons


@pytest.mark.parametrize("file", sorted(Path("studies").glob("*/study.toml")), ids=str)
def test_the_studies_of_this_project_are_read_with_every_profile(file: Path) -> None:
    study = read_study(file)
    for profile in study.profiles:
        assert grid_of(study, profile).tasks


def test_one_value_is_a_list_of_one(tmp_path: Path) -> None:
    one = read_study(written(tmp_path, added("training", 'lr = 0.2\nseed = 3\nnorm = "group"')))
    many = added("training", 'lr = [0.2]\nseed = [3]\nnorm = ["group"]')
    assert one == read_study(written(tmp_path, many))


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, added("training", "lr = 1")))
    lr = study.profiles["quick"].trainings[1].lr
    assert lr == (1.0,)
    assert isinstance(lr[0], float)


def test_kinds_references_and_scopes_are_crossed_into_noises(tmp_path: Path) -> None:
    lines = 'kind = ["gaussian", "laplace"]\nreference = ["std", "max"]\nscope = "global"'
    study = read_study(written(tmp_path, added("measurement", lines)))
    assert study.profiles["quick"].measurements[0].noises == tuple(
        f"{kind}(0.1, reference={reference}, scope=global)"
        for kind in ("gaussian", "laplace")
        for reference in ("std", "max")
    )


def test_a_study_is_never_changed(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, text()))
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"  # type: ignore[misc]


# --- mistakes of values ---------------------------------------------------------------------------


T, M = "profiles.quick.trainings[1]", "profiles.quick.measurements[0]"


# what is written, the key as the user wrote it, words of the rule, the value as it is shown
MISTAKES: list[tuple[str, str, str, str]] = [
    # wrong types
    (text(name="name = 3"), "name", "string|text", "3"),
    (text(title="title = 2020-01-01"), "title", "string|text", "2020"),
    (text(claim="", top="claim = 3"), "claim", "table|dictionary", "3"),
    (text(top='notes = "one"'), "notes", "list|tuple", "'one'"),
    (added("training", "lr = true"), f"{T}.lr", "number", "True"),
    (added("training", 'lr = "0.1"'), f"{T}.lr", "number", "'0.1'"),
    (added("training", "seed = [0, true]"), f"{T}.seed[1]", "integer|whole", "True"),
    (added("training", "epochs = 1.5"), f"{T}.epochs", "integer|whole", "1.5"),
    (added("training", 'epochs = "3"'), f"{T}.epochs", "integer|whole", "'3'"),
    (added("training", 'augment = "yes"'), f"{T}.augment", "boolean|true", "'yes'"),
    (added("training", "augment = 1"), f"{T}.augment", "boolean|true", "1"),
    (added("training", "half = 1"), f"{T}.half", "boolean|true", "1"),
    (added("training", 'bf16 = "auto"'), f"{T}.bf16", "boolean|true", "'auto'"),
    (added("training", "norm = 3"), f"{T}.norm", "string|text", "3"),
    (added("measurement", "chips = true"), f"{M}.chips", "integer|whole", "True"),
    (added("measurement", "chips = 2.0"), f"{M}.chips", "integer|whole", "2.0"),
    (added("measurement", "recalibrate = 0"), f"{M}.recalibrate", "string|text", "0"),
    (added("measurement", "only = 3"), f"{M}.only", "table|dictionary", "3"),
    (levels("[true]"), f"{M}.levels[0]", "number", "True"),
    (levels('[0.1, "0.2"]'), f"{M}.levels[1]", "number", "'0.2'"),
    (levels("[[0.1]]"), f"{M}.levels[0]", "number", "[0.1]"),
    (added("profile", "images = true"), "profiles.quick.images", "integer|whole", "True"),
    (added("comparison", "margin = true"), f"{C}.margin", "number", "True"),
    (added("comparison", "peak = 1"), f"{C}.peak", "boolean|true", "1"),
    (added("comparison", 'by = "targets"'), f"{C}.by", "list|tuple", "'targets'"),
    (text(comparison="", top="comparisons = [3]"), C, "table|dictionary", "3"),
    # unknown keys at each depth
    (text(top="colour = 3"), "colour", "no such key", "3"),
    (added("claim", 'txt = "y"'), "claim.txt", "no such key", "'y'"),
    (
        added("claim", 'published = [{ what = "a", percent = 9.0, n = 3 }]'),
        "claim.published[0].n",
        "no such key",
        "3",
    ),
    (added("profile", "seconds = 3"), "profiles.quick.seconds", "no such key", "3"),
    (added("training", "learning_rate = 0.1"), f"{T}.learning_rate", "no such key", "0.1"),
    (added("measurement", "level = 0.1"), f"{M}.level", "no such key", "0.1"),
    (added("ready", 'file = "w"'), f"{R}.file", "no such key", "'w'"),
    (added("comparison", "margins = 1"), f"{C}.margins", "no such key", "1"),
    # names
    (text(name='name = "To y"'), "name", "", "'To y'"),
    (text(name='name = "a/b"'), "name", "", "'a/b'"),
    (text(name='name = ".."'), "name", "", "'..'"),
    (text(name='name = "toy\\n"'), "name", "", "'toy\\n'"),
    (text(name='name = ""'), "name", "", "''"),
    (added("ready", "").replace('"a"', '"../a"'), f"{R}.name", "", "'../a'"),
    (text(profile='[profiles.Quick]\nabout = "x"'), "profiles.Quick", "", "'Quick'"),
    (text(title='title = ""'), "title", "at least 1", "''"),
    (text(title=f'title = "{"x" * 3000}"'), "title", "at most 2000", "'xxxx"),
    # names of other things
    (text(data='data = "digit"'), "data", "unknown data set", "'digit'"),
    (text(data='data = "digits@8x8"'), "data", "has one size", "digits"),
    (
        text(training=PARTS["training"].replace("vgg11", "vgg12")),
        f"{T}.model",
        "unknown",
        "'vgg12'",
    ),
    (added("training", 'norm = ["batch", "bacth"]'), f"{T}.norm[1]", "unknown norm", "'bacth'"),
    (added("training", 'norm_where = "third"'), f"{T}.norm_where", "unknown part", "'third'"),
    (added("training", 'norm_where = "every:1/2"'), f"{T}.norm_where", "unknown part", "every:1/2"),
    (
        added("training", 'norm_where = "first:1/0"'),
        f"{T}.norm_where",
        "unknown part of the layers",
        "first:1/0",
    ),
    (
        added("training", 'norm_where = "every:0"'),
        f"{T}.norm_where",
        "unknown part of the layers",
        "every:0",
    ),
    (added("measurement", 'noise = "gausian(0.1)"'), f"{M}.noise", "unknown noise", "'gausian'"),
    (added("measurement", 'noise = "gaussian(0.1"'), f"{M}.noise", "cannot read", "gaussian(0.1"),
    (added("measurement", 'noise = "quantize(bits=4)"'), f"{M}.noise", "level", "quantize(bits=4)"),
    (added("measurement", 'noise = "none"'), f"{M}.noise", "level", "none"),
    (added("measurement", 'kind = "poisson"'), f"{M}.kind", "gaussian", "'poisson'"),
    (
        added("measurement", 'reference = ["std", "mean"]'),
        f"{M}.reference[1]",
        "absolute",
        "'mean'",
    ),
    (added("measurement", 'scope = "layer"'), f"{M}.scope", "channel", "'layer'"),
    (added("measurement", 'targets = "kernels"'), f"{M}.targets", "unknown target", "'kernels'"),
    (added("measurement", 'targets = ""'), f"{M}.targets", "unknown target|at least one", "''"),
    (added("measurement", 'recalibrate = "pool(50)"'), f"{M}.recalibrate", "unknown recal", "pool"),
    (added("measurement", 'recalibrate = "match(0)"'), f"{M}.recalibrate", ">= 1", "0"),
    (added("measurement", 'recalibrate = "auto"'), f"{M}.recalibrate", r"match\(200\)", "auto"),
    (added("measurement", 'design = "nest(50)"'), f"{M}.design", "unknown design", "'nest"),
    (added("measurement", 'design = "nested(1)"'), f"{M}.design", ">= 2", "1"),
    (added("measurement", 'design = "nested"'), f"{M}.design", "how many images", "'nested'"),
    (added("measurement", 'design = "auto"'), f"{M}.design", "how many images", "'auto'"),
    (added("ready", 'normalize = "imagnet"'), f"{R}.normalize", "unknown norm", "'imagnet'"),
    (added("comparison", 'score = "acc"'), f"{C}.score", "average_normalised", "'acc'"),
    (added("comparison", 'unit = "seed"'), f"{C}.unit", "training", "'seed'"),
    (added("comparison", 'by = ["target"]'), f"{C}.by[0]", "unknown factor", "'target'"),
    (
        order('[{ nrm = "none" }, { norm = "batch" }]'),
        f"{C}.order[0].nrm",
        "unknown factor",
        "'nrm'",
    ),
    (
        added("measurement", 'only = { modell = "vgg11" }'),
        f"{M}.only.modell",
        "unknown factor",
        "'modell'",
    ),
    # numbers out of range
    (levels("[0.0]"), f"{M}.levels[0]", "greater than 0|> 0", "0.0"),
    (levels("[0.1, -0.1]"), f"{M}.levels[1]", "greater than 0|> 0", "-0.1"),
    (levels("[nan]"), f"{M}.levels[0]", "", "nan"),
    (levels("[inf]"), f"{M}.levels[0]", "", "inf"),
    (added("training", "lr = [0.1, nan]"), f"{T}.lr[1]", "", "nan"),
    (added("training", "lr = 0.0"), f"{T}.lr", "greater than 0|> 0", "0.0"),
    (added("training", "momentum = 1.0"), f"{T}.momentum", "less than 1|< 1", "1.0"),
    (added("training", "weight_decay = -0.1"), f"{T}.weight_decay", "0", "-0.1"),
    (added("training", "epochs = 0"), f"{T}.epochs", "1", "0"),
    (added("training", "batch_size = -3"), f"{T}.batch_size", "1", "-3"),
    (added("training", "seed = -1"), f"{T}.seed", "0", "-1"),
    (added("training", f"seed = {2**63}"), f"{T}.seed", "must be <", str(2**63)),
    (added("measurement", "chips = 0"), f"{M}.chips", "1", "0"),
    (added("measurement", "precision = 0.0"), f"{M}.precision", "greater than 0|> 0", "0.0"),
    (added("measurement", "precision = nan"), f"{M}.precision", "", "nan"),
    (added("profile", "images = 0"), "profiles.quick.images", "1", "0"),
    (added("comparison", "margin = -1"), f"{C}.margin", "0", "-1"),
    (added("comparison", "margin = nan"), f"{C}.margin", "", "nan"),
    (
        added("claim", 'published = [{ what = "a", percent = 120.0 }]'),
        "claim.published[0].percent",
        "100",
        "120",
    ),
    # how many
    (levels("[]"), f"{M}.levels", "at least one", "none"),
    (levels("[0.1, 0.2, 0.1]"), f"{M}.levels", "once", "0.1"),
    (levels("[1, 1.0]"), f"{M}.levels", "once", "1.0"),
    (added("training", "seed = [0, 1, 0]"), f"{T}.seed", "once", "0"),
    (added("training", "norm = []"), f"{T}.norm", "at least one", "none"),
    (added("measurement", "noise = []"), f"{M}.noise", "at least one", "none"),
    (added("measurement", 'targets = ["kernel", "kernel"]'), f"{M}.targets", "once", "'kernel'"),
    (order('[{ norm = "none" }]'), f"{C}.order", "2", "none"),
    (order('[{}, { norm = "batch" }]'), f"{C}.order[0]", "1|one", "{}"),
    # what does not go together
    (added("measurement", 'noise = "gaussian(0.1)"\nkind = "laplace"'), M, "kind is a part", ""),
    (added("measurement", 'noise = "gaussian(0.1)"\nscope = "global"'), M, "scope is a part", ""),
    (
        added("measurement", 'design = "per-image"\nrecalibrate = "match(50)"'),
        M,
        "per-image chips do not hold for recalibration",
        "match",
    ),
    (
        added("measurement", 'design = "per-image"\ntargets = "kernel,norm_stats"'),
        M,
        "per-image chips do not hold for noise on norm_stats",
        "",
    ),
    (added("measurement", 'design = "per-image"\nchips = 3'), M, "no number of chips", "3"),
    (added("measurement", 'design = "chips"\npasses = 3'), M, "no passes", "3"),
    (added("measurement", 'recalibrate = "ema(0.1)"'), M, "follows the test images", "ema(0.1"),
    (
        text(comparison='[[comparisons]]\nquestion = "q"\norder = []'),
        f"{C}.order",
        "must have 2 or more",
        "()",
    ),
    (levels("nan"), f"{M}.levels", "must be < inf", "nan"),
    (added("comparison", "peak = true"), C, "a peak needs 3 values", "2"),
    (added("comparison", 'score = "normalised"'), C, "add level to by", "normalised"),
    (added("comparison", 'by = ["level"]'), C, "take level out of by", "average_normalised"),
    (
        added("ready", HEADS["ready"]),
        "profiles.quick",
        "two ready networks have one name|name of its own|one name",
        "",
    ),
    (
        text(comparison=""),
        "comparisons|the file|profiles.quick",
        "nothing decides the claim",
        "quick",
    ),
    (
        text(first="", training=""),
        "profiles.quick",
        "needs trainings or ready networks",
        "neither",
    ),
]


@pytest.mark.parametrize(
    ("content", "key", "rule", "value"), MISTAKES, ids=[f"{m[1]}-{m[3]}" for m in MISTAKES]
)
def test_a_mistake_is_one_line_with_file_key_rule_and_value(
    tmp_path: Path, content: str, key: str, rule: str, value: str
) -> None:
    file = written(tmp_path, content)
    sentence = refusal(file)
    keys = [re.escape(one) for one in key.split("|")]
    assert re.match(rf"{re.escape(str(file))}: ({'|'.join(keys)}): ", sentence), sentence
    rest = re.sub(rf"^{re.escape(str(file))}: ({'|'.join(keys)}): ", "", sentence)
    assert re.search(rule, rest), sentence
    assert value in rest, sentence


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (text(name=""), "name"),
        (text(claim='[claim]\ntext = "x"'), "claim.source"),
        (text(profile="[profiles.quick]"), "profiles.quick.about"),
        (text(training="[[profiles.quick.trainings]]\nlr = 0.1"), f"{T}.model"),
        (text(measurement=""), "profiles.quick.measurements"),
        (text(comparison='[[comparisons]]\nquestion = "q"'), f"{C}.order"),
        (text(ready='[[profiles.quick.ready]]\nname = "a"\nmodel = "resnet8"'), f"{R}.weights"),
    ],
)
def test_a_key_that_is_missing_is_named(tmp_path: Path, content: str, key: str) -> None:
    file = written(tmp_path, content)
    assert refusal(file).startswith(f"{file}: {key}: this key is required")


def test_a_table_where_tables_belong_in_a_list_is_refused(tmp_path: Path) -> None:
    content = text().replace("[[profiles.quick.measurements]]", "[profiles.quick.measurements]")
    assert "profiles.quick.measurements: " in refusal(written(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        levels("[0.0]"),
        added("measurement", "chips = 0"),
        order('[{ nrm = "none" }, { norm = "batch" }]'),
        added("measurement", "only = { norm = { a = 1 } }"),
        order('[{ norm = ["none", "group"] }, { norm = "batch" }]'),
    ],
)
def test_one_mistake_is_not_counted_as_several(tmp_path: Path, content: str) -> None:
    assert " more)" not in refusal(written(tmp_path, content))


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    content = text(title='title = ""', training=HEADS["training"] + "lr = -1")
    assert refusal(written(tmp_path, content)).endswith("(and 1 more)")


def test_a_selection_is_named_as_the_user_wrote_it(tmp_path: Path) -> None:
    sentence = refusal(written(tmp_path, added("measurement", "only = { norm = { a = 1 } }")))
    assert f"{M}.only.norm: " in sentence


def test_a_profile_with_a_bad_name_is_named_as_the_user_wrote_it(tmp_path: Path) -> None:
    sentence = refusal(written(tmp_path, text(profile='[profiles.Quick]\nabout = "x"')))
    assert "[key]" not in sentence


def test_a_value_is_not_said_twice(tmp_path: Path) -> None:
    sentence = refusal(written(tmp_path, added("training", 'norm = "batchnorm"')))
    assert sentence.count("'batchnorm'") == 1


def test_a_level_that_its_noise_cannot_have_is_refused(tmp_path: Path) -> None:
    content = text(
        measurement='[[profiles.quick.measurements]]\nnoise = "stuck(0.1)"\nlevels = [0.5, 2.0]'
    )
    sentence = refusal(written(tmp_path, content))
    assert sentence.startswith(f"{tmp_path / 'study.toml'}: {M}")
    assert "between 0 and 1, got 2" in sentence


@pytest.mark.parametrize(
    "ways", ['["off", "0"]', '["50", "pooled(50)"]', '["match(50)", "match( images=50 )"]']
)
def test_a_way_to_recalibrate_is_not_measured_twice_under_two_names(
    tmp_path: Path, ways: str
) -> None:
    content = added("measurement", f"recalibrate = {ways}")
    study, sentence = outcome(written(tmp_path, content))
    assert "once" in sentence or (study and len(grid_of(study, "quick").tasks) == 3)


@pytest.mark.parametrize(
    "content",
    [
        order('[{ norm = "batch" }, { norm = "batch" }]'),
        added("comparison", 'by = ["model", "targets", "targets"]'),
        added("comparison", 'by = ["model", "norm"]'),
    ],
    ids=["a selection twice", "a factor twice", "a factor that the sides differ in"],
)
def test_a_comparison_that_can_say_nothing_is_refused(tmp_path: Path, content: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"comparisons\[0\]"):
        grid_of(read_study(file), "quick")
