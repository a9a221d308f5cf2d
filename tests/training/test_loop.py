"""Training: the schedule, the bit-exact resume, the card."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from noiseproof.models.checkpoint import file_sha256, fill, load_state, read_card
from noiseproof.specs.recipes import Recipe
from noiseproof.training import loop as training
from noiseproof.training.loop import train
from noiseproof.training.progress import Progress
from tests.training.plans import PLAN, digits


def test_a_run_leaves_weights_and_a_card_that_agree(tmp_path: Path) -> None:
    seen: list[Progress] = []
    card = train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append)
    weights = tmp_path / "weights.safetensors"
    assert read_card(tmp_path) == card
    assert card.sha256 == file_sha256(weights)
    assert (card.model, card.norm, card.seed, card.epochs_done) == ("resnet8", "batch_l1", 5, 2)
    model = training._build(PLAN, digits())
    fill(model, load_state(weights), name="resnet8")
    accuracy = training.clean_result(model, digits().read("test"), digits().scale).score
    assert accuracy == card.clean_accuracy
    assert (card.task, card.clean_scores) == ("classify", {"accuracy": accuracy})
    assert accuracy > 0.5  # two epochs already learn most digits
    assert [p.step for p in seen] == [*range(1, 22)] * 2
    assert seen[-1].seconds_left == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["weights.json", "weights.safetensors"]


def test_the_same_plan_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    one = train(PLAN, digits(), tmp_path / "one", device="cpu")
    two = train(PLAN, digits(), tmp_path / "two", device="cpu")
    other = train(replace(PLAN, seed=6), digits(), tmp_path / "other", device="cpu")
    assert one.sha256 == two.sha256 != other.sha256


def test_a_single_image_left_over_is_left_out() -> None:
    order = torch.arange(10)
    assert [len(part) for part in training._batches(order, 4)] == [4, 4, 2]
    assert [len(part) for part in training._batches(order, 3)] == [3, 3, 3]
    assert [len(part) for part in training._batches(order[:1], 3)] == [1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    card = train(PLAN, digits(), tmp_path, device="cpu")
    seen: list[Progress] = []
    assert train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append) == card
    assert not seen


MODEL = """
from torch import Tensor, nn
def net():  # dropout draws from torch's default generator, which has to be the same again too
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(),
                         nn.Dropout(0.3), nn.Linear(32, 10))
"""
KILLED = """
import os, signal
import torch
torch.set_num_threads(1)
from noiseproof.data.datasets import open_dataset
from noiseproof.specs.recipes import Plan, Recipe
from noiseproof.training.loop import train
def die_in_the_third_epoch(state):
    if (state.epoch, state.step) == (3, 7):
        os.kill(os.getpid(), signal.SIGKILL)
train({plan!r}, open_dataset("digits"), "killed", device="cpu", on_progress=die_in_the_third_epoch)
"""


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    plan = replace(PLAN, model="killed_model:net", norm=None, recipe=Recipe(epochs=4))
    command = [sys.executable, "-c", KILLED.format(plan=plan)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    seen: list[Progress] = []
    again = train(plan, digits(), tmp_path / "killed", device="cpu", on_progress=seen.append)
    assert (seen[0].epoch, seen[0].step) == (3, 1), "it goes on after the last whole epoch"
    torch.rand(5)  # what happens between two runs is none of their business
    whole = train(plan, digits(), tmp_path / "whole", device="cpu")
    assert again.sha256 == whole.sha256


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_zero() -> None:
    model = nn.Linear(2, 2)
    plan = replace(PLAN, recipe=Recipe(epochs=10, lr=0.4))
    fitting = training._Fitting(model, plan, 1280)
    rates = []
    for _ in range(100):
        rates.append(fitting.optimizer.param_groups[0]["lr"])
        fitting.optimizer.step()
        fitting.schedule.step()
    assert max(rates) == pytest.approx(0.4, rel=1e-3)
    assert rates.index(max(rates)) == 30 - 1 or rates.index(max(rates)) == 30
    assert rates[0] == pytest.approx(0.4 / 25)
    assert rates[-1] < 0.4 / 1000
    group = fitting.optimizer.param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)
