"""What leaves a store, and what is listed: exports, reports, `info`, the demo."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

import noiseproof
from noiseproof.results.store import Store
from tests.cli.program import LISTED, Run, check_one_line, rows_in

# --- noise that changes -------------------------------------------------------------------------


def test_rows_leave_as_csv_and_as_parquet(measured: Path, run: Run, tmp_path: Path) -> None:
    for name in ("r.csv", "r.parquet"):
        code, out, _ = run("export", measured, "--out", tmp_path / name)
        assert (code, out) == (0, f"7 rows: {tmp_path / name}\n")
    with (tmp_path / "r.csv").open(newline="") as file:
        found = [(row["noise"], int(row["correct"])) for row in csv.DictReader(file)]
    assert found == [(row.noise, row.correct) for row in rows_in(measured)]


def test_another_ending_of_an_export_or_a_figure_is_refused(
    measured: Path, run: Run, tmp_path: Path
) -> None:
    result = run("export", measured, "--out", tmp_path / "r.xlsx")
    check_one_line(result, r"export must end in \.csv or \.parquet, got 'r\.xlsx'$")
    figure = ("--figure", tmp_path / "f.gif")
    result = run("report", measured, "--out", tmp_path / "r.html", *figure)
    check_one_line(result, r"unknown ending of a figure '\.gif': expected one of \.pdf, \.png")
    assert not list(tmp_path.iterdir())


def test_a_report_is_written_from_the_rows_alone(measured: Path, run: Run, tmp_path: Path) -> None:
    page, figure = tmp_path / "r.html", tmp_path / "f.svg"
    code, out, err = run("report", measured, "--out", page, "--figure", figure, "--json")
    assert code == 0
    said = err.splitlines()
    assert said[0].startswith("Caption: gaussian(level, reference=std, scope=tensor) on kernel; ")
    assert said[1:] == [f"Figure: {figure}", f"Report: {page}"]
    (network,) = json.loads(out)["networks"]
    assert len(network["curves"]) == 2
    assert network["provenance"]["checkpoint"] in page.read_text(encoding="utf-8")
    assert figure.stat().st_size > 0


def test_a_report_of_some_curves_has_their_labels_title_and_size(
    measured: Path, run: Run, tmp_path: Path
) -> None:
    page, figure = tmp_path / "r.html", tmp_path / "f.svg"
    more = ("--only", "recalibrate=off", "--label", "resnet8 batch_l1=mine", "--title", "A & B")
    more += ("--size", "12.7x7.62cm")
    code, _, _ = run("report", measured, "--out", page, "--figure", figure, *more)
    assert code == 0
    assert 'width="360pt" height="216pt"' in figure.read_text()
    assert "A &amp; B" in figure.read_text()
    assert "<h1>A &amp; B</h1>" in page.read_text(encoding="utf-8")
    assert "mine" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--only", "resnet9"), "--only 'resnet9' fits nothing: there are 'resnet8 batch_l1 off'"),
        (("--only", "norm=x*"), r"--only 'norm=x\*' fits nothing"),
        (("--label", "batch"), "--label must be NAME=TEXT, as batch='with BN', got 'batch'"),
        (("--label", "vgg=x"), "--label 'vgg' names nothing here: there are 'resnet8 batch_l1'"),
        (("--size", "7x4in"), "--size is the figure's: name its file by --figure"),
        (("--figure", "f.svg", "--size", "7x4"), "size must be WIDTHxHEIGHT and in or cm, as 7x4i"),
        (("--figure", "f.svg", "--size", "0x4in"), "size must be between 1 and 100 inches each"),
    ],
)
def test_a_choice_label_or_size_that_fits_nothing_is_refused_before_a_file_is_written(
    measured: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    check_one_line(run("report", measured, "--out", tmp_path / "r.html", *more), sentence)
    assert not list(tmp_path.iterdir())


def test_a_store_without_chips_has_no_report(run: Run, tmp_path: Path) -> None:
    with Store(tmp_path / "r.db"):
        pass
    result = run("report", tmp_path / "r.db", "--out", tmp_path / "r.html")
    check_one_line(result, r"store .*r\.db holds no measured chips$")
    assert not (tmp_path / "r.html").exists()


def test_a_report_never_overwrites_the_store_that_it_reads(
    measured: Path, run: Run, tmp_path: Path
) -> None:
    store = tmp_path / "r.db"
    shutil.copy(measured, store)
    assert run("report", store, "--out", store)[0] == 2
    assert rows_in(store) == rows_in(measured)


# --- info ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", LISTED)
def test_a_listing_names_all_that_there_is(run: Run, topic: str) -> None:
    code, out, err = run("info", topic, "--json")
    assert code == 0
    for name in LISTED[topic]:
        assert name in err
        assert any(key.startswith(name) for key in json.loads(out))


def test_info_model_shows_what_noise_touches(run: Run) -> None:
    """ResNet-8 by hand: a stem of 3x3x3x16, two 3x3 convolutions for each of the three blocks,
    and a linear layer of 64x10; shortcuts have no parameters."""
    kernels = (
        27 * 16 + 9 * 16 * 16 * 2 + 9 * 16 * 32 + 9 * 32 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 640
    )
    code, out, err = run("info", "model", "resnet8", "--noise", "gaussian(0.1)", "--json")
    assert code == 0
    tensors = json.loads(out)["tensors"]
    touched = [tensor for tensor in tensors if tensor["touched"]]
    assert {tensor["role"] for tensor in touched} == {"kernel"}
    assert sum(tensor["elements"] for tensor in touched) == kernels
    others = 10 + 2 * 2 * (16 + 2 * 16 + 2 * 32 + 2 * 64)  # bias; affine and statistics of norms
    assert f" on kernel touches {kernels:,} of {kernels + others:,} elements" in err


def test_info_model_without_noise_lists_roles(run: Run) -> None:
    code, out, _ = run("info", "model", "resnet8", "--norm", "batch_l1")
    assert code == 0
    for role in ("kernel", "bias", "norm_affine", "norm_stats"):
        assert role in out


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"noiseproof {noiseproof.__version__}\n")


@pytest.mark.slow
def test_the_demo_ends_in_a_report_and_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "demo", "--chips", 2, "--epochs", 1)
    code, out, _ = run("demo", *options, "--json")
    assert code == 0
    document = json.loads(out)
    assert set(document["networks"]) == {"none", "batch", "batch_l1", "batch_topk"}
    ways = {point["recalibrate"] for point in document["networks"]["batch"]["curves"]}
    assert ways == {"off", "pooled(500)"}
    rows = rows_in(Path(document["store"]))
    assert len(rows) == 4 * (1 + 7 * 2) + 3 * 7 * 2
    assert Path(document["report"]).stat().st_size > 0
    assert run("demo", *options)[0] == 0
    assert rows_in(Path(document["store"])) == rows, "nothing is measured twice"


def test_a_look_at_a_network_is_one_screen_and_a_document(trained: Path, run: Run) -> None:
    code, out, err = run("info", "network", trained, "--images", "40", "--device", "cpu", "--json")
    assert code == 0, err
    *screen, last = out.splitlines()
    assert len(screen) <= 24
    found = json.loads(last)
    assert found["clean"]["images"] == 40
    assert found["reached"]["weights"] == 1
    assert [one["design"] for one in found["costs"]] == ["chips", "nested", "per-image"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("network",), "info network needs weights, as in: noiseproof info network runs/net"),
        (("network", "nowhere.pt", "--model", "resnet8", "--data", "digits"), "nowhere.pt"),
        (("network", "WEIGHTS", "--images", "0"), "images must be >= 1, got 0"),
        (("network", "WEIGHTS", "--data", "nodata"), "unknown data set 'nodata'"),
        (("models", "resnet8"), "info models takes no name, got 'resnet8'"),
    ],
)
def test_a_look_at_nothing_is_one_sentence(
    trained: Path, run: Run, words: tuple[str, ...], sentence: str
) -> None:
    given = [trained if word == "WEIGHTS" else word for word in words]
    check_one_line(run("info", *given), re.escape(sentence))
