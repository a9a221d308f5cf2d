"""A chip: the state of a network, and what happens at each matrix-vector product of each layer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from noiseproof.core.inputs import Inputs, as_call, map_tensors, shapes
from noiseproof.network.attentions import attended
from noiseproof.network.linear_maps import Kind, LinearMap, linear_maps
from noiseproof.network.padding import padded
from noiseproof.network.plain import Plain as Plain
from noiseproof.network.plain import Product as Product
from noiseproof.network.state import State


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
    at: dict[str, dict[str, Product]] = {}  # by layer: an attention has several maps
    for name, product in products.items():
        at.setdefault(maps[name].layer, {})[name] = product
    hooks = []
    for layer_name, its in at.items():
        layer = model.get_submodule(layer_name)
        layer.forward = _forward_of(layer, maps, its)
        # torch's transformer layers pass by the forwards inside them where nothing hooks in
        hooks.append(layer.register_forward_pre_hook(lambda module, args: None))
    try:
        yield
    finally:
        for layer_name in at:
            del model.get_submodule(layer_name).forward  # is_open: it had none of its own
        for hook in hooks:
            hook.remove()


def _forward_of(
    layer: nn.Module, maps: Mapping[str, LinearMap], products: Mapping[str, Product]
) -> Callable[..., Any]:
    """What a layer runs with something at its products."""
    (name, product), *_ = products.items()
    if maps[name].kind is Kind.ATTENTION:
        assert isinstance(layer, nn.MultiheadAttention)
        return partial(attended, layer, maps, products)
    return partial(_converted, layer, maps[name], product, layer.forward)


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
