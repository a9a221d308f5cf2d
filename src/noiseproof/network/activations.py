"""Where activations can be looked at: the outputs of analog and of normalisation layers."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from noiseproof.network.linear_maps import linear_maps
from noiseproof.network.norms import is_norm

Key = tuple[str, int]  # a layer's name, and which of its calls in a pass, from 1
See = Callable[[Key, Tensor], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """A layer whose outputs are looked at, with the `axis` of their channels. `role`: analog for
    an owner of kernel weights, norm for a normalisation layer."""

    module: nn.Module
    role: str
    axis: int


def sites_of(model: nn.Module) -> dict[str, Site]:
    """The layers that own kernel weights, and the normalisation layers, by name."""
    analog = {one.layer: one.axis for one in linear_maps(model).values()}
    found = {}
    for name, module in model.named_modules():
        shape = getattr(module, "normalized_shape", None)  # LayerNorm, RMSNorm and their like
        if isinstance(shape, tuple):
            axis = 1 if "2d" in type(module).__name__ else -len(shape)  # LayerNorm2d, of ConvNeXt
            found[name] = Site(module=module, role="norm", axis=axis)
        elif is_norm(module):
            found[name] = Site(module=module, role="norm", axis=1)
        elif name in analog:
            found[name] = Site(module=module, role="analog", axis=analog[name])
    return found


@contextmanager
def listening(skeleton: nn.Module, see: See) -> Iterator[None]:
    """Inside the block, which is one pass, `see(key, output (N, C, *positions))` is called after
    each call of each site; of several tensors it gets the first. Not where there is no value at
    all (a detector's head without a proposal). The tensor is the network's own: later layers may
    write into it."""
    calls: Counter[str] = Counter()

    def after(name: str, axis: int, module: nn.Module, args: object, output: Any) -> None:
        # Before the output is looked at, so that a call without values keeps its number.
        calls[name] += 1
        # (output, weights) of an attention, (output, state) of an LSTM.
        y = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(y, Tensor) and y.numel() and y.dim():
            # `axis` may count from either end: in front of the channels
            # there has to be one axis at least.
            y = y if y.dim() >= max(1 - axis, 1 + axis) else y[None]  # without a batch
            see((name, calls[name]), y.movedim(axis, 1))

    hooks = [
        site.module.register_forward_hook(partial(after, name, site.axis))
        for name, site in sites_of(skeleton).items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
