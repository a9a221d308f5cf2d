"""Boxes: COCO's mean average precision, and the losses that torchvision's detectors return."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torchmetrics.detection import MeanAveragePrecision

from noiseproof.core.inputs import Inputs, shapes
from noiseproof.data import Boxes, Labels, Source, Split, augmented_scenes
from noiseproof.tasks.task import BatchSize, Forward, Result, Task, trained_on

MOST_BOXES = (1, 10, 100)  # detections of an image that count, as in COCO's own evaluation
SCALES = (0.75, 1.5)  # of scenes in training, before the crop


def _evaluate(forward: Forward, test: Split, batch_size: int) -> Result:
    """COCO's mean average precision: over classes and over the overlaps .5, .55, ... .95; beside it
    that at an overlap of .5. Boxes that are not finite are left out."""
    metric = MeanAveragePrecision(max_detection_thresholds=list(MOST_BOXES))
    # Noise makes hundreds of boxes; only the best of them count, as everywhere.
    metric.warn_on_many_detections = False
    nonfinite = 0
    for part in test.batches(batch_size):
        found = [_finite(one) for one in forward(part.inputs)]
        nonfinite += sum(lost for _, lost in found)
        # On the CPU, where COCO's matching runs in any case.
        metric.update([boxes for boxes, _ in found], _truth(part.labels, torch.device("cpu")))
    with warnings.catch_warnings(action="ignore"):
        figures = metric.compute()
    # -1 is pycocotools' word for "no such object in the images".
    return Result(
        score=max(0.0, float(figures["map"])),
        # Background and one class at least, also where no image has a box.
        classes=max(2, test.top_class + 1),
        nonfinite=nonfinite,
        details={"mAP@.5": max(0.0, float(figures["map_50"]))},
    )


def _truth(labels: Labels, device: torch.device) -> list[dict[str, Tensor]]:
    """The boxes of each image as torchvision and torchmetrics take them."""
    return [
        {"boxes": boxes.corners.to(device), "labels": boxes.classes.to(device)}
        for boxes in labels
        if isinstance(boxes, Boxes)
    ]


def _finite(one: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The boxes of an image whose corners and scores are finite, on the CPU; were there others?"""
    kept = one["boxes"].isfinite().all(1) & one["scores"].isfinite()
    boxes = {name: one[name][kept].cpu() for name in ("boxes", "scores", "labels")}
    return boxes, not bool(kept.all())


def _check(output: Any, test: Split) -> None:
    if not isinstance(output, list | tuple) or not all(map(_is_detection, output)):
        raise ValueError(
            "a detector must return a dictionary of boxes (K, 4), labels (K,) and scores (K,) for "
            "each image"
        )


def _is_detection(one: Any) -> bool:
    if not isinstance(one, Mapping) or not {"boxes", "labels", "scores"} <= one.keys():
        return False
    boxes, others = one["boxes"], (one["labels"], one["scores"])
    if not all(isinstance(found, Tensor) for found in (boxes, *others)):
        return False
    n = len(boxes)
    return tuple(boxes.shape) == (n, 4) and all(tuple(found.shape) == (n,) for found in others)


def _change(batch: Split, source: Source, generator: Generator) -> Split:
    return augmented_scenes(batch, scales=SCALES, flip=source.flip)


def _loss(model: nn.Module, x: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
    """The sum of the losses that torchvision's detectors return in training, which take a list of
    images and the truth beside it."""
    if not isinstance(x, Tensor):
        raise ValueError(f"a detector trains on one tensor of images, got tensors {shapes(x)}")
    losses = trained_on(model, x, list(x), _truth(labels, x.device))
    if not isinstance(losses, dict):
        raise ValueError("a detector must return its losses in training, as torchvision's do")
    # In float32: under autocast some heads' losses come in bfloat16.
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    # No share of anything is right in a detector's training.
    return total, torch.full((), float("nan"), device=x.device)


DETECT = Task(
    name="detect",
    evaluate=_evaluate,
    check=_check,
    change=_change,
    loss=_loss,
    batch_size=BatchSize(elsewhere=8, cpu=8),
    shows_classes=False,
)
