"""What flows through a layer, per channel: its mean and scale, and those of batches together.

Everything that is summed into a statistic is summed in float64, and every function returns new
values; only `put_` writes, into a state that `private` has made for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from noiseproof.network.norms import SCALES, by_channel

# The default training batch, whose running scales these estimates are compared with; without groups
# the running scales move by 4 % instead of 1 % (measured: LOG.md, 2026-11-21).
GROUP_IMAGES = 128
PLAIN_MEANS = ("batch", "batch_l1")  # scale estimates that do not depend on how many values


# --- statistics --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Mean and squared scale estimate per channel, each (C,) in float64, over `values` values."""

    values: int
    mean: Tensor
    var: Tensor


def double(x: Tensor) -> Tensor:
    """x in float64; on the CPU where x's device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def moments_of(x: Tensor, *, kind: str = "batch") -> Moments:
    """Mean and squared scale of each channel of x (N, C, *positions), at least one value each.

    `kind` is a key of `SCALES`; for `batch` the square is the population variance.
    """
    # Squares of float16 overflow from 256 on, and bfloat16 has 8 bits for sums of thousands.
    x = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if kind == "batch":
        mean, var = _mean_and_variance(x)
    else:
        # These estimates need all values of a channel at once, so
        # there are no sums by image to take.
        values = double(by_channel(x))  # (C, n)
        mean = values.mean(1)
        var = _scale(values - mean[:, None], kind=kind, images=len(x)).square()
    return Moments(values=x.numel() // x.shape[1], mean=mean, var=var)


def _mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of each channel of x (N, C, *positions) -> (C,), (C,) float64.

    Each image's sums in x's precision, over deviations from the channel's mean so that nothing
    cancels; their sums over images in float64.
    """
    values = x.flatten(2) if x.dim() > 2 else x[:, :, None]  # (N, C, positions)
    # Every image has as many positions, so the plain mean of the
    # images' means is that of all values.
    mean = double(values.mean(2)).mean(0)  # (C,)
    d = values - mean.to(x)[:, None]  # (N, C, positions), in x's dtype
    # A norm and its square, since summing d.square() would allocate d a second time.
    squares = double(torch.linalg.vector_norm(d, dim=2)).square()  # (N, C)
    return mean, squares.mean(0) / values.shape[2]


def _scale(d: Tensor, *, kind: str, images: int) -> Tensor:
    """The scale estimate of the deviations d (C, n) of a number of images -> (C,).

    Estimates from extremes grow with n in another way than C(n) expects where values are not
    Gaussian, so they are taken over groups as large as a training batch, then averaged.
    """
    scale = SCALES[kind]
    if kind in PLAIN_MEANS or images <= GROUP_IMAGES:
        return scale(d)
    # As many groups as needed, of nearly equal size: a short last
    # one would be the noisiest estimate.
    groups = d.tensor_split(-(-images // GROUP_IMAGES), dim=1)
    weights = [group.shape[1] / d.shape[1] for group in groups]  # groups may differ by a value
    parts = [w * scale(group) for w, group in zip(weights, groups, strict=True)]
    return torch.stack(parts).sum(0)


def mixed(old: Moments, new: Moments, *, share: float, kind: str = "batch") -> Moments:
    """The share `share` of `new` and the rest of `old`.

    For the L2 scale the means' own variance counts too, so that the result is the variance of all
    values together.
    """
    # As a step from `old`, so that two equal means stay equal to the last bit.
    step = new.mean - old.mean
    # Law of total variance. An L1, top-k or range scale obeys no
    # such law: its squares are averaged.
    between = share * (1 - share) * step.square() if kind == "batch" else 0.0
    return Moments(
        values=old.values + new.values,
        mean=old.mean + share * step,
        var=(1 - share) * old.var + share * new.var + between,
    )


def joined(parts: Sequence[Moments], *, kind: str = "batch") -> Moments:
    """The moments of all parts together, each weighted by its number of values."""

    def add(old: Moments, new: Moments) -> Moments:
        # Pairwise, as Chan, Golub and LeVeque 1983: no sum of squares that could cancel.
        return mixed(old, new, share=new.values / (old.values + new.values), kind=kind)

    return reduce(add, parts)


# --- running statistics in a state --------------------------------------------------------------
