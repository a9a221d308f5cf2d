"""The normalisation layers under study, and `replace_norms`, which puts them into any module.

Every batch variant keeps torch's conventions: `momentum` weighs the new batch, eps stands inside
the root, and `running_var` holds the square of the scale estimate. So a state dict moves freely
between variants, and in evaluation mode all of them are the same affine map.
"""

import copy
import fnmatch
import math
import re
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.checks import NoEffectWarning
from noiseproof.specs import check_norm

TOPK = 10
RANGE_CHUNKS = 16
GROUPS = 8
M = TypeVar("M", bound=nn.Module)


def _gaussian_max(n: int) -> float:
    """C(n) = (1 + sqrt(pi ln 4)) / (2 sqrt(2 ln n)), as in Hoffer et al. 2018 and their code.

    0 for n = 1, where the formula has no value: a single value does not deviate from its mean.
    """
    # ln 1 = 0 would divide by zero.
    if n == 1:
        return 0.0
    return (1 + math.sqrt(math.pi * math.log(4))) / (2 * math.sqrt(2 * math.log(n)))


def scale_l2(d: Tensor) -> Tensor:
    """sqrt(mean d^2) per channel; d (C, n) are deviations from the channel's mean -> (C,)."""
    # Of the population: no n - 1, unlike what torch writes into running_var.
    return d.square().mean(1).sqrt()


def scale_l1(d: Tensor) -> Tensor:
    """sqrt(pi/2) mean|d| per channel; d (C, n) -> (C,). Hoffer et al. 2018."""
    # E|d| = sd sqrt(2/pi) for a Gaussian, so this is its standard deviation.
    return d.abs().mean(1) * math.sqrt(math.pi / 2)


def scale_topk(d: Tensor, *, k: int = TOPK) -> Tensor:
    """Mean of the k largest |d| times C(n); d (C, n) -> (C,). Hoffer et al. 2018."""
    n = d.shape[1]
    # C(n) belongs to the largest value; the paper and its code use it
    # for the mean of the top ten too.
    return d.abs().topk(min(k, n), dim=1).values.mean(1) * _gaussian_max(n)


def scale_linf(d: Tensor) -> Tensor:
    """max|d| times C(n); d (C, n) -> (C,). Hoffer et al. 2018."""
    return scale_topk(d, k=1)


