"""One class for a sample: accuracy, and the cross-entropy."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from noiseproof.core.device import sent
from noiseproof.core.inputs import Inputs, device_of_inputs, shapes
from noiseproof.data import Labels, Source, Split, augmented
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

AUXILIARY_WEIGHT = 0.3  # of further heads, as torchvision trains GoogLeNet and Inception


def class_logits(output: Any) -> Tensor:
    """A classifier's logits (N, C): the tensor itself, the first of several, or `logits` of what
    the network returns.

    Raises:
        ValueError: for any other output.
    """
    found = entry(output, "logits")
    if not isinstance(found, Tensor) or found.dim() != 2:
        raise ValueError(
            "a classifier must return logits (N, C), or a dictionary or object with `logits`, got "
            f"{shapes(found) if isinstance(found, Tensor) else type(output).__name__}"
        )
    return found


def _evaluate(forward: Forward, test: Split, batch_size: int) -> Result:
    """Top-1 accuracy. A sample whose outputs are not all finite is a miss: argmax would read nan
    as class 0, which looks exactly like chance."""
    hits, nonfinite, classes = [], 0, 0
    for part in test.batches(batch_size):
        logits = class_logits(forward(part.inputs))
        finite = logits.isfinite().all(1)
        # (n,)
        hits.append((logits.argmax(1) == whole_numbers(part.labels).to(logits.device)) & finite)
        nonfinite += int((~finite).sum())
        classes = logits.shape[1]
    # One copy from the device for the whole test set: each would wait for it.
    found = torch.cat(hits).cpu().numpy()
    return Result(score=float(found.mean()), classes=classes, nonfinite=nonfinite, hits=found)


def _check(output: Any, test: Split) -> None:
    check_top(test, class_logits(output).shape[1])


def _change(batch: Split, source: Source, generator: Generator) -> Split:
    """Images are moved and mirrored as the data set says; other inputs stay as they are."""
    x = batch.inputs
    if isinstance(x, Tensor) and x.dim() == 4:
        # Dice fall even where nothing moves: trained weights depend on the order of the draws.
        moved = augmented(x, shift=source.shift, flip=source.flip, generator=generator)
        return batch.with_inputs(moved)
    if source.shift or source.flip:
        raise ValueError(
            f"inputs that are moved and mirrored must be images (N, C, H, W), got {shapes(x)}: "
            "give the data set shift=0 and flip=False"
        )
    return batch


def _loss(model: nn.Module, x: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the logits, and of auxiliary heads."""
    truth = sent(whole_numbers(labels), device_of_inputs(x))
    heads = _heads(trained_on(model, x))
    total = weighed([F.cross_entropy(head, truth) for head in heads], AUXILIARY_WEIGHT)
    right = heads[0].detach().argmax(1) == truth
    return total, right.float().mean()


def _heads(output: Any) -> list[Tensor]:
    """The logits, and those of auxiliary heads, where the model has some in training: what is
    called `logits`, or else comes first, and what else is of that shape."""
    if isinstance(output, list | tuple):
        named, found = None, list(output)
    else:
        named = entry(output, "logits")
        found = list(output.values()) if isinstance(output, Mapping) else []
    heads = [head for head in found if isinstance(head, Tensor)]
    first = heads[0] if heads else output  # of an output without tensors this says what is wrong
    logits = class_logits(first if named is None else named)
    # By shape: Inception returns logits of both heads, other
    # networks features or states beside them.
    return [logits, *(h for h in heads if h is not logits and h.shape == logits.shape)]


CLASSIFY = Task(
    name="classify",
    evaluate=_evaluate,
    check=_check,
    change=_change,
    loss=_loss,
    batch_size=BatchSize(elsewhere=250, cpu=50),  # small images stay in the caches: see LOG.md
    changes_near=True,
    classes=lambda output: class_logits(output).shape[1],
)
