"""Running a study in which something fails: one line, and the rest goes on."""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.units import open_units
from noiseproof.models.checkpoint import file_sha256
from noiseproof.study.facts import read_facts
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.training.resume import RESUME, WEIGHTS
from tests.study.run.toy import (
    HEAD,
    LITTLE,
    STUDY,
    TRAININGS,
    Ran,
    last_line,
    rows_in,
    said,
    study_in,
)

READY_HEAD = HEAD.replace("seed = 3 }", "seed = 0 }")


# --- what fails -----------------------------------------------------------------------------------


DIVERGING = TRAININGS.replace('["batch", "none"]', '"none"').replace("lr = 0.05", "lr = 1e6")


def test_a_training_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = HEAD + DIVERGING + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    file = study_in(tmp_path, text)
    ran = Ran(file)
    diverged, good = ran.grid.networks
    (failure,) = ran.failures
    assert failure.startswith(f"{diverged.name}: the loss is no longer finite in epoch 1")
    facts = read_facts(ran.places.out / "networks.json")
    assert "no longer finite" in facts[diverged.name].failed
    assert facts[good.name].clean is not None
    assert len(ran.rows) == 1 + 2
    assert not (ran.places.weights / diverged.name / WEIGHTS).exists()
    again = Ran(file)
    assert again.steps == [], "it would end so again"
    assert again.rows == ran.rows


def test_a_rerun_says_again_what_has_failed(tmp_path: Path) -> None:
    """Otherwise it would end well, and the program with it."""
    text = HEAD + DIVERGING + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    file = study_in(tmp_path, text)
    first, again = Ran(file), Ran(file)
    (failure,) = first.failures
    assert again.failures == first.failures
    kept = first.places.weights / first.grid.networks[0].name / "failed.txt"
    assert failure.endswith(f"(to train it again, delete {kept})")
    kept.unlink()
    assert Ran(file).steps, "it is trained again"


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_is_at_work(
    whole: Ran, tmp_path: Path
) -> None:
    places = replace(whole.places, out=tmp_path)
    refused = []

    def start_another(news: News) -> None:
        if not refused:
            with pytest.raises(ValueError) as caught:
                drive(whole.grid, data, places, pool, device="cpu")
            refused.append(str(caught.value))

    data = load_data(whole.grid, open_source(whole.grid, places, own_code=False))
    with closing(LocalPool(data, device="cpu")) as pool:
        drive(whole.grid, data, places, pool, device="cpu", on_news=start_another)
        drive(whole.grid, data, places, pool, device="cpu")
    wait = "wait for it, or choose another --out"
    assert refused == [f"another run is at work in {tmp_path}: {wait}"]
    assert len(rows_in(tmp_path)) == len(whole.rows), "the first one went on to its end"


def test_a_measurement_that_is_refused_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(evaluator: Evaluator, *arguments: Any, **options: Any) -> Any:
        if evaluator.clean_row.norm == "batch":
            raise ValueError("per-image chips do not hold for this network")
        return open_units(evaluator, *arguments, **options)

    monkeypatch.setattr("noiseproof.study.run.worker.open_units", refusing)
    ran = Ran(study_in(tmp_path, HEAD + TRAININGS + LITTLE))
    (failure,) = ran.failures
    assert failure.startswith(ran.grid.networks[0].name)
    assert failure.endswith("per-image chips do not hold for this network")
    assert len(ran.rows) == 1 + (1 + 2)


def test_more_calibration_images_than_there_are_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    text = HEAD + TRAININGS + LITTLE
    text += LITTLE.replace("0.2", "0.3") + 'recalibrate = "pooled(5000)"\nonly = { norm = "batch" }'
    with pytest.raises(ValueError, match=r"pooled\(5000\) needs 5000 .*, digits has 1297"):
        Ran(study_in(tmp_path, text))
    assert not list(tmp_path.rglob("*.pt"))


def test_ready_weights_that_do_not_fit_do_not_stop_the_others(whole: Ran, tmp_path: Path) -> None:
    ready = "".join(
        f'[[profiles.quick.ready]]\nname = "{name}"\nweights = "w.safetensors"\n'
        f'model = "{model}"\nnorm = "batch"\n'
        for name, model in (("other", "resnet14"), ("same", "resnet8"))
    )
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
    try:
        ran = Ran(file)
    except ValueError as error:  # before anything was done: that is as good
        sentence = str(error)
    else:
        (sentence,) = ran.failures
        assert len(ran.rows) == 1 + 2
    assert "weights do not fit resnet14" in sentence
    assert "other" in sentence, "which of the networks it is"


