"""What each kind of noise does to one tensor: `applied(stage, w, reference, generator) -> w`."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from noiseproof.noise.own import own_noise
from noiseproof.specs import Additive, Lognormal, Own, Quantize, Stage, Stuck


def _gaussian(shape: torch.Size, g: Generator) -> Tensor:
    # float32 whatever the tensor's dtype is, so that a network in half precision has the same dice.
    return torch.randn(shape, generator=g)


def _laplace(shape: torch.Size, g: Generator) -> Tensor:
    """The difference of two unit exponentials is Laplace with variance 2."""
    first, second = (torch.empty(shape).exponential_(generator=g) for _ in range(2))
    return (first - second) / math.sqrt(2)


def _uniform(shape: torch.Size, g: Generator) -> Tensor:
    # Uniform on [-1, 1] has variance 1/3.
    return (torch.rand(shape, generator=g) * 2 - 1) * math.sqrt(3)


DRAWS: dict[str, Callable[[torch.Size, Generator], Tensor]] = {
    "gaussian": _gaussian,
    "laplace": _laplace,
    "uniform": _uniform,
}


def _additive(stage: Additive, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    z = DRAWS[stage.kind](w.shape, g).to(w)
    # One pass over the weights, with no tensor for z * r * level.
    return torch.addcmul(w, z, r * stage.level)


def _lognormal(stage: Lognormal, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    z = torch.randn(w.shape, generator=g).to(w)
    # Of the log, so a weight keeps its sign, its median is w, and no reference is needed.
    return w * torch.exp(stage.level * z)


def _stuck(stage: Stuck, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    # The same draw at every p: the faults at a small p are among those at a larger one.
    stuck = (torch.rand(w.shape, generator=g) < stage.p).to(w.device)
    # Full scale on the side where the weight is; a weight of zero has the positive one.
    full = torch.where(w < 0, -r, r)
    return torch.where(stuck, torch.zeros_like(w) if stage.at == "zero" else full, w)


def _quantize(stage: Quantize, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    # Symmetric: with 4 bits -7 to 7, and the code -8 is not used, so the
    # grid is even about an exact zero.
    steps = 2 ** (stage.bits - 1) - 1
    step = r / steps
    # A channel of zeros has step 0 and stays, instead of becoming 0 / 0.
    return torch.where(step > 0, torch.round(w / step) * step, w)


APPLY: dict[type[Stage], Callable[..., Tensor]] = {
    Additive: _additive,
    Lognormal: _lognormal,
    Stuck: _stuck,
    Quantize: _quantize,
    Own: own_noise,
}


def applied(stage: Stage, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    """w after `stage`; same shape, dtype and device. `r` broadcasts against w."""
    apply = next(APPLY[cls] for cls in type(stage).__mro__ if cls in APPLY)
    return apply(stage, w, r, g)
