"""Layers whose noise has other signs for every image of a batch, at the cost of one more pass.

For a kernel whose noise N image i sees as N * (s_i r_i^T): y_i = W x_i + s_i * (N (x_i * r_i)).
Source: Wen, Vicol, Ba, Tran, Grosse, "Flipout", 2018.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.network import (
    Kind,
    ScaledBatchNorm,
    is_plain,
    kind_of,
    layout_of,
    output_axis,
    runs_as,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flip:
    """The noise of one tensor and the signs, int8, under which each of n images sees it.

    A kernel (d0, d1, ...) has `first` (n, d0) and `second` (n, groups * d1): element (a, b, ...)
    of image i's noise is noise[a, b, ...] * first[i, a] * second[i, g * d1 + b], g the group of
    a. So in a grouped convolution both axes count the channels of all groups. Without `second`,
    `first` (n, *noise.shape) holds a sign for every element.
    """

    noise: Tensor
    first: Tensor
    second: Tensor | None = None

    def of_image(self, i: int) -> Tensor:
        """The literal noise of image i, in the shape of `noise`."""
        if self.second is None:
            return self.noise * self.first[i]
        d0, d1, *rest = self.noise.shape
        groups = self.second.shape[1] // d1
        inner = self.second[i].view(groups, 1, d1).expand(-1, d0 // groups, -1).reshape(d0, d1)
        return self.noise * (self.first[i][:, None] * inner).view(d0, d1, *[1] * len(rest))

    def image(self, i: int) -> "Flip":
        """The same for image i alone."""
        second = None if self.second is None else self.second[i : i + 1]
        return Flip(noise=self.noise, first=self.first[i : i + 1], second=second)

    def part(self, rows: slice) -> "Flip":
        """The same for `rows` of the tensor's first axis, in a kernel without groups."""
        return Flip(noise=self.noise[rows], first=self.first[:, rows], second=self.second)


Layer = Callable[..., Any]
"""(module, its own forward, the flips of its tensors by local name, *inputs) -> its output. The
module holds the clean tensors; every input has its images on axis 0."""


def known_layer(module: nn.Module) -> Layer | None:
    """The layer function for `module`; None where it is another kind or has a forward of its own,
    which may use its tensors in another way."""
    kind = kind_of(module)
    if kind is not None:
        return LINEAR.get(kind) if is_plain(module) else None
    return next((layer for cls, layer in NORMS.items() if runs_as(module, [cls])), None)


