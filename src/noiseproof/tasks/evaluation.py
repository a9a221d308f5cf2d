"""A network on a test split -> a score, by the split's task."""

from typing import Any

from torch import nn

from noiseproof.core.device import device_of
from noiseproof.core.inputs import I, Inputs, to
from noiseproof.data import Split, fitted_to, scaled
from noiseproof.network import Chip, State, dtype_of, outputs, skeleton_of, state_of
from noiseproof.specs import PixelScale
from noiseproof.tasks.table import TASKS
from noiseproof.tasks.task import Result, check_top


def taken(inputs: I, state: State, scale: PixelScale) -> I:
    """Inputs (n, ...) as a data set has them, as a network with this state takes them: on its
    device, in its own type, pixels by their scale."""
    return scaled(to(inputs, device_of(state)), scale, dtype=dtype_of(state))


def evaluate(model: nn.Module, test: Split, *, scale: PixelScale, batch_size: int) -> Result:
    """The score of `model` on `test`, in evaluation mode; `model` is left as it is."""
    skeleton = skeleton_of(model)
    state = state_of(skeleton)

    def forward(inputs: Inputs) -> Any:
        return outputs(skeleton, Chip(state), taken(inputs, state, scale))

    return TASKS[test.task].evaluate(forward, test, batch_size)


def check_fits(
    model: nn.Module, test: Split, scale: PixelScale, *, classes: int | None = None
) -> Split:
    """Run two of the samples through a copy of `model`; the split with the network's own numbers
    for classes that have names, of which it has `classes` where its outputs do not show it.

    Raises:
        ValueError: where there are none, or the network cannot take them, returns something else
            than the labels ask for, or has fewer classes than they, or others.
    """
    if not len(test):
        raise ValueError("images must be >= 1, got 0")
    skeleton = skeleton_of(model)
    state = state_of(skeleton)
    output = outputs(skeleton, Chip(state), taken(test.part(0, 2).inputs, state, scale))
    task = TASKS[test.task]
    known = None if task.classes is None else task.classes(output)
    test = fitted_to(test, known or classes)
    task.check(output, test)
    return test


def check_classes(test: Split, classes: int) -> None:
    """Raise ValueError for labels of a class that a network of `classes` classes does not know,
    where its outputs do not show it (`check_fits`)."""
    if not TASKS[test.task].shows_classes:
        check_top(test, classes)
