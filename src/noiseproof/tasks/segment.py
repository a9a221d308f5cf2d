"""A class for each pixel: mean intersection over union, and the cross-entropy of the pixels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassConfusionMatrix

from noiseproof.core.inputs import Inputs, device_of_inputs
from noiseproof.data import VOID, Labels, Source, Split, augmented_scenes
from noiseproof.tasks.task import (
    BatchSize,
    Forward,
    Result,
    Task,
    check_top,
    entry,
    trained_on,
    weighed,
    whole_numbers,
)

AUXILIARY_WEIGHT = 0.5  # of the second head of FCN and DeepLab, as torchvision trains them
SCALES = (0.75, 2.0)  # of scenes in training, before the crop


def pixel_logits(output: Any, height: int, width: int) -> Tensor:
    """A segmenter's logits (N, C, height, width): the tensor itself, or the entry `out` or `logits`
    of what the network returns, enlarged to the masks where they are coarser.

    Raises:
        ValueError: for any other output.
    """
    found = entry(output, "out", "logits")
    if not isinstance(found, Tensor) or found.dim() != 4:
        raise ValueError("a segmenter must return logits (N, C, H, W), or a dictionary with `out`")
    if found.shape[-2:] == (height, width):
        return found
    # Logits are enlarged and not the answers: that is how torchvision's segmenters end.
    return F.interpolate(found, size=(height, width), mode="bilinear", align_corners=False)


def _evaluate(forward: Forward, test: Split, batch_size: int) -> Result:
    """Mean intersection over union, of all pixels of all images together, over the classes that
    occur in the masks: so every chip's mean is over the same ones. Void pixels count nowhere. A
    pixel whose outputs are not all finite is wrong: its class is one that does not exist."""
    confusion: MulticlassConfusionMatrix | None = None
    nonfinite, classes = 0, 0
    for part in test.batches(batch_size):
        masks = whole_numbers(part.labels)
        output = pixel_logits(forward(part.inputs), masks.shape[1], masks.shape[2])
        classes = output.shape[1]
        if confusion is None:
            confusion = MulticlassConfusionMatrix(
                # One more class, which is nobody's truth: what predicts it is wrong, and counts
                # in no union but that of the true class. Arguments unvalidated: validating
                # looks at all values of every batch.
                classes + 1,
                ignore_index=VOID,
                validate_args=False,
            ).to(output.device)
        finite = output.isfinite().all(1)
        predicted = output.argmax(1).masked_fill(~finite, classes)
        confusion.update(predicted, masks.to(output.device).long())
        nonfinite += int((~finite.flatten(1).all(1)).sum())
    assert confusion is not None
    counts = confusion.compute().cpu().double()  # (true, predicted)
    right = counts.diagonal()[:classes]
    union = (counts.sum(0) + counts.sum(1))[:classes] - right  # (C,)
    # Classes that occur in the masks. With those that are only predicted the number of classes
    # would differ from chip to chip (measured: LOG.md, 2026-11-21, "mean IoU over which classes").
    overlap = (right / union)[counts.sum(1)[:classes] > 0]
    details = {"pixel accuracy": float(right.sum() / counts.sum().clamp(min=1))}
    score = float(overlap.mean()) if len(overlap) else 0.0
    return Result(score=score, classes=classes, nonfinite=nonfinite, details=details)


def _check(output: Any, test: Split) -> None:
    masks = whole_numbers(test.labels)
    check_top(test, pixel_logits(output, masks.shape[1], masks.shape[2]).shape[1])


def _change(batch: Split, source: Source, generator: Generator) -> Split:
    return augmented_scenes(batch, scales=SCALES, flip=source.flip)


def _loss(model: nn.Module, x: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each pixel that is not void, 0 where all are; heads that are coarser than
    the masks are enlarged, as in evaluation."""
    truth = whole_numbers(labels).to(device_of_inputs(x)).long()
    heads = [
        pixel_logits(head, truth.shape[1], truth.shape[2]) for head in _heads(trained_on(model, x))
    ]
    counted = truth != VOID
    if not counted.any():  # their mean would be 0 / 0
        # Times zero rather than a constant: backward still runs, with gradients of zero.
        return heads[0].sum() * 0, torch.zeros((), device=truth.device)
    losses = [F.cross_entropy(head, truth, ignore_index=VOID) for head in heads]
    right = (heads[0].detach().argmax(1) == truth) & counted
    return weighed(losses, AUXILIARY_WEIGHT), right.sum() / counted.sum()


def _heads(output: Any) -> list[Any]:
    if isinstance(output, list | tuple):
        return [head for head in output if head is not None]
    auxiliary = output.get("aux") if isinstance(output, Mapping) else None
    return [output] if auxiliary is None else [output, auxiliary]


SEGMENT = Task(
    name="segment",
    evaluate=_evaluate,
    check=_check,
    change=_change,
    loss=_loss,
    batch_size=BatchSize(elsewhere=16, cpu=16),
)
