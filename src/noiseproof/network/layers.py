"""Analog layers: the layers whose kernel weights a chip holds, where their outputs leave the array,
and how a scale and an offset of an output channel go into weight and bias."""

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)
PLAIN = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
    nn.Embedding,
)


@dataclass(frozen=True, kw_only=True)
class Port:
    """Where a linear map leaves the array: the names of its weight and its bias in a state.

    `bias` is None for an embedding, whose rows are its outputs and take the offset themselves.
    """

    weight: str
    bias: str | None


def analog_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that `match` corrects, by name: convolutions (transposed too), linear layers,
    embeddings and `nn.MultiheadAttention` (whose own output projection is part of it).

    Left out: recurrent and bilinear layers; a weight that several modules share (a decoder tied
    to its embedding), since one correction cannot serve two outputs; an embedding with
    `max_norm`; and a subclass with a forward of its own, which may use its weight in another way
    (weight standardisation).
    """
    modules = dict(model.named_modules())
    owners = Counter(id(p) for m in modules.values() for p in m._parameters.values())
    inside = {m.out_proj for m in modules.values() if isinstance(m, nn.MultiheadAttention)}
    return {
        name: module
        for name, module in modules.items()
        if module not in inside
        and _is_analog(module)
        and all(owners[id(p)] == 1 for p in _own_parameters(module))
    }


def _is_analog(module: nn.Module) -> bool:
    for cls in (*PLAIN, nn.MultiheadAttention):
        if isinstance(module, cls) and type(module).forward is cls.forward:
            return getattr(module, "max_norm", None) is None
    return False


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    return [p for m in (module, getattr(module, "out_proj", module)) for p in m.parameters(False)]


def ports(model: nn.Module) -> dict[str, Port]:
    """The ports of the analog layers: one each, under the layer's name; two of an attention,
    `.in_proj` (where query, key and value have one width) and `.out_proj`."""
    found: dict[str, Port] = {}
    for name, module in analog_layers(model).items():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            if module._qkv_same_embed_dim:
                found[f"{prefix}in_proj"] = Port(
                    weight=f"{prefix}in_proj_weight", bias=f"{prefix}in_proj_bias"
                )
            found[f"{prefix}out_proj"] = Port(
                weight=f"{prefix}out_proj.weight", bias=f"{prefix}out_proj.bias"
            )
        else:
            bias = None if isinstance(module, nn.Embedding) else f"{prefix}bias"
            found[name] = Port(weight=f"{prefix}weight", bias=bias)
    return found
