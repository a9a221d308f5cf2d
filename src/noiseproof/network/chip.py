"""A chip: the state of a network, and what happens at each matrix-vector product of each layer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import BoundArguments, signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from noiseproof.core.inputs import Inputs, as_call, map_tensors, shapes
from noiseproof.network.linear_maps import LinearMap, linear_maps
from noiseproof.network.padding import padded
from noiseproof.network.state import State


@dataclass(frozen=True, eq=False)
class Plain:
    """The product of `layer` with its kernel, of any inputs, without its bias: what an exact array
    does. May be called several times, or not at all, and with another kernel in that one's place
    (as with squares, for the variance of a product)."""

    layer: nn.Module
    _inputs: tuple[str, ...]
    _given: BoundArguments
    _forward: Callable[..., Tensor]
    _kernel: Tensor | None = None

    @property
    def kernel(self) -> Tensor:
        """What the array holds. It is the chip's own tensor that stands in the layer, not the
        skeleton's: `outputs` runs by functional_call."""
        weight = self.layer._parameters["weight"]
        assert weight is not None
        return weight if self._kernel is None else self._kernel

    def with_kernel(self, kernel: Tensor) -> "Plain":
        """The product with another kernel, as a part of the layer's for a part of its inputs."""
        return replace(self, _kernel=kernel)

    def __call__(self, *inputs: Any, kernel: Tensor | None = None) -> Tensor:
        self._given.arguments.update(zip(self._inputs, inputs, strict=True))
        # Taken away and given back rather than subtracted afterwards, which would round.
        held = dict(self.layer._parameters)
        if held.get("bias") is not None:
            self.layer._parameters["bias"] = None
        # Typed as a parameter; a plain tensor has all of one that a forward uses.
        used = self.kernel if kernel is None else kernel
        self.layer._parameters["weight"] = cast(nn.Parameter, used)
        try:
            return self._forward(*self._given.args, **self._given.kwargs)
        finally:
            self.layer._parameters.update(held)


Product = Callable[[LinearMap, tuple[Any, ...], Plain], Tensor]
"""(the map, the inputs that feed it, its plain product) -> the outputs. So what stands in front of
an array changes the inputs, and what stands behind it the outputs; the bias is digital and is
added afterwards."""


@dataclass(frozen=True, eq=False)
class Chip:
    """One simulated device: the tensors that it stores, and by name of a linear map what happens
    at its products; elsewhere they are exact. `gains`: by name of a kernel the digital factors (C,)
    or (1,) behind its array. They are in its tensor already; what happens at its products has to
    come in front of them."""

    state: State
    products: Mapping[str, Product] = field(default_factory=dict)
    gains: Mapping[str, Tensor] = field(default_factory=dict)


class StopForward(Exception):  # noqa: N818  # not an error: a hook has seen what it wanted
    """Raised in a hook to end a pass early; `outputs` lets it through."""


def outputs(skeleton: nn.Module, chip: Chip, x: Inputs) -> Any:
    """What `skeleton` returns for the inputs x (N, ...) on `chip`: logits (N, C) of a classifier,
    and whatever a detector or a segmenter returns. A tuple of tensors goes in as positional
    arguments, a dict as keyword arguments.

    A skeleton from `skeleton_of` is in evaluation mode. Tied tensors stay tied, and x is left as it
    is whatever the network does with it.

    Raises:
        ValueError: where the network cannot take such inputs, or the chip has a product at a layer
            where none can be.
    """
    # A copy: a network may write into what it gets, and the next chip has to see the same.
    args, kwargs = as_call(map_tensors(x, Tensor.clone))
    with at_products(skeleton, chip.products), padded(skeleton):
        try:
            with torch.no_grad():
                return functional_call(skeleton, chip.state, args, kwargs)
        except StopForward:
            raise
        except Exception as error:  # whatever the user's own network does with these inputs
            reason = (str(error) or type(error).__name__).splitlines()[0]
            where = f"inputs of shape {shapes(x)}"
            raise ValueError(f"the network fails on {where}: {reason}") from error


def at_products(
    model: nn.Module, products: Mapping[str, Product]
) -> AbstractContextManager[object]:
    """Inside the block the named linear maps of `model`, a private one, go through `products`.

    Raises:
        ValueError: for a name of no linear map, or one that is not open (see `LinearMap.is_open`).
    """
    return _converting(model, products) if products else nullcontext()


@contextmanager
def _converting(model: nn.Module, products: Mapping[str, Product]) -> Iterator[None]:
    maps = linear_maps(model)  # before the first forward is replaced, which `is_open` would see
    for name in products:
        if name not in maps or not maps[name].is_open:
            raise ValueError(
                f"a product must be at a layer that is one linear map and its bias, got {name!r}: "
                "leave that one exact"
            )
    layers = {name: model.get_submodule(maps[name].layer) for name in products}
    hooks = []
    for name, layer in layers.items():
        layer.forward = partial(_converted, layer, maps[name], products[name], layer.forward)
        # torch's transformer layers pass by the forwards inside them where nothing hooks in
        hooks.append(layer.register_forward_pre_hook(lambda module, args: None))
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward  # is_open: it had none of its own
        for hook in hooks:
            hook.remove()


def _converted(
    layer: nn.Module,
    linear_map: LinearMap,
    product: Product,
    forward: Callable[..., Tensor],
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """What the layer returns: its product on the chip, then its bias."""
    given = signature(forward).bind(*args, **kwargs)
    inputs = tuple(given.arguments[name] for name in linear_map.inputs)
    y = product(linear_map, inputs, Plain(layer, linear_map.inputs, given, forward))
    bias = layer._parameters.get("bias")
    return y if bias is None else y + bias.view(-1, *[1] * (-1 - linear_map.axis))
