"""What a training says of itself while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the training stands. `loss` and `accuracy` (of pixels, where there are masks; nan where
    there are boxes) are of the running epoch so far."""

    epoch: int
    epochs: int
    step: int
    steps: int  # in an epoch
    loss: float
    accuracy: float
    images_per_second: float
    seconds_left: float


OnProgress = Callable[[Progress], None]
LOOK_EVERY = {"cpu": 1}  # steps between two looks at the loss ...
LOOK_SELDOM = 20  # ... and where a look waits for the device


class Tally:
    """Loss and accuracy of an epoch so far, summed on the device."""

    def __init__(self, device: torch.device, every: int | None) -> None:
        self.images, self._sums = 0, torch.zeros(2, device=device)
        self._every = every or LOOK_EVERY.get(device.type, LOOK_SELDOM)

    def add(self, loss: Tensor, share: Tensor, images: int) -> None:
        """Count one batch."""
        self.images += images
        # Weighted by images, so that a smaller last batch counts as much as it holds.
        self._sums += torch.stack([loss.float(), share.float()]) * images

    def is_due(self, step: int) -> bool:
        """Reading waits until the device is done, so it is not for every step."""
        return step % self._every == self._every - 1

    def read(self) -> tuple[float, float]:
        """The means of loss and accuracy."""
        loss, right = self._sums.tolist()
        return loss / self.images, right / self.images
