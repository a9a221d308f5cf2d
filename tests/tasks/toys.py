"""Networks that say what they are told to, and data to say it about."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.data.splits import Boxes

NAN, INF = float("nan"), float("inf")


def replay(outputs: Any) -> Callable[[Tensor], Any]:
    """A network that returns `outputs` (one per image) for images whose pixels name them."""

    def forward(images: Tensor) -> Any:
        places = images[:, 0, 0, 0].long()
        if isinstance(outputs, Tensor):
            return outputs[places]
        return [outputs[place] for place in places.tolist()]

    return forward


def numbered(n: int, height: int = 1, width: int = 1) -> Tensor:
    return torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, height, width)


def boxes(*corners: tuple[float, ...], classes: list[int] | None = None) -> Boxes:
    return Boxes(corners=torch.tensor(corners), classes=torch.tensor(classes or [1] * len(corners)))


def detection(truth: Boxes, scores: list[float] | None = None) -> dict[str, Tensor]:
    n = len(truth.classes)
    return {
        "boxes": truth.corners.clone(),
        "labels": truth.classes.clone(),
        "scores": torch.tensor(scores or [0.9] * n),
    }


class Says(nn.Module):
    """Returns what it is given, whatever the input; keeps what it was called with."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *given: Any) -> Any:
        self.given = given
        return self.output


class Fails(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, *given: Any) -> Any:
        raise self.error
