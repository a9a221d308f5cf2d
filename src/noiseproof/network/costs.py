"""What each layer costs: its weights, and the products that one image needs with them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from noiseproof.core.inputs import Inputs, count
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.linear_maps import Kind, kind_of, linear_maps
from noiseproof.network.state import State


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`weights`: the elements of a layer's kernels. `macs`: the multiply-accumulates with them in
    the forward pass of one image, which is what an array that holds them computes: without biases
    and without products of activations with each other (attention scores)."""

    weights: int
    macs: int


def costs_of(skeleton: nn.Module, state: State, example: Inputs) -> dict[str, Cost]:
    """The cost of every layer that owns kernels, by module name, for inputs like `example`
    (N, ...); where its macs are no multiple of N, the mean is rounded.

    An `nn.MultiheadAttention` is one layer, its output projection included. A kernel that stands
    in several places counts once, in its first layer, with the products of all its places. A
    layer that the pass does not call has 0 macs, an embedding looks up and has 0 too.

    Counted are the calls of the layers, not torch's operators: `torch.utils.flop_counter` (torch
    2.14) sees 0 in attention on its fast path, in LSTMs on the CPU and in bilinear layers.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
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
        outputs(skeleton, Chip(state), example)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: Cost(weights=size, macs=round(macs[name] / count(example)))
        for name, size in weights.items()
    }


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
