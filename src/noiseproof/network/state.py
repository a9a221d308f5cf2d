"""The seam between a network's skeleton (an nn.Module) and its state (a dict of tensors).

`places` says what every tensor is, `state_of` takes the tensors out; `chip.outputs` runs the
skeleton with any. The module that is passed in is never changed.
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from noiseproof.network.layouts import Layout
from noiseproof.network.linear_maps import (
    LinearMap,
    biases_of,
    found_in,
    kind_of,
    lies,
    maps_by_weight,
    order_in,
)
from noiseproof.network.norms import is_batch_norm
from noiseproof.network.owners import dice_names, printed
from noiseproof.network.statistics import Statistic

State = dict[str, Tensor]


M = TypeVar("M", bound=nn.Module)

_NORM_OWNERS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, _InstanceNorm)


@dataclass(frozen=True, kw_only=True)
class Place(Layout):
    """What one tensor is: its role, and how it lies if it is a kernel. `layers` are the modules it
    belongs to, several where it is tied; of an attention's output projection the attention.
    `kind` is what the first does with it; `order` counts the layers with kernels as a pass reads
    them, where one was watched, else as the network lists them."""

    role: str  # one of specs.noise.ROLES, "digital" for what is kept so, "constant" for no target
    layers: tuple[str, ...] = ("",)
    kind: str = ""
    order: int | None = None
    # How a running variance is stored, where that is not as torch has it.
    statistic: Statistic | None = None
    # What its random streams are called; "": as the tensor.
    dice: str = field(default="", compare=False)

    @property
    def layer(self) -> str:
        """The first of `layers`, by which costs and groups go."""
        return self.layers[0]


def places(model: nn.Module) -> dict[str, Place]:
    """The place of every tensor of `state_of(model)`, under the same names and in that order.

    Raises:
        ValueError: for a weight that is computed from others (weight_norm, spectral_norm): noise
            on its factors is not noise on the weight that a chip stores.
    """
    for prefix, module in model.named_modules():
        if is_parametrized(module) or {"weight_g", "weight_orig"} & module._parameters.keys():
            raise ValueError(
                f"the weight of layer {prefix or type(module).__name__!r} is computed from other "
                "tensors: call torch.nn.utils.parametrize.remove_parametrizations (or "
                "remove_weight_norm, remove_spectral_norm) on it first"
            )
    found: dict[str, Place] = {}
    names = state_of(model).keys()
    kernels, biases = maps_by_weight(model), biases_of(model)
    order = _order(model, kernels)
    for prefix, module in model.named_modules():
        for local in (*module._parameters, *module._buffers):
            name = f"{prefix}.{local}" if prefix else local
            if name in names:
                maps = kernels.get(name, [])
                layers = [one.layer for one in maps] or [biases.get(name, prefix)]
                kind = maps[0].kind if maps else kind_of(module)
                found[name] = Place(
                    role=_role(module, local, maps),
                    layers=tuple(dict.fromkeys(layers)),
                    kind=kind or type(module).__name__.lower(),
                    order=order.get(layers[0]),
                    **(_fields(lies(model, maps)) if maps else {}),
                )
    drawn = [name for name in names if found[name].role != "constant"]
    dice = dice_names(model, names, drawn)
    # In the order of `state_of`, parameters before buffers, where `found` goes module by module.
    return {name: replace(found[name], dice=dice[name]) for name in names}


def _fields(layout: Layout) -> dict[str, Any]:
    return {one.name: getattr(layout, one.name) for one in fields(Layout)}


def _order(model: nn.Module, kernels: Mapping[str, Sequence[LinearMap]]) -> dict[str, int]:
    """The layers with kernels, by their places in the order in which a pass reads them."""
    seen = {name: place for place, name in enumerate(order_in(model))}
    names = [name for name in state_of(model) if name in kernels]
    # What no pass has read comes last, in the order of the modules (sorting is stable).
    called = sorted(names, key=lambda name: seen.get(name, len(seen)))
    layers = [kernels[name][0].layer for name in called if kernels[name][0].role == "kernel"]
    return {layer: place for place, layer in enumerate(dict.fromkeys(layers))}


def _role(module: nn.Module, local: str, maps: Sequence[LinearMap]) -> str:
    if maps:
        return maps[0].role
    if is_batch_norm(module) or isinstance(module, _NORM_OWNERS):
        if local in ("weight", "bias"):
            return "norm_affine"
        if local in ("running_mean", "running_var"):
            return "norm_stats"
    if local in module._buffers:
        return "constant"
    is_known = kind_of(module) is not None
    # Beside a kernel that a pass has found, what the class calls so and adds is a bias.
    has_found = any(not one.is_table for one in found_in(module).values())
    return "bias" if is_known or (has_found and "bias" in local) else "other"


def state_of(model: nn.Module) -> State:
    """The parameters and buffers of `model`, detached and shared with it, not copied.

    A tensor that stands in several places (tied weights) appears once, under its first name.
    """
    # Not state_dict(): that leaves out buffers that are not persistent and repeats tied tensors.
    tensors = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors}


def dtype_of(state: State) -> torch.dtype | None:
    """The one floating-point type that all tensors of a network have; None where there are several,
    of which nobody knows which its inputs have."""
    found = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    return found.pop() if len(found) == 1 else None


def skeleton_of(model: M) -> M:
    """A private copy of `model` in evaluation mode, to run states with; of what `DataParallel` runs
    the network itself."""
    # torch cannot run other tensors in it than its own, and on one device it does nothing else.
    while isinstance(model, nn.DataParallel):
        model = model.module
    return copy.deepcopy(model).eval().requires_grad_(False)


def with_state(model: M, state: Mapping[str, Tensor]) -> M:
    """A copy of `model` that holds the values of `state`; modes and gradients flags as before."""
    filled = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in state_of(filled).items():
            if name in state:
                tensor.copy_(state[name])
    return filled


def network_sha256(skeleton: nn.Module, state: State) -> str:
    """The fingerprint of a network: its layers as they print themselves, and its state, wrappers
    seen through. What a forward function of one's own does is not in it; rows have it beside this
    one, in `computes`."""
    found = places(skeleton)
    bare = {found[name].dice: tensor for name, tensor in state.items()}
    # A tensor beside a network within may have the name of one in it.
    named = bare if len(bare) == len(state) else state
    return hashlib.sha256(f"{printed(skeleton)}\n{state_sha256(named)}".encode()).hexdigest()


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """The fingerprint of a state: names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        # As bytes, since numpy knows no bfloat16; flat first, since a
        # tensor without axes has no such view.
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
