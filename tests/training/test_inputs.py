"""Data of several tensors, by a loader of one's own: trained, resumed, opened, measured."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import noiseproof as npf
from noiseproof.core.inputs import count, rows
from noiseproof.data import open_dataset
from noiseproof.measuring.setup import open_setup
from noiseproof.models.checkpoint import load_state
from noiseproof.specs.recipes import Plan, Recipe
from noiseproof.training.loop import advance, train

CODE = """
import torch
from types import SimpleNamespace
from torch import nn
from noiseproof.core.rng import stream
from noiseproof.data import Dataset, Split
from noiseproof.specs import UNSCALED

class Rule(nn.Module):
    '''Is the marked pixel brighter than the offset?'''
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 8, 1), nn.BatchNorm2d(8)
        self.head = nn.Linear(9, 2)
    def forward(self, picture, offset):
        seen = self.norm(self.conv(picture)).relu().mean((2, 3))
        return SimpleNamespace(logits=self.head(torch.cat([seen, offset], 1)))

class Swapped(Rule):
    def forward(self, offset, picture):
        return super().forward(picture, offset).logits

def split(n, part, kind):
    dice = stream(0, part)
    picture = torch.randint(0, 256, (n, 2, 3, 3), generator=dice).to(torch.uint8)
    offset = torch.rand(n, 1, generator=dice)
    labels = (picture[:, 0].float().mean((1, 2)) / 255 > offset[:, 0]).long()
    inputs = {"picture": picture, "offset": offset} if kind == "dict" else (offset, picture)
    return Split(inputs=inputs, labels=labels, scale=UNSCALED)

def named():
    return Dataset(test=split(60, "test", "dict"), train=split(130, "train", "dict"), classes=2)

def placed():
    return Dataset(test=split(60, "test", "tuple"), train=split(130, "train", "tuple"), classes=2)

def moved():
    return Dataset(test=split(60, "test", "dict"), train=split(130, "train", "dict"), shift=1)
"""
PLAN = Plan(
    model="two_inputs:Rule",
    norm=None,
    norm_where="all",
    recipe=Recipe(epochs=3, batch_size=32, lr=0.5, weight_decay=0.0),
    seed=0,
)


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two_inputs.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_named_and_positional_inputs_train_the_same_weights(tmp_path: Path) -> None:
    named = train(PLAN, open_dataset("two_inputs:named"), tmp_path / "named", device="cpu")
    plan = replace(PLAN, model="two_inputs:Swapped")
    placed = train(plan, open_dataset("two_inputs:placed"), tmp_path / "placed", device="cpu")
    assert named.sha256 == placed.sha256
    assert named.clean_accuracy == placed.clean_accuracy
    assert named.clean_accuracy is not None
    assert named.clean_accuracy > 0.8, "it should learn from both inputs"


def test_a_training_on_several_tensors_goes_on_bit_for_bit(tmp_path: Path) -> None:
    source = open_dataset("two_inputs:named")
    whole = train(PLAN, source, tmp_path / "whole", device="cpu")
    for _ in range(2):
        assert advance(PLAN, source, tmp_path / "parts", epochs=1, device="cpu") is None
    card = advance(PLAN, source, tmp_path / "parts", epochs=1, device="cpu")
    assert card is not None
    assert card.sha256 == whole.sha256


def test_what_was_trained_on_several_tensors_is_opened_by_name_and_measured(
    tmp_path: Path,
) -> None:
    train(PLAN, open_dataset("two_inputs:named"), tmp_path / "out", device="cpu")
    names = {"model": "two_inputs:Rule", "data": "two_inputs:named"}
    setup = open_setup(tmp_path / "out", calibration=20, augment=True, **names)
    assert isinstance(setup.calibration, dict)
    assert count(setup.calibration) == 20
    plain = open_setup(tmp_path / "out", calibration=20, **names).calibration
    assert isinstance(plain, dict)
    for name, tensor in plain.items():  # what is no image alone is not changed at random
        assert torch.equal(setup.calibration[name], tensor)
    noise = npf.noise.parse("gaussian(0.3)")
    curve = npf.measure(
        setup.model, setup.test, noise, chips=2, recalibrate="pooled(20)",
        calibration=setup.calibration, scale=setup.scale, subject=setup.subject,
    )  # fmt: skip
    chip = npf.manufacture(setup.model, noise, chip=1)
    ready = npf.data.scaled(setup.calibration, setup.scale)
    fixed = npf.recalibrate(chip, ready)
    with torch.no_grad():
        logits = fixed(**npf.data.scaled(setup.test.inputs, setup.scale)).logits
    expected = (logits.argmax(1) == setup.test.labels).tolist()
    assert curve.points[0].rows[1].unpacked().tolist() == expected
    assert curve.clean.scale != "as is"
    assert rows(setup.test.inputs, slice(0, 1)).keys() == {"picture", "offset"}
    assert load_state(tmp_path / "out").keys() == setup.model.state_dict().keys()


def test_augmentation_that_does_not_fit_the_inputs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="that are moved and mirrored must be images .*picture"):
        train(PLAN, open_dataset("two_inputs:moved"), tmp_path / "out", device="cpu")
    plan = replace(PLAN, recipe=replace(PLAN.recipe, augment=False, epochs=1))
    train(plan, open_dataset("two_inputs:moved"), tmp_path / "plain", device="cpu")
