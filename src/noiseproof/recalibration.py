"""Re-estimate the running statistics of normalisation layers on the noisy chip.

No label, no gradient, no knowledge of the noise: each batch normalisation layer gets the mean and
the scale that its input has on this chip (Tsai et al. 2020; Joshi et al. 2020).
"""

import warnings
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from noiseproof.accelerator import device_of
from noiseproof.network import State, outputs, skeleton_of, state_of, with_state
from noiseproof.norms import SCALES, by_channel, scale_kind
from noiseproof.rng import stream
from noiseproof.spec import NoEffectWarning

MAX_PIXELS = 2**22  # of all images in one batch: about 4,100 of 32x32, 83 of 224x224
GROUP_IMAGES = 128
PLAIN_MEANS = ("batch", "batch_l1")  # scale estimates that do not depend on how many values
M = TypeVar("M", bound=nn.Module)


def recalibrate(model: M, images: Tensor, *, batch_size: int | None = None) -> M:
    """A copy of `model` whose batch statistics are those of `images` (N, C, H, W).

    `images` are inputs as the model takes them, unlabelled. Everything but running means and
    variances is carried over, the mode of every submodule included; `model` is left as it is.

    Raises:
        ValueError: without images.
    Warns:
        NoEffectWarning: when the model has no running statistics.
    """
    if not running_layers(model):
        warnings.warn(
            f"this {type(model).__name__} has no running statistics to recalibrate",
            NoEffectWarning,
            stacklevel=2,
        )
    state = state_of(model)
    there = images.to(device_of(state))
    return with_state(model, recalibrated(skeleton_of(model), state, there, batch_size=batch_size))


def running_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with running statistics, by name; not FrozenBatchNorm2d, which stays frozen."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def recalibrated(
    skeleton: nn.Module,
    state: Mapping[str, Tensor],
    images: Tensor,
    *,
    batch_size: int | None = None,
) -> State:
    """`state` with the pooled statistics of `images` (N, ...) in every batch normalisation layer.

    One forward pass in evaluation mode (dropout off). Each layer's statistics are set just before
    the layer runs, so every layer sees inputs that are already corrected upstream: with all images
    in one batch this is the exact pooled mean and scale of each layer's input. Where they do not
    fit (see MAX_PIXELS), they run in equal batches in a fixed random order, each normalised with
    its own statistics, and the batches' statistics are pooled, weighted by their sizes.
    `skeleton` is a private copy (`skeleton_of`); it carries hooks for the length of the call.
    """
    if len(images) == 0:
        raise ValueError("recalibration needs at least 1 image, got 0")
    layers = running_layers(skeleton)
    fresh = {**state, **{name: state[name].clone() for name in _statistics_of(layers)}}
    pools = {module: _Pool(kind=scale_kind(module)) for module in layers.values()}
    hooks = [module.register_forward_pre_hook(pool.see_) for module, pool in pools.items()]
    try:
        for batch in _batches(images, batch_size):
            outputs(skeleton, fresh, batch)
    finally:
        for hook in hooks:
            hook.remove()
    for name, module in layers.items():
        prefix, pool = f"{name}." if name else "", pools[module]
        if pool.values:  # a layer that did not run (an auxiliary head) keeps what it has
            fresh[f"{prefix}running_mean"].copy_(pool.mean)
            fresh[f"{prefix}running_var"].copy_(pool.var)
    return fresh


def _statistics_of(layers: Mapping[str, nn.Module]) -> list[str]:
    names = [f"{name}.{which}" for name in layers for which in ("running_mean", "running_var")]
    return [name.removeprefix(".") for name in names]


def _double(x: Tensor) -> Tensor:
    """x in float64; on the CPU where x's device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance of each channel of x (N, C, *positions) -> (C,), (C,) float64.

    Each image's sums in x's precision, over deviations from the channel's mean so that nothing
    cancels; their sums over images in float64.
    """
    values = x.flatten(2) if x.dim() > 2 else x[:, :, None]  # (N, C, positions)
    mean = _double(values.mean(2)).mean(0)
    d = values - mean.to(x)[:, None]
    squares = _double(torch.linalg.vector_norm(d, dim=2)).square()  # (N, C)
    return mean, squares.mean(0) / values.shape[2]


class _Pool:
    """One layer's statistics so far, in float64, and the hook that feeds and applies them."""

    def __init__(self, *, kind: str) -> None:
        self.kind = kind
        self.values = 0
        self.mean: Tensor = torch.zeros(())
        self.var: Tensor = torch.zeros(())

    def see_(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Take in a batch (N, C, ...) and let the layer normalise it with its own statistics."""
        x = inputs[0]
        if self.kind == "batch":
            mean, var = _moments(x)
        else:
            values = _double(by_channel(x))  # (C, n)
            mean = values.mean(1)
            var = self._scale(values - mean[:, None], images=len(x)).square()
        self._merge_(x.numel() // x.shape[1], mean, var)
        assert isinstance(module, _BatchNorm)
        assert module.running_mean is not None
        assert module.running_var is not None
        module.running_mean.copy_(mean)
        module.running_var.copy_(var)

    def _scale(self, d: Tensor, *, images: int) -> Tensor:
        """The scale estimate of the deviations d (C, n) of a number of images -> (C,).

        Estimates from extremes grow with n in another way than C(n) expects where values are not
        Gaussian, so they are taken over groups as large as a training batch, then averaged.
        """
        scale = SCALES[self.kind]
        if self.kind in PLAIN_MEANS or images <= GROUP_IMAGES:
            return scale(d)
        groups = d.tensor_split(-(-images // GROUP_IMAGES), dim=1)
        weights = [group.shape[1] / d.shape[1] for group in groups]
        parts = [w * scale(group) for w, group in zip(weights, groups, strict=True)]
        return torch.stack(parts).sum(0)

    def _merge_(self, n: int, mean: Tensor, var: Tensor) -> None:
        """Weighted by n. For the L2 scale the means' own variance counts too, so that the result
        is the variance of all values together."""
        total = self.values + n
        share, step = n / total, mean - self.mean
        between = share * (1 - share) * step.square() if self.kind == "batch" else 0.0
        self.var = (1 - share) * self.var + share * var + between
        self.mean = self.mean + share * step
        self.values = total


def _batches(images: Tensor, batch_size: int | None) -> list[Tensor]:
    """The images whole where they fit, else in equal parts of a fixed random order."""
    pixels = max(1, images[0, 0].numel()) if images.dim() > 2 else 1
    fits = batch_size or max(2, MAX_PIXELS // pixels)
    if len(images) <= fits:
        return [images]
    order = torch.randperm(len(images), generator=stream(0, "recalibration order"))
    return list(images[order.to(images.device)].tensor_split(-(-len(images) // fits)))
