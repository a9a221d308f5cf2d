"""A scale and an offset of each output channel, folded into weight and bias."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.device import device_of
from noiseproof.network import (
    Chip,
    Kind,
    LinearMap,
    M,
    Plain,
    Product,
    State,
    by_output,
    channels,
    double,
    state_of,
)
from noiseproof.network.linear_maps import linear_maps

_MATCHED = (Kind.CONVOLUTION, Kind.TRANSPOSED, Kind.LINEAR, Kind.EMBEDDING, Kind.ATTENTION)


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """y -> gain * y + offset per channel, each (C,) in float64."""

    gain: Tensor
    offset: Tensor


def matched_maps(model: nn.Module) -> dict[str, LinearMap]:
    """The linear maps that `match` corrects, by name: those of convolutions (transposed too),
    linear layers, embeddings and attention.

    Left out: recurrent and bilinear layers; a weight that several modules share (a decoder tied
    to its embedding), since one correction cannot serve two outputs; what is not `plain`; and the
    input projections of an attention whose query, key and value have different widths.
    """
    return {
        name: one
        for name, one in linear_maps(model).items()
        if one.kind in _MATCHED
        and one.plain
        and not one.shared
        and not (one.kind == Kind.ATTENTION and len(one.inputs) == 1)
    }


def with_biases(model: M) -> M:
    """A copy of `model` whose matched layers all have a bias: zeros where there was none."""
    biased = copy.deepcopy(model)
    for one in matched_maps(biased).values():
        owner, _, local = (one.bias or "").rpartition(".")
        layer = biased.get_submodule(owner)
        # Only kinds that may have a bias name one; an embedding has none
        # and takes the offset in its rows.
        if one.bias is not None and layer._parameters[local] is None:
            like = biased.get_parameter(one.weight)
            zeros = like.new_zeros(channels(like, one))  # (C,), dtype and device of the kernel
            setattr(layer, local, nn.Parameter(zeros, requires_grad=like.requires_grad))
    return biased


def with_bias_zeros(state: Mapping[str, Tensor], biased: nn.Module) -> State:
    """`state` with zeros for every tensor that `biased`, from `with_biases`, has besides."""
    device = device_of(state)
    return {
        name: state[name] if name in state else torch.zeros_like(tensor, device=device)
        for name, tensor in state_of(biased).items()
    }


def corrected(chip: Chip, name: str, linear_map: LinearMap, affine: Affine) -> Chip:
    """`chip` with `affine` behind one of its linear maps: in its weight and bias where its product
    is exact, else behind what happens there."""
    # An exact product commutes with a scale of its kernel's output channels.
    if name not in chip.products:
        return replace(chip, state=chip.state | folded(chip.state, linear_map, affine))
    # A gain in the kernel would come in front of the converter, which does not commute with it.
    behind = {name: _Behind(product=chip.products[name], affine=affine)}
    state = chip.state
    if linear_map.bias is not None:
        bias = state[linear_map.bias]  # added last of all: the map stretches it too
        state = state | {linear_map.bias: (double(bias) * affine.gain).to(bias)}
    return replace(chip, state=state, products={**chip.products, **behind})


def folded(state: Mapping[str, Tensor], linear_map: LinearMap, affine: Affine) -> State:
    """The weight and bias of `linear_map` with `affine` behind them, under their names."""
    weight = state[linear_map.weight]
    gain = by_output(affine.gain, weight, linear_map)  # broadcasts along the kernel's output axis
    if linear_map.bias is None:  # the rows of an embedding are its outputs and take the offset
        shifted = double(weight) * gain + by_output(affine.offset, weight, linear_map)
        return {linear_map.weight: shifted.to(weight)}
    bias = state[linear_map.bias]
    return {
        linear_map.weight: (double(weight) * gain).to(weight),
        linear_map.bias: (double(bias) * affine.gain + affine.offset).to(bias),
    }


def applied(affine: Affine, y: Tensor, axis: int) -> Tensor:
    """`affine` on outputs whose channels lie on `axis`, from the end."""
    # Axes are counted from the end, so (C, 1, 1) broadcasts with and without a batch.
    shape = (-1,) + (1,) * (-1 - axis)
    return torch.addcmul(affine.offset.to(y).view(shape), y, affine.gain.to(y).view(shape))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Behind:
    """What happens at a product, then a scale and an offset, digitally."""

    product: Product
    affine: Affine

    def __call__(self, linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        return applied(self.affine, self.product(linear_map, inputs, plain), linear_map.axis)
