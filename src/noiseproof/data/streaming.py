"""Splits whose inputs are read when they are needed, with a bounded cache of what was read."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from noiseproof.core.inputs import Inputs
from noiseproof.core.memory import give_back
from noiseproof.data.labels import Labels, as_labels
from noiseproof.data.pixels import scaled
from noiseproof.data.splits import Split
from noiseproof.specs import PixelScale

CACHE_BYTES = 1 << 30  # of samples that a split keeps once they were read
GIVEN_BACK_AFTER = 1 << 28  # bytes that were read and not kept
T = TypeVar("T")


class Streamed(Split):
    """A `Split` whose inputs come from `read(places)`, as many samples as there are places, each
    time that `inputs` is asked for: ask for those of a `part`. Labels are in memory."""

    def __init__(
        self,
        *,
        read: Callable[[Sequence[int]], Inputs],
        labels: Labels,
        scale: PixelScale | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        fields = {"_read": read, "labels": labels, "scale": scale, "names": names}
        for name, value in {**fields, "_places": torch.arange(len(labels))}.items():
            # A frozen dataclass lets nothing be assigned.
            object.__setattr__(self, name, value)

    @property
    def inputs(self) -> Inputs:
        """Read now, all of them at once."""
        found: Inputs = self._read(self._places.tolist())
        return found

    def with_inputs(self, inputs: Inputs) -> Split:
        """The same labels with inputs in memory."""
        return Split(
            inputs=inputs, labels=torch.zeros(len(self)).long(), scale=self.scale, names=self.names
        )._but(labels=self.labels)

    def ready(self, scale: PixelScale) -> Split:
        """The same samples as a network takes them."""
        read = self._read
        return self._but(_read=lambda places: scaled(read(places), scale))

    def part(self, start: int, stop: int) -> Split:
        """The samples from `start` up to `stop`, in order, not read yet."""
        within = slice(start, stop)
        return self._but(_places=self._places[within], labels=self.labels[within])

    def take(self, places: Tensor) -> Split:
        """The samples at `places` (n,), in that order, not read yet."""
        labels = self.labels
        chosen: Labels = (
            labels[places]
            if isinstance(labels, Tensor)
            else tuple(labels[place] for place in places.tolist())
        )
        return self._but(_places=self._places[places], labels=chosen)

    def sha256(self) -> str:
        """The fingerprint that the same samples in memory have; read once."""
        if "_sha256" not in self.__dict__:
            object.__setattr__(self, "_sha256", super().sha256())
        return str(self.__dict__["_sha256"])

    def _but(self, **changes: object) -> Split:
        new = copy.copy(self)
        new.__dict__.pop("_sha256", None)
        for name, value in changes.items():
            object.__setattr__(new, name, value)
        return new

    # What `__init__` sets, for the type checker.
    _read: Callable[[Sequence[int]], Inputs]
    _places: Tensor


class Kept(Generic[T]):
    """What `make(place)` gives, kept until `limit` bytes are full. What came first stays: a test
    set passes in one order again and again, where dropping the oldest would keep nothing.
    `threads`: how many make what is new."""

    def __init__(
        self,
        make: Callable[[int], T],
        size: Callable[[T], int],
        *,
        limit: int = CACHE_BYTES,
        threads: int = 1,
    ) -> None:
        self._make, self._size, self._left, self._threads = make, size, limit, threads
        self._found: dict[int, T] = {}
        self._passed = 0  # bytes that were read and not kept, since memory was given back

    def several(self, places: Sequence[int]) -> list[T]:
        """Those at the places, in their order."""
        new = [place for place in dict.fromkeys(places) if place not in self._found]
        made = dict(zip(new, self._all(new), strict=True))
        for place, one in made.items():
            if (size := self._size(one)) <= self._left:
                self._found[place] = one
                self._left -= size
            else:
                self._passed += size
        if self._passed > GIVEN_BACK_AFTER:
            self._passed = 0
            give_back()
        return [made[place] if place in made else self._found[place] for place in places]

    def _all(self, places: Sequence[int]) -> list[T]:
        if self._threads < 2 or len(places) < 2:
            return [self._make(place) for place in places]
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            return list(pool.map(self._make, places))


def images(
    read: Callable[[Path], Tensor],
    files: Sequence[Path],
    labels: Labels,
    *,
    names: tuple[str, ...] = (),
) -> Streamed:
    """A split of the image files, each read by `read` (C, H, W), all of one size, when it is
    needed, by as many threads as torch computes with."""
    # `as_labels` looks at all of them, as a split in memory does; it needs no image for that.
    kept = Kept(
        lambda place: read(files[place]),
        lambda image: image.nbytes,
        threads=torch.get_num_threads(),
    )
    return Streamed(
        read=lambda places: torch.stack(kept.several(places)),
        labels=as_labels(labels, None),
        names=names,
    )
