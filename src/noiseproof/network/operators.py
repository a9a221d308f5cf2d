"""What torch's operators multiply: the operands of each, and the products that it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from noiseproof.network.layouts import Layout


@dataclass(frozen=True)
class Operand:
    """One factor of a product, and which of its axes are summed over."""

    tensor: Tensor
    summed: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """A product as an operator does it. `macs` None: every weight once at each place of the output.
    `layout` and `axis` where the operator fixes them, as a convolution."""

    operands: tuple[Operand, ...]
    macs: int | None
    layout: Layout | None = None
    axis: int = -1


def _matrices(a: Tensor, b: Tensor) -> Product:
    """(..., n, k) times (..., k, m)."""
    two = (Operand(a, (a.dim() - 1,)), Operand(b, (b.dim() - 2,)))
    return Product(two, a.numel() * b.shape[-1])


def _vectors(a: Tensor, v: Tensor) -> Product:
    """(n, k) or (k,) times (k,)."""
    return Product((Operand(a, (a.dim() - 1,)), Operand(v, (0,))), a.numel())


def _linear(x: Tensor, w: Tensor, *rest: Any) -> Product:
    """(..., k) times (m, k)."""
    return Product((Operand(x, (x.dim() - 1,)), Operand(w, (1,))), x.numel() * w.shape[0])


def _convolution(x: Tensor, w: Tensor, *rest: Any) -> Product:
    # aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding,
    # groups); groups stand first on both sides.
    transposed, groups = bool(rest[4]), int(rest[6])
    window = tuple(range(2, w.dim()))
    summed = (0, *window) if transposed else (1, *window)
    # Of a transposed one it is every place of the input that takes every weight once.
    macs = x.numel() // x.shape[1] * w.numel() if transposed else None
    layout = Layout(input_first=transposed, groups=groups)
    operands = (Operand(x, ()), Operand(w, summed))
    return Product(operands, macs, layout, -1 - len(window))


def _attention(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Product:
    # (..., queries, width) with (..., keys, width), then with the values
    pairs = q.numel() // q.shape[-1] * k.shape[-2]
    return Product((), pairs * (q.shape[-1] + v.shape[-1]))


def _fast_attention(q: Tensor, k: Tensor, v: Tensor, width: int, *rest: Any) -> Product:
    """torch's fused attention: its projections are those of a known layer, and counted there."""
    return Product((), q.shape[0] * q.shape[-2] * k.shape[-2] * 2 * int(width))


def _fast_layer(x: Tensor, width: int, *rest: Any) -> Product:
    return _fast_attention(x, x, x, width)


def _trilinear(a: Tensor, w: Tensor, b: Tensor, *rest: Any) -> Product:
    # torch's bilinear: rows (n, 1, in1, 1), the kernel (1, out, in1, in2), rows (n, 1, 1, in2);
    # given without the axes of one that it adds itself.
    two = Operand(w, (1, 2))
    return Product((Operand(a, ()), two, Operand(b, ())), len(a) * w.numel())


PRODUCTS: dict[str, Callable[..., Product]] = {
    "mm": _matrices,
    "bmm": _matrices,
    "addmm": lambda c, a, b: _matrices(a, b),
    "addmm_": lambda c, a, b: _matrices(a, b),
    "baddbmm": lambda c, a, b: _matrices(a, b),
    "baddbmm_": lambda c, a, b: _matrices(a, b),
    "addbmm": lambda c, a, b: _matrices(a, b),
    "_grouped_mm": lambda a, b, *rest: _matrices(a, b),
    "mv": _vectors,
    "dot": _vectors,
    "vdot": _vectors,
    "addmv": lambda c, a, v: _vectors(a, v),
    "linear": _linear,
    "mkldnn_linear": _linear,
    "convolution": _convolution,
    "_trilinear": _trilinear,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "_native_multi_head_attention": _fast_attention,
    "_transformer_encoder_layer_fwd": _fast_layer,
}
