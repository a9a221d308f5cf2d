"""Linear maps whose noise has other signs for every image of a batch, at the cost of one more pass.

For a kernel whose noise N image i sees as N * (s_i r_i^T): y_i = W x_i + s_i * (N (x_i * r_i)).
Source: Wen, Vicol, Ba, Tran, Grosse, "Flipout", 2018.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noiseproof.network import Kind, layout_of, output_axis
from noiseproof.noise.flipped_norms import affine_of
from noiseproof.noise.signs import Flip, Layer, along, by_rows


def _linear_map(
    forward: Callable[[], Tensor],
    again: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    *,
    axis: int,
    weight: Flip | None,
    bias: Flip | None,
    input_first: bool = False,
) -> Tensor:
    """The output of `forward` plus the noise: `again(inputs, kernel)` is the map without bias,
    channels lie on `axis`, and `input_first` kernels have their inputs on axis 0."""
    extra = None
    if weight is not None:
        assert weight.second is not None
        signs = (weight.first, weight.second)
        outer, inner = signs[::-1] if input_first else signs  # (n, C_out), (n, C_in)
        # The bias does not pass twice: `again` is without it.
        extra = again(x * along(inner, x, axis), weight.noise)
    y = forward()  # after `extra`, so that the flipped inputs are already freed
    if extra is not None:
        # In place on a tensor that nobody else has yet.
        y.addcmul_(extra, along(outer, y, axis))
    if bias is not None:
        y.add_(along(bias.first * bias.noise, y, axis))
    return y


def _map(again: Callable[..., Tensor]) -> Layer:
    """A layer of one input; `again(module, inputs, kernel, *options)` is its map without bias."""

    def layer(
        module: Any,
        forward: Layer,
        flips: Mapping[str, Flip],
        input: Tensor,
        *options: Any,
        **kw: Any,
    ) -> Tensor:
        # Without a batch, which torch allows, axis 0 would be channels and take the images' signs.
        if input.dim() < 1 - output_axis(module):
            raise ValueError(f"a layer with noise must get a batch, got {tuple(input.shape)}")
        return _linear_map(
            partial(forward, input, *options, **kw),
            lambda x, kernel: again(module, x, kernel, *options, **kw),
            input,
            axis=output_axis(module),
            weight=flips.get("weight"),
            bias=flips.get("bias"),
            input_first=layout_of(module).input_first,
        )

    return layer


def _conv(m: Any, x: Tensor, kernel: Tensor) -> Tensor:
    y: Tensor = m._conv_forward(x, kernel, None)
    return y


def _transposed(m: Any, x: Tensor, kernel: Tensor, output_size: list[int] | None = None) -> Tensor:
    dims = len(m.kernel_size)
    # As in torch's forward: these classes have no `_conv_forward` that would take another kernel.
    edge = m._output_padding(x, output_size, m.stride, m.padding, m.kernel_size, dims, m.dilation)
    convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
    return convolve(x, kernel, None, m.stride, m.padding, edge, m.groups, m.dilation)


def _embedding(module: Any, forward: Layer, flips: Mapping[str, Flip], input: Tensor) -> Tensor:
    if module.max_norm is not None:
        raise ValueError(
            "an embedding with max_norm rescales its rows: flipped noise is not linear"
        )
    weight = flips["weight"]
    assert weight.second is not None
    y: Tensor = forward(input)
    # A look-up is the product with a one-hot vector: r_i is the sign of the word, which the image's
    # own row of the table has, and s_i that of the column.
    extra = F.embedding(input, weight.noise).mul_(along(weight.second, y, -1))
    # (n, words of an image): axis 0 of the kernel are the words, and each has its sign.
    words = by_rows(weight.first, input).gather(1, input.reshape(len(input), -1).long())
    return y.addcmul_(extra, words.view(*input.shape, 1).to(y.dtype))


# --- attention -----------------------------------------------------------------------------------


def _attention(
    module: Any,
    forward: Layer,
    flips: Mapping[str, Flip],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,  # a hint: `attn_mask` says it too
) -> tuple[Tensor, Tensor | None]:
    if query.dim() != 3:
        raise ValueError(f"attention with noise must get a batch, got {tuple(query.shape)}")
    # torch's attention is one call that takes the weights whole, so it is written out: four noisy
    # products, and between them the softmax, as in Vaswani et al. 2017.
    q, k, v = _projected(module, flips, query, key, value)  # each (n, tokens, channels)
    # After the projection and before the heads, as torch does: such a token has no product.
    k, v = (_extended(module, flips, t, name) for t, name in ((k, "bias_k"), (v, "bias_v")))
    q, k, v = (t.reshape(*t.shape[:2], module.num_heads, -1).transpose(1, 2) for t in (q, k, v))
    mask = _mask(q, k, attn_mask, key_padding_mask)
    weights = None
    if need_weights:
        weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + mask, dim=-1)
        y = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out, y = module.out_proj, y.transpose(1, 2).flatten(2)
    wanted = (flips.get("out_proj.weight"), flips.get("out_proj.bias"))
    y = _project(y, out.weight, out.bias, *wanted)
    return (y if module.batch_first else y.transpose(0, 1)), weights


def _project(
    x: Tensor, weight: Tensor, bias: Tensor | None, noise: Flip | None, shift: Flip | None
) -> Tensor:
    plain = partial(F.linear, x, weight, bias)
    return _linear_map(plain, F.linear, x, axis=-1, weight=noise, bias=shift)


def _projected(module: Any, flips: Mapping[str, Flip], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value behind their projections, images on axis 0."""
    same = inputs[0] is inputs[1] is inputs[2]
    turned = [x if module.batch_first else x.transpose(0, 1) for x in inputs]
    bias, shift = module.in_proj_bias, flips.get("in_proj_bias")
    noise = flips.get("in_proj_weight")
    # One product for all three, as torch has it; the signs of the inputs are common to them.
    if same and module.in_proj_weight is not None:
        return _project(turned[0], module.in_proj_weight, bias, noise, shift).chunk(3, -1)
    found = []
    for place, (x, name) in enumerate(zip(turned, "qkv", strict=True)):
        rows = slice(place * module.embed_dim, (place + 1) * module.embed_dim)
        weight, of_weight = getattr(module, f"{name}_proj_weight"), flips.get(f"{name}_proj_weight")
        if module.in_proj_weight is not None:
            # Outputs of the packed kernel are its rows: a third keeps its own s_i, and all of r_i.
            weight, of_weight = module.in_proj_weight[rows], noise and noise.part(rows)
        own = None if bias is None else bias[rows]
        found.append(_project(x, weight, own, of_weight, shift and shift.part(rows)))
    return tuple(found)


