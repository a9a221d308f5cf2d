"""Inputs with what is known about them, as tensors; pixels stay bytes until used."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from noiseproof.core.inputs import I, Inputs, as_inputs, count, map_tensors, named_tensors, rows
from noiseproof.core.rng import stream
from noiseproof.specs import UNSCALED, PixelScale

SPLITS = ("train", "test")
VOID = 255  # mask value of pixels that no score and no loss counts


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """The objects in one image: `corners` (K, 4) as x1, y1, x2, y2 in pixels, and `classes` (K,),
    from 1: 0 is the background, as in torchvision's detectors.

    Raises:
        ValueError: for anything else, or a box without area.
    """

    corners: Tensor
    classes: Tensor

    def __post_init__(self) -> None:
        for name in ("corners", "classes"):
            if not isinstance(getattr(self, name), Tensor):
                raise ValueError(
                    f"{name} of boxes must be a tensor, got {type(getattr(self, name)).__name__}"
                )
        if self.corners.numel() and (self.corners.dim() != 2 or self.corners.shape[1] != 4):
            raise ValueError(f"corners of boxes must be (K, 4), got {tuple(self.corners.shape)}")
        if self.classes.numel() and not _whole(self.classes):
            raise ValueError(f"classes of boxes must be whole numbers, got {self.classes.dtype}")
        # A frozen dataclass lets nothing be assigned, not even here.
        # reshape: no box at all may come as (0,).
        object.__setattr__(self, "corners", self.corners.to(torch.float32).reshape(-1, 4))
        object.__setattr__(self, "classes", self.classes.to(torch.int64))
        if self.classes.shape != self.corners.shape[:1]:
            raise ValueError(
                f"boxes and classes must be equally many, got {len(self.corners)} and "
                f"{tuple(self.classes.shape)}"
            )
        x1, y1, x2, y2 = self.corners.unbind(1)
        # Negated as a whole, so that nan counts as empty.
        empty = ~((x2 > x1) & (y2 > y1) & self.corners.isfinite().all(1))
        if empty.any():
            raise ValueError(f"a box must have x1 < x2 and y1 < y2, got {_corners(self, empty)}")
        if len(self.classes) and int(self.classes.min()) < 1:
            raise ValueError(f"classes of boxes must be >= 1, got {int(self.classes.min())}")

    def outside(self, height: int, width: int) -> Tensor:
        """Which boxes (K,) reach out of an image of height x width pixels."""
        limit = torch.tensor([width, height, width, height], dtype=torch.float32)
        return ((self.corners < 0) | (self.corners > limit)).any(1)


def _whole(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _corners(boxes: Boxes, which: Tensor) -> list[float]:
    corners: list[float] = boxes.corners[which][0].tolist()
    return corners


Labels = Tensor | tuple[Boxes, ...]


@dataclass(frozen=True, kw_only=True)
class Split:
    """`inputs`: a tensor (N, ...), or a tuple or dict of tensors that a network gets as positional
    or keyword arguments, the sample on axis 0 of each. Images are (N, C, H, W), as uint8 pixels, or
    as floats that a network takes as they are. `labels` say the task: classes (N,), kept as int64;
    masks (N, H, W) of classes and `VOID`, kept as uint8; or one `Boxes` for each image.

    Raises:
        ValueError: for anything else, or a box that reaches out of its image.
    """

    inputs: Inputs
    labels: Labels

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        if isinstance(self.inputs, Tensor) and (
            self.inputs.dim() < 2 or (self.inputs.dim() != 4 and self._of_scenes())
        ):
            raise ValueError(f"images must be (N, C, H, W), got {tuple(self.inputs.shape)}")
        if isinstance(self.labels, Tensor):
            self._check_tensor(self.labels)
        else:
            self._check_boxes()
        if count(self.inputs) != len(self.labels):
            raise ValueError(
                f"inputs and labels must be equally many, got {count(self.inputs)} and "
                f"{len(self.labels)}"
            )

    def _of_scenes(self) -> bool:
        return not isinstance(self.labels, Tensor) or self.labels.dim() == 3

    def _size(self) -> tuple[int, int] | None:
        """Height and width of the images; None where the network takes several tensors, of which
        none needs to be an image that masks and boxes lie in."""
        if not isinstance(self.inputs, Tensor):
            return None
        return self.inputs.shape[-2], self.inputs.shape[-1]

    def _check_tensor(self, labels: Tensor) -> None:
        if labels.dim() not in (1, 3) or not _whole(labels):
            raise ValueError(
                f"labels must be whole numbers (N,), or masks of them (N, H, W), got "
                f"{labels.dtype} {tuple(labels.shape)}"
            )
        if labels.numel() and int(labels.min()) < 0:
            raise ValueError(f"labels must be >= 0, got {int(labels.min())}")
        if labels.dim() == 1:
            object.__setattr__(self, "labels", labels.to(torch.int64))
        elif self._size() not in (None, tuple(labels.shape[1:])):
            raise ValueError(
                f"masks must be as large as their images, got {tuple(labels.shape[1:])} and "
                f"{self._size()}"
            )
        elif labels.dtype != torch.uint8:
            if labels.numel() and int(labels.max()) > VOID:
                raise ValueError(
                    f"classes of masks must be < {VOID}, and {VOID} for void, got "
                    f"{int(labels.max())}"
                )
            # A byte for each pixel: int64 masks would be eight times their uint8 images' channel.
            object.__setattr__(self, "labels", labels.to(torch.uint8))

    def _check_boxes(self) -> None:
        if isinstance(self.labels, str) or not hasattr(self.labels, "__iter__"):
            raise ValueError(
                f"labels must be a tensor or a Boxes per image, got {type(self.labels).__name__}"
            )
        object.__setattr__(self, "labels", tuple(self.labels))
        for place, boxes in enumerate(self.labels):
            if not isinstance(boxes, Boxes):
                raise ValueError(
                    f"labels must be a tensor or a Boxes per image, got one {type(boxes).__name__}"
                )
            if (size := self._size()) and (outside := boxes.outside(*size)).any():
                raise ValueError(
                    f"a box must lie inside its image, got {_corners(boxes, outside)} in image "
                    f"{place} of {size[0]}x{size[1]} pixels"
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def task(self) -> str:
        """What the labels ask for: a key of `catalog.TASKS`."""
        if not isinstance(self.labels, Tensor):
            return "detect"
        return "classify" if self.labels.dim() == 1 else "segment"

    @property
    def top_class(self) -> int:
        """The largest class that occurs; -1 where none does."""
        if isinstance(self.labels, Tensor):
            named = self.labels if self.labels.dim() == 1 else self.labels[self.labels != VOID]
        else:
            named = torch.cat(
                [torch.zeros(0, dtype=torch.int64), *(b.classes for b in self.labels)]
            )
        return int(named.max()) if named.numel() else -1

    def part(self, start: int, stop: int) -> "Split":
        """The samples from `start` up to `stop`, in order."""
        within = slice(start, stop)
        return Split(inputs=rows(self.inputs, within), labels=self.labels[within])

    def take(self, places: Tensor) -> "Split":
        """The samples at `places` (n,), in that order."""
        labels = self.labels
        chosen = (
            labels[places]
            if isinstance(labels, Tensor)
            else tuple(labels[place] for place in places.tolist())
        )
        return Split(inputs=rows(self.inputs, places), labels=chosen)

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
        return rows(self.inputs, self.drawn(n, seed=seed))

    def sha256(self) -> str:
        """The fingerprint of inputs and labels, in order. That of a single tensor is in committed
        rows: it has to stay what it is. The order of a dict's entries makes no difference."""
        named = named_tensors(self.inputs, "")
        kinds = [(name, tuple(named[name].shape), named[name].dtype) for name in sorted(named)]
        single = isinstance(self.inputs, Tensor)
        # Shapes and dtypes first: the same bytes in another shape are other images.
        digest = hashlib.sha256(repr(kinds[0][1:] if single else kinds).encode())
        tensors = [named[name] for name in sorted(named)]
        if isinstance(self.labels, Tensor):
            tensors.append(self.labels)
        else:
            digest.update(repr([len(boxes.classes) for boxes in self.labels]).encode())
            tensors += [
                tensor for boxes in self.labels for tensor in (boxes.corners, boxes.classes)
            ]
        for tensor in tensors:
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a loader of one's own returns. `scale` turns pixels into network inputs; `train` may be
    None where nothing is trained or recalibrated. `classes`: outputs of the network, the background
    of a detector included."""

    test: Split
    train: Split | None = None
    classes: int = 10
    scale: PixelScale = UNSCALED
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.test, Split) or not isinstance(self.train, Split | None):
            wrong = self.train if isinstance(self.test, Split) else self.test
            raise ValueError(f"test and train must be a Split, got {type(wrong).__name__}")
        if self.train is not None and self.train.task != self.test.task:
            raise ValueError(
                f"the labels of train and test must be for one task, got {self.train.task} and "
                f"{self.test.task}"
            )


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named data set, its splits read on demand."""

    name: str
    classes: int
    channels: int
    scale: PixelScale
    shift: int
    flip: bool
    read: Callable[[str], Split]
    task: str = "classify"

    def check_task(self, task: str | None) -> None:
        """Raise ValueError where the labels are not for `task`; None fits any."""
        if task not in (None, self.task):
            raise ValueError(f"task {task} does not fit {self.name}: its labels say {self.task}")


