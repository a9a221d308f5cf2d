"""`noiseproof sensitivity` as its user meets it."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from noiseproof.models import building as models
from noiseproof.results.sensitivity import rankings_of
from noiseproof.results.store import Store
from tests.cli.program import Run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on the digits, untrained."""
    file = tmp_path_factory.mktemp("weights") / "net.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = models.build("resnet8", classes=10, channels=1)
    torch.save(net.state_dict(), file)
    return file


@pytest.fixture
def run(run: Run) -> Run:
    """Exit code, stdout and stderr of `noiseproof sensitivity ...`."""
    return partial(run, "sensitivity")


OPTIONS = ("--model", "resnet8", "--data", "digits", "--images", 60, "--device", "cpu")
OPTIONS += ("--noise", "gaussian(0.8, reference=std)", "--seed", 3)


def test_it_prints_both_tables_stores_rows_draws_and_ends_in_json(
    run: Run, weights: Path, tmp_path: Path
) -> None:
    store, figure = tmp_path / "rows.db", tmp_path / "f.png"
    more = ("--keep", "0,2", "--store", store, "--figure", figure, "--json")
    code, out, err = run(weights, *OPTIONS, *more)
    assert code == 0, err
    words = " ".join(err.split())
    assert "gaussian(0.8, reference=std, scope=tensor) on kernel, in one layer alone" in words
    assert "the same noise everywhere but in the first layers of the ranking" in words
    assert "noise in one alone: linear, block 5:" in err
    assert "most sensitive kept digital: 2 layers, block 11:" in err
    assert figure.stat().st_size > 5_000
    document = json.loads(out)
    assert [entry["rank"] for entry in document["ranking"]] == list(range(1, 9))
    assert {entry["name"] for entry in document["ranking"]} >= {"conv1", "linear"}
    assert [len(entry["kept"]) for entry in document["digital"]] == [0, 2, 8]
    assert document["provenance"]["unit of replication"] == "block of images"
    with Store(store, read_only=True) as rows:
        (ranking,) = rankings_of(rows.rows())
    assert {k: v for k, v in document.items() if k != "provenance"} == ranking.as_json()

    again = run(weights, *OPTIONS, *more)
    assert again[0] == 0
    there = f"Rows: {store}; 66 of 66 rows were there already"
    assert again[1] == out, "the same document"
    assert there in again[2]
    assert again[2].startswith("noiseproof: design per-image(10): the noise is symmetric")
    assert "block 5:" not in again[2], "nothing was computed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--noise", "potato(1)"), "unknown noise 'potato'"),
        (("--noise", "stuck(0.1)", "--design", "per-image"), "do not hold for stuck noise"),
        (("--design", "nested"), "compared on the same images, and design nested"),
        (("--design", "chops"), "unknown design 'chops'"),
        (("--chips", "0"), "chips must be >= 1, got 0"),
        (("--by", "colour"), "unknown grouping 'colour': expected one of layer, block, role"),
        (("--keep", "1,x"), "keep must be whole numbers >= 0, as in 0,1,5, got 'x'"),
        (("--images", "0"), "images must be >= 1, got 0"),
        (("--figure", "f.jpg"), "unknown ending of a figure '.jpg'"),
        (("--targets", "norm_stats", "--design", "per-image"), "noise on norm_stats"),
        (("--device", "abacus"), "abacus"),
        (("--model", "resnet9"), "resnet9"),
        (("--seed", "-1"), "seed must be between"),
        ((), "w.pt"),
    ],
)
def test_mistakes_end_in_one_line_and_code_2(
    run: Run,
    arguments: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("w.pt", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err
    assert not list(tmp_path.iterdir())


def test_more_layers_than_there_are_cannot_be_kept(run: Run, weights: Path, tmp_path: Path) -> None:
    options = (*OPTIONS, "--keep", "9", "--store", tmp_path / "r.db")
    code, out, err = run(weights, *options)
    assert (code, out) == (2, "")
    assert err == "noiseproof: keep must be between 0 and the 8 groups there are, got 9\n"


def test_mistakes_in_arguments_do_not_import_torch() -> None:
    program = """
import sys
from pathlib import Path
from noiseproof.cli.sensitivity import sensitivity
for wrong in ({"noise": "none"}, {"by": "x"}, {"keep": "-1"}, {"figure": Path("f.jpg")}):
    try:
        sensitivity(Path("w"), **wrong)
    except ValueError:
        print(list(wrong), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    expected = ["['noise'] False", "['by'] False", "['keep'] False", "['figure'] False"]
    assert done.stdout.splitlines() == expected, done.stderr
