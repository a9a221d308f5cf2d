"""The seam between a network's skeleton (an nn.Module) and its state (a dict of tensors).

`places` says what every tensor is, `state_of` takes the tensors out, `outputs` runs the skeleton
with any state. The module that is passed in is never changed.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from noiseproof.core.inputs import Inputs, as_call, shapes
from noiseproof.network.norms import is_batch_norm

State = dict[str, Tensor]


class StopForward(Exception):  # noqa: N818  # not an error: a hook has seen what it wanted
    """Raised in a hook to end a pass early; `outputs` lets it through."""


M = TypeVar("M", bound=nn.Module)

_KERNEL_OWNERS = (
    _ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
)
_NORM_OWNERS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, _InstanceNorm)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one tensor is: its role and where its output channels lie.

    `input_first`: the output channel is axis 1 (embeddings, transposed convolutions), and with
    `groups` > 1 output channel g * size(1) + j is slice j of the g-th part of axis 0.
    """

    role: str  # one of spec.ROLES, or "constant" for what is never a target
    input_first: bool = False
    groups: int = 1


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
    for prefix, module in model.named_modules():
        for local in (*module._parameters, *module._buffers):
            name = f"{prefix}.{local}" if prefix else local
            if name in names:
                found[name] = _place(module, local)
    return {name: found[name] for name in names}


def _place(module: nn.Module, local: str) -> Place:
    if is_batch_norm(module) or isinstance(module, _NORM_OWNERS):
        if local in ("weight", "bias"):
            return Place(role="norm_affine")
        if local in ("running_mean", "running_var"):
            return Place(role="norm_stats")
    if local in module._buffers:
        return Place(role="constant")
    if isinstance(module, _KERNEL_OWNERS):
        if "bias" in local:
            return Place(role="bias")
        if isinstance(module, _ConvTransposeNd):
            return Place(role="kernel", input_first=True, groups=module.groups)
        return Place(role="kernel", input_first=isinstance(module, nn.Embedding | nn.EmbeddingBag))
    return Place(role="other")


def state_of(model: nn.Module) -> State:
    """The parameters and buffers of `model`, detached and shared with it, not copied.

    A tensor that stands in several places (tied weights) appears once, under its first name.
    """
    tensors = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors}


def skeleton_of(model: M) -> M:
    """A private copy of `model` in evaluation mode, to run states with."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def outputs(skeleton: nn.Module, state: Mapping[str, Tensor], x: Inputs) -> Any:
    """What `skeleton` returns for the inputs x (N, ...) with the tensors of `state`: logits
    (N, C) of a classifier, and whatever a detector or a segmenter returns. A tuple of tensors goes
    in as positional arguments, a dict as keyword arguments.

    A skeleton from `skeleton_of` is in evaluation mode. Tied tensors stay tied.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    args, kwargs = as_call(x)
    try:
        with torch.no_grad():
            return functional_call(skeleton, dict(state), args, kwargs)
    except StopForward:
        raise
    except Exception as error:  # whatever the user's own network does with these inputs
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"the network fails on inputs of shape {shapes(x)}: {reason}") from error


def with_state(model: M, state: Mapping[str, Tensor]) -> M:
    """A copy of `model` that holds the values of `state`; modes and gradients flags as before."""
    filled = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in state_of(filled).items():
            if name in state:
                tensor.copy_(state[name])
    return filled


def network_sha256(skeleton: nn.Module, state: State) -> str:
    """The fingerprint of a network: its layers as they print themselves, and its state. What a
    forward function of one's own does is not in it: name the network in `Subject` where two share
    layers and weights."""
    return hashlib.sha256(f"{skeleton!r}\n{state_sha256(state)}".encode()).hexdigest()


def state_sha256(state: State) -> str:
    """The fingerprint of a state: names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
