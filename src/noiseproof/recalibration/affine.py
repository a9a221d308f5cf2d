"""A scale and an offset of each output channel, folded into weight and bias."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from noiseproof.core.device import device_of
from noiseproof.network.layers import M, Port, ports
from noiseproof.network.moments import double
from noiseproof.network.state import Place, State, state_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """y -> gain * y + offset per channel, each (C,) in float64."""

    gain: Tensor
    offset: Tensor


def with_biases(model: M) -> M:
    """A copy of `model` whose analog layers all have a bias: zeros where there was none."""
    biased = copy.deepcopy(model)
    for port in ports(biased).values():
        owner, _, weight = port.weight.rpartition(".")
        layer = biased.get_submodule(owner)
        if port.bias is not None and layer._parameters[port.bias.rpartition(".")[2]] is None:
            like = layer.get_parameter(weight)
            channels = len(like) if not isinstance(layer, _ConvNd) else layer.out_channels
            zeros = nn.Parameter(like.new_zeros(channels), requires_grad=like.requires_grad)
            setattr(layer, port.bias.rpartition(".")[2], zeros)
    return biased


def with_bias_zeros(state: Mapping[str, Tensor], biased: nn.Module) -> State:
    """`state` with zeros for every tensor that `biased`, from `with_biases`, has besides."""
    device = device_of(state)
    return {
        name: state[name] if name in state else torch.zeros_like(tensor, device=device)
        for name, tensor in state_of(biased).items()
    }


def folded(state: Mapping[str, Tensor], port: Port, affine: Affine, place: Place) -> State:
    """The weight and bias of `port` with `affine` behind them, under their names."""
    weight = state[port.weight]
    gain = _along(affine.gain, weight, place)
    if port.bias is None:
        shifted = double(weight) * gain + _along(affine.offset, weight, place)
        return {port.weight: shifted.to(weight)}
    bias = state[port.bias]
    return {
        port.weight: (double(weight) * gain).to(weight),
        port.bias: (double(bias) * affine.gain + affine.offset).to(bias),
    }


def _along(values: Tensor, weight: Tensor, place: Place) -> Tensor:
    """`values` (C,) in a shape that broadcasts against the output channels of `weight`."""
    ones = [1] * (weight.dim() - 2)
    if not place.input_first:
        return values.view(-1, 1, *ones)
    by_group = values.view(place.groups, 1, -1)  # (groups, inputs of one group, outputs of one)
    inputs = weight.shape[0] // place.groups
    return by_group.expand(-1, inputs, -1).reshape(weight.shape[0], -1, *ones)
