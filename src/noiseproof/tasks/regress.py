"""Real numbers: R squared, and the mean squared error."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from noiseproof.core.inputs import Inputs, device_of_inputs, shapes
from noiseproof.data import Labels, Source, Split
from noiseproof.tasks.task import (
    BatchSize,
    Forward,
    Result,
    Task,
    entry,
    real_numbers,
    trained_on,
)

NAMES = ("logits", "predictions", "prediction", "reconstruction", "out")


def predicted(output: Any, labels: Tensor) -> Tensor:
    """What a network says, in the shape of `labels` (N, ...): the tensor itself, the first of
    several, or the entry or attribute `logits`, `predictions`, `reconstruction` or `out`. Axes of
    one number are no difference.

    Raises:
        ValueError: for any other output.
    """
    found = entry(output, *NAMES)
    if not isinstance(found, Tensor):
        raise ValueError(
            "a regressor must return a tensor, or a dictionary or object with `logits` or "
            f"`predictions`, got {type(output).__name__}"
        )
    # Never by broadcasting: (N, 1) against (N,) would compare each with each.
    if _plain(found) != _plain(labels):
        raise ValueError(
            f"the network returns {shapes(found)} for real labels {shapes(labels)}: it must return "
            "as many numbers; give whole numbers (labels.long()) where they are classes"
        )
    return found.reshape(labels.shape)


def _plain(tensor: Tensor) -> tuple[int, ...]:
    return (len(tensor), *(side for side in tensor.shape[1:] if side != 1))


@dataclass(frozen=True)
class _Sums:
    """Count, mean and sum of squares about the mean of rows (n, K), each number for itself."""

    n: int
    mean: Tensor  # (K,)
    squares: Tensor  # (K,)

    @classmethod
    def of(cls, rows: Tensor) -> "_Sums":
        mean = rows.mean(0) if len(rows) else torch.zeros_like(rows.sum(0))
        return cls(len(rows), mean, (rows - mean).square().sum(0))

    def with_(self, other: "_Sums") -> "_Sums":
        """Of both together (Chan, Golub and LeVeque 1983), which loses no digits."""
        n = self.n + other.n
        share = other.n / n if n else 0.0
        gap = other.mean - self.mean
        return _Sums(
            n,
            self.mean + share * gap,
            self.squares + other.squares + gap.square() * self.n * share,
        )

    def about(self, mean: Tensor) -> Tensor:
        """The sum of squares about another mean (K,)."""
        return self.squares + self.n * (self.mean - mean).square()


def _evaluate(forward: Forward, test: Split, batch_size: int) -> Result:
    """R squared, 1 - (squares of what is off) / (squares about the mean label), both summed over
    all numbers of all samples: 1 where nothing is off, 0 for a network that always says the mean,
    and below for a worse one. A sample whose outputs are not all finite counts as if the network
    had said the mean, since no number else would be left."""
    off, nonfinite = 0.0, 0
    everything: _Sums | None = None
    lost: _Sums | None = None
    for part in test.batches(batch_size):
        labels = real_numbers(part.labels)
        said = predicted(forward(part.inputs), labels).cpu().double().reshape(len(labels), -1)
        truth = labels.cpu().double().reshape(len(labels), -1)
        finite = said.isfinite().all(1)
        off += float((said - truth)[finite].square().sum())
        nonfinite += int((~finite).sum())
        sums, bad = _Sums.of(truth), _Sums.of(truth[~finite])
        everything = sums if everything is None else everything.with_(sums)
        lost = bad if lost is None else lost.with_(bad)
    assert everything is not None
    assert lost is not None
    off += float(lost.about(everything.mean).sum())
    numbers = everything.n * len(everything.mean)
    return Result(
        score=1 - off / float(everything.squares.sum()),
        nonfinite=nonfinite,
        details={"root mean square error": (off / numbers) ** 0.5},
    )


def _check(output: Any, test: Split) -> None:
    predicted(output, real_numbers(test.part(0, 2).labels))
    first = real_numbers(test.part(0, 1).labels)
    if all(bool((real_numbers(p.labels) == first).all()) for p in test.batches(256)):
        raise ValueError(
            "real labels must differ from sample to sample: R squared is about their variance"
        )


def _change(batch: Split, source: Source, generator: Generator) -> Split:
    """Nothing moves: where an image's number would go with it is not known."""
    if source.shift or source.flip:
        raise ValueError(
            "inputs with real numbers as labels are not moved or mirrored: give the data set "
            "shift=0 and flip=False"
        )
    return batch


def _loss(model: nn.Module, x: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
    """The mean squared error; no share of anything is right."""
    truth = real_numbers(labels).to(device_of_inputs(x))
    said = predicted(trained_on(model, x), truth)
    return F.mse_loss(said, truth.to(said.dtype)), torch.full((), float("nan"), device=said.device)


REGRESS = Task(
    name="regress",
    evaluate=_evaluate,
    check=_check,
    change=_change,
    loss=_loss,
    batch_size=BatchSize(elsewhere=250, cpu=50),
)
