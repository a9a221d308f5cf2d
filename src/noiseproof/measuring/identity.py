"""What a network computes, and whether it does so twice: from a few passes of the first test inputs
when it is opened."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, tensors_within
from noiseproof.core.rng import default_states, seeded, stream
from noiseproof.network import Chip, State, outputs
from noiseproof.network.owners import printed
from noiseproof.results import Computes, Figures

FIGURES = 8
"""Of the outputs, in all."""
MOST_VALUES = 2**16
"""Of a tensor that figures are made of; of a larger one every n-th."""
ROUNDING = {torch.float16: 2e-2, torch.bfloat16: 4e-2}
"""Relative to the spread of the outputs, where they are computed in these."""
USUAL_ROUNDING = 5e-3  # float32 on any device, its products in tf32 included
UNSTEADY = 5e-2  # classes, and what is kept of many boxes: a rounding error may choose another one
LOOKS = 8
"""Passes under other dice, where random numbers are drawn and the outputs do not show it yet."""


class Randomness(Enum):
    """Is a pass random by itself, and do named streams make it repeatable?"""

    NONE = "none"
    SEEDED = "seeded"
    LOOSE = "loose"  # it draws from generators of its own, or remembers the passes before


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a network computes, as rows say it, and how random its passes are."""

    computes: Computes
    randomness: Randomness


def structure_of(skeleton: nn.Module, *more: str) -> str:
    """The hash of the layers as they print themselves, the kinds of numbers that they hold, and
    `more` of what decides a score."""
    kinds = sorted({str(tensor.dtype) for tensor in skeleton.parameters()})
    text = "\n".join([printed(skeleton), *kinds, *more])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def look_at(skeleton: nn.Module, state: State, x: Inputs, *more: str) -> Look:
    """A look at the clean network with inputs x (n, ...) as it takes them."""

    def run(dice: int) -> Any:
        with seeded(0, "look", dice):
            before = default_states()
            return outputs(skeleton, Chip(state), x), default_states() != before

    output, draws = run(0)
    first = steady(output)
    room = _rounding(skeleton, output, first)
    structure = structure_of(skeleton, *more)
    found = Computes(structure=structure, tolerance=room, figures=figures_of(first))
    # The inputs, the weights and the dice decide the outputs of most networks.
    if not _alike(first, steady(run(0)[0]), room):
        # Figures of one pass would tell it apart from itself.
        return Look(computes=replace(found, figures=()), randomness=Randomness.LOOSE)
    dice = range(1, 1 + LOOKS if draws else 1)
    if any(not _alike(first, steady(run(one)[0]), room) for one in dice):
        return Look(computes=found, randomness=Randomness.SEEDED)
    return Look(computes=found, randomness=Randomness.NONE)


def steady(output: Any) -> list[Tensor]:
    """The numbers in what a network returns, in tensors whose shapes do not depend on rounding: of
    boxes with their scores the weighted means, since the least certain come and go."""
    if isinstance(output, list | tuple):
        return [tensor for one in output for tensor in steady(one)]
    if not _is_scored(output):
        return [_real(tensor) for tensor in tensors_within(output)]
    weights = output["scores"].double().square()  # (boxes,)
    same = [one for one in tensors_within(output) if one.shape[:1] == weights.shape]
    total = weights.sum().clamp_min(1e-12)
    return [weights @ one.double().flatten(1 if one.dim() > 1 else 0) / total for one in same]


def _is_scored(output: Any) -> bool:
    return isinstance(output, Mapping) and isinstance(output.get("scores"), Tensor)


def _real(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def figures_of(found: list[Tensor]) -> tuple[Figures, ...]:
    """A few figures for each tensor, `FIGURES` in all: its mean, and sums under random signs."""
    chosen = found[:FIGURES]
    each = FIGURES // len(chosen) if chosen else 0
    return tuple(_figures(tensor, max(1, each)) for tensor in chosen)


def _figures(tensor: Tensor, count: int) -> Figures:
    flat = tensor.flatten()
    values = flat[:: -(-flat.numel() // MOST_VALUES) or 1].cpu().double()  # (n,)
    if not len(values):
        return Figures(scale=0.0, values=())
    # Every value has its part in every sum, and errors that are independent add up as in one value.
    dice = stream(0, "figures", len(values))
    signs = torch.randint(0, 2, (count, len(values)), generator=dice).double() * 2 - 1
    sums = signs @ values / math.sqrt(len(values))
    return Figures(scale=_scale(values), values=tuple(sums.tolist()))


def _scale(values: Tensor) -> float:
    """On which a difference counts: the spread of the values, where that is no small part of
    them."""
    rms = float(values.square().mean().sqrt())
    return max(float(values.std(correction=0)), 0.1 * rms)


def _rounding(skeleton: nn.Module, output: Any, found: list[Tensor]) -> float:
    """How far outputs of one network may differ from device to device, relative to their scale."""
    kinds = {tensor.dtype for tensor in (*skeleton.parameters(), *found)}
    usual = max((ROUNDING.get(kind, USUAL_ROUNDING) for kind in kinds), default=USUAL_ROUNDING)
    several = output if isinstance(output, list | tuple) else [output]
    chooses = any(map(_is_scored, several)) or not all(t.is_floating_point() for t in found)
    return max(usual, UNSTEADY) if chooses else usual


def _alike(first: list[Tensor], second: list[Tensor], room: float) -> bool:
    """Are two passes of one network the same, but for the order of sums on a busy device?"""
    if [one.shape for one in first] != [one.shape for one in second]:
        return False
    # A tenth: what is random differs by far more, and one device from itself by far less.
    return all(_near(*pair, 0.1 * room) for pair in zip(first, second, strict=True))


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if not a.numel():
        return True
    a, b = a.double(), b.double()
    same = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(same, torch.zeros_like(a), a - b)
    return float(difference.square().mean().sqrt()) <= tolerance * _scale(a.nan_to_num())
