"""Two ways to run a network, compared on a random state: a mistake cannot hide behind a gamma
of one, a mean of zero or a kernel of zeros."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, map_tensors, tensors_within
from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import State

_SLACK = {torch.float64: 1e-7}  # of the largest output; else the square root of the dtype's eps


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A random state, inputs, and what the network returns for them."""

    state: State
    x: Inputs
    wanted: list[Tensor]

    def agrees(self, run: Callable[[State, Inputs], Any]) -> bool:
        """Does `run(state, x)` give the same, but for rounding?"""
        try:
            with seeded(0, "probe"):
                got = tensors_within(run(self.state, self.x))
        except ValueError:
            return False
        return len(got) == len(self.wanted) > 0 and all(map(_close, got, self.wanted))


def probe_of(skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs) -> Probe:
    """A probe in float64, where rounding and a mistake are nine orders of magnitude apart, or in
    the network's own precision where it knows no other.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    try:
        return _probe(skeleton, _random(state, torch.float64), map_tensors(example, _double))
    except (TypeError, ValueError):  # a device, or the network itself, without float64
        return _probe(skeleton, _random(state, None), example)


def _double(tensor: Tensor) -> Tensor:
    """Whole numbers are places in a table, which no network takes as float64."""
    return tensor.double() if tensor.is_floating_point() else tensor


def _probe(skeleton: nn.Module, state: State, x: Inputs) -> Probe:
    with seeded(0, "probe"):
        # Under dice of its own, as in `agrees`: a network that is random
        # even at rest agrees with itself.
        return Probe(state=state, x=x, wanted=tensors_within(outputs(skeleton, Chip(state), x)))


def _random(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> State:
    """`state` with every floating tensor drawn anew: variances in [0.5, 1.5], kernels of the
    scale that keeps activations of order one, vectors around their values."""
    drawn = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            drawn[name] = tensor.clone()  # a counter that the network may write
            continue
        g = stream(0, "probe", name)
        # Positive and away from zero, where 1 / sqrt(var) would amplify rounding.
        if name.endswith("running_var"):
            fresh = torch.rand(tensor.shape, generator=g) + 0.5
        elif tensor.dim() > 1:
            # tensor[0] is what one output sums over: outputs as large as inputs, so that no layer's
            # mistake drowns in another layer's size.
            fresh = torch.randn(tensor.shape, generator=g) / max(tensor[0].numel(), 1) ** 0.5
        else:
            # Around its value, since a vector may be a temperature that the network divides by.
            fresh = tensor.cpu() + 0.5 * torch.randn(tensor.shape, generator=g)
        drawn[name] = fresh.to(tensor.device, dtype or tensor.dtype)
    return drawn


def _close(got: Tensor, wanted: Tensor) -> bool:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if not wanted.is_floating_point():
        return torch.equal(got, wanted)
    # Relative to the largest output, since a single one may be zero by luck.
    size = wanted.nan_to_num(0, 0, 0).abs().max() if wanted.numel() else 0
    slack = _SLACK.get(wanted.dtype, torch.finfo(wanted.dtype).eps ** 0.5)
    return torch.allclose(got, wanted, rtol=0, atol=slack * float(size), equal_nan=True)