def test_a_sample_larger_than_the_test_set_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    file = study_in(tmp_path, HEAD + TRAININGS + LITTLE.replace('chips"', 'nested(200)"'))
    with pytest.raises(ValueError, match=r"nested\(200\) asks for more than the 100 test images"):
        Ran(file)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_training_whose_resume_file_is_damaged_names_that_file_or_starts_over(
    whole: Ran, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "weights" / whole.grid.networks[0].name
    folder.mkdir(parents=True)
    (folder / RESUME).write_bytes(b"PK half a file")
    try:
        ran = Ran(study_in(tmp_path, HEAD + TRAININGS + LITTLE))
    except ValueError as error:  # before anything was done
        sentence = str(error)
    else:
        assert file_sha256(ran.weights()) == file_sha256(whole.weights())
        return
    assert f"cannot resume from {folder / RESUME}: delete it" in sentence


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": 3}', '{"a": {}}', "\0\xff"])
def test_a_damaged_file_of_networks_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = study_in(tmp_path, HEAD + TRAININGS + LITTLE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "networks.json").write_text(content, encoding="latin-1")
    line = last_line(said(capsys, file, "--out", tmp_path / "out"))
    assert "networks.json is no file of a study's networks: delete it" in line


def test_ready_weights_that_are_missing_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISEPROOF_CHECKPOINTS", str(tmp_path / "elsewhere"))
    ready = '[[profiles.quick.ready]]\nname = "theirs"\nweights = "w.pt"\nmodel = "resnet8"\n'
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    line = last_line(said(capsys, file, "--out", tmp_path / "out"))
    assert "weights w.pt of theirs are not in" in line
    assert str(tmp_path / "elsewhere") in line
    assert "--checkpoints" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [True, False])
def test_ready_weights_are_looked_for_before_anything_is_trained(
    whole: Ran, tmp_path: Path, missing: bool
) -> None:
    ready = '[[profiles.quick.ready]]\nname = "w"\nweights = "w.safetensors"\nmodel = "resnet8"\n'
    file = study_in(tmp_path, HEAD + TRAININGS + ready + LITTLE)
    if missing:
        with pytest.raises(ValueError, match=r"w\.safetensors of w are not in"):
            Ran(file)
        assert not (tmp_path / "out" / "weights").exists()
    else:
        (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
        ran = Ran(file, weights=whole.places.weights)
        assert ran.steps == []
        assert len(ran.rows) == 2 * (1 + 2) + 1 * (1 + 2)


def test_two_networks_from_one_file_of_weights_are_measured_once(
    whole: Ran, tmp_path: Path
) -> None:
    ready = "".join(
        f'[[profiles.quick.ready]]\nname = "{name}"\nweights = "w.safetensors"\n'
        f'model = "resnet8"\nnorm = "batch"\nseed = {seed}\n'
        for seed, name in enumerate("ab")
    )
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
    ran = Ran(file)
    assert len(ran.rows) == 1 + 2 * 2
    again = Ran(file)
    assert [news.text for news in again.news] == ["starting"], "nothing is measured again"
    assert again.news[0].rows == 4


def test_data_that_are_missing_are_fetched_only_where_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study_in(tmp_path, STUDY.replace('data = "digits"', 'data = "cifar10"'))
    options = (file, "--out", tmp_path / "out", "--data-dir", tmp_path / "none")
    assert "is missing; add --download, or" in last_line(said(capsys, *options))

    def fetch(*arguments: Any, **named: Any) -> None:
        raise ValueError("fetching")

    monkeypatch.setattr("noiseproof.data.classification.download_and_extract_archive", fetch)
    assert "fetching" in last_line(said(capsys, *options, "--download"))
    assert not (tmp_path / "out").exists()


def test_code_of_ones_own_is_refused_unless_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study_own_net.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    own = TRAININGS.replace('"resnet8"', '"study_own_net:net"').replace('["batch", "none"]', "[]")
    own = own.replace("norm = []\n", "")
    file = study_in(tmp_path, HEAD + own + LITTLE)
    options = (file, "--out", tmp_path / "out")
    line = last_line(said(capsys, *options))
    assert "the study names code of its own, study_own_net:net: add --own-code to run it" in line
    assert "study_own_net" not in sys.modules
    assert not (tmp_path / "out").exists()
    loader = HEAD.replace('"digits"', '"study_own_net:load"') + TRAININGS + LITTLE
    line = last_line(said(capsys, study_in(tmp_path / "data", loader)))
    assert "code of its own, study_own_net:load" in line
    assert "study_own_net" not in sys.modules
    code, _, err = said(capsys, *options, "--own-code")
    sys.modules.pop("study_own_net", None)
    assert code == 0, err
    assert len(rows_in(tmp_path / "out")) == 1 + 2
