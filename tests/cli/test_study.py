"""`noiseproof study ...` as its user meets it."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from noiseproof.results.store import Store, export
from noiseproof.training import progress
from tests.cli.program import Run, run_main

STUDY = """
name = "small"
title = "Small | <b>study</b>"
data = "digits"
[claim]
text = "Without BatchNorm more is kept."
source = "Nobody, 2026"
[[claim.published]]
what = "A network without"
percent = 90.0
side = 0
[[claim.published]]
what = "A network with"
percent = 40.0
side = 1
[[comparisons]]
question = "Without against with"
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets"]
[profiles.quick]
about = "seconds"
images = 100
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["none", "batch"]
epochs = 1
seed = [0, 1]
[[profiles.quick.measurements]]
levels = [0.2, 0.8]
targets = ["kernel", "kernel,norm_affine"]
design = "nested(20)"
chips = 5
[profiles.other]
about = "the same, but one network less"
images = 100
[[profiles.other.trainings]]
model = "resnet8"
norm = ["none", "batch"]
epochs = 1
[[profiles.other.measurements]]
levels = 0.2
design = "nested(20)"
chips = 5
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "study.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="module")
def done(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `quick`."""
    out = tmp_path_factory.mktemp("done")
    assert run_main("study", "run", study, "--out", out, "--device", "cpu") == 0
    return out


@pytest.fixture
def run(run: Run) -> Run:
    """Exit code, stdout and stderr of `noiseproof study ...`."""
    return partial(run, "study")


def test_help_of_a_study_and_its_status_need_no_torch(study: Path) -> None:
    for arguments in (["--help"], ["run", "--help"], ["status", str(study)]):
        program = f"""
import sys
from noiseproof import cli
sys.argv = ["noiseproof", "study", *{arguments!r}]
try:
    cli.main()
except SystemExit as left:
    assert not left.code, left.code
assert "torch" not in sys.modules
"""
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_plan_says_what_is_left_and_how_long_it_takes(
    run: Run, study: Path, done: Path, tmp_path: Path
) -> None:
    code, out, err = run("plan", study, "--out", tmp_path / "new", "--device", "cpu", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["networks"], found["curves"]) == (4, 8)
    left = {line["what"]: (line["left"], line["in_all"]) for line in found["work"]}
    assert left == {
        "train resnet8, norm none": (2, 2),
        "train resnet8, norm batch": (2, 2),
        "measure resnet8, norm none, recalibrate off, nested(20)": (40, 40),
        "measure resnet8, norm batch, recalibrate off, nested(20)": (40, 40),
    }
    assert found["seconds"] == pytest.approx(sum(line["seconds"] for line in found["work"]))
    assert all(line["seconds"] > 0 for line in found["work"])
    assert not (tmp_path / "new").exists()
    [power] = found["power"]
    assert [cell["n"] for cell in power["cells"]] == [[2, 2]] * 2
    assert {cell["spread_from"] for cell in power["cells"]} == {
        "assumed: nothing like it is measured yet"
    }
    assert "The smallest difference, in points, that these seeds and chips can tell apart" in err
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(progress.LOOK_EVERY, "cpu")  # as a GPU, where a training seldom tells
        code, out, err = run("plan", study, "--out", tmp_path / "new", "--device", "cpu", "--json")
    assert all(line["seconds"] > 0 for line in json.loads(out)["work"])
    code, out, err = run("plan", study, "--out", done, "--device", "cpu", "--json")
    assert (code, json.loads(out)["seconds"]) == (0, 0.0), err
    [power] = json.loads(out)["power"]
    assert power["cells"][0]["spread_from"] == "rows of profile quick: 2 cases, n = 2 a side"


def test_a_second_run_measures_nothing_and_status_says_so(
    run: Run, study: Path, done: Path
) -> None:
    with Store(done / "rows.db", read_only=True) as store:
        before = store.rows()
    assert len(before) == 4 * (1 + 2 * 2 * 5)
    code, out, err = run("run", study, "--out", done, "--device", "cpu")
    reused = "84 of 84 rows were there already"
    assert (code, out.strip()) == (0, f"Rows: {done / 'rows.db'}; {reused}"), err
    with Store(done / "rows.db", read_only=True) as store:
        assert store.rows() == before
    code, out, err = run("status", study, "--out", done, "--json")
    states = json.loads(out)["networks"]
    assert [(s["state"], s["curves"], s["curves_in_all"], s["rows"]) for s in states] == [
        ("trained", 2, 2, 20)
    ] * 4


def test_before_a_run_everything_waits(run: Run, study: Path, tmp_path: Path) -> None:
    code, out, err = run("status", study, "--out", tmp_path, "--json")
    states = json.loads(out)["networks"]
    assert (code, [s["state"] for s in states]) == (0, ["waiting"] * 4), err


def test_the_report_is_the_same_from_the_store_and_from_exported_rows(
    run: Run, study: Path, done: Path, tmp_path: Path
) -> None:
    code, out, err = run("report", study, "--out", done, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (done / "report.html").is_file()
    assert (done / "report.md").is_file()
    with Store(done / "rows.db", read_only=True) as store:
        export(store.rows(), tmp_path / "rows.parquet")
    (tmp_path / "networks.json").write_text((done / "networks.json").read_text())
    code, out, err = run("report", study, "--out", tmp_path, "--json")
    assert code == 0, err
    assert json.loads(out) == found
    assert (tmp_path / "report.html").read_text() == (done / "report.html").read_text()


def test_the_figure_of_a_study_is_a_file_that_one_can_steer(
    run: Run, study: Path, done: Path, tmp_path: Path
) -> None:
    figure = tmp_path / "f.svg"
    more = ("--label", "kernel=weights", "--title", "A & B", "--size", "5x4in")
    code, out, err = run("report", study, "--out", done, "--figure", figure, *more)
    assert code == 0, err
    text = figure.read_text()
    for words in (
        "weights",
        "kernel,norm_affine",
        "A &amp; B",
        "normalised accuracy (%)",
        'width="360pt"',
    ):
        assert words in text
    assert "Caption: Lines: means over" in out
    for given, sentence in (
        (("--figure", tmp_path / "g.svg", "--only", "vgg*"), "--only 'vgg*' fits nothing: there"),
        (("--figure", tmp_path / "g.svg", "--label", "x=y"), "--label 'x' names nothing here"),
        (("--figure", tmp_path / "g.gif"), "unknown ending of a figure '.gif'"),
        (("--size", "5x4in"), "--only, --label, --title and --size are the figure's"),
    ):
        code, _, err = run("report", study, "--out", done, *given)
        assert (code, sentence in err) == (2, True), err
    assert list(tmp_path.iterdir()) == [figure]


def mistakes() -> list[tuple[list[str], str]]:
    return [
        (["plan", "no.toml"], "cannot read the study no.toml: No such file or directory"),
        (["plan", "STUDY", "--profile", "big"], "study small has no profile 'big': expected one"),
        (["plan", "STUDY", "--device", "tpu"], "unknown device 'tpu': expected one of auto"),
        (["run", "."], "cannot read the study .: Is a directory"),
        (["run", "STUDY", "--profile", ""], "study small has no profile ''"),
        (["run", "STUDY", "--out", "STUDY"], "is not a folder: name the folder of a run"),
        (["run", "STUDY", "--weights", "STUDY"], "cannot make the folder"),
        (["status", "no.toml"], "cannot read the study no.toml: No such file or directory"),
        (["status", "STUDY", "--profile", "x"], "study small has no profile 'x'"),
        (["status", "STUDY", "--out", "DAMAGED"], "is no file of a study's networks: delete it"),
        (["report", "STUDY", "--out", "EMPTY"], "holds no rows: run `noiseproof study run"),
        (["report", "STUDY", "--out", "NOPARQUET"], "holds no exported rows"),
        (["report", "no.toml"], "cannot read the study no.toml"),
    ]


@pytest.mark.parametrize(("arguments", "sentence"), mistakes())
def test_a_mistake_is_one_line_and_exit_code_2(
    run: Run,
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # without --out a run is beside where it was called
    for name in ("DAMAGED", "EMPTY", "NOPARQUET"):
        (tmp_path / name).mkdir()
    (tmp_path / "DAMAGED" / "networks.json").write_text("[1")
    (tmp_path / "NOPARQUET" / "rows.parquet").write_bytes(b"PAR1")
    places = {"STUDY": study, **{name: tmp_path / name for name in ("DAMAGED", "EMPTY")}}
    places["NOPARQUET"] = tmp_path / "NOPARQUET"
    code, _, err = run(*[places.get(argument, argument) for argument in arguments])
    lines = [line for line in err.splitlines() if line.startswith("noiseproof:")]
    assert code == 2
    assert len(lines) == 1
    assert sentence in lines[0]
    assert "Traceback" not in err
