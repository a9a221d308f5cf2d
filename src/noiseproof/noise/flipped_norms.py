"""Normalisation whose gamma and beta have noise of their own for every image of a batch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.network import ScaledBatchNorm
from noiseproof.noise.signs import Flip, Layer, along, by_rows


def affine_of(module: nn.Module, flips: Mapping[str, Flip], name: str) -> Tensor | None:
    """Gamma or beta of every image, (n, *shape) or, where all have the same, (1, *shape)."""
    values: Tensor | None = getattr(module, name, None)
    if values is None or name not in flips:
        return None if values is None else values[None]
    return values + flips[name].first * flips[name].noise


def _scaled(normalised: Tensor, gamma: Tensor | None, beta: Tensor | None, axis: int) -> Tensor:
    """normalised * gamma + beta, in place; both (n or 1, *axes of `normalised` from `axis` on)."""

    def shaped(values: Tensor) -> Tensor:
        rows = by_rows(values, normalised) if len(values) > 1 else values
        # (n, *shape) -> (n, 1 .., *shape, 1 ..): ones up to the first axis that is scaled, and
        # after the last, as the positions behind the channels.
        start = axis % normalised.dim()
        ones = [1] * (normalised.dim() - start - values.dim() + 1)
        return rows.reshape(len(rows), *[1] * (start - 1), *values.shape[1:], *ones)

    if gamma is not None:
        normalised.mul_(shaped(gamma))
    return normalised if beta is None else normalised.add_(shaped(beta))


def _batch_norm(
    module: Any, forward: Layer, flips: Mapping[str, Flip], *args: Tensor, **kwargs: Tensor
) -> Tensor:
    (x,) = (*args, *kwargs.values())
    gamma, beta = (affine_of(module, flips, name) for name in ("weight", "bias"))
    mean, var = module.running_mean, module.running_var
    if mean is None:
        raise ValueError("a batch normalisation without running statistics mixes its images")
    if x.dtype not in (torch.float32, torch.float64):  # `shift` would round too coarsely
        return _scaled(F.batch_norm(x, mean, var, eps=module.eps), gamma, beta, 1)
    # Statistics are the same for all images, so each has one scale and one shift: one pass over x.
    scale = (var + module.eps).rsqrt()[None] * (1 if gamma is None else gamma)
    shift = (0 if beta is None else beta) - mean * scale
    rows = max(len(scale), len(shift))
    scale, shift = (along(v.expand(rows, -1), x, 1) for v in (scale, shift))
    return torch.addcmul(shift, x, scale)


def _norm(normalise: Callable[[Any, Tensor], Tensor], first_axis: Callable[[Any], int]) -> Layer:
    """A layer that normalises each image, then scales its axes from `first_axis(module)` on."""

    def layer(
        module: nn.Module,
        forward: Layer,
        flips: Mapping[str, Flip],
        *args: Tensor,
        **kwargs: Tensor,
    ) -> Tensor:
        (x,) = (*args, *kwargs.values())
        gamma, beta = (affine_of(module, flips, name) for name in ("weight", "bias"))
        # First without gamma and beta: what normalises is the same for every image.
        return _scaled(normalise(module, x), gamma, beta, first_axis(module))

    return layer


def _instance(m: Any, x: Tensor) -> Tensor:
    # With running statistics an instance normalisation is one map for all images at rest.
    own = not m.track_running_stats
    return F.instance_norm(x, m.running_mean, m.running_var, use_input_stats=own, eps=m.eps)


NORMS: dict[type[nn.Module], Layer] = {
    **dict.fromkeys(
        (_BatchNorm, nn.SyncBatchNorm, ScaledBatchNorm, FrozenBatchNorm2d), _batch_norm
    ),
    _InstanceNorm: _norm(_instance, lambda m: 1),
    nn.GroupNorm: _norm(lambda m, x: F.group_norm(x, m.num_groups, eps=m.eps), lambda m: 1),
    nn.LayerNorm: _norm(
        lambda m, x: F.layer_norm(x, m.normalized_shape, eps=m.eps),
        lambda m: -len(m.normalized_shape),
    ),
    nn.RMSNorm: _norm(
        lambda m, x: F.rms_norm(x, m.normalized_shape, eps=m.eps),
        lambda m: -len(m.normalized_shape),
    ),
}
