"""The command `explain`: what it prints and writes, and what it refuses before anything heavy."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from noiseproof.core.rng import seeded
from noiseproof.measuring.activations import explain
from noiseproof.measuring.setup import open_setup
from noiseproof.models import building as models
from noiseproof.models.checkpoint import save_weights
from noiseproof.specs.noise import parse
from tests.cli.program import Run

NET = ("--model", "resnet8", "--norm", "batch", "--data", "digits", "--device", "cpu")
NOISE = "gaussian(0.3, reference=std)"
SMALL = (*NET, "--chips", 2, "--images", 30, "--noise", NOISE, "--recalibrate", "40")


@pytest.fixture
def run(run: Run) -> Run:
    """Exit code, stdout and stderr of `noiseproof explain ...`."""
    return partial(run, "explain")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-8 without training: its statistics are those of random inputs."""
    file = tmp_path_factory.mktemp("net") / "weights.safetensors"
    with seeded(0, "weights"):
        net = models.build("resnet8", norm="batch", classes=10, channels=1)
        net(torch.randn(64, 1, 32, 32))
    save_weights(net, file)
    return file


@pytest.fixture(scope="module")
def told(weights: Path) -> dict[str, Any]:
    """The same from Python."""
    words = {"model": "resnet8", "norm": "batch", "data": "digits"}
    setup = open_setup(weights, images=30, calibration=40, **words)  # type: ignore[arg-type]
    found = explain(
        setup.model,
        setup.test,
        parse(NOISE),
        recalibrate=["pooled(40)"],
        calibration=setup.calibration,
        scale=setup.scale,
        subject=setup.subject,
        chips=2,
    )
    return found.as_json()


def test_the_command_prints_the_findings_first_writes_page_and_figure_and_ends_in_json(
    run: Run, weights: Path, tmp_path: Path, told: dict[str, Any]
) -> None:
    out, figure = tmp_path / "a.html", tmp_path / "a.svg"
    code, printed, progress = run(weights, *SMALL, "--out", out, "--figure", figure, "--json")
    assert code == 0
    lines = progress.splitlines()
    document = json.loads(printed)
    assert document.pop("page") == str(out)
    assert document == json.loads(json.dumps(told)), "the command line is one call in Python"
    assert not any(re.match(r" *linear +analog", line) for line in lines), "only by --table"
    place = next(i for i, line in enumerate(lines) if line.startswith("pooled(40): accuracy"))
    assert [lines.index(text) for text in document["findings"]] == list(
        range(place - 1 - len(document["findings"]), place - 1)
    ), "findings, then the score of each way"
    assert f"Page: {out}" in lines
    assert f"Figure: {figure}" in lines
    assert "explaining: pooled(40)" in progress
    assert "Plotly" in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.svg"]


def test_the_table_is_at_most_120_columns_wide(run: Run, weights: Path, tmp_path: Path) -> None:
    ways = ("--recalibrate", "match(20)", "--recalibrate", "layerwise(20)")
    code, printed, _ = run(weights, *SMALL, *ways, "--out", tmp_path / "a.html", "--table")
    assert code == 0
    # Sentences wrap as the terminal likes; the table begins with its title.
    table = printed[printed.index("resnet8 on digits") : printed.index("a +-b")].splitlines()
    assert any(re.match(r" *linear +analog", line) for line in table)
    assert max(map(len, table)) <= 120
    for way in ("off", "pooled(40)", "match(20)", "layerwise(20)"):
        assert any(way in line for line in table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--noise", "none"), "there is nothing to explain without noise"),
        (("--noise", "gauss(1)"), "unknown noise 'gauss'"),
        (("--recalibrate", "batch(16)"), "follows the test batches: leave it out"),
        (("--recalibrate", "pool(16)"), "unknown recalibration 'pool'"),
        (("--chips", "0"), "chips must be >= 1, got 0"),
        (("--images", "0"), "images must be >= 1, got 0"),
        (("--figure", "a.gif"), "unknown ending of a figure '.gif'"),
        (("--task", "package.module:score"), "unknown task"),
        (("--out", "nowhere/a.html"), "--out nowhere/a.html: there is no folder nowhere"),
        (("--out", "."), "--out . is a folder"),
        (("--out", "a.svg", "--figure", "a.svg"), "--out and --figure must differ"),
        (("--model", "resnet9"), "unknown model 'resnet9'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, error = run("missing.pt", *options)
    assert (code, printed) == (2, "")
    assert error.startswith("noiseproof: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_is_never_overwritten(run: Run, weights: Path) -> None:
    before = weights.read_bytes()
    for named in (weights, weights.parent):  # a training run's folder is a checkpoint too
        code, _, error = run(named, *SMALL, "--out", weights)
        assert code == 2
        assert "is what the command reads" in error
    assert weights.read_bytes() == before


def test_arguments_are_checked_without_torch() -> None:
    program = """
import sys
from noiseproof import cli
sys.argv = ["noiseproof", "explain", "missing.pt", "--recalibrate", "batch(1)"]
try:
    cli.main()
except SystemExit as left:
    sys.exit("torch" if "torch" in sys.modules else f"code {left.code}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "code 2"


@pytest.mark.parametrize(("usual", "images"), [(20, 20), (501, 500)])
def test_the_default_is_a_number_of_images_or_all_where_there_are_less(
    run: Run,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    usual: int,
    images: int,
) -> None:
    monkeypatch.setattr("noiseproof.cli.explain.IMAGES", usual)
    code, printed, _ = run(weights, *NET, "--chips", 1, "--out", tmp_path / "a.html", "--json")
    assert code == 0
    document = json.loads(printed)
    assert (document["images"], document["chips"]) == (images, 1)
    assert document["findings"] == [], "one chip has no interval"
