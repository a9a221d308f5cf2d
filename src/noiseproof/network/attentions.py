"""torch's attention with something at the products of its projections.

Its own forward computes projections, attention and output in one call. Here the projections are
products of their own, biases come behind them, and the rest is torch's, with projections that
change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.network.linear_maps import Kind, LinearMap
from noiseproof.network.plain import Plain, Product

PARTS = ("query", "key", "value")


class _Projection(nn.Module):
    """A linear layer without a bias around a kernel that is there."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        # The chip's own tensor, which need be no parameter.
        self._parameters["weight"] = cast(nn.Parameter, weight)

    def forward(self, input: Tensor) -> Tensor:
        weight = self._parameters["weight"]
        assert weight is not None
        return F.linear(input, weight)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Projections:
    """The projections of one attention; those without a product are exact."""

    layer: nn.MultiheadAttention
    maps: Mapping[str, LinearMap]  # by the part of the layer: in_proj, q_proj, ..., out_proj
    products: Mapping[str, Product]

    def of(self, part: str, weight: Tensor, x: Tensor) -> Tensor:
        """x (..., inputs) through a projection, without its bias."""
        if part not in self.products:
            return F.linear(x, weight)
        inner = _Projection(weight)
        given = signature(inner.forward).bind(x)
        linear_map = replace(self.maps[part], kind=Kind.LINEAR, inputs=("input",), inside=False)
        return self.products[part](linear_map, (x,), Plain(inner, ("input",), given, inner.forward))

    def inputs(self, given: Mapping[str, Tensor]) -> list[Tensor]:
        """Query, key and value as attention takes them, projected and with their biases."""
        tensors = self.layer._parameters
        bias = tensors["in_proj_bias"]
        biases = [None] * 3 if bias is None else list(bias.chunk(3))
        together = tensors["in_proj_weight"]
        if together is None:
            weights = [_held(tensors[f"{part[0]}_proj_weight"]) for part in PARTS]
            found = [
                self.of(f"{part[0]}_proj", weight, given[part])
                for part, weight in zip(PARTS, weights, strict=True)
            ]
        else:
            # One array: what is the same input goes through it once, as in self-attention.
            by_input = {id(x): x for x in given.values()}
            made = {i: self.of("in_proj", together, x).chunk(3, -1) for i, x in by_input.items()}
            found = [made[id(given[part])][place] for place, part in enumerate(PARTS)]
        return [y if b is None else y + b for y, b in zip(found, biases, strict=True)]

    def output(self, y: Tensor) -> Tensor:
        """What attention returns for the values that it has mixed."""
        tensors = self.layer.out_proj._parameters
        bias = tensors["bias"]
        found = self.of("out_proj", _held(tensors["weight"]), y)
        return found if bias is None else found + bias


def attended(
    layer: nn.MultiheadAttention,
    maps: Mapping[str, LinearMap],
    products: Mapping[str, Product],
    *args: Any,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """What `layer` returns with products at the maps of these names."""
    call = signature(nn.MultiheadAttention.forward).bind(layer, *args, **kwargs)
    call.apply_defaults()
    given = call.arguments
    parts = {name: name.rpartition(".")[2] for name in products}
    projections = _Projections(
        layer=layer,
        maps={parts[name]: maps[name] for name in products},
        products={parts[name]: product for name, product in products.items()},
    )
    inputs = projections.inputs({part: given[part] for part in PARTS})
    turned = layer.batch_first and inputs[0].dim() == 3  # samples in front
    if turned:
        inputs = [x.transpose(0, 1) for x in inputs]
    nothing = torch.eye(layer.embed_dim, dtype=inputs[0].dtype, device=inputs[0].device)
    query, key, value = inputs
    mixed, weights = F.multi_head_attention_forward(
        query,
        key,
        value,
        layer.embed_dim,
        layer.num_heads,
        None,
        None,
        layer.bias_k,
        layer.bias_v,
        layer.add_zero_attn,
        layer.dropout,
        nothing,
        None,
        training=layer.training,
        key_padding_mask=given["key_padding_mask"],
        need_weights=given["need_weights"],
        attn_mask=given["attn_mask"],
        use_separate_proj_weight=True,
        q_proj_weight=nothing,
        k_proj_weight=nothing,
        v_proj_weight=nothing,
        average_attn_weights=given["average_attn_weights"],
        is_causal=given["is_causal"],
    )
    return projections.output(mixed.transpose(0, 1) if turned else mixed), weights


def _held(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
