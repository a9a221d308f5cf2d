"""Data sets: what a loader of one's own returns, and what a name stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from noiseproof.data.splits import Split
from noiseproof.specs import PixelScale


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a loader of one's own returns. `scale` turns uint8 pixels into network inputs (default:
    the splits' own); `train` may be None where nothing is trained or recalibrated. `classes`:
    outputs of the network, the background of a detector included.

    Raises:
        ValueError: for splits of two tasks, and for pixels without a scale.
    """

    test: Split
    train: Split | None = None
    classes: int = 10
    scale: PixelScale | None = None
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
        scale = self.scale or self.test.scale
        for part in (self.test, self.train):
            if part is not None:
                part.check_scale(
                    scale,
                    remedy="give Dataset(..., scale=parse_pixel_scale('imagenet'))",
                )
        if scale is not None:
            object.__setattr__(self, "scale", scale)
            object.__setattr__(self, "test", self.test.with_scale(scale))
            if self.train is not None:
                object.__setattr__(self, "train", self.train.with_scale(scale))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named data set, its splits read on demand. `image` reads a file as one of its images
    (C, H, W); None: nothing is known but their size."""

    name: str
    classes: int
    channels: int
    scale: PixelScale
    shift: int
    flip: bool
    read: Callable[[str], Split]
    task: str = "classify"
    image: Callable[[Path], Tensor] | None = None

    def check_task(self, task: str | None) -> None:
        """Raise ValueError where the labels are not for `task`; None fits any."""
        if task not in (None, self.task):
            raise ValueError(f"task {task} does not fit {self.name}: its labels say {self.task}")