def scaled(inputs: I, scale: PixelScale) -> I:
    """Network inputs for inputs as a data set holds them: (pixel / 255 - mean) / std for tensors of
    uint8 pixels (N, C, H, W); tensors of any other type are network inputs already.

    Raises:
        ValueError: where the scale is of another number of channels.
    """
    return map_tensors(inputs, lambda tensor: _scaled(tensor, scale))


def _scaled(images: Tensor, scale: PixelScale) -> Tensor:
    if images.dtype != torch.uint8:
        return images
    if images.dim() != 4:
        raise ValueError(f"images of pixels must be (N, C, H, W), got {tuple(images.shape)}")
    if len(scale.mean) not in (1, images.shape[1]):
        raise ValueError(
            f"the pixel scale {scale} has {len(scale.mean)} channels, the images "
            f"{images.shape[1]}: choose another --normalize"
        )
    mean, std = _mean_and_std(scale, images.device)
    # In place on the new tensor that .to has made of the bytes. Divided first, as torchvision
    # does: another order rounds otherwise.
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)


@lru_cache(maxsize=16)  # making them on a GPU would wait for it, batch after batch
def _mean_and_std(scale: PixelScale, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(one, device=device).view(-1, 1, 1) for one in (scale.mean, scale.std))
    return mean, std
