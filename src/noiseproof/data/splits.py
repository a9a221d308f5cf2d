"""Inputs with what is known about them; pixels stay bytes until used."""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from noiseproof.core.inputs import Inputs, as_inputs, count, named_tensors, rows
from noiseproof.core.rng import stream
from noiseproof.data import labels as known
from noiseproof.data.boxes import Boxes as Boxes
from noiseproof.data.labels import NO_TOKEN as NO_TOKEN
from noiseproof.data.labels import VOID as VOID
from noiseproof.data.labels import Labels as Labels
from noiseproof.data.pixels import check_scale, has_pixels
from noiseproof.data.pixels import scaled as scaled
from noiseproof.specs import PixelScale

SPLITS = ("train", "test")
HASHED_AT_ONCE = 64  # samples


@dataclass(frozen=True, kw_only=True)
class Split:
    """`inputs`: a tensor (N, ...), or a tuple or dict of tensors that a network gets as positional
    or keyword arguments, the sample on axis 0 of each. Images are (N, C, H, W), as uint8 pixels, or
    as floats that a network takes as they are.

    `labels` say the task: classes (N,), kept as int64, also from one-hot rows (N, C); masks
    (N, H, W) of classes and `VOID`, kept as uint8; one `Boxes` for each image; tokens (N, T) and
    `NO_TOKEN`; or real numbers (N, ...), which a regression aims at.

    - `scale`: by which pixels pass (default: none is known, and pixels are refused where they are
      to pass a network, unless a scale is given there).
    - `names`: what class c is called, at place c, where the network's own number of that class is
      found by its name; "" for what has none (default: labels are the network's numbers).

    Raises:
        ValueError: for anything else, or a box that reaches out of its image.
    """

    inputs: Inputs
    labels: Labels
    scale: PixelScale | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        # None where the network takes several tensors, of which none needs to be an image that
        # masks and boxes lie in.
        image = self.inputs if isinstance(self.inputs, Tensor) and self.inputs.dim() == 4 else None
        size = None if image is None else (int(image.shape[2]), int(image.shape[3]))
        object.__setattr__(self, "labels", known.as_labels(self.labels, size))
        if isinstance(self.inputs, Tensor) and (
            self.inputs.dim() < 2 or (image is None and self.task in ("segment", "detect"))
        ):
            raise ValueError(f"images must be (N, C, H, W), got {tuple(self.inputs.shape)}")
        if count(self.inputs) != len(self.labels):
            raise ValueError(
                f"inputs and labels must be equally many, got {count(self.inputs)} and "
                f"{len(self.labels)}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples, {self.task})"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def task(self) -> str:
        """What the labels ask for: a key of `catalog.TASKS`."""
        return known.task_of(self.labels)

    @property
    def top_class(self) -> int:
        """The largest class that occurs; -1 where none does."""
        found = self.classes_in()
        return int(found[-1]) if len(found) else -1

    @property
    def has_pixels(self) -> bool:
        """Is any of the inputs uint8, which passes by a scale only?"""
        return has_pixels(self.part(0, 1).inputs)

    def classes_in(self) -> Tensor:
        """The classes that occur, sorted (K,)."""
        return known.classes_in(self.labels)

    def check_scale(self, scale: PixelScale | None, *, remedy: str) -> None:
        """Raise ValueError for pixels where `scale` is None, and for bytes that are no pixels."""
        check_scale(self.part(0, 1).inputs, scale, remedy=remedy)

    def with_scale(self, scale: PixelScale | None) -> "Split":
        """The same samples by another scale."""
        return self._but(scale=scale)

    def with_inputs(self, inputs: Inputs) -> "Split":
        """The same labels with other inputs, as many."""
        return self._but(inputs=inputs)

    def renumbered(self, numbers: Tensor) -> "Split":
        """The same samples with class c as `numbers[c]`, which needs no name any more."""
        return self._but(labels=known.renumbered(self.labels, numbers), names=())

    def ready(self, scale: PixelScale) -> "Split":
        """The same samples as a network takes them."""
        return self._but(inputs=scaled(self.inputs, scale))

    def part(self, start: int, stop: int) -> "Split":
        """The samples from `start` up to `stop`, in order."""
        within = slice(start, stop)
        return self._but(inputs=rows(self.inputs, within), labels=self.labels[within])

    def take(self, places: Tensor) -> "Split":
        """The samples at `places` (n,), in that order."""
        labels = self.labels
        chosen = (
            labels[places]
            if isinstance(labels, Tensor)
            else tuple(labels[place] for place in places.tolist())
        )
        return self._but(inputs=rows(self.inputs, places), labels=chosen)

    def _but(self, **changes: object) -> "Split":
        """The same split with other fields, not looked at again: the labels of a part may seem to
        be of another task than the whole."""
        new = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(new, name, value)
        return new

    def first(self, n: int) -> "Split":
        """The first n samples; ValueError where there are fewer, or n < 1."""
        if not 1 <= n <= len(self):
            raise ValueError(f"images must be between 1 and {len(self)}, got {n}")
        return self.part(0, n)

    def drawn(self, n: int, *, seed: int) -> Tensor:
        """The places (n,) of n images, drawn without replacement from a named stream; the first of
        them are those of a smaller n."""
        if not 1 <= n <= len(self):
            raise ValueError(f"calibration images must be between 1 and {len(self)}, got {n}")
        # The whole permutation, then cut: so n images are the first of any larger number.
        return torch.randperm(len(self), generator=stream(seed, "calibration"))[:n]

    def sample(self, n: int, *, seed: int) -> Inputs:
        """The inputs of `drawn`, without labels."""
        return self.take(self.drawn(n, seed=seed)).inputs

    def batches(self, size: int) -> Iterator["Split"]:
        """The samples in order, `size` at a time; the last part may be smaller."""
        for start in range(0, len(self), size):
            yield self.part(start, start + size)

    def sha256(self) -> str:
        """The fingerprint of inputs and labels, in order. That of a single tensor is in committed
        rows: it has to stay what it is. The order of a dict's entries makes no difference."""
        one = self.part(0, 1).inputs
        few = named_tensors(one, "")
        kinds = [(name, (len(self), *few[name].shape[1:]), few[name].dtype) for name in sorted(few)]
        # Shapes and dtypes first: the same bytes in another shape are other images.
        shown = kinds[0][1:] if isinstance(one, Tensor) else kinds
        digest = hashlib.sha256(repr(shown).encode())
        if self.task == "detect":
            digest.update(repr([len(boxes.classes) for boxes in self.labels]).encode())
        for name in sorted(few):
            for part in self.batches(HASHED_AT_ONCE):
                digest.update(bytes_of(named_tensors(part.inputs, "")[name]))
        for part in self.batches(HASHED_AT_ONCE):
            for tensor in known.tensors_of(part.labels):
                digest.update(bytes_of(tensor))
        return digest.hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    """The values as they lie in memory, in row-major order."""
    # As bytes before numpy sees them, which has no bfloat16.
    plain = tensor.detach().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()
