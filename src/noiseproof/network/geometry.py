"""Where the elements of a tensor come from, through views and copies: by strides, without a look at
the values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """How a tensor lies in its storage."""

    storage: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, tensor: Tensor) -> "Geometry":
        place = tensor.untyped_storage()._cdata
        return cls(place, tuple(tensor.size()), tensor.stride(), int(tensor.storage_offset()))

    def indices(self, places: Tensor) -> list[Tensor]:
        """The index on each axis of the elements at `places` (n,) in the storage, of a tensor whose
        elements lie apart from each other."""
        rest = places - self.offset
        found = [torch.zeros_like(rest) for _ in self.size]
        # The largest stride first: what is left over belongs to the smaller ones.
        for axis in sorted(range(len(self.size)), key=lambda axis: -self.stride[axis]):
            if self.size[axis] > 1:
                found[axis] = rest // self.stride[axis]
                rest = rest % self.stride[axis]
        return found

    def places(self, indices: Sequence[Tensor]) -> Tensor:
        """Where the elements with these indices (n,) on each axis lie in the storage."""
        steps = (index * step for index, step in zip(indices, self.stride, strict=True))
        return sum(steps, torch.tensor(self.offset))


class Tracks:
    """The tensors of a state, and copies of them that were made elsewhere."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._roots: dict[int, list[tuple[str, Geometry, int]]] = {}  # storage -> name, ..., end
        for name, tensor in state.items():
            if tensor.layout is torch.strided and tensor.numel():
                own = Geometry.of(tensor)
                steps = zip(own.size, own.stride, strict=True)
                end = own.offset + sum((size - 1) * step for size, step in steps)
                self._roots.setdefault(own.storage, []).append((name, own, end))
        self._copies: dict[int, tuple[Geometry, Geometry]] = {}  # storage -> its own, its source's

    def name_at(self, tensor: Tensor) -> str | None:
        """The tensor of the state that this is, or is a view of."""
        roots = self._roots.get(tensor.untyped_storage()._cdata, [])
        place = tensor.storage_offset()
        # Several may lie in one storage, one after the other.
        return next((name for name, own, end in roots if own.offset <= place <= end), None)

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """Note that each element of `copy` is made of that of `source` in its place."""
        own = Geometry.of(copy)
        if own.storage not in self._copies and own.storage not in self._roots:
            self._copies[own.storage] = (own, Geometry.of(source))

    def axes(self, operand: Tensor, summed: Sequence[int], name: str) -> tuple[int, ...] | None:
        """The axes of the tensor `name` along which its part of `operand` runs on the axes
        `summed`; None where that cannot be told."""
        found: set[int] = set()
        start = Geometry.of(operand)
        for axis in summed:
            steps = torch.arange(operand.shape[axis])
            indices = self._root(start.storage, start.offset + steps * start.stride[axis], name)
            if indices is None:
                return None
            found |= {i for i, index in enumerate(indices) if int(index.max()) > int(index.min())}
        return tuple(sorted(found))

    def _root(self, storage: int, places: Tensor, name: str) -> list[Tensor] | None:
        """The indices in the tensor `name` of the elements at `places` of a storage."""
        while storage in self._copies:
            own, source = self._copies[storage]
            places = source.places(own.indices(places))
            storage = source.storage
        root = next((own for n, own, _ in self._roots.get(storage, []) if n == name), None)
        return None if root is None else root.indices(places)
