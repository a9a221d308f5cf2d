"""Every estimator on a chip with converters behind its arrays."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noiseproof.network.chip import Chip, Plain, outputs
from noiseproof.network.linear_maps import LinearMap
from noiseproof.network.state import State, skeleton_of, state_of
from noiseproof.recalibration.affine import with_bias_zeros, with_biases
from noiseproof.recalibration.matching import matched, signature_of
from noiseproof.recalibration.statistics import calibrated
from noiseproof.specs.estimators import parse_estimator
from tests.recalibration.toys import images, network, shifted

STEP = 0.05  # fine enough that no channel is constant


def rounded(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
    return torch.round(plain(*inputs) / STEP) * STEP


PRODUCTS = {"0": rounded, "4": rounded, "8": rounded}


def chip() -> tuple[nn.Module, Chip]:
    skeleton = skeleton_of(shifted(network()).double())
    return skeleton, Chip(state_of(skeleton), PRODUCTS)


def flows_in(skeleton: nn.Module, one: Chip, layer: int, x: Tensor) -> Tensor:
    """What reaches a layer, (N, C, *positions)."""
    met: list[Tensor] = []
    hook = skeleton[layer].register_forward_pre_hook(lambda module, args: met.append(args[0]))
    outputs(skeleton, one, x)
    hook.remove()
    return met[0]


@pytest.mark.parametrize("text", ["pooled(30)", "layerwise(30)", "blend(30, prior=1)", "batch(30)"])
def test_running_statistics_are_those_behind_the_converters(text: str) -> None:
    skeleton, one = chip()
    x = images(30).double()
    estimator = parse_estimator(text)
    assert estimator is not None
    fixed = calibrated(skeleton, one, x, estimator)
    assert fixed.products is PRODUCTS
    mean = flows_in(skeleton, fixed, 1, x).mean((0, 2, 3))
    if text.startswith("blend"):
        mean = (30 * mean + one.state["1.running_mean"]) / 31
    torch.testing.assert_close(fixed.state["1.running_mean"], mean)
    exact = calibrated(skeleton, Chip(one.state), x, estimator)
    assert not torch.equal(exact.state["1.running_mean"], fixed.state["1.running_mean"])


def clean_and_chip() -> tuple[nn.Module, State, Chip, Tensor]:
    clean = with_biases(skeleton_of(network().double()))
    state = state_of(clean)
    noisy = with_bias_zeros(state_of(shifted(network()).double()), clean)
    return clean, state, Chip(noisy, PRODUCTS), images(30).double()


def test_match_stands_behind_the_converter_and_leaves_the_array_as_it_is() -> None:
    skeleton, state, one, x = clean_and_chip()
    signature = signature_of(skeleton, Chip(state), x)
    fixed = matched(skeleton, one, x, signature)
    for layer in (0, 4, 8):
        assert fixed.state[f"{layer}.weight"] is one.state[f"{layer}.weight"]
        seen, wanted = (
            flows_out(skeleton, which, layer, x).transpose(0, 1).flatten(1)
            for which in (fixed, Chip(state))
        )
        torch.testing.assert_close(seen.mean(1), wanted.mean(1))
        torch.testing.assert_close(seen.std(1), wanted.std(1))
    assert all(one.products[name] is rounded for name in one.products), "the chip is as it was"


def flows_out(skeleton: nn.Module, one: Chip, layer: int, x: Tensor) -> Tensor:
    met: list[Tensor] = []
    hook = skeleton[layer].register_forward_hook(lambda module, args, y: met.append(y))
    outputs(skeleton, one, x)
    hook.remove()
    return met[0]


def test_match_folds_into_the_layers_whose_products_are_exact() -> None:
    skeleton, state, one, x = clean_and_chip()
    mixed = Chip(one.state, {"4": rounded})
    fixed = matched(skeleton, mixed, x, signature_of(skeleton, Chip(state), x))
    assert fixed.products.keys() == {"4"}
    assert not torch.equal(fixed.state["0.weight"], one.state["0.weight"])
    assert fixed.state["4.weight"] is one.state["4.weight"]
