"""Reading a study: what is understood, and what is refused in one line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noiseproof import cli
from noiseproof.network import norms
from noiseproof.study import Study, grid_of, read_study
from noiseproof.study.keys import FACTORS, _check_where

PARTS = {
    "name": 'name = "toy"',
    "title": 'title = "Toy"',
    "data": 'data = "digits"',
    "top": "",
    "claim": '[claim]\ntext = "It holds."\nsource = "A paper"',
    "comparison": '[[comparisons]]\nquestion = "q"\n'
    'order = [{ norm = "none" }, { norm = "batch" }]\nby = ["model", "targets", "recalibrate"]',
    "profile": '[profiles.quick]\nabout = "seconds"',
    "first": '[[profiles.quick.trainings]]\nmodel = "resnet8"\nnorm = ["batch", "none"]',
    "training": '[[profiles.quick.trainings]]\nmodel = "vgg11"',
    "ready": "",
    "measurement": "[[profiles.quick.measurements]]\nlevels = [0.1, 0.3]",
}
HEADS = {
    "training": '[[profiles.quick.trainings]]\nmodel = "vgg11"\n',
    "measurement": "[[profiles.quick.measurements]]\nlevels = [0.1, 0.3]\n",
    "ready": '[[profiles.quick.ready]]\nname = "a"\nweights = "w.pt"\nmodel = "resnet8"\n',
    "comparison": '[[comparisons]]\nquestion = "q"\n'
    'order = [{ norm = "none" }, { norm = "batch" }]\n',
    "claim": '[claim]\ntext = "It holds."\nsource = "A paper"\n',
    "profile": '[profiles.quick]\nabout = "seconds"\n',
}


def text(**parts: str) -> str:
    """A small study, some of its parts written otherwise."""
    assert parts.keys() <= PARTS.keys()
    return "\n".join((PARTS | parts).values()) + "\n"


def added(part: str, lines: str) -> str:
    """A small study with more lines in one of its tables."""
    return text(**{part: HEADS[part] + lines})


def written(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "study.toml"
    file.write_text(content, encoding="utf-8")
    return file


def refusal(file: Path) -> str:
    """The sentence that a study is refused with, which is one line and names the file."""
    with pytest.raises(ValueError) as caught:
        read_study(file)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(file) in sentence, sentence
    return sentence


def outcome(file: Path) -> tuple[Study | None, str]:
    """The study, or the sentence that it is refused with."""
    try:
        return read_study(file), ""
    except ValueError as error:
        return None, str(error)


# --- what is understood ---------------------------------------------------------------------------


def test_a_small_study_is_read(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, text()))
    assert (study.name, study.data, list(study.profiles)) == ("toy", "digits", ["quick"])
    quick = study.profiles["quick"]
    assert [one.model for one in quick.trainings] == [("resnet8",), ("vgg11",)]
    assert quick.trainings[0].norm == ("batch", "none")
    assert quick.measurements[0].levels == (0.1, 0.3)
    assert quick.measurements[0].families == ("gaussian(0.1, reference=std, scope=tensor)",)
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
    assert study.profiles["quick"].measurements[0].families == tuple(
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
R, C = "profiles.quick.ready[0]", "comparisons[0]"


def levels(value: str) -> str:
    return text(measurement=f"[[profiles.quick.measurements]]\nlevels = {value}")


def order(value: str) -> str:
    by = 'by = ["model", "targets"]'
    return text(comparison=f'[[comparisons]]\nquestion = "q"\norder = {value}\n{by}')


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
        (text(measurement='[[profiles.quick.measurements]]\ntargets = "bias"'), f"{M}.levels"),
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


# --- files that are no study ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name = \n", "is not TOML"),
        (b'name = "a"\nname = "b"\n', "is not TOML"),
        (b"name = " + b"[" * 5000 + b"]" * 5000, ""),
        (b"name = 1" + b"0" * 5000, ""),
        (b'name = "\xff\xfe"', "is not UTF-8"),
        (b"PK\x03\x04\x00\x00", ""),
        (b"", "name: this key is required"),
        (b"[[name]]\n", "name: "),
    ],
    ids=["no TOML", "twice", "deep", "long number", "not UTF-8", "zip", "empty", "list"],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    assert sentence in refusal(file)


def test_a_folder_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "nowhere.toml")
    assert "name too long" in refusal(tmp_path / ("x" * 300))


# --- what only the grid shows ---------------------------------------------------------------------


def said(file: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the program says of a study that it refuses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(file.parent)
        patch.setattr(sys, "argv", ["noiseproof", "study", "status", str(file), *options])
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        (
            order('[{ norm = "none" }, { norm = "layer" }]'),
            "comparisons[0]",
            "{'norm': 'layer'}",
        ),
        (
            added("measurement", 'only = { norm = "layer" }'),
            "profiles.quick.measurements[0].only",
            "{'norm': 'layer'}",
        ),
        (
            added("measurement", "only = { norm = [] }"),
            "profiles.quick.measurements[0].only",
            "norm",
        ),
        (
            added("measurement", 'only = { targets = "kernel" }'),
            "profiles.quick.measurements[0].only",
            "targets",
        ),
        (
            order('[{ norm = "none", level = 0.1 }, { norm = "batch", level = 0.1 }]'),
            "comparisons[0]",
            "level",
        ),
    ],
    ids=["comparison", "only", "only empty", "only of measurements", "level"],
)
def test_a_selection_of_nothing_is_one_line_with_file_key_and_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, key: str, value: str
) -> None:
    file = written(tmp_path, content)
    sentence = said(file, capsys)
    assert key in sentence
    assert value in sentence
    assert str(file) in sentence


def test_an_unknown_profile_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = said(written(tmp_path, text()), capsys, "--profile", "slow")
    assert "no profile 'slow': expected one of quick" in sentence


HUGE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from noiseproof.study import grid_of, read_study
used = resource.getrusage(resource.RUSAGE_SELF)
resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 15,) * 2)
for file in sys.argv[1:]:
    try:
        grid_of(read_study(file), "quick")
        print("accepted", flush=True)
    except ValueError as error:
        print(error, flush=True)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used.ru_maxrss) >> 10
print("MiB:", grown, "torch:", "torch" in sys.modules)
"""


