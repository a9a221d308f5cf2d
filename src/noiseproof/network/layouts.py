"""How a kernel lies: as matrices, and back."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the channels of a kernel lie. Output channels are axis 0 and inputs axis 1, turned
    round where `input_first` (embeddings, transposed convolutions). With `groups` both sides are
    cut into as many parts, each output sees its own part alone, and axis 1 counts within one.
    `outputs` are the axes of the output channels, ascending, where neither says it (heads and
    channels of a kernel that an einsum takes)."""

    input_first: bool = False
    groups: int = 1
    outputs: tuple[int, ...] = ()


def as_matrix(weight: Tensor, layout: Layout) -> Tensor:
    """A kernel (d0, d1, *window) as matrices (groups, outputs, inputs) of each group: the inputs
    of an output are its input channels times the window, the window's places last. A vector is one
    column. A view wherever torch can make one."""
    g = layout.groups
    if layout.outputs:
        return (
            weight.permute(_outputs_first(layout, weight.dim()))
            .flatten(0, len(layout.outputs) - 1)
            .flatten(1)[None]
        )
    if not layout.input_first:
        return weight.reshape(g, weight.shape[0] // g, prod(weight.shape[1:]))
    # (g d, out, *window) -> (g, d, out, ...): the inputs of a group are together on axis 0, and
    # every group has all of axis 1 as its outputs.
    grouped = weight.reshape(g, weight.shape[0] // g, *weight.shape[1:])
    return grouped.transpose(1, 2).flatten(2)  # (groups, outputs, inputs of the group, *window)


def as_kernel(matrix: Tensor, layout: Layout, shape: Iterable[int]) -> Tensor:
    """The kernel of `shape` (d0, d1, *window) whose matrices (groups, outputs, inputs) these are:
    `as_matrix` the other way round."""
    d0, *rest = shape
    if layout.outputs:
        order = _outputs_first(layout, 1 + len(rest))
        turned = matrix.reshape([(d0, *rest)[axis] for axis in order])
        return turned.permute([order.index(axis) for axis in range(len(order))])
    if not layout.input_first:
        return matrix.reshape(d0, *rest)
    g = layout.groups
    return matrix.reshape(g, rest[0], d0 // g, *rest[1:]).transpose(1, 2).reshape(d0, *rest)


def _outputs_first(layout: Layout, dims: int) -> list[int]:
    """The axes of a kernel, those of the output channels in front."""
    return [*layout.outputs, *(axis for axis in range(dims) if axis not in layout.outputs)]


def channels(weight: Tensor, layout: Layout) -> int:
    """The number of output channels, of all groups together."""
    if layout.outputs:
        return prod(weight.shape[axis] for axis in layout.outputs)
    return weight.shape[1] * layout.groups if layout.input_first else weight.shape[0]


def by_output(values: Tensor, weight: Tensor, layout: Layout) -> Tensor:
    """`values` (C,), one of each output channel, in a shape that broadcasts against `weight`."""
    ones = [1] * (weight.dim() - 2)
    if layout.outputs:
        sizes = enumerate(weight.shape)
        return values.view([size if axis in layout.outputs else 1 for axis, size in sizes])
    if not layout.input_first:
        return values.view(-1, *[1] * (weight.dim() - 1))
    rows = values.view(layout.groups, 1, -1)  # channel g * size(1) + j is slice j of part g
    rows = rows.expand(-1, weight.shape[0] // layout.groups, -1)
    return rows.reshape(weight.shape[0], -1, *ones)
