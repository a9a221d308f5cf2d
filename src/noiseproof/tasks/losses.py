"""What training does differently from task to task: the change of a batch, and its loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from noiseproof.core.device import sent
from noiseproof.data.augmentation import augmented, augmented_scenes
from noiseproof.data.splits import VOID, Boxes, Labels, Source, Split
from noiseproof.tasks.table import pixel_logits

AUXILIARY_WEIGHT = {"classify": 0.3, "segment": 0.5}  # as torchvision trains them


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """`change(batch, source, generator)` augments a batch; `loss(model, x, labels)` gives the loss
    and the share of images or pixels that are right, nan where there is no such share. Both stay on
    the device, since reading them would wait for it."""

    change: Callable[[Split, Source, Generator], Split]
    loss: Callable[[nn.Module, Tensor, Labels], tuple[Tensor, Tensor]]


def _shifted(batch: Split, source: Source, generator: Generator) -> Split:
    images = augmented(batch.inputs, shift=source.shift, flip=source.flip, generator=generator)
    return Split(inputs=images, labels=batch.labels)


def _scenes(batch: Split, source: Source, generator: Generator) -> Split:
    return augmented_scenes(batch, flip=source.flip)


def _class_loss(model: nn.Module, x: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the logits, and of auxiliary heads."""
    assert isinstance(labels, Tensor)
    truth = sent(labels, x.device)
    heads = _heads(_forward(model, x))
    total = _weighed([F.cross_entropy(head, truth) for head in heads], "classify")
    right = heads[0].detach().argmax(1) == truth
    return total, right.float().mean()


def _pixel_loss(model: nn.Module, x: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each pixel that is not void, 0 where all are; heads that are coarser than
    the masks are enlarged, as in evaluation."""
    assert isinstance(labels, Tensor)
    truth = labels.to(x.device).long()
    heads = [
        pixel_logits(head, truth.shape[1], truth.shape[2])
        for head in _pixel_heads(_forward(model, x))
    ]
    counted = truth != VOID
    if not counted.any():  # their mean would be 0 / 0
        return heads[0].sum() * 0, torch.zeros((), device=x.device)
    losses = [F.cross_entropy(head, truth, ignore_index=VOID) for head in heads]
    right = (heads[0].detach().argmax(1) == truth) & counted
    return _weighed(losses, "segment"), right.sum() / counted.sum()


def _weighed(losses: list[Tensor], task: str) -> Tensor:
    total = losses[0]
    for loss in losses[1:]:
        total = total + AUXILIARY_WEIGHT[task] * loss
    return total


def _heads(output: Any) -> list[Tensor]:
    """The logits, and those of auxiliary heads, where the model has some in training."""
    if isinstance(output, Tensor):
        return [output]
    found = output.values() if isinstance(output, Mapping) else output
    return [head for head in found if isinstance(head, Tensor)]


def _pixel_heads(output: Any) -> list[Any]:
    if isinstance(output, list | tuple):
        return [head for head in output if head is not None]
    auxiliary = output.get("aux") if isinstance(output, Mapping) else None
    return [output] if auxiliary is None else [output, auxiliary]


def _detector_loss(model: nn.Module, x: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """The sum of the losses that torchvision's detectors return in training."""
    truth = [
        {"boxes": boxes.corners.to(x.device), "labels": boxes.classes.to(x.device)}
        for boxes in labels
        if isinstance(boxes, Boxes)
    ]
    losses = _forward(model, list(x), truth)
    if not isinstance(losses, dict):
        raise ValueError("a detector must return its losses in training, as torchvision's do")
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    return total, torch.full((), float("nan"), device=x.device)


def _forward(model: nn.Module, x: Any, *rest: Any) -> Any:
    try:
        return model(x, *rest)
    except Exception as error:  # whatever the user's own network does with these inputs
        reason = (str(error) or type(error).__name__).splitlines()[0]
        shape = tuple(x.shape) if isinstance(x, Tensor) else (len(x), *x[0].shape)
        raise ValueError(
            f"the network cannot train on inputs of shape {shape}: {reason}"
        ) from error


LESSONS = {
    "classify": Lesson(change=_shifted, loss=_class_loss),
    "detect": Lesson(change=_scenes, loss=_detector_loss),
    "segment": Lesson(change=_scenes, loss=_pixel_loss),
}
