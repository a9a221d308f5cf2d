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
from noiseproof.network.state import outputs, places


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`weights`: the elements of a layer's kernels. `macs`: the multiply-accumulates with them in
    the forward pass of one image, which is what an array that holds them computes: without biases
    and without products of activations with each other (attention scores)."""

    weights: int
    macs: int


def costs_of(skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs) -> dict[str, Cost]:
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
    weights, owner = _kernels(skeleton)
    macs: Counter[str] = Counter()

    def see(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = signature(module.forward).bind(*args, **kwargs).arguments
        macs[name] += _macs(module, list(given.values()), output)

    hooks = [
        module.register_forward_hook(partial(see, name), with_kwargs=True)
        for module, name in owner.items()
    ]
    try:
        outputs(skeleton, state, example)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: Cost(weights=size, macs=round(macs[name] / count(example)))
        for name, size in weights.items()
    }


def _kernels(skeleton: nn.Module) -> tuple[dict[str, int], dict[nn.Module, str]]:
    """The elements of each layer's kernels, and for every module with kernels the layer that it
    counts in: its own, or the first one that has the same kernel."""
    roles = places(skeleton)
    inside = {
        f"{name}.out_proj" if name else "out_proj": name
        for name, module in skeleton.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    weights: Counter[str] = Counter()
    first: dict[int, str] = {}
    owner: dict[nn.Module, str] = {}
    for name, module in skeleton.named_modules():
        layer = inside.get(name, name)
        for local, tensor in module._parameters.items():
            full = f"{name}.{local}" if name else local
            if tensor is not None and full in roles and roles[full].role == "kernel":
                weights[layer] += tensor.numel()
                first[id(tensor)] = layer
            if id(tensor) in first:
                owner.setdefault(module, first[id(tensor)])
    return dict(weights), owner


# --- the products of one call of a layer -------------------------------------------------------


def _macs(module: nn.Module, inputs: list[Any], output: Any) -> int:
    counts = (count for cls, count in MACS.items() if isinstance(module, cls))
    return next(counts, _none)(module, inputs, output)


def _none(layer: nn.Module, inputs: list[Any], output: Any) -> int:
    return 0


def _convolution(conv: _ConvNd, inputs: list[Tensor], output: Tensor) -> int:
    return output.numel() // conv.out_channels * conv.weight.numel()


def _transposed(conv: _ConvTransposeNd, inputs: list[Tensor], output: Tensor) -> int:
    return inputs[0].numel() // conv.in_channels * conv.weight.numel()


def _rows(layer: nn.Linear | nn.Bilinear, inputs: list[Tensor], output: Tensor) -> int:
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


MACS: dict[type[nn.Module], Callable[..., int]] = {  # the first that fits
    _ConvTransposeNd: _transposed,
    _ConvNd: _convolution,
    nn.Linear: _rows,
    nn.Bilinear: _rows,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _recurrent,
    nn.MultiheadAttention: _attention,
}
