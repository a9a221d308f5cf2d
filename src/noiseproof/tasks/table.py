"""What a network is asked to do: how its outputs and the labels become a score.

A task evaluates `forward`, which takes images and returns what the network returns, on a test split
and never sees weights, chips or noise.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.detection import MeanAveragePrecision

from noiseproof.data.splits import VOID, Boxes, Labels, Split

Forward = Callable[[Tensor], Any]  # images (n, C, H, W), pixels as the split has them -> outputs
MOST_BOXES = (1, 10, 100)  # detections of an image that count, as in COCO's own evaluation


@dataclass(frozen=True, kw_only=True)
class Result:
    """One evaluation. `hits` (N,) where single images are right or wrong; `details` are further
    figures by name; `nonfinite` images had outputs that were not all finite."""

    score: float
    classes: int = 0
    nonfinite: int = 0
    hits: NDArray[np.bool_] | None = None
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """`metric` names the score; `evaluate(forward, test, batch_size)` computes it, and
    `check(output, test)` raises ValueError where a network's output does not fit the labels."""

    name: str
    metric: str
    evaluate: Callable[[Forward, Split, int], Result]
    check: Callable[[Any, Split], None]


def batches(split: Split, batch_size: int) -> Iterator[Split]:
    """The split in order, `batch_size` images at a time; the last part may be smaller."""
    for start in range(0, len(split), batch_size):
        yield split.part(start, start + batch_size)


# --- classification -----------------------------------------------------------------------------


def _classified(forward: Forward, test: Split, batch_size: int) -> Result:
    """Top-1 accuracy. An image whose outputs are not all finite is a miss: argmax would read nan
    as class 0, which looks exactly like chance."""
    hits, nonfinite, classes = [], 0, 0
    for part in batches(test, batch_size):
        output = forward(part.inputs)
        finite = output.isfinite().all(1)
        hits.append((output.argmax(1) == _tensor(part.labels).to(output.device)) & finite)
        nonfinite += int((~finite).sum())
        classes = output.shape[1]
    found = torch.cat(hits).cpu().numpy()
    return Result(score=float(found.mean()), classes=classes, nonfinite=nonfinite, hits=found)


def _check_classes(output: Any, test: Split) -> None:
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise ValueError("a classifier must return logits (N, C)")
    _check_top(test, output.shape[1])


def _check_top(test: Split, classes: int) -> None:
    if test.top_class >= classes:
        raise ValueError(
            f"the labels go up to {test.top_class}, the network knows {classes} classes"
        )


def _tensor(labels: Labels) -> Tensor:
    assert isinstance(labels, Tensor)
    return labels


# --- segmentation -------------------------------------------------------------------------------


def pixel_logits(output: Any, height: int, width: int) -> Tensor:
    """A segmenter's logits (N, C, height, width): the tensor itself, or the entry `out` or `logits`
    of what the network returns, enlarged to the masks where they are coarser.

    Raises:
        ValueError: for any other output.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get("out", output.get("logits"))
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", None)
    if not isinstance(found, Tensor) or found.dim() != 4:
        raise ValueError("a segmenter must return logits (N, C, H, W), or a dictionary with `out`")
    if found.shape[-2:] == (height, width):
        return found
    return F.interpolate(found, size=(height, width), mode="bilinear", align_corners=False)


def _segmented(forward: Forward, test: Split, batch_size: int) -> Result:
    """Mean intersection over union, of all pixels of all images together, over the classes that
    occur in the masks: so every chip's mean is over the same ones. Void pixels count nowhere. A
    pixel whose outputs are not all finite is wrong: its class is one that does not exist."""
    confusion: MulticlassConfusionMatrix | None = None
    nonfinite, classes = 0, 0
    for part in batches(test, batch_size):
        masks = _tensor(part.labels)
        output = pixel_logits(forward(part.inputs), masks.shape[1], masks.shape[2])
        classes = output.shape[1]
        if confusion is None:
            confusion = MulticlassConfusionMatrix(
                classes + 1, ignore_index=VOID, validate_args=False
            ).to(output.device)
        finite = output.isfinite().all(1)
        predicted = output.argmax(1).masked_fill(~finite, classes)
        confusion.update(predicted, masks.to(output.device).long())
        nonfinite += int((~finite.flatten(1).all(1)).sum())
    assert confusion is not None
    counts = confusion.compute().cpu().double()  # (true, predicted)
    right = counts.diagonal()[:classes]
    union = (counts.sum(0) + counts.sum(1))[:classes] - right
    overlap = (right / union)[counts.sum(1)[:classes] > 0]
    details = {"pixel accuracy": float(right.sum() / counts.sum().clamp(min=1))}
    score = float(overlap.mean()) if len(overlap) else 0.0
    return Result(score=score, classes=classes, nonfinite=nonfinite, details=details)


def _check_pixels(output: Any, test: Split) -> None:
    masks = _tensor(test.labels)
    _check_top(test, pixel_logits(output, masks.shape[1], masks.shape[2]).shape[1])


# --- detection ----------------------------------------------------------------------------------


def _detected(forward: Forward, test: Split, batch_size: int) -> Result:
    """COCO's mean average precision: over classes and over the overlaps .5, .55, ... .95; beside it
    that at an overlap of .5. Boxes that are not finite are left out."""
    metric = MeanAveragePrecision(max_detection_thresholds=list(MOST_BOXES))
    metric.warn_on_many_detections = False
    nonfinite = 0
    for part in batches(test, batch_size):
        found = [_finite(one) for one in forward(part.inputs)]
        nonfinite += sum(lost for _, lost in found)
        truth = [
            {"boxes": boxes.corners, "labels": boxes.classes}
            for boxes in part.labels
            if isinstance(boxes, Boxes)
        ]
        metric.update([boxes for boxes, _ in found], truth)
    with warnings.catch_warnings(action="ignore"):
        figures = metric.compute()
    # -1 is pycocotools' word for "no such object in the images".
    return Result(
        score=max(0.0, float(figures["map"])),
        classes=max(2, test.top_class + 1),
        nonfinite=nonfinite,
        details={"mAP@.5": max(0.0, float(figures["map_50"]))},
    )


def _finite(one: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The boxes of an image whose corners and scores are finite, on the CPU; were there others?"""
    kept = one["boxes"].isfinite().all(1) & one["scores"].isfinite()
    boxes = {name: one[name][kept].cpu() for name in ("boxes", "scores", "labels")}
    return boxes, not bool(kept.all())


def _check_boxes(output: Any, test: Split) -> None:
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


TASKS = {
    "classify": Task(
        name="classify", metric="accuracy", evaluate=_classified, check=_check_classes
    ),
    "detect": Task(name="detect", metric="mAP", evaluate=_detected, check=_check_boxes),
    "segment": Task(name="segment", metric="mIoU", evaluate=_segmented, check=_check_pixels),
}
