"""Converters: what a dac and an adc make of numbers.

Everything is in codes: an input of its full range is the outermost code, so that a product of codes
is a product in units of a code, and a code is a number that float32 holds exactly. Where gradients
are wanted they pass through the rounding, and stop where a value is clipped (straight-through).
"""

from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import Tensor

Factor = Tensor | float
AT_ONCE = 2**16
"""Elements that pass all steps before the next ones: they stay in a core's cache."""


def outermost(bits: int, codes: str = "odd") -> float:
    """The largest code: those of `odd` are whole numbers, 2^bits - 1 of them with zero in the
    middle; those of `all` lie halfway between, 2^bits of them."""
    return 2.0 ** (bits - 1) - (1.0 if codes == "odd" else 0.5)


def coded(x: Tensor, slope: Factor, top: float) -> Tensor:
    """The codes of x, which is `slope` times x in units of a code, clipped to plus or minus `top`
    and rounded half to even. `slope` broadcasts against x."""
    if x.requires_grad:
        return _through(x * slope, top)
    found = torch.empty_like(x)
    for part, into, factor in _parts(x, found, slope):
        torch.mul(part, factor, out=into)
        _round_(into, top)
    return found


def converted(y: Tensor, slope: Factor, top: float, back: Factor, offset: Factor = 0.0) -> Tensor:
    """`back` times the codes of `slope` times y plus `offset`. Written into y, which nobody else
    may hold, unless gradients are wanted."""
    if y.requires_grad:
        return _through(y * slope + offset, top) * back
    for part, factor, last in _parts(y, slope, back):
        part.mul_(factor)
        if isinstance(offset, Tensor):
            part.add_(offset)
        _round_(part, top)
        part.mul_(last)
    return y


def _round_(x: Tensor, top: float) -> None:
    half = top % 1  # codes without zero lie half a code beside the whole numbers
    x.clamp_(-top, top)
    if half:
        x.sub_(half).round_().add_(half)
    else:
        x.round_()


def _through(x: Tensor, top: float) -> Tensor:
    clipped = x.clamp(-top, top)
    rounded = clipped.detach().clone()
    _round_(rounded, top)
    return clipped + (rounded - clipped.detach())


def _parts(first: Tensor, *others: Factor) -> Iterator[tuple[Any, ...]]:
    """`first` and what belongs to its parts, cut along the samples."""
    n = len(first) if first.dim() > 1 else 1
    size = max(1, n * AT_ONCE // max(1, first.numel()))
    if n <= size:
        yield first, *others
        return
    for start in range(0, n, size):
        cut = slice(start, start + size)
        yield first[cut], *(one[cut] if _has_samples(one, first) else one for one in others)


def _has_samples(one: Factor, first: Tensor) -> TypeGuard[Tensor]:
    """Does it go along with the samples of `first`, and not broadcast over them?"""
    return isinstance(one, Tensor) and one.dim() == first.dim() and len(one) == len(first)


def per_range(top: float, ranges: Tensor) -> Tensor:
    """`top` / ranges, and 0 where a range is 0: of a vector of zeros nothing comes back."""
    return torch.where(ranges > 0, top / ranges, torch.zeros_like(ranges))
