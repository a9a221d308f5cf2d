"""A token for each place of a sequence: the share that is right, and the cross-entropy."""

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from noiseproof.core.inputs import Inputs, device_of_inputs, tensors
from noiseproof.data import NO_TOKEN, Labels, Source, Split
from noiseproof.tasks.task import (
    BatchSize,
    Forward,
    Result,
    Task,
    check_top,
    entry,
    trained_on,
    whole_numbers,
)


def token_logits(output: Any, places: int) -> Tensor:
    """A language model's logits (N, T, V): the tensor itself, the first of several, or `logits` of
    what the network returns.

    Raises:
        ValueError: for any other output.
    """
    found = entry(output, "logits")
    if not isinstance(found, Tensor) or found.dim() != 3 or found.shape[1] != places:
        raise ValueError(
            f"a network for labels of {places} tokens must return logits (N, {places}, V), or a "
            f"dictionary or object with `logits`, got "
            f"{tuple(found.shape) if isinstance(found, Tensor) else type(output).__name__}"
        )
    return found


def _evaluate(forward: Forward, test: Split, batch_size: int) -> Result:
    """The share of the tokens that are right, of all sequences together; beside it the mean
    cross-entropy in nats, where all outputs are finite. A token whose outputs are not all finite is
    wrong."""
    right, total, nonfinite, classes, entropy = 0, 0, 0, 0, 0.0
    for part in test.batches(batch_size):
        truth = whole_numbers(part.labels)
        logits = token_logits(forward(part.inputs), truth.shape[1])
        truth = truth.to(logits.device)
        counted = truth != NO_TOKEN
        finite = logits.isfinite().all(2)
        right += int(((logits.argmax(2) == truth) & finite & counted).sum())
        total += int(counted.sum())
        nonfinite += int((~finite).any(1).sum())
        classes = logits.shape[2]
        losses = F.cross_entropy(logits[counted].float(), truth[counted], reduction="none")
        entropy += float(losses.double().sum())
    details = {} if nonfinite else {"cross-entropy": entropy / max(1, total)}
    return Result(
        score=right / max(1, total), classes=classes, nonfinite=nonfinite, details=details
    )


def _check(output: Any, test: Split) -> None:
    few = test.part(0, 2)
    labels = whole_numbers(few.labels)
    check_top(test, token_logits(output, labels.shape[1]).shape[2])
    if not len(test.classes_in()):
        raise ValueError(f"labels must name a token somewhere, all of them are {NO_TOKEN}")
    same = (one for one in tensors(few.inputs) if one.shape == labels.shape)
    if any(torch.equal(one.long(), labels) for one in same):
        raise ValueError(
            "labels must be what the network is to say, got its own inputs: for the next token "
            f"give labels[:, t] = ids[:, t + 1], and {NO_TOKEN} at the end"
        )


def _change(batch: Split, source: Source, generator: Generator) -> Split:
    return batch


def _loss(model: nn.Module, x: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each token that counts, 0 where none does."""
    truth = whole_numbers(labels).to(device_of_inputs(x))
    logits = token_logits(trained_on(model, x), truth.shape[1])
    counted = truth != NO_TOKEN
    if not counted.any():
        return logits.sum() * 0, torch.zeros((), device=truth.device)
    right = (logits.detach().argmax(2) == truth) & counted
    return F.cross_entropy(logits[counted], truth[counted]), right.sum() / counted.sum()


TOKENS = Task(
    name="tokens",
    evaluate=_evaluate,
    check=_check,
    change=_change,
    loss=_loss,
    batch_size=BatchSize(elsewhere=16, cpu=8),
)
