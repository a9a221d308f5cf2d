"""Fresh noise of every device at every product, exact in law and never drawn device by device.

Of a product y_i = sum_j w_ij x_j whose devices have independent Gaussian errors of variance v_ij,
the error is Gaussian with variance sum_j v_ij x_j^2, and independent from output to output and from
input vector to input vector. So it takes one more product, of squares, and one draw an output.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from noiseproof.hardware.samples import Part
from noiseproof.network import LinearMap, Plain
from noiseproof.network.linear_maps import Kind
from noiseproof.specs import Read

Times = Callable[[Tensor], Tensor]
"""A kernel -> the product of the squared inputs with it."""


def read_variance(
    read: Read, kernel: Tensor, scale: Tensor, *, norms: Callable[[], Tensor], times: Times
) -> Tensor:
    """The variance of the error of a product with `kernel`, whose largest weights are `scale`, in
    the product's own units. `norms()`: sum_j x_j^2 of every input vector. That, `scale` and what
    `times` gives broadcast against the outputs."""
    if read.law == "additive":
        return norms() * (read.level * scale).square()
    if read.law == "device":
        return times(kernel.abs()).mul_(read.level**2 * scale)
    return times(kernel.square()).mul_(read.level**2)


def squared_norms(x: Tensor, linear_map: LinearMap, plain: Plain) -> Tensor:
    """sum_j x_j^2 of every input vector of a layer."""
    groups = linear_map.groups
    apart = torch.unflatten(x.square(), linear_map.axis, (groups, -1))
    sums = apart.sum(linear_map.axis)
    if linear_map.kind == Kind.LINEAR:
        return sums
    # One channel a group, under a window of ones.
    kernel = plain.kernel
    sums = plain(sums, kernel=kernel.new_ones(groups, 1, *kernel.shape[2:]))
    outputs = kernel.shape[1] if linear_map.input_first else kernel.shape[0] // groups
    return sums if groups == 1 else sums.repeat_interleave(outputs, linear_map.axis)


def with_noise(y: Tensor, variance: Tensor, parts: Iterable[Part]) -> Tensor:
    """y + sqrt(variance) z, for the standard normal numbers z of each of its parts: what is drawn
    is added while it is in the cache. Written into y unless gradients are wanted, which pass y
    alone."""
    into = torch.zeros_like(y) if y.requires_grad else y
    for part, z in parts:
        axis = len(part) - 1
        goes_along = variance.dim() == y.dim() and variance.shape[axis] == y.shape[axis]
        own = variance[part] if part and goes_along else variance
        # Rounding in a fast convolution may leave a sum of squares below zero.
        into[part].addcmul_(own.clamp_min(0).sqrt_(), z)
    return y + into if y.requires_grad else y
