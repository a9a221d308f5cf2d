"""Converters: what a dac and an adc make of numbers.

Everything is in codes: an input of its full range is the outermost code, so that a product of codes
is a product in units of a code, and a code is a number that float32 holds exactly. Where gradients
are wanted they pass through the rounding, and stop where a value is clipped (straight-through).
"""

import torch
from torch import Tensor


def outermost(bits: int, codes: str = "odd") -> float:
    """The largest code: those of `odd` are whole numbers, 2^bits - 1 of them with zero in the
    middle; those of `all` lie halfway between, 2^bits of them."""
    return 2.0 ** (bits - 1) - (1.0 if codes == "odd" else 0.5)


def coded(x: Tensor, top: float) -> Tensor:
    """x, in units of a code, clipped to plus or minus `top` and rounded half to even. Written into
    x, which nobody else may hold, unless gradients are wanted."""
    half = top % 1  # codes without zero lie half a code beside the whole numbers
    if x.requires_grad:
        clipped = x.clamp(-top, top)
        held = clipped.detach()
        return clipped + ((held - half).round() + half - held)
    x.clamp_(-top, top)
    return x.sub_(half).round_().add_(half) if half else x.round_()


def per_range(top: float, ranges: Tensor) -> Tensor:
    """`top` / ranges, and 0 where a range is 0: of a vector of zeros nothing comes back."""
    return torch.where(ranges > 0, top / ranges, torch.zeros_like(ranges))