def scale_range(d: Tensor) -> Tensor:
    """(mean of chunk maxima - mean of chunk minima) x 0.175 (1 + sqrt(pi ln 4)) / sqrt(2 ln m).

    d (C, n) -> (C,). 16 chunks of length m = n // 16 in memory order; a remainder is
    left out, and fewer than 32 values make fewer chunks. Banner et al. 2018.
    """
    n = d.shape[1]
    # A chunk of one value has no range: at least two in each.
    chunks = min(RANGE_CHUNKS, max(1, n // 2))
    m = n // chunks
    parts = d[:, : chunks * m].reshape(len(d), chunks, m)  # (C, chunks, m)
    spread: Tensor = parts.amax(2).mean(1) - parts.amin(2).mean(1)
    # 0.35, not 0.175: `_gaussian_max` has a 2 in its denominator that the formula above has not.
    return spread * 0.35 * _gaussian_max(m)


SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": scale_l2,
    "batch_l1": scale_l1,
    "batch_topk": scale_topk,
    "batch_linf": scale_linf,
    "batch_range": scale_range,
}


def by_channel(x: Tensor) -> Tensor:
    """x (N, C, *positions) -> (C, N * positions), the values that one channel's statistics see."""
    return x.transpose(0, 1).flatten(1)


class ScaledBatchNorm(_BatchNorm):
    """Batch normalisation by another scale estimate than the standard deviation.

    `kind` is a key of `SCALES`; `dims` positions (1, 2 or 3): inputs (N, C, *positions), and
    (N, C) too where `dims` is 1. No Bessel correction: `running_var` follows
    (scale estimate)^2 of each training batch.
    """

    def __init__(self, num_features: int, *, kind: str, dims: int = 2, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.kind = kind
        self.dims = dims

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != self.dims + 2 and not (self.dims == 1 and input.dim() == 2):
            raise ValueError(f"expected {self.dims} positions, got {tuple(input.shape)}")

    def extra_repr(self) -> str:
        return f"{self.num_features}, kind={self.kind}, eps={self.eps}, momentum={self.momentum}"

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        # `running_var` is a squared scale already, so torch's kernel does what this layer means.
        if not self.training and self.running_mean is not None:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        # Under autocast the input may be in half precision, too coarse to sum a batch in.
        x = by_channel(input).float()  # (C, n)
        if x.shape[1] < 2:
            raise ValueError(f"expected more than 1 value per channel, got {tuple(input.shape)}")
        mean = x.mean(1)
        var = SCALES[self.kind](x - mean[:, None]).square()
        if self.training:
            # Else the running buffers would hold on to the graph of every batch.
            self._follow_(mean.detach(), var.detach())
        # Written out, because F.batch_norm would treat given statistics as constants.
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        shape = (1, -1) + (1,) * (input.dim() - 2)  # channels on axis 1
        return torch.addcmul(shift.view(shape), input, scale.view(shape)).to(input.dtype)

    def _follow_(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics: `momentum` weighs the new batch; None is a plain mean."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # Counted first, so that the plain mean gives the first batch weight 1, as torch does.
        seen = self.num_batches_tracked
        weight = 1.0 / float(seen) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(var.to(self.running_var.dtype), weight)


def channels_of(norm: nn.Module) -> int:
    """The number of channels that a per-channel normalisation layer works on."""
    for name in ("num_features", "num_channels"):
        if hasattr(norm, name):
            return int(getattr(norm, name))
    # torchvision's keeps four buffers and no number of channels.
    assert isinstance(norm, FrozenBatchNorm2d)
    return int(norm.weight.numel())


def is_batch_norm(module: nn.Module) -> bool:
    """Does `module` keep running statistics of batches (frozen or not)?"""
    return isinstance(module, _BatchNorm | FrozenBatchNorm2d)


def is_norm(module: nn.Module) -> bool:
    """Is `module` a per-channel normalisation that `replace_norms` can replace? (nn.LayerNorm,
    which normalises the last axes of a token, is not.)"""
    return is_batch_norm(module) or isinstance(module, nn.GroupNorm | _InstanceNorm)


def _dims(old: nn.Module) -> int:
    """1, 2 or 3 positions, read off the old layer; 2 where it does not say."""
    if isinstance(old, ScaledBatchNorm):
        return old.dims
    # By the name of any base class, since a subclass may be called anything (BatchNormAct2d).
    names = " ".join(cls.__name__ for cls in type(old).__mro__)
    return next((dims for dims in (1, 3) if f"Norm{dims}d" in names), 2)


def _batch(old: nn.Module, channels: int) -> nn.Module:
    cls = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[_dims(old)]
    return cls(channels, **_batch_options(old))


def _scaled(kind: str) -> Callable[[nn.Module, int], nn.Module]:
    return lambda old, channels: ScaledBatchNorm(
        channels, kind=kind, dims=_dims(old), **_batch_options(old)
    )


def _batch_options(old: nn.Module) -> dict[str, Any]:
    options: dict[str, Any] = {"eps": old.eps}
    if isinstance(old, _BatchNorm):
        options |= {"momentum": old.momentum, "track_running_stats": old.track_running_stats}
        options |= {"affine": old.affine}
    return options


def _instance(old: nn.Module, channels: int) -> nn.Module:
    cls = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[_dims(old)]
    return cls(channels, affine=True)


NORMS: dict[str, Callable[[nn.Module, int], nn.Module]] = {
    "none": lambda old, channels: nn.Identity(),
    "batch": _batch,
    "batch_l1": _scaled("batch_l1"),
    "batch_topk": _scaled("batch_topk"),
    "batch_linf": _scaled("batch_linf"),
    "batch_range": _scaled("batch_range"),
    # gcd: a GroupNorm wants its groups to divide the channels, and 8 do not divide 12.
    "group": lambda old, channels: nn.GroupNorm(math.gcd(GROUPS, channels), channels),
    # nn.LayerNorm would need the size of the image; one group is the same without gamma per pixel.
    "layer": lambda old, channels: nn.GroupNorm(1, channels),
    "instance": _instance,
}


def scale_kind(norm: nn.Module) -> str:
    """The key in `SCALES` of a batch normalisation layer's scale estimate."""
    return norm.kind if isinstance(norm, ScaledBatchNorm) else "batch"


def chosen(names: list[str], where: str) -> list[str]:
    """The part of `names` (normalisation layers in the order of the module) that `where` chooses.

    `all`, `first:K`, `last:K`, `every:K` (the 1st, the K+1st ...), or `name:PATTERN` with the
    shell's wildcards, as in `name:layer3.*`. K of `first` and `last` is a number, or a fraction of
    all layers as `1/3`, rounded to the nearest number.

    Raises:
        ValueError: for any other text.
    """
    rule, _, value = where.partition(":")
    if where == "all":
        return list(names)
    if rule == "name" and value:
        return [name for name in names if fnmatch.fnmatchcase(name, value)]
    if rule == "every" and re.fullmatch("0*[1-9][0-9]*", value):
        return names[:: int(value)]
    if rule in ("first", "last") and (found := re.fullmatch("([0-9]+)(?:/([1-9][0-9]*))?", value)):
        k = int(found[1])
        if found[2] is not None:
            # An exact fraction: a product of floats may fall on the wrong side of a half.
            k = round(Fraction(k, int(found[2])) * len(names))
        # Not names[-k:], which is all of them for k = 0.
        return names[:k] if rule == "first" else names[len(names) - min(k, len(names)) :]
    raise ValueError(
        f"unknown part of the layers {where!r}: "
        "expected all, first:K, last:K, every:K or name:PATTERN; K may be a fraction, as 1/3"
    )


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The replaceable normalisation layers of `model` by name, in the order of the module."""
    return {name: module for name, module in model.named_modules() if is_norm(module)}


def replace_norms(model: M, kind: str, *, where: str = "all") -> M:
    """A copy of `model` whose normalisation layers, or the part that `where` chooses, are `kind`.

    Gamma, beta and running statistics move over wherever old and new layer both have them, and
    each new layer takes its predecessor's mode, device and dtype. `kind` is a key of `NORMS`;
    for `where` see `chosen`. `model` itself is left as it is.

    Raises:
        ValueError: for an unknown `kind` or `where`, or a layer that does more than normalise.
    """
    check_norm(kind)
    changed = copy.deepcopy(model)
    layers = norm_layers(changed)
    names = chosen(list(layers), where)
    if not names:
        warnings.warn(
            f"replace_norms changed nothing: none of {len(layers)} normalisation layers is chosen "
            f"by {where!r}",
            NoEffectWarning,
            stacklevel=2,
        )
    # For a norm that holds no tensor itself (affine=False without running statistics).
    like = next((tensor for tensor in (*changed.parameters(), *changed.buffers())), None)
    successors = {layers[name]: _successor(layers[name], kind, like) for name in names}
    if changed in successors:  # the model is itself a normalisation layer
        return successors[changed]  # type: ignore[return-value]
    for parent in list(changed.modules()):  # a layer may stand in several places
        for attribute, child in parent._modules.items():
            if child in successors:
                parent._modules[attribute] = successors[child]
    return changed


def _successor(old: nn.Module, kind: str, like: Tensor | None) -> nn.Module:
    """The layer that takes the place of `old`; device and dtype from it, else from `like`."""
    extra = [child for child in old.children() if not isinstance(child, nn.Identity)]
    if extra:  # timm's BatchNormAct2d, say, which would lose its activation
        also = ", ".join(type(child).__name__ for child in extra)
        raise ValueError(f"cannot replace a {type(old).__name__}: it also contains {also}")
    new = NORMS[kind](old, channels_of(old))
    new.train(old.training)
    source = dict(old.named_parameters()) | dict(old.named_buffers())
    # Not just the first one: `num_batches_tracked` is int64 and says nothing of the dtype.
    like = next((tensor for tensor in source.values() if tensor.is_floating_point()), like)
    if like is not None:
        new.to(like.device, like.dtype if like.is_floating_point() else None)
    for name, tensor in (*new.named_parameters(), *new.named_buffers()):
        if name in source:
            # Not copy_, which would cast: each tensor keeps the dtype that it had in the old layer.
            tensor.data = source[name].detach().clone()
            tensor.requires_grad_(source[name].requires_grad and isinstance(tensor, nn.Parameter))
    return new
