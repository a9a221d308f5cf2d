"""Training: the augmentation, the schedule, the bit-exact resume, the card."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from noiseproof import training
from noiseproof.augmentation import augmented
from noiseproof.checkpoint import file_sha256, fill, load_state, read_card
from noiseproof.data import Source, Split, open_dataset
from noiseproof.rng import stream
from noiseproof.training import Plan, Progress, Recipe, train

PLAN = Plan(
    model="resnet8",
    norm="batch_l1",
    norm_where="all",
    recipe=Recipe(epochs=2, batch_size=64),
    seed=5,
)


def digits() -> Source:
    return open_dataset("digits")


# --- augmentation ---------------------------------------------------------------------------------


def test_augmentation_is_the_literal_pad_crop_and_mirror() -> None:
    images = torch.randint(0, 256, (20, 3, 6, 5), generator=stream(0, "x")).to(torch.uint8)
    got = augmented(images, shift=2, flip=True, generator=stream(0, "dice"))
    dice = stream(0, "dice")
    tops, lefts = torch.randint(0, 5, (2, 20), generator=dice)
    mirrored = torch.rand(20, generator=dice) < 0.5
    for i, image in enumerate(images):
        padded = nn.functional.pad(image, (2, 2, 2, 2))
        crop = padded[:, tops[i] : tops[i] + 6, lefts[i] : lefts[i] + 5]
        assert torch.equal(got[i], crop.flip(2) if mirrored[i] else crop)


def test_augmentation_without_shift_and_flip_is_the_identity() -> None:
    images = torch.rand(5, 1, 4, 4, generator=stream(0, "x"))
    assert torch.equal(augmented(images, shift=0, flip=False, generator=stream(0, "dice")), images)


# --- the run --------------------------------------------------------------------------------------


def test_a_run_leaves_weights_and_a_card_that_agree(tmp_path: Path) -> None:
    seen: list[Progress] = []
    card = train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append)
    weights = tmp_path / "weights.safetensors"
    assert read_card(tmp_path) == card
    assert card.sha256 == file_sha256(weights)
    assert (card.model, card.norm, card.seed, card.epochs_done) == ("resnet8", "batch_l1", 5, 2)
    model = training._build(PLAN, digits())
    fill(model, load_state(weights), name="resnet8")
    accuracy = training.clean_accuracy(model, digits().read("test"), digits().scale)
    assert accuracy == card.clean_accuracy
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
from noiseproof import training
from noiseproof.data import open_dataset
recipe = training.Recipe(epochs=4, batch_size=64)
plan = training.Plan(model="torchvision:squeezenet1_1", norm=None, norm_where="all", recipe=recipe,
                     seed=5)
plan = training.Plan(**{**plan.__dict__, "model": "killed_model:net"})
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


# --- what is refused ------------------------------------------------------------------------------


def test_a_folder_with_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    card = train(PLAN, digits(), tmp_path, device="cpu")
    for plan, difference in (
        (replace(PLAN, seed=9), "seed 5 there, 9 asked"),
        (replace(PLAN, norm="batch"), "norm batch_l1 there, batch asked"),
        (replace(PLAN, recipe=replace(PLAN.recipe, lr=0.2)), "lr 0.1 there, 0.2 asked"),
    ):
        with pytest.raises(ValueError, match=f"holds another run .{difference}.: choose another"):
            train(plan, digits(), tmp_path, device="cpu")
    assert read_card(tmp_path) == card


def test_a_loss_that_is_no_longer_finite_stops_the_run(tmp_path: Path) -> None:
    plan = replace(PLAN, norm="none", recipe=replace(PLAN.recipe, lr=1e6))
    with pytest.raises(ValueError, match="the loss is no longer finite in epoch 1: try a smaller"):
        train(plan, digits(), tmp_path, device="cpu")
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_damaged_resume_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "resume.pt").write_bytes(b"PK half a file")
    with pytest.raises(
        ValueError, match=r"cannot resume from .*resume.pt: delete it to start over"
    ):
        train(PLAN, digits(), tmp_path, device="cpu")


def test_a_foreign_resume_file_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "resume.pt")
    with pytest.raises(
        ValueError, match=r"cannot resume from .*resume.pt: delete it to start over"
    ):
        train(PLAN, digits(), tmp_path, device="cpu")


def test_auxiliary_heads_learn_too() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.auxiliary = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, None]:
            if not self.training:
                return self.main(x)
            return self.main(x), self.auxiliary(x), None

    model = TwoHeads().train()
    assert len(training._heads(model, torch.zeros(4, 2))) == 2
    assert len(training._heads(model.eval(), torch.zeros(4, 2))) == 1


def test_training_labels_that_the_network_does_not_know_are_refused(tmp_path: Path) -> None:
    source = digits()
    bad = replace(source, classes=9)
    with pytest.raises(ValueError, match="the labels go up to 9, the network knows 9 classes"):
        train(PLAN, bad, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_card_of_other_weights_is_not_believed(tmp_path: Path) -> None:
    train(PLAN, digits(), tmp_path, device="cpu")
    card = json.loads((tmp_path / "weights.json").read_text())
    (tmp_path / "weights.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    assert read_card(tmp_path) is None
    (tmp_path / "weights.json").write_text(json.dumps({**card, "classes": "many"}))
    with pytest.raises(ValueError, match=r"weights.json: classes: Input should be a valid integer"):
        read_card(tmp_path)
    (tmp_path / "weights.json").write_text("{")
    with pytest.raises(ValueError, match=r"weights.json is not JSON"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", 0, "epochs must be >= 1, got 0"),
        ("batch_size", 0, "batch_size must be >= 1, got 0"),
        ("lr", float("nan"), "lr must be finite and >= 0, got nan"),
        ("momentum", -0.1, "momentum must be finite and >= 0, got -0.1"),
        ("weight_decay", float("inf"), "weight_decay must be finite and >= 0, got inf"),
    ],
)
def test_a_recipe_is_checked_when_it_is_made(field: str, value: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Recipe(**{field: value})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_training_on_a_gpu_ends_in_a_network_that_works_on_the_cpu(tmp_path: Path) -> None:
    started = time.perf_counter()
    card = train(replace(PLAN, recipe=Recipe(epochs=10)), digits(), tmp_path, device="cuda")
    assert card.clean_accuracy > 0.9, f"after {time.perf_counter() - started:.0f} s"
    model = training._build(PLAN, digits())
    fill(model, load_state(tmp_path), name="resnet8")
    test: Split = digits().read("test")
    assert training.clean_accuracy(model, test, digits().scale) == pytest.approx(
        card.clean_accuracy, abs=2 / len(test)
    )
