"""The signs under which each image of a block sees the noise that the block shares.

Image i of a block sees the noise N of a kernel as N * (s_i r_i^T), s_i and r_i its own random signs
of the output and the input channels. Source: Wen, Vicol, Ba, Tran, Grosse, "Flipout", 2018.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Signs:
    """The signs of every image of a block: by tensor, one or two int8 tables (images, ...) of -1
    and 1, the `first` and `second` of `Flip`."""

    images: int
    tables: Mapping[str, tuple[Tensor, ...]]

    def to(self, device: torch.device) -> "Signs":
        """The same on a device, which all batches of a block can share."""
        moved = {name: tuple(t.to(device) for t in ts) for name, ts in self.tables.items()}
        return Signs(images=self.images, tables=moved)

    def rows(self, start: int, stop: int) -> "Signs":
        """The signs of images `start` to `stop`, without `stop`; shared, not copied.

        Raises:
            ValueError: where these are not images of the block.
        """
        if not 0 <= start < stop <= self.images:
            raise ValueError(f"rows must be within 0 to {self.images}, got {start} to {stop}")
        part = {name: tuple(t[start:stop] for t in ts) for name, ts in self.tables.items()}
        return Signs(images=stop - start, tables=part)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flip:
    """The noise of one tensor and the signs, int8, under which each of n images sees it.

    A kernel (d0, d1, ...) has `first` (n, d0) and `second` (n, groups * d1): element (a, b, ...)
    of image i's noise is noise[a, b, ...] * first[i, a] * second[i, g * d1 + b], g the group of
    a. So in a grouped convolution both axes count the channels of all groups. Without `second`,
    `first` (n, *noise.shape) holds a sign for every element.
    """

    noise: Tensor
    first: Tensor
    second: Tensor | None = None

    def of_image(self, i: int) -> Tensor:
        """The literal noise of image i, in the shape of `noise`."""
        if self.second is None:
            return self.noise * self.first[i]
        d0, d1, *rest = self.noise.shape
        # d1 counts the inputs within one group, `second` those of all: output channel a belongs to
        # group a // (d0 / groups), whose stretch of `second` its row meets.
        groups = self.second.shape[1] // d1
        inner = self.second[i].view(groups, 1, d1).expand(-1, d0 // groups, -1).reshape(d0, d1)
        return self.noise * (self.first[i][:, None] * inner).view(d0, d1, *[1] * len(rest))

    def image(self, i: int) -> "Flip":
        """The same for image i alone."""
        second = None if self.second is None else self.second[i : i + 1]
        return Flip(noise=self.noise, first=self.first[i : i + 1], second=second)

    def part(self, rows: slice) -> "Flip":
        """The same for `rows` of the tensor's first axis, in a kernel without groups."""
        return Flip(noise=self.noise[rows], first=self.first[:, rows], second=self.second)


Layer = Callable[..., Any]
"""A layer whose noise is flipped: (module, its own forward, the flips of its tensors by local name,
*inputs) -> its output. The module holds the clean tensors; every input has its images on axis 0."""


def flip_of(w: Tensor, noise: Tensor, tables: tuple[Tensor, ...]) -> Flip:
    """The noise and the signs of the tensor w, on its device, in its dtype and memory format."""
    like = noise.to(w)
    # Strides too: noise in another layout than its kernel would run the second product in that
    # layout, slower, and have its output copied before it is added.
    if like.stride() != w.stride():
        like = torch.empty_like(w).copy_(like)
    first, *second = (table.to(w.device) for table in tables)
    return Flip(noise=like, first=first, second=second[0] if second else None)


def flipped_tensor(
    name: str, base: Mapping[str, Tensor], noise: Mapping[str, Tensor], signs: Signs, i: int
) -> Tensor:
    """The literal tensor `name` that image i of the block sees; a clean one is shared."""
    if name not in noise:
        return base[name]
    return base[name] + flip_of(base[name], noise[name], signs.tables[name]).of_image(i)


def random_signs(rows: int, columns: int, g: Generator) -> Tensor:
    """(rows, columns) of -1 and 1, int8: 32 of them from every number that is drawn."""
    # Row after row from one stream of words, so a longer block begins with the same signs. A word
    # of 32 bits is 32 signs: a draw per sign would cost more than the products of small layers.
    words = -(-rows * columns // 32)
    drawn = torch.randint(-(2**31), 2**31, (words,), dtype=torch.int32, generator=g)
    # A word is read byte by byte (little-endian, as everywhere that torch runs), each byte shifted
    # by 0 to 7; a bit is 0 or 1, and 2 b - 1 makes it a sign.
    bits = drawn.view(torch.uint8)[:, None] >> torch.arange(8, dtype=torch.uint8) & 1
    return (bits.view(torch.int8).mul_(2) - 1).flatten()[: rows * columns].view(rows, columns)


def by_rows(values: Tensor, x: Tensor) -> Tensor:
    """`values` (n, ...) for each row of x: repeated where every image has k rows, one after
    another, in x.

    Raises:
        ValueError: where the rows of x are no multiple of n.
    """
    images, rows = len(values), x.shape[0]
    if rows == images:
        return values
    if rows % images:
        raise ValueError(
            f"a layer with noise must have the images on axis 0 of its input, got {tuple(x.shape)} "
            f"for {images} images"
        )
    # Windows of an image, frames of a video: a reshape has put k rows of each image one after
    # another. That they lie so cannot be seen here; `flipout_check` finds out where they do not.
    return values.repeat_interleave(rows // images, dim=0)


def along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """`values` (n, d) in x's dtype and a shape that broadcasts along axes 0 and `axis` of x."""
    shape = [1] * x.dim()
    shape[0], shape[axis] = x.shape[0], values.shape[1]
    return by_rows(values, x).to(x.dtype).view(shape)
