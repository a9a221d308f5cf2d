"""Chips with converters, scored in every way there is."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.requests import Network
from noiseproof.measuring.setup import Setup
from noiseproof.network.chip import Chip, Plain, outputs
from noiseproof.network.linear_maps import LinearMap
from noiseproof.network.state import skeleton_of
from noiseproof.recalibration.affine import with_biases
from noiseproof.specs.estimators import parse_estimator

IMAGES = torch.randn(60, 2, 5, 5, generator=stream(0, "test"))


def network() -> nn.Module:
    with npf.rng.seeded(0, "net"):
        return nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4)
        ).eval()


with torch.no_grad():
    TEST = Split(inputs=IMAGES, labels=network()(IMAGES).argmax(1))


def signs(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
    """A converter of one bit."""
    return torch.sign(plain(*inputs))


def opened(text: str | None, **options: Any) -> Evaluator:
    estimator = None if text is None else parse_estimator(text)
    setup = Setup(model=network(), test=TEST, calibration=IMAGES, network=Network(**options))
    return open_evaluator(setup, estimator)


def hits_of(chip: Chip) -> np.ndarray:
    right = outputs(skeleton_of(network()), chip, IMAGES).argmax(1) == torch.as_tensor(TEST.labels)
    return right.numpy()


def test_a_score_sees_what_happens_at_the_products() -> None:
    evaluator = opened(None)
    for products in ({"0": signs}, {"4": signs}, {"0": signs, "4": signs}):
        chip = Chip(evaluator.state, products)
        found = evaluator.score(chip)
        assert np.array_equal(found.hits, hits_of(chip))
        assert found.score < 1
    assert evaluator.score(evaluator.clean).score == 1, "and the next chip does not"


def test_a_score_of_ones_own_sees_it_too() -> None:
    def share(model: nn.Module, test: Split) -> float:
        with torch.no_grad():
            right = model(test.inputs).argmax(1) == torch.as_tensor(test.labels)
        return float(right.float().mean())

    evaluator = opened(None, score=share)
    chip = Chip(evaluator.state, {"0": signs})
    assert evaluator.score(chip).score == pytest.approx(hits_of(chip).mean(), abs=1e-6)
    assert evaluator.score(evaluator.clean).score == 1


@pytest.mark.parametrize("text", ["pooled(60)", "match(60)"])
def test_a_recalibrated_chip_keeps_its_products(text: str) -> None:
    evaluator = opened(text)
    chip = Chip(evaluator.state, {"0": signs})
    fixed = evaluator.recalibrated(chip)
    assert fixed.products.keys() == {"0"}
    exact = evaluator.recalibrated(Chip(evaluator.state))
    assert any(not torch.equal(exact.state[name], fixed.state[name]) for name in exact.state)
    biased = with_biases(skeleton_of(network())) if text.startswith("match") else network()
    right = outputs(skeleton_of(biased), fixed, IMAGES).argmax(1) == torch.as_tensor(TEST.labels)
    assert np.array_equal(evaluator.score(chip).hits, right.numpy())
