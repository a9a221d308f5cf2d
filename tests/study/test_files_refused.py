"""Study files that are no study, that ask for nothing or too much, or that hold any values."""

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
from noiseproof.study import grid_of, read_study
from noiseproof.study.keys import FACTORS, _check_where
from tests.study.files import (
    HEADS,
    PLACES,
    C,
    added,
    levels,
    order,
    outcome,
    refusal,
    text,
    written,
)

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


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@settings(max_examples=150)
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


@settings(max_examples=500)
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
