"""Layers cut into arrays: each has converters and noise of its own, and what they give is added up
digitally."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noiseproof.hardware.tiling import whole_tile
from noiseproof.network import LinearMap, Plain, Product, State, as_matrix
from noiseproof.network.layouts import Layout
from noiseproof.specs import ArrayMapping


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """The arrays of a layer, one below the other: their names, the input channels of each, and
    the scales (C,) of their kernels."""

    names: tuple[str, ...]
    parts: tuple[slice, ...]
    scales: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class CutProduct:
    """What happens at the products of a layer of several arrays: the sum of what happens at those
    of each, which gets its part of the inputs, and behind it all of them."""

    parts: tuple[slice, ...]
    products: tuple[Product, ...]

    def __call__(self, linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        (x,) = inputs
        kernel, first = plain.kernel, linear_map.input_first
        y: Tensor | None = None
        for part, product in zip(self.parts, self.products, strict=True):
            held = kernel[part] if first else kernel[:, part]
            given = x.movedim(linear_map.axis, 0)[part].movedim(0, linear_map.axis)
            found = product(linear_map, (given, x), plain.with_kernel(held))
            y = found if y is None else y + found
        assert y is not None
        return y


def cuts_of(maps: Mapping[str, LinearMap], state: State, mapping: ArrayMapping) -> dict[str, Cut]:
    """How the layers are cut whose kernel has more inputs than an array rows, by map; those that
    are whole are left out.

    Raises:
        ValueError: for an array of fewer rows than one input channel has places, and for one of
            fewer than the inputs of a group of channels.
    """
    found = {}
    for name, one in maps.items() if mapping.tile is not None else ():
        kernel = state[one.weight]
        assert mapping.tile is not None
        rows, _ = whole_tile(kernel, one, mapping.tile)
        inputs = as_matrix(kernel, one).shape[2]
        if inputs <= rows:
            continue
        if one.groups > 1:
            raise ValueError(
                f"a group of channels must fit into the rows of a tile, and one of {one.weight!r} "
                f"has {inputs}: give a larger tile, or keep the layer digital"
            )
        channels = kernel.shape[0 if one.input_first else 1]
        each = rows * channels // inputs
        parts = tuple(slice(at, at + each) for at in range(0, channels, each))
        found[name] = Cut(
            names=tuple(f"{name}[{index}]" for index in range(len(parts))),
            parts=parts,
            scales=tuple(
                scale_of(kernel[p] if one.input_first else kernel[:, p], one, mapping, whole=kernel)
                for p in parts
            ),
        )
    return found


def scale_of(
    kernel: Tensor, layout: Layout, mapping: ArrayMapping, *, whole: Tensor | None = None
) -> Tensor:
    """max |W| (C,) of each output's channel, tensor or tile, of an array with `kernel`, which is
    a part of `whole`; 1 where all is 0."""
    own = as_matrix(kernel.detach().abs(), layout).amax(2)  # (groups, outputs)
    if mapping.scale == "tile":
        assert mapping.tile is not None
        columns = mapping.tile[1]
        parts = torch.split(own, columns, 1)
        blocks = [part.amax(1, keepdim=True).expand_as(part) for part in parts]
        largest = torch.cat(blocks, 1)
    else:
        largest = as_matrix((kernel if whole is None else whole).detach().abs(), layout).amax(2)
        if mapping.scale == "tensor":
            largest = largest.max().expand_as(largest)
    largest = largest.flatten()
    return torch.where(largest > 0, largest, torch.ones_like(largest))
