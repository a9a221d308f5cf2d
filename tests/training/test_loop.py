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
from noiseproof.training.loop import Progress, train
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


KILLED = """
import sys
import torch
torch.set_num_threads(1)
from noiseproof.specs import recipes
from noiseproof.training import loop as training
from noiseproof.data.datasets import open_dataset
recipe = recipes.Recipe(epochs=4, batch_size=64)
plan = recipes.Plan(model="torchvision:squeezenet1_1", norm=None, norm_where="all", recipe=recipe,
                     seed=5)
plan = recipes.Plan(**{**plan.__dict__, "model": "killed_model:net"})
def report(state):
    print(state.epoch, state.step, flush=True)
training.train(plan, open_dataset("digits"), sys.argv[1], device="cpu", on_progress=report)
"""
MODEL = """
from torch import Tensor, nn
def net():  # dropout draws from torch's default generator, which has to be the same again too
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(),
                         nn.Dropout(0.3), nn.Linear(32, 10))
"""


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "killed_model.py").write_text(MODEL)
    command = [sys.executable, "-c", KILLED]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    with subprocess.Popen(
        [*command, "killed"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.split() == ["3", "7"]:  # in the middle of the third epoch
                running.send_signal(signal.SIGKILL)
                break
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    again = subprocess.run(
        [*command, "killed"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert again.stdout.startswith("3 1\n"), "it should go on after the last whole epoch"
    names = [tmp_path / run / "weights.safetensors" for run in ("whole", "killed")]
    assert file_sha256(names[0]) == file_sha256(names[1])


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