def _extended(module: Any, flips: Mapping[str, Flip], x: Tensor, name: str) -> Tensor:
    """x (n, tokens, channels) with the tokens that the module itself adds to keys or values."""
    extra = affine_of(module, flips, name)  # (n or 1, 1, 1, channels)
    if extra is not None:
        rows = by_rows(extra[:, 0], x) if len(extra) > 1 else extra[:, 0].expand(len(x), -1, -1)
        x = torch.cat([x, rows], dim=1)
    return F.pad(x, (0, 0, 0, 1)) if module.add_zero_attn else x


def _mask(q: Tensor, k: Tensor, attention: Tensor | None, padding: Tensor | None) -> Tensor:
    """What is added to the scores, (n or 1, heads or 1, queries or 1, keys); the tokens that the
    module adds are never masked."""
    total = q.new_zeros(1, 1, 1, k.shape[2])
    if attention is not None and attention.dim() == 3:
        # (n * heads, queries, keys), as torch takes it -> (n, heads, queries, keys)
        attention = attention.reshape(-1, q.shape[1], *attention.shape[1:])
    for mask in (attention, None if padding is None else padding[:, None, None]):
        if mask is not None:
            if mask.dtype == torch.bool:
                # True means masked in nn.MultiheadAttention and kept in
                # scaled_dot_product_attention; added to scores there is no doubt.
                mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, float("-inf"))
            total = total + F.pad(mask, (0, k.shape[2] - mask.shape[-1]))
    return total


LINEAR: dict[Kind, Layer] = {
    Kind.CONVOLUTION: _map(_conv),
    Kind.TRANSPOSED: _map(_transposed),
    Kind.LINEAR: _map(lambda m, x, kernel: F.linear(x, kernel)),
    Kind.EMBEDDING: _embedding,
    Kind.ATTENTION: _attention,
}
