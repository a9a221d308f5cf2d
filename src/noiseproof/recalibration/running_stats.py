"""Running statistics in a state, and the batches that they are taken on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import I, count, device_of_inputs, rows, tensors
from noiseproof.core.rng import stream
from noiseproof.network import Moments, State, double, is_batch_norm

MAX_PIXELS = 2**22  # of all images in one batch: about 4,100 of 32x32, 83 of 224x224


def running_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with running statistics, by name; torchvision's FrozenBatchNorm2d is one."""
    return {
        name: module
        for name, module in model.named_modules()
        if is_batch_norm(module) and module.running_mean is not None
    }


def _keys(name: str) -> tuple[str, str]:
    prefix = f"{name}." if name else ""
    return f"{prefix}running_mean", f"{prefix}running_var"


def private(state: Mapping[str, Tensor], layers: Mapping[str, nn.Module]) -> State:
    """`state` with running statistics of its own in the named layers; the rest is shared."""
    return {**state, **{key: state[key].clone() for name in layers for key in _keys(name)}}


def held(state: Mapping[str, Tensor], name: str) -> Moments:
    """The running statistics of the layer `name`, in float64, as if of one value."""
    # `values` carries no weight here: blending and moving averages are given their shares.
    mean, var = (double(state[key]) for key in _keys(name))
    return Moments(values=1, mean=mean, var=var)


def put_(state: State, name: str, moments: Moments) -> None:
    """Write the running statistics of the layer `name` into its tensors in `state`.

    A network that is running with `state` normalises with them at once.
    """
    mean, var = (state[key] for key in _keys(name))
    # In place, not a new entry: the pass under way holds these very tensors.
    mean.copy_(moments.mean)
    var.copy_(moments.var)


@contextmanager
def watching(layers: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside the block `see(name, input)` is called just before each layer runs.

    A layer that gets no value at all (a detector's head without a proposal) is not reported.
    """

    def before(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = args[0] if args else next(iter(kwargs.values()))  # (N, C, *positions)
        if x.numel():
            see(name, x)

    hooks = [
        module.register_forward_pre_hook(partial(before, name), with_kwargs=True)
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def batches_of(images: I, batch_size: int | None = None) -> list[I]:
    """The inputs (N, ...) whole where they fit, else in equal parts of a fixed random order.

    `batch_size` images fit, or for None as many as `MAX_PIXELS` allows.

    Raises:
        ValueError: without images.
    """
    n = count(images)
    if n == 0:
        raise ValueError("recalibration needs at least 1 image, got 0")
    pixels = max(_pixels(tensor) for tensor in tensors(images))
    fits = batch_size or max(2, MAX_PIXELS // pixels)
    if n <= fits:
        return [images]
    # Shuffled, since images sorted by class would make batches of one class each. Drawn on the CPU,
    # so that every device gets the same batches.
    order = torch.randperm(n, generator=stream(0, "recalibration order"))
    # Parts of one size, but for one image: a short last batch would have the noisiest statistics.
    parts = order.to(device_of_inputs(images)).tensor_split(-(-n // fits))
    return [rows(images, part) for part in parts]


def _pixels(tensor: Tensor) -> int:
    """The positions of one sample: height x width of an image, 1 of a vector."""
    # (N, C, *positions); a vector (N, C) has one.
    return max(1, tensor[0, 0].numel()) if tensor.dim() > 2 else 1
