"""Analog layers: the layers whose kernel weights a chip holds, where their outputs leave the array,
and how a scale and an offset of an output channel go into weight and bias."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from noiseproof.accelerator import device_of
from noiseproof.network import Place, State, state_of
from noiseproof.pooling import double

M = TypeVar("M", bound=nn.Module)
PLAIN = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
    nn.Embedding,
)


@dataclass(frozen=True, kw_only=True)
class Port:
    """Where a linear map leaves the array: the names of its weight and its bias in a state.

    `bias` is None for an embedding, whose rows are its outputs and take the offset themselves.
    """

    weight: str
    bias: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """y -> gain * y + offset per channel, each (C,) in float64."""

    gain: Tensor
    offset: Tensor


def analog_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that `match` corrects, by name: convolutions (transposed too), linear layers,
    embeddings and `nn.MultiheadAttention` (whose own output projection is part of it).

    Left out: recurrent and bilinear layers; a weight that several modules share (a decoder tied
    to its embedding), since one correction cannot serve two outputs; an embedding with
    `max_norm`; and a subclass with a forward of its own, which may use its weight in another way
    (weight standardisation).
    """
    modules = dict(model.named_modules())
    owners = Counter(id(p) for m in modules.values() for p in m._parameters.values())
    inside = {m.out_proj for m in modules.values() if isinstance(m, nn.MultiheadAttention)}
    return {
        name: module
        for name, module in modules.items()
        if module not in inside
        and _is_analog(module)
        and all(owners[id(p)] == 1 for p in _own_parameters(module))
    }


def _is_analog(module: nn.Module) -> bool:
    for cls in (*PLAIN, nn.MultiheadAttention):
        if isinstance(module, cls) and type(module).forward is cls.forward:
            return getattr(module, "max_norm", None) is None
    return False


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    return [p for m in (module, getattr(module, "out_proj", module)) for p in m.parameters(False)]


def ports(model: nn.Module) -> dict[str, Port]:
    """The ports of the analog layers: one each, under the layer's name; two of an attention,
    `.in_proj` (where query, key and value have one width) and `.out_proj`."""
    found: dict[str, Port] = {}
    for name, module in analog_layers(model).items():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            if module._qkv_same_embed_dim:
                found[f"{prefix}in_proj"] = Port(
                    weight=f"{prefix}in_proj_weight", bias=f"{prefix}in_proj_bias"
                )
            found[f"{prefix}out_proj"] = Port(
                weight=f"{prefix}out_proj.weight", bias=f"{prefix}out_proj.bias"
            )
        else:
            bias = None if isinstance(module, nn.Embedding) else f"{prefix}bias"
            found[name] = Port(weight=f"{prefix}weight", bias=bias)
    return found


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
