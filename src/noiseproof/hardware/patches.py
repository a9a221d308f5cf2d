"""The input vectors of a convolution laid out, one for each place of its output.

Needed only where something depends on the whole vector; else a convolution stays one.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from noiseproof.network import as_matrix
from noiseproof.network.layouts import Layout

MOST_ELEMENTS = 2**24
"""That are laid out at once, 64 MiB of float32."""


def patches(x: Tensor, layer: _ConvNd) -> tuple[Tensor, tuple[int, ...]]:
    """The input vectors (N, groups, places, inputs) of x (N, C, *positions), inputs in the order of
    `matrix_of`, and the output's positions. A transposed convolution reads its inputs with zeros
    between them."""
    if isinstance(layer, _ConvTransposeNd):
        x, step = _spread(x, layer), [1] * len(layer.kernel_size)
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, step = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode), list(layer.stride)
    for axis, size in enumerate(layer.kernel_size):
        far = layer.dilation[axis]
        x = x.unfold(2 + axis, far * (size - 1) + 1, step[axis])[..., ::far]
    n = len(layer.kernel_size)
    places = tuple(x.shape[2 : 2 + n])
    x = torch.unflatten(x, 1, (layer.groups, -1))
    x = x.movedim(2, 2 + n)  # (N, g, *places, C / g, *window)
    return x.flatten(2 + n).flatten(2, 1 + n), places


def matrix_of(kernel: Tensor, layer: nn.Module, layout: Layout) -> Tensor:
    """The kernel as matrices (groups, outputs, inputs) that patches are multiplied with."""
    if isinstance(layer, _ConvTransposeNd):
        kernel = kernel.flip(tuple(range(2, kernel.dim())))
    return as_matrix(kernel, layout)


def as_outputs(y: Tensor, places: tuple[int, ...]) -> Tensor:
    """(N, groups, places, outputs) as a layer returns it, (N, groups * outputs, *positions)."""
    return torch.unflatten(y.transpose(2, 3).flatten(1, 2), 2, places)


def in_parts(x: Tensor, layer: _ConvNd) -> Iterator[Tensor]:
    """x in parts along its samples whose patches fit into memory."""
    # Each output place has a window; of a strided layer fewer places than inputs.
    window = math.prod(layer.kernel_size)
    spread = math.prod(layer.stride) if isinstance(layer, _ConvTransposeNd) else 1
    size = max(1, MOST_ELEMENTS // max(1, x[:1].numel() * window * spread))
    return iter(torch.split(x, size))


def _spread(x: Tensor, layer: _ConvTransposeNd) -> Tensor:
    """x with stride - 1 zeros between its values, and as much around them that a plain convolution
    with the turned kernel is the transposed one."""
    sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], layer.stride, strict=True)]
    wide = x.new_zeros(*x.shape[:2], *sizes)
    every = (slice(None), slice(None), *(slice(None, None, s) for s in layer.stride))
    wide[every] = x
    around: list[int] = []
    for axis in reversed(range(len(sizes))):
        padding = layer.padding[axis]
        assert isinstance(padding, int)
        before = layer.dilation[axis] * (layer.kernel_size[axis] - 1) - padding
        around += [before, before + layer.output_padding[axis]]
    return F.pad(wide, around)


def largest_of_vectors(x: Tensor, layer: nn.Module) -> Tensor:
    """max |x| of every input vector of a layer, in a shape that broadcasts against its outputs."""
    if not isinstance(layer, _ConvNd):
        return x.detach().abs().amax(-1, keepdim=True)
    found = []
    for part in in_parts(x.detach(), layer):
        each, places = patches(part, layer)
        outputs = layer.out_channels // layer.groups
        largest = each.abs().amax(-1, keepdim=True).expand(-1, -1, -1, outputs)
        found.append(as_outputs(largest, places))
    return torch.cat(found)
