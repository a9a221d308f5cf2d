"""What each layer costs: its weights, and the products that one image needs with them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from noiseproof.core.inputs import Inputs, count
from noiseproof.network.linear_maps import Kind, kind_of, linear_maps
from noiseproof.network.products import Products, products_of
from noiseproof.network.state import State


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`weights`: the elements of a layer's kernels. `macs`: the multiply-accumulates with them in
    the forward pass of one image, which is what an array that holds them computes: without biases
    and without products of activations with each other (attention scores)."""

    weights: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a network computes for one input: the cost of each of its kernels, by name in a state,
    without tables that are only looked up. `made`: of weights that are no kernel by themselves, by
    the names of the tensors that they are made of (see `Products`); buffers too. `between`:
    products of activations with each other, as attention scores, which no array holds."""

    kernels: Mapping[str, Cost]
    made: Mapping[tuple[str, ...], Cost]
    between: int


def costs_of(skeleton: nn.Module, state: State, example: Inputs) -> dict[str, Cost]:
    """The cost of every layer that owns kernels, by module name, for inputs like `example`
    (N, ...); where its macs are no multiple of N, the mean is rounded.

    An `nn.MultiheadAttention` is one layer, its output projection included. A kernel that stands
    in several places counts once, in its first layer, with the products of all its places. A
    layer that the pass does not call has 0 macs, an embedding looks up and has 0 too.

    Of torch's own layers the calls are counted, not the operators: `torch.utils.flop_counter`
    (torch 2.14) sees 0 in attention on its fast path, in LSTMs on the CPU and in bilinear layers.
    Of layers of other classes it is the operators that take their kernels (`products`).

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    return _costs(skeleton, state, example)[0]


def work_of(skeleton: nn.Module, state: State, example: Inputs) -> Work:
    """What `skeleton` computes for inputs like `example` (N, ...), kernel by kernel: of a layer
    with several each has its share by its weights. Errors as `costs_of`."""
    costs, products = _costs(skeleton, state, example)
    first: dict[str, str] = {}
    tables = set()
    for one in linear_maps(skeleton).values():
        first.setdefault(one.weight, one.layer)
        if one.role != "kernel":
            tables.add(one.weight)
    kernels = {}
    for name, layer in first.items():
        size, whole = state[name].numel(), costs[layer]
        if name not in tables:
            share = round(whole.macs * size / whole.weights) if whole.weights else 0
            kernels[name] = Cost(weights=size, macs=share)
    made = {names: Cost(weights=n, macs=macs) for names, (n, macs) in products.made.items()}
    for name, use in products.uses.items():
        if name not in first:
            made[(name,)] = Cost(weights=state[name].numel(), macs=use.macs)
    return Work(kernels=kernels, made=made, between=products.between)


def _costs(skeleton: nn.Module, state: State, example: Inputs) -> tuple[dict[str, Cost], Products]:
    weights, owner = _kernels(skeleton, state)
    macs: Counter[str] = Counter()

    def see(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        # By position, however the network passes them: `_macs` reads inputs[0], [1], [2].
        given = signature(module.forward).bind(*args, **kwargs).arguments
        macs[name] += _macs(module, list(given.values()), output)

    hooks = [
        skeleton.get_submodule(layer).register_forward_hook(partial(see, name), with_kwargs=True)
        for layer, name in owner.items()
    ]
    try:
        products = products_of(skeleton, state, example)
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in _uncounted(skeleton).items():
        if name in products.uses:
            macs[layer] += products.uses[name].macs * count(example)
    costs = {
        name: Cost(weights=size, macs=round(macs[name] / count(example)))
        for name, size in weights.items()
    }
    return costs, products


def _uncounted(skeleton: nn.Module) -> dict[str, str]:
    """The kernels of which no layer's call says what it computes, with their first layers."""
    maps = linear_maps(skeleton).values()
    counted = {one.weight for one in maps if one.kind in MACS}
    return {one.weight: one.layer for one in reversed(list(maps)) if one.weight not in counted}


def _kernels(skeleton: nn.Module, state: State) -> tuple[dict[str, int], dict[str, str]]:
    """The elements of each layer's kernels, and for every layer with kernels the one that its
    products count in: itself, or the first one that has the same kernel."""
    weights: Counter[str] = Counter()
    first: dict[str, str] = {}
    owner: dict[str, str] = {}
    for one in linear_maps(skeleton).values():
        if one.weight not in first:
            first[one.weight] = one.layer
            weights[one.layer] += state[one.weight].numel()
        # Of a layer with several kernels the first decides.
        owner.setdefault(one.layer, first[one.weight])
    return dict(weights), owner


# --- the products of one call of a layer -------------------------------------------------------


def _macs(module: nn.Module, inputs: list[Any], output: Any) -> int:
    kind = kind_of(module)
    return MACS[kind](module, inputs, output) if kind in MACS else 0


def _convolution(conv: _ConvNd, inputs: list[Tensor], output: Tensor) -> int:
    # numel / C_out = images times places, each of which takes every weight once; groups are in
    # weight.numel(), whose axis 1 is C_in / groups.
    return output.numel() // conv.out_channels * conv.weight.numel()


def _transposed(conv: _ConvTransposeNd, inputs: list[Tensor], output: Tensor) -> int:
    # Turned round: here every input place takes every weight once.
    return inputs[0].numel() // conv.in_channels * conv.weight.numel()


def _rows(layer: nn.Linear | nn.Bilinear, inputs: list[Tensor], output: Tensor) -> int:
    # The axes in front of the last, tokens say, are rows like images.
    return output.numel() // layer.out_features * layer.weight.numel()


def _recurrent(layer: nn.RNNBase | nn.RNNCellBase, inputs: list[Any], output: Any) -> int:
    """Every step of every sequence takes each weight once, on all levels and in both directions."""
    steps: int = inputs[0].data.numel() // layer.input_size  # a PackedSequence has .data too
    kernels = [p for name, p in layer.named_parameters(recurse=False) if "bias" not in name]
    return steps * sum(p.numel() for p in kernels)


def _attention(layer: nn.MultiheadAttention, inputs: list[Any], output: Any) -> int:
    query, key, value = inputs[:3]
    elements: int = query.numel() + key.numel() + value.numel() + query.numel()  # last: out_proj
    width: int = layer.embed_dim  # each element of an input meets a row of so many weights
    return elements * width


MACS: dict[Kind | None, Callable[..., int]] = {  # of the others none: an embedding looks up
    Kind.CONVOLUTION: _convolution,
    Kind.TRANSPOSED: _transposed,
    Kind.LINEAR: _rows,
    Kind.BILINEAR: _rows,
    Kind.RECURRENT: _recurrent,
    Kind.CELL: _recurrent,
    Kind.ATTENTION: _attention,
}
