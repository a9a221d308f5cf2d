"""The objects in an image: corners and classes."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
        if self.classes.numel() and not is_whole(self.classes):
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
            raise ValueError(f"a box must have x1 < x2 and y1 < y2, got {corners_of(self, empty)}")
        if len(self.classes) and int(self.classes.min()) < 1:
            raise ValueError(f"classes of boxes must be >= 1, got {int(self.classes.min())}")

    def outside(self, height: int, width: int) -> Tensor:
        """Which boxes (K,) reach out of an image of height x width pixels."""
        limit = torch.tensor([width, height, width, height], dtype=torch.float32)
        return ((self.corners < 0) | (self.corners > limit)).any(1)


def is_whole(tensor: Tensor) -> bool:
    """Are they whole numbers?"""
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def corners_of(boxes: Boxes, which: Tensor) -> list[float]:
    """The first of those boxes, for messages."""
    corners: list[float] = boxes.corners[which][0].tolist()
    return corners
