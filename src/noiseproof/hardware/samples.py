"""Draws at products that depend on the sample and not on the batch it came in.

A draw is named by (seed, chip, layer, call, block of samples), and a block begins at a multiple of
its own size, so that any batch size and any order of the work gives a sample the same dice.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from noiseproof.core.inputs import Inputs, count
from noiseproof.core.rng import stream

T = TypeVar("T")
Part = tuple[tuple[slice, ...], Tensor]
MOST_SAMPLES = 50
"""In a block."""
BLOCK = 2**17
"""Elements of a block: enough that a generator costs little beside it, and few enough that a small
batch does not draw much more than it needs."""


@dataclass(frozen=True, kw_only=True)
class SampleAxis:
    """Where the samples lie in what a layer returns: on `axis`, each with `rows` places there (the
    windows of an image, say), one sample after the other."""

    axis: int
    rows: int

    @classmethod
    def of(cls, few: tuple[int, ...], n: int, more: tuple[int, ...], m: int) -> "SampleAxis | None":
        """From the shapes that n and m samples gave; None where no axis counts them alone."""
        if len(few) != len(more):
            return None
        unlike = [i for i, (a, b) in enumerate(zip(few, more, strict=True)) if a != b]
        if len(unlike) != 1:
            return None
        (axis,) = unlike
        rows, rest = divmod(few[axis], n)
        is_found = rest == 0 and rows > 0 and more[axis] == rows * m
        return cls(axis=axis, rows=rows) if is_found else None


def largest_of_sample(x: Tensor, where: SampleAxis | None, layer: str) -> Tensor:
    """max |x| of each sample's whole input to `layer`, in a shape that broadcasts against x and the
    outputs.

    Raises:
        ValueError: where nobody knows which part of x is of which sample.
    """
    if where is None:
        raise ValueError(
            f"a range of each image needs to know where images lie in the inputs of layer {layer!r}"
            ", which depends on their values: give range=static or range=vector, or keep it digital"
        )
    apart = torch.unflatten(x.detach().abs(), where.axis, (-1, where.rows))
    largest = apart.amax([i for i in range(apart.dim()) if i != where.axis], keepdim=True)
    shape = [-1] * apart.dim()
    shape[where.axis + 1] = where.rows
    return largest.expand(shape).flatten(where.axis, where.axis + 1)


@dataclass(eq=False)
class Cursor:
    """Which samples the pass under way has: moved by whoever runs the passes, read by the products.
    `first` None: nobody knows, and draws go by the call alone."""

    path: tuple[str | int, ...] = ("loose",)
    first: int | None = None
    samples: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    def move_(self, path: tuple[str | int, ...], first: int | None = None, n: int = 0) -> None:
        """The next pass has n samples from number `first` on, of what `path` names."""
        self.path, self.first, self.samples = path, first, n
        self.calls.clear()

    def call(self, layer: str) -> int:
        """Which of the layer's calls since the last move this is, from 0."""
        self.calls[layer] += 1
        return self.calls[layer] - 1

    def along(
        self, forward: Callable[[Inputs], T], path: tuple[str | int, ...] = ("test",)
    ) -> Callable[[Inputs], T]:
        """`forward`, called batch after batch, with the cursor moved along."""
        seen = 0

        def moved(inputs: Inputs) -> T:
            nonlocal seen
            n = count(inputs)
            self.move_(path, seen, n)
            seen += n
            return forward(inputs)

        return moved


@dataclass(frozen=True, kw_only=True, eq=False)
class Dice:
    """The random numbers of one chip's products; `seen` samples of a stream were there before."""

    seed: int
    chip: int
    cursor: Cursor
    axes: Mapping[str, SampleAxis | None]
    seen: int = 0

    def fixed(self, layer: str, label: str, size: int) -> Tensor:
        """What a chip keeps: (size,) standard normal numbers."""
        return torch.randn(size, generator=stream(self.seed, self.chip, layer, label))

    def parts(self, y: Tensor, layer: str, channels: int, call: int) -> Iterator[Part]:
        """Fresh standard normal numbers for y, whose channels lie on axis `channels`, counted from
        the end, part by part: where in y they go, and they."""
        cursor, where = self.cursor, self.axes.get(layer)
        before = (f"behind {self.seen}",) if self.seen else ()
        name = (self.chip, layer, "products", *cursor.path, *before, call)
        if where is None or cursor.first is None or not _fits(y, where, cursor.samples):
            of = "pass" if cursor.first is None else f"pass from {cursor.first}"
            z = torch.randn(_last(y.shape, channels), generator=stream(self.seed, *name, of))
            yield (), z.movedim(-1, channels).to(y)
            return
        shape = list(y.shape)
        shape[where.axis] = where.rows
        one = _last(shape, channels)  # of one sample
        size = max(1, min(MOST_SAMPLES, BLOCK // max(1, math.prod(one))))
        first, last = cursor.first, cursor.first + cursor.samples
        for place in range(first // size, -(-last // size)):
            z = torch.randn(size, *one, generator=stream(self.seed, *name, size, place))
            begin, end = max(first, place * size), min(last, (place + 1) * size)
            # Channels last as they are drawn: so the usual layout of a fast pass needs no copy.
            z = z[begin - place * size : end - place * size].movedim(-1, channels)
            part = slice((begin - first) * where.rows, (end - first) * where.rows)
            yield (*[slice(None)] * where.axis, part), _onto_axis(z, where).to(y)


def _fits(y: Tensor, where: SampleAxis, samples: int) -> bool:
    return where.axis < y.dim() and y.shape[where.axis] == where.rows * samples


def _last(shape: "torch.Size | list[int]", channels: int) -> list[int]:
    """A shape with its channels last."""
    turned = list(shape)
    turned.append(turned.pop(len(turned) + channels))
    return turned


def _onto_axis(z: Tensor, where: SampleAxis) -> Tensor:
    """Samples in front (n, *shape of one) as they lie in the layer's outputs."""
    if where.axis == 0:
        return z.flatten(0, 1)
    # (n, ..., rows, ...): n goes in front of its rows.
    return z.movedim(0, where.axis).flatten(where.axis, where.axis + 1)
