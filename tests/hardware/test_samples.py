"""Draws at products go by the sample."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.rng import stream
from noiseproof.hardware.opening import products_at
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.specs.mvm import parse_mvm
from tests.hardware.cases import dice

# --- the same dice whatever the batch -------------------------------------------------------------

ALL = "dac(6) + read(0.1, law=device) + output(0.1) + adc(6, range=fixed(2), gain_sd=0.1)"


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 40, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(40, 8, 3),
        nn.Flatten(),
        nn.Linear(72, 5),
    )


def noisy(sizes: list[int], **options: Any) -> Tensor:
    model = network()
    skeleton = skeleton_of(model)
    state = {
        n: torch.randn(t.shape, generator=stream(1, n)) / 5 for n, t in state_of(skeleton).items()
    }
    x = torch.randn(110, 2, 5, 5, generator=stream(2))
    mvm = parse_mvm(ALL).calibrated(20)
    products = products_at(skeleton, state, mvm, analog=list(state), example=x[:3], images=x)
    chip = products.on(Chip(state), **{"seed": 3, "number": 4} | options)
    forward = products.cursor.along(lambda z: outputs(skeleton, chip, z))
    return torch.cat([forward(part) for part in x.split(sizes)])


@pytest.mark.parametrize("sizes", [[1] * 110, [50, 50, 10], [7] * 15 + [5], [64, 46]])
def test_a_sample_has_the_same_dice_in_any_batch(sizes: list[int]) -> None:
    torch.testing.assert_close(noisy(sizes), noisy([110]), atol=1e-4, rtol=1e-4)


def test_chips_and_seeds_have_dice_of_their_own() -> None:
    base = noisy([110])
    assert torch.equal(base, noisy([110]))
    assert not torch.allclose(base, noisy([110], number=5), atol=1e-2)
    assert not torch.allclose(base, noisy([110], seed=5), atol=1e-2)


def test_a_layer_that_is_called_twice_has_fresh_dice_each_time() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.one(x), self.one(x)])

    skeleton = skeleton_of(Twice())
    state = state_of(skeleton)
    x = dice(4, 3).float()
    products = products_at(
        skeleton, state, parse_mvm("output(1)"), analog=["one.weight"], example=x[:3], images=None
    )
    chip = products.on(Chip(state), 0, 0)
    first, second = products.cursor.along(lambda z: outputs(skeleton, chip, z))(x)
    assert not torch.allclose(first, second, atol=1e-3)


def test_sequences_in_front_of_samples_have_the_same_dice_in_any_batch() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x.transpose(0, 1)).transpose(0, 1)  # type: ignore[no-any-return]

    skeleton = skeleton_of(Turned())
    state, x = state_of(skeleton), dice(8, 6, 3).float()
    products = products_at(
        skeleton, state, parse_mvm("output(1)"), analog=["one.weight"], example=x[:3], images=None
    )
    chip = products.on(Chip(state), 0, 0)

    def run(size: int) -> Tensor:
        forward = products.cursor.along(lambda z: outputs(skeleton, chip, z))
        return torch.cat([forward(part) for part in x.split(size)])

    torch.testing.assert_close(run(8), run(3))
    torch.testing.assert_close(run(8), run(6), msg="as many samples as tokens")
