"""A network on a test split -> a score, by the split's task."""

import torch
from torch import nn

from noiseproof.core.device import device_of
from noiseproof.data.splits import Split, scaled
from noiseproof.network.state import outputs, skeleton_of, state_of
from noiseproof.specs.catalog import PixelScale
from noiseproof.tasks.table import TASKS, Result

BATCH_SIZES = {"classify": 250, "detect": 8, "segment": 16}  # images in one forward pass
CPU_BATCH_SIZES = {**BATCH_SIZES, "classify": 50}  # small images stay in the caches: see LOG.md


def usual_batch(task: str, device: torch.device) -> int:
    """How many images pass at once where nobody says otherwise."""
    sizes = CPU_BATCH_SIZES if device.type == "cpu" else BATCH_SIZES
    return sizes.get(task, sizes["classify"])


def evaluate(model: nn.Module, test: Split, *, scale: PixelScale, batch_size: int) -> Result:
    """The score of `model` on `test`, in evaluation mode; `model` is left as it is."""
    skeleton = skeleton_of(model)
    state = state_of(skeleton)
    device = device_of(state)
    return TASKS[test.task].evaluate(
        lambda images: outputs(skeleton, state, scaled(images.to(device), scale)),
        test,
        batch_size,
    )


def check_fits(model: nn.Module, test: Split, scale: PixelScale) -> None:
    """Run two of the images through a copy of `model`.

    Raises:
        ValueError: where there are none, or the network cannot take them, returns something else
            than the labels ask for, or has fewer classes than they.
    """
    if not len(test):
        raise ValueError("images must be >= 1, got 0")
    skeleton = skeleton_of(model)
    state = state_of(skeleton)
    output = outputs(skeleton, state, scaled(test.inputs[:2].to(device_of(state)), scale))
    TASKS[test.task].check(output, test)


def check_classes(test: Split, classes: int) -> None:
    """Raise ValueError for boxes of a class that a network of `classes` classes does not know,
    which a detector's outputs do not show."""
    if test.task == "detect" and test.top_class >= classes:
        raise ValueError(
            f"the labels go up to {test.top_class}, the network knows {classes} classes"
        )