def numbers(n: int, *, by: float = 1) -> str:
    return json.dumps([round(by * (i + 1), 6) for i in range(n)])


FIVE = "\n".join(
    (
        f"seed = {numbers(300)}",
        f"epochs = {numbers(300)}",
        f"batch_size = {numbers(300)}",
        f"lr = {numbers(300, by=0.01)}",
        f"weight_decay = {numbers(300, by=0.001)}",
    )
)
EVERY_NOISE = (
    'kind = ["gaussian", "laplace", "uniform"]\n'
    'reference = ["absolute", "max", "range", "rms", "std"]\n'
    'scope = ["channel", "global", "tensor"]\n'
)
HUGE_GRIDS = {
    "crossed": (added("training", FIVE), "networks"),
    "seeds": (added("training", f"seed = {numbers(60_000)}"), "networks"),
    "levels": (levels(numbers(400_000, by=0.001)), "points"),
    "noises": (levels(f"{numbers(9_000, by=0.001)}\n{EVERY_NOISE}"), "points"),
}


def test_huge_grids_are_refused_quickly_and_without_filling_the_memory(tmp_path: Path) -> None:
    for name, (content, _) in HUGE_GRIDS.items():
        (tmp_path / name).write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", HUGE, *HUGE_GRIDS],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    said = done.stdout.splitlines()
    for place, (name, (_, what)) in enumerate(HUGE_GRIDS.items()):
        assert len(said) > place, f"{name} was not refused in time: {done.stderr[-300:]}"
        assert re.search(rf"more than 1(0,000|,000,000) {what}$", said[place]), (name, said[place])
    found = re.fullmatch(r"MiB: (\d+) torch: False", said[-1])
    assert found is not None, said[-1]
    assert int(found[1]) < 500


# --- nothing is run -------------------------------------------------------------------------------


def test_code_of_ones_own_is_never_imported_on_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study_trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    content = text(
        data='data = "study_trap:load"',
        training='[[profiles.quick.trainings]]\nmodel = ["os:system", "study_trap:net"]',
        ready=HEADS["ready"].replace("resnet8", "study_trap:net"),
    )
    grid = grid_of(read_study(written(tmp_path, content)), "quick")
    models = {network.model for network in grid.networks}
    assert models == {"resnet8", "os:system", "study_trap:net"}
    assert "study_trap" not in sys.modules


# --- any document ---------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "batch", "off", "kernel", "gaussian(0.1)", "first:1/3", "chips", "\n"]),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=9),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FACTORS, "norm_where", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    *(("measurement", key) for key in ("noise", "levels", "targets", "design", "only", "chips")),
    *(("measurement", key) for key in ("recalibrate", "precision", "passes", "kind", "scope")),
    *(("training", key) for key in ("norm", "norm_where", "lr", "seed", "half", "bf16")),
    *(("comparison", key) for key in ("by", "score", "margin", "unit", "peak", "order")),
    *(("ready", key) for key in ("norm", "normalize", "seed")),
    *(("profile", key) for key in ("images", "comparisons")),
    ("claim", "published"),
]


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_whatever_is_written_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, str], value: Any
) -> None:
    part, key = place
    head = HEADS[part]
    if key in ("order", "levels"):
        head = "".join(line for line in head.splitlines(True) if not line.startswith(key))
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text(**{part: f"{head}{key} = {toml(value)}"}))
    study, sentence = outcome(file)
    if study is None:
        assert "\n" not in sentence
        assert sentence.startswith(f"{file}: ")
        assert any(name in sentence for name in (key, "profiles.quick", C))


COUNTS = ["", "1", "2", "0", "02", "00", "9", "٣", "²", "-1", "1.5", " 1", "x"]
PARTS_OF_LAYERS = st.tuples(
    st.sampled_from(["first", "last", "every", "name", "all", "middle"]),
    st.sampled_from(["", ":"]),
    st.sampled_from(COUNTS),
    st.sampled_from(["", "/", "//"]),
    st.sampled_from(COUNTS),
).map("".join)


@settings(max_examples=500, deadline=None)
@given(PARTS_OF_LAYERS)
@example("first:1/02")
@example("last:1/٣")
def test_a_part_of_the_layers_is_read_exactly_where_a_network_can_be_built_with_it(
    where: str,
) -> None:
    def accepts(check: Callable[[], object]) -> bool:
        try:
            check()
        except ValueError:
            return False
        return True

    expected = accepts(lambda: norms.chosen(list("abcde"), where))
    assert accepts(lambda: _check_where(where)) == expected
