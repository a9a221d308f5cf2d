"""The program as its user meets it: what it prints, what it returns, what it leaves on disk."""

import json
import warnings
from pathlib import Path

import pytest

from noiseproof.data.datasets import open_dataset
from noiseproof.models import checkpoint
from noiseproof.network.state import state_sha256
from tests.cli.program import MEASURE, Run, check_one_line, killed_after, rows_in, timeless


def test_training_leaves_weights_and_their_card_only(trained: Path, run: Run) -> None:
    names = sorted(path.name for path in trained.iterdir())
    assert names == ["weights.json", "weights.safetensors"]
    card = json.loads((trained / "weights.json").read_text())
    assert card["sha256"] == checkpoint.file_sha256(trained / "weights.safetensors")
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    code, out, _ = run("train", *options, "--epochs", 1, "--out", trained, "--json")
    assert code == 0
    assert json.loads(out) == card, "a finished run is not trained again"


def test_another_run_in_the_same_folder_is_refused(trained: Path, run: Run) -> None:
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    result = run("train", *options, "--epochs", 2, "--out", trained)
    check_one_line(result, r"holds another run \(epochs 1 there, 2 asked\): choose another --out$")


def test_measuring_prints_a_table_and_one_document(trained: Path, run: Run, tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    code, out, err = run("measure", trained, *MEASURE, "--store", store, "--json")
    assert code == 0
    assert "resnet8 on digits, 100 test images" in err
    document = json.loads(out)
    assert set(document) >= {"clean", "chance", "curves"}
    assert set(document["clean"]) >= {"accuracy", "images", "low", "high", "near_chance"}
    assert [point["level"] for point in document["curves"]] == [0.1, 0.2]
    rows = rows_in(store)
    for point in document["curves"]:
        correct = [row.correct for row in rows if row.level == point["level"]]
        assert point["chips"] == len(correct) == 3
        assert (point["recalibrate"], point["calibration"], point["extra_images"]) == ("off", "", 0)
        assert point["accuracy"]["mean"] == pytest.approx(sum(correct) / 300)
        keys = {"noise", "targets", "recalibrate", "level", "chips", "images", "nonfinite"}
        keys |= {"accuracy", "crossed", "normalised", "chance_corrected"}
        assert set(point) >= keys
    assert document["clean"]["accuracy"] == rows[0].score
    assert document["provenance"]["checkpoint"] == checkpoint.file_sha256(
        trained / "weights.safetensors"
    )


def test_measuring_again_measures_nothing_new(trained: Path, measured: Path, run: Run) -> None:
    before = rows_in(measured)
    assert len(before) == 1 + 2 * 3
    code, _, err = run("measure", trained, *MEASURE, "--store", measured)
    assert (code, err.strip()) == (0, "")
    assert rows_in(measured) == before, "seconds too: nothing was measured twice"


def test_more_chips_keep_those_that_are_there(trained: Path, run: Run, tmp_path: Path) -> None:
    options = ("--images", 50, "--device", "cpu", "--store", tmp_path / "r.db")
    for chips in (2, 4):
        assert run("measure", trained, *options, "--chips", chips)[0] == 0
    assert [row.chip for row in rows_in(tmp_path / "r.db")] == [0, 0, 1, 2, 3]


def test_a_killed_measurement_goes_on_to_the_same_rows(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    options = (trained, "--images", 100, "--chips", 9, "--device", "cpu")
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    killed_after(4, "measure", *options, "--store", killed)
    early = rows_in(killed)
    assert len(early) == 4
    for store_path in (whole, killed):
        assert run("measure", *options, "--store", store_path)[0] == 0
    assert timeless(rows_in(killed)) == timeless(rows_in(whole))
    assert rows_in(killed)[: len(early)] == early, "what was measured is kept"


def test_recalibration_is_measured_on_the_same_chips(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    store = tmp_path / "r.db"
    options = ("--levels", "0.5", "--chips", 2, "--images", 100, "--device", "cpu")
    for recalibrate in (0, 64):  # whole numbers are understood too
        call = ("measure", trained, *options, "--recalibrate", recalibrate, "--store", store)
        assert run(*call)[0] == 0
    noisy = [row for row in rows_in(store) if row.noise != "none"]
    found = [(row.recalibrate, row.chip) for row in noisy]
    assert found == [("off", 0), ("off", 1), ("pooled(64)", 0), ("pooled(64)", 1)]
    assert noisy[0].hits != noisy[2].hits
    assert noisy[2].calibration_sha256 == noisy[3].calibration_sha256 != ""
    call = ("measure", trained, *options, "--recalibrate", "pooled(64)", "--store", store)
    assert run(*call)[0] == 0
    assert len(rows_in(store)) == 5, "the same by its whole name"


WAYS = ("off", "pooled(50)", "layerwise(20)", "blend(20, prior=80)", "match(50)", "ema(0.1)")


def test_several_estimators_are_compared_in_one_call(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    store = tmp_path / "r.db"
    options = [text for way in (*WAYS, "0", "50") for text in ("--recalibrate", way)]
    call = ("measure", trained, "--levels", "0.5", "--chips", 2, "--images", 100, "--device", "cpu")
    code, out, _ = run(*call, *options, "--store", store, "--json")
    assert code == 0
    document = json.loads(out)
    names = [*WAYS[:-1], "ema(0.1, batch=128)"]
    assert [point["recalibrate"] for point in document["curves"]] == names
    noisy = [row for row in rows_in(store) if row.noise != "none"]
    origins = {row.recalibrate: row.calibration for row in noisy}
    assert origins == dict.fromkeys(names, "train") | {"off": "", names[-1]: "test"}
    images = open_dataset("digits").read("train").sample(50, seed=0)
    shas = {row.recalibrate: row.calibration_sha256 for row in noisy}
    assert shas["pooled(50)"] == shas["match(50)"] == state_sha256({"images": images})
    assert shas["layerwise(20)"] == state_sha256({"images": images[:20]})
    augmented = ("--augment-calibration", "--recalibrate", "pooled(50)", "--store", store)
    assert run(*call, *augmented)[0] == 0
    last = rows_in(store)[-1]
    assert (last.recalibrate, last.calibration) == ("pooled(50)", "train augmented")
    assert last.calibration_sha256 != shas["pooled(50)"]
    assert len(rows_in(store)) == 1 + 2 * len(names) + 2


def test_augmenting_images_that_nothing_uses_is_one_line_of_warning(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    options = ("--chips", 1, "--images", 20, "--device", "cpu", "--store", tmp_path / "r.db")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run("measure", trained, "--augment-calibration", *options)
    assert code == 0
    warned = [line for line in err.splitlines() if "warning" in line]
    expected = "--augment-calibration changes nothing: no calibration images are used"
    assert f"noiseproof: warning: {expected}" in warned


SCORES = """
import torch
def spread(model, test):
    with torch.no_grad():
        return 50 * float(model(test.inputs).std())
def broken(model, test):
    return model(test.inputs).nothing
"""


def test_a_score_of_ones_own_is_measured_by_its_name(
    trained: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "cli_scores.py").write_text(SCORES)
    call = ("measure", trained, "--levels", "0.5", "--chips", 2, "--images", 50, "--device", "cpu")
    code, out, _ = run(*call, "--task", "cli_scores:spread", "--recalibrate", 50, "--json")
    assert code == 0
    document = json.loads(out)
    clean, *noisy = rows_in(tmp_path / "results.db")
    assert document["clean"]["score"] == clean.score > 1
    assert document["provenance"]["task"] == clean.task == "cli_scores:spread"
    assert [row.hits for row in noisy] == [b"", b""]
    assert run("report", "results.db", "--out", "r.html")[0] == 0
    code, out, err = run(*call, "--task", "cli_scores:broken", "--store", "other.db")
    assert (code, out) == (2, "")
    assert err.startswith("noiseproof: the score broken failed: AttributeError: 'Tensor' object")
    assert err.count("\n") == 1


def test_what_a_chip_has_at_its_products_is_in_its_words(run: Run) -> None:
    code, out, _ = run("info", "hardware", "hwa_standard", "--json")
    stated = json.loads(out)["statements"]
    assert code == 0
    assert stated["converters"] == "dac(8, range=static(99.9)) + adc(8, range=fixed(10))"
    assert stated["noise at products"] == "read(0.0175, law=device) + output(0.04)"


def test_devices_may_age_by_a_function_of_ones_own(trained: Path, run: Run, tmp_path: Path) -> None:
    noise = ("--noise", "device(tests.noise.test_arrays:half_life)", "--times", "0s,1h")
    options = ("--images", 40, "--chips", 1, "--device", "cpu", "--store", tmp_path / "r.db")
    code, out, err = run("measure", trained, *noise, *options, "--json")
    assert code == 0, err
    assert [point["time"] for point in json.loads(out)["curves"]] == [0.0, 3600.0]
