"""What a network is asked to do: how its outputs and the labels become a score, and in training a
loss.

A task sees inputs, labels and outputs, never weights, chips or noise. Each one is a file beside
this one, and `table` lists them; nothing else asks which task it is, but reads its properties.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from noiseproof.core.inputs import Inputs, as_call, shapes
from noiseproof.data import Labels, Source, Split
from noiseproof.specs import catalog

Forward = Callable[[Inputs], Any]  # inputs (n, ...) as the split has them -> outputs


@dataclass(frozen=True, kw_only=True)
class Result:
    """One evaluation. `hits` (N,) where single samples are right or wrong; `details` are further
    figures by name; `nonfinite` samples had outputs that were not all finite."""

    score: float
    classes: int = 0
    nonfinite: int = 0
    hits: NDArray[np.bool_] | None = None
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """How many samples pass at once where nobody says otherwise."""

    elsewhere: int
    cpu: int

    def on(self, device: torch.device) -> int:
        """The one for a device."""
        return self.cpu if device.type == "cpu" else self.elsewhere


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, a key of `catalog.TASKS`, where the facts are that need no torch.

    `evaluate(forward, test, batch_size)`: the score of what `forward` returns.
    `check(output, test)`: raises ValueError, in one line, where an output does not fit the labels.
    `change(batch, source, generator)`: a training batch, augmented.
    `loss(model, x, labels)`: the loss, and the share of samples or pixels that are right, nan where
    there is none such. Both stay on the device, since reading them would wait for it.
    `changes_near`: `change` works on any device, and the labels are one number each, so that all
    training inputs may lie on a GPU.
    `shows_classes`: an output shows how many classes the network knows; `classes(output)` reads it
    off where it is a number of outputs.
    """

    name: str
    evaluate: Callable[[Forward, Split, int], Result]
    check: Callable[[Any, Split], None]
    change: Callable[[Split, Source, Generator], Split]
    loss: Callable[[nn.Module, Inputs, Labels], tuple[Tensor, Tensor]]
    batch_size: BatchSize
    changes_near: bool = False
    shows_classes: bool = True
    classes: Callable[[Any], int] | None = None

    @property
    def metric(self) -> str:
        """What the score is called."""
        return catalog.metric_of(self.name)

    @property
    def has_hits(self) -> bool:
        """Is the score the mean over single samples that are right or wrong?"""
        return catalog.has_hits(self.name)


# --- what several tasks need ---------------------------------------------------------------------


def whole_numbers(labels: Labels) -> Tensor:
    """Labels that are classes, masks or tokens."""
    assert isinstance(labels, Tensor)
    return labels


def real_numbers(labels: Labels) -> Tensor:
    """Labels that a regression aims at."""
    assert isinstance(labels, Tensor)
    assert labels.is_floating_point()
    return labels


def entry(output: Any, *names: str) -> Any:
    """The tensor that a network returns, or the first of the named entries of a dictionary, or of
    the named attributes of an object, or the first of several outputs; None where it has none."""
    if isinstance(output, Tensor):
        return output
    # A named tuple may have the names; any other is in the order in which it is unpacked.
    if isinstance(output, list | tuple) and not any(hasattr(output, name) for name in names):
        return entry(output[0], *names) if output else None
    if isinstance(output, Mapping):
        found = (output.get(name) for name in names)
    else:
        found = (getattr(output, name, None) for name in names)
    # Not `or`: the truth of a tensor with several values is an error.
    return next((one for one in found if one is not None), None)


def check_top(test: Split, classes: int) -> None:
    """Raise ValueError for a label that a network of `classes` classes does not know."""
    found = test.classes_in()
    top = int(found[-1]) if len(found) else -1
    if top < classes:
        return
    remedy = ""
    if classes == 1:
        remedy = ": for one output of two classes give a score of your own"
    elif top == classes and 0 not in found:
        remedy = ", counted from 0: subtract 1 from the labels"
    raise ValueError(f"the labels go up to {top}, the network knows {classes} classes{remedy}")


def trained_on(model: nn.Module, x: Inputs, *given: Any) -> Any:
    """What a network returns for x in training, with gradients. `given` are its arguments where it
    takes the inputs in another form.

    Raises:
        ValueError: where it cannot take the inputs.
    """
    args, kwargs = (given, {}) if given else as_call(x)
    try:
        return model(*args, **kwargs)
    except Exception as error:  # whatever the user's own network does with these inputs
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the network cannot train on inputs of shape {shapes(x)}: {reason}"
        ) from error


def weighed(losses: list[Tensor], auxiliary: float) -> Tensor:
    """The loss of the head that counts, and those of auxiliary heads by their weight."""
    total = losses[0]
    for loss in losses[1:]:
        total = total + auxiliary * loss
    return total