def by_rows(values: Tensor, x: Tensor) -> Tensor:
    """`values` (n, ...) for each row of x: repeated where every image has k rows, one after
    another, in x.

    Raises:
        ValueError: where the rows of x are no multiple of n.
    """
    images, rows = len(values), x.shape[0]
    if rows == images:
        return values
    if rows % images:
        raise ValueError(
            f"a layer with noise must have the images on axis 0 of its input, got {tuple(x.shape)} "
            f"for {images} images"
        )
    return values.repeat_interleave(rows // images, dim=0)


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """`values` (n, d) in x's dtype and a shape that broadcasts along axes 0 and `axis` of x."""
    shape = [1] * x.dim()
    shape[0], shape[axis] = x.shape[0], values.shape[1]
    return by_rows(values, x).to(x.dtype).view(shape)


# --- linear maps ---------------------------------------------------------------------------------


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
        extra = again(x * _along(inner, x, axis), weight.noise)
    y = forward()  # after `extra`, so that the flipped inputs are already freed
    if extra is not None:
        # In place on a tensor that nobody else has yet.
        y.addcmul_(extra, _along(outer, y, axis))
    if bias is not None:
        y.add_(_along(bias.first * bias.noise, y, axis))
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
    extra = F.embedding(input, weight.noise).mul_(_along(weight.second, y, -1))
    # (n, words of an image): axis 0 of the kernel are the words, and each has its sign.
    words = by_rows(weight.first, input).gather(1, input.reshape(len(input), -1).long())
    return y.addcmul_(extra, words.view(*input.shape, 1).to(y.dtype))


# --- normalisation -------------------------------------------------------------------------------


def _affine(module: nn.Module, flips: Mapping[str, Flip], name: str) -> Tensor | None:
    """Gamma or beta of every image, (n, *shape) or, where all have the same, (1, *shape)."""
    values: Tensor | None = getattr(module, name, None)
    if values is None or name not in flips:
        return None if values is None else values[None]
    return values + flips[name].first * flips[name].noise


def _scaled(normalised: Tensor, gamma: Tensor | None, beta: Tensor | None, axis: int) -> Tensor:
    """normalised * gamma + beta, in place; both (n or 1, *axes of `normalised` from `axis` on)."""

    def shaped(values: Tensor) -> Tensor:
        rows = by_rows(values, normalised) if len(values) > 1 else values
        start = axis % normalised.dim()
        ones = [1] * (normalised.dim() - start - values.dim() + 1)
        return rows.reshape(len(rows), *[1] * (start - 1), *values.shape[1:], *ones)

    if gamma is not None:
        normalised.mul_(shaped(gamma))
    return normalised if beta is None else normalised.add_(shaped(beta))


def _batch_norm(
    module: Any, forward: Layer, flips: Mapping[str, Flip], *args: Tensor, **kwargs: Tensor
) -> Tensor:
    (x,) = (*args, *kwargs.values())
    gamma, beta = (_affine(module, flips, name) for name in ("weight", "bias"))
    mean, var = module.running_mean, module.running_var
    if mean is None:
        raise ValueError("a batch normalisation without running statistics mixes its images")
    if x.dtype not in (torch.float32, torch.float64):  # `shift` would round too coarsely
        return _scaled(F.batch_norm(x, mean, var, eps=module.eps), gamma, beta, 1)
    # Statistics are the same for all images, so each has one scale and one shift: one pass over x.
    scale = (var + module.eps).rsqrt()[None] * (1 if gamma is None else gamma)
    shift = (0 if beta is None else beta) - mean * scale
    rows = max(len(scale), len(shift))
    scale, shift = (_along(v.expand(rows, -1), x, 1) for v in (scale, shift))
    return torch.addcmul(shift, x, scale)


def _norm(normalise: Callable[[Any, Tensor], Tensor], first_axis: Callable[[Any], int]) -> Layer:
    """A layer that normalises each image, then scales its axes from `first_axis(module)` on."""

    def layer(
        module: nn.Module,
        forward: Layer,
        flips: Mapping[str, Flip],
        *args: Tensor,
        **kwargs: Tensor,
    ) -> Tensor:
        (x,) = (*args, *kwargs.values())
        gamma, beta = (_affine(module, flips, name) for name in ("weight", "bias"))
        return _scaled(normalise(module, x), gamma, beta, first_axis(module))

    return layer


def _instance(m: Any, x: Tensor) -> Tensor:
    own = not m.track_running_stats
    return F.instance_norm(x, m.running_mean, m.running_var, use_input_stats=own, eps=m.eps)


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
    q, k, v = _projected(module, flips, query, key, value)  # each (n, tokens, channels)
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
    if same and module.in_proj_weight is not None:
        return _project(turned[0], module.in_proj_weight, bias, noise, shift).chunk(3, -1)
    found = []
    for place, (x, name) in enumerate(zip(turned, "qkv", strict=True)):
        rows = slice(place * module.embed_dim, (place + 1) * module.embed_dim)
        weight, of_weight = getattr(module, f"{name}_proj_weight"), flips.get(f"{name}_proj_weight")
        if module.in_proj_weight is not None:
            weight, of_weight = module.in_proj_weight[rows], noise and noise.part(rows)
        own = None if bias is None else bias[rows]
        found.append(_project(x, weight, own, of_weight, shift and shift.part(rows)))
    return tuple(found)


def _extended(module: Any, flips: Mapping[str, Flip], x: Tensor, name: str) -> Tensor:
    """x (n, tokens, channels) with the tokens that the module itself adds to keys or values."""
    extra = _affine(module, flips, name)  # (n or 1, 1, 1, channels)
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
NORMS: dict[type[nn.Module], Layer] = {
    **dict.fromkeys(
        (_BatchNorm, nn.SyncBatchNorm, ScaledBatchNorm, FrozenBatchNorm2d), _batch_norm
    ),
    _InstanceNorm: _norm(_instance, lambda m: 1),
    nn.GroupNorm: _norm(lambda m, x: F.group_norm(x, m.num_groups, eps=m.eps), lambda m: 1),
    nn.LayerNorm: _norm(
        lambda m, x: F.layer_norm(x, m.normalized_shape, eps=m.eps),
        lambda m: -len(m.normalized_shape),
    ),
    nn.RMSNorm: _norm(
        lambda m, x: F.rms_norm(x, m.normalized_shape, eps=m.eps),
        lambda m: -len(m.normalized_shape),
    ),
}
