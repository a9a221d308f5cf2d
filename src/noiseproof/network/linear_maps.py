"""Which layers are analog: their kernels, how those lie, and what goes in and comes out of them.

A linear map is one kernel of one layer, the thing that a chip holds in an array. `linear_maps`
finds all of a network; whoever has a rule of its own (which of them `match` corrects, which fold,
which the per-image design knows) says it as a filter of that answer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


class Kind(StrEnum):
    """What a layer does with its kernels."""

    CONVOLUTION = "convolution"
    TRANSPOSED = "transposed"
    LINEAR = "linear"
    BILINEAR = "bilinear"
    EMBEDDING = "embedding"
    BAG = "bag"
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    CELL = "cell"


_KINDS: dict[type[nn.Module], Kind] = {  # the first that fits; torch's bases for one's own classes
    **dict.fromkeys(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, _ConvTransposeNd),
        Kind.TRANSPOSED,
    ),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d, _ConvNd), Kind.CONVOLUTION),
    nn.Linear: Kind.LINEAR,
    nn.Bilinear: Kind.BILINEAR,
    nn.Embedding: Kind.EMBEDDING,
    nn.EmbeddingBag: Kind.BAG,
    nn.MultiheadAttention: Kind.ATTENTION,
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU, nn.RNNBase), Kind.RECURRENT),
    **dict.fromkeys((nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNNCellBase), Kind.CELL),
}
_INPUTS = {  # by the kernel's name in its layer, else by kind
    "in_proj_weight": ("query", "key", "value"),
    "q_proj_weight": ("query",),
    "k_proj_weight": ("key",),
    "v_proj_weight": ("value",),
    "weight_ih_l0": ("input",),
    "weight_ih_l0_reverse": ("input",),
    "weight_ih": ("input",),
    "weight_hh": ("hx",),
    Kind.CONVOLUTION: ("input",),
    Kind.TRANSPOSED: ("input",),
    Kind.LINEAR: ("input",),
    Kind.BILINEAR: ("input1", "input2"),
    Kind.EMBEDDING: ("input",),
    Kind.BAG: ("input",),
}
_INSIDE = (Kind.ATTENTION, Kind.RECURRENT, Kind.CELL)
_INPUT_FIRST = (Kind.TRANSPOSED, Kind.EMBEDDING, Kind.BAG)


# --- how a kernel lies ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the channels of a kernel lie. Output channels are axis 0 and inputs axis 1, turned
    round where `input_first` (embeddings, transposed convolutions). With `groups` both sides are
    cut into as many parts, each output sees its own part alone, and axis 1 counts within one."""

    input_first: bool = False
    groups: int = 1


def as_matrix(weight: Tensor, layout: Layout) -> Tensor:
    """A kernel (d0, d1, *window) as matrices (groups, outputs, inputs) of each group: the inputs
    of an output are its input channels times the window, the window's places last. A vector is one
    column. A view wherever torch can make one."""
    g = layout.groups
    if not layout.input_first:
        return weight.reshape(g, weight.shape[0] // g, prod(weight.shape[1:]))
    # (g d, out, *window) -> (g, d, out, ...): the inputs of a group are together on axis 0, and
    # every group has all of axis 1 as its outputs.
    grouped = weight.reshape(g, weight.shape[0] // g, *weight.shape[1:])
    return grouped.transpose(1, 2).flatten(2)  # (groups, outputs, inputs of the group, *window)


def as_kernel(matrix: Tensor, layout: Layout, shape: Iterable[int]) -> Tensor:
    """The kernel of `shape` (d0, d1, *window) whose matrices (groups, outputs, inputs) these are:
    `as_matrix` the other way round."""
    d0, *rest = shape
    if not layout.input_first:
        return matrix.reshape(d0, *rest)
    g = layout.groups
    return matrix.reshape(g, rest[0], d0 // g, *rest[1:]).transpose(1, 2).reshape(d0, *rest)


def channels(weight: Tensor, layout: Layout) -> int:
    """The number of output channels, of all groups together."""
    return weight.shape[1] * layout.groups if layout.input_first else weight.shape[0]


def by_output(values: Tensor, weight: Tensor, layout: Layout) -> Tensor:
    """`values` (C,), one of each output channel, in a shape that broadcasts against `weight`."""
    ones = [1] * (weight.dim() - 2)
    if not layout.input_first:
        return values.view(-1, *[1] * (weight.dim() - 1))
    rows = values.view(layout.groups, 1, -1)  # channel g * size(1) + j is slice j of part g
    rows = rows.expand(-1, weight.shape[0] // layout.groups, -1)
    return rows.reshape(weight.shape[0], -1, *ones)


# --- the maps of a network -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LinearMap(Layout):
    """One kernel of one layer.

    `layer`: the module that multiplies with it, by name; an attention for its output projection
    too, which it never calls. `weight`, `bias`: names in a state, in the first place of a tied
    tensor; the bias is named where the layer may have one, None where it cannot. `inputs`: the
    arguments of the layer that feed the map (with three of them, each feeds its third of the
    outputs; a bilinear one is fed by all products of two), none where the layer itself computes
    them. `inside`: the layer does not return the map's outputs but works on with them. `axis`: the
    channels in what the layer returns, from the end, whatever stands in front of them.
    `plain`: the layer does with it what its class in torch does, and that is linear; not with a
    forward of its own (which may standardise the weight before) or with `max_norm`. `shared`: the
    layer has a parameter that other modules have too.
    """

    layer: str
    kind: Kind
    weight: str
    bias: str | None
    inputs: tuple[str, ...]
    inside: bool
    axis: int
    plain: bool
    shared: bool

    @property
    def is_open(self) -> bool:
        """Can one stand before and behind the product: is the call of the layer the map, and
        nothing else but its bias?"""
        return self.plain and bool(self.inputs) and not self.inside


def linear_maps(model: nn.Module) -> dict[str, LinearMap]:
    """The linear maps of `model`, in the order of its modules. Each has the name of its layer; in
    a layer with several maps that of the kernel follows, without the word weight:
    `attention.in_proj`, `lstm.ih_l0`.

    All parameters of a layer that are no bias are kernels: in a layer that is not `plain` that may
    be too many, and none stays digital silently.
    """
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    # By object, as named_parameters has a tied tensor once and would hide the second owner.
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values())
    found: dict[str, LinearMap] = {}
    for layer, module in _layers(model):
        own = _own_parameters(module)
        shared = any(owners[id(p)] > 1 for p in own.values())
        for local in own:
            if "bias" not in local:
                name = f"{layer}.{_short(local)}".strip(".")
                found[name] = _map_of(module, layer, local, names, shared)
    return found


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules with linear maps. This is the place to find layers of other classes, by what
    they compute: a kernel (inputs, outputs), say, is `input_first`."""
    inside = {m.out_proj for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    for name, module in model.named_modules():
        if kind_of(module) is not None and module not in inside:
            yield name, module


def _own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a layer multiplies with or adds, by their names in it."""
    parts: list[tuple[str, nn.Module]] = [("", module)]
    if isinstance(module, nn.MultiheadAttention) and kind_of(module.out_proj) is not None:
        parts.append(("out_proj.", module.out_proj))  # never called: attention takes its tensors
    return {
        f"{prefix}{local}": parameter
        for prefix, part in parts
        for local, parameter in part._parameters.items()
        if parameter is not None
    }


def _map_of(
    module: nn.Module, layer: str, local: str, names: Mapping[int, str], shared: bool
) -> LinearMap:
    kind, layout = kind_of(module), layout_of(module)
    assert kind is not None
    bias = _bias_of(kind, local)
    if bias is not None:
        held = _own_parameters(module).get(bias)
        bias = names.get(id(held), f"{layer}.{bias}".strip("."))
    return LinearMap(
        layer=layer,
        kind=kind,
        weight=names[id(_own_parameters(module)[local])],
        bias=bias,
        inputs=_INPUTS.get(local, _INPUTS.get(kind, ())),
        inside=kind in _INSIDE and not local.startswith("out_proj."),
        axis=output_axis(module),
        plain=is_plain(module)
        and "weight" in local  # a parameter that torch's class does not know, it does not use
        and getattr(module, "max_norm", None) is None,
        shared=shared,
        input_first=layout.input_first,
        groups=layout.groups,
    )


def _short(local: str) -> str:
    """`in_proj_weight` -> in_proj, `out_proj.weight` -> out_proj, `weight_ih_l0` -> ih_l0."""
    return local.replace("weight", "").strip("_.")


def _bias_of(kind: Kind, local: str) -> str | None:
    if kind in (Kind.EMBEDDING, Kind.BAG) or "weight" not in local or "_hr_" in local:
        return None
    # torch packs the three biases even where it cannot pack the weights.
    if local in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        return "in_proj_bias"  # of all three together
    return local.replace("weight", "bias")


# --- one module ----------------------------------------------------------------------------------


def kind_of(module: nn.Module) -> Kind | None:
    """What `module` does with its kernels; None where it has none."""
    return next((kind for cls, kind in _KINDS.items() if isinstance(module, cls)), None)


def layout_of(module: nn.Module) -> Layout:
    """How the kernels of a layer lie."""
    groups = module.groups if isinstance(module, _ConvNd) else 1
    return Layout(input_first=kind_of(module) in _INPUT_FIRST, groups=groups)


def output_axis(module: nn.Module) -> int:
    """The axis of the channels in what a layer takes and returns, from the end."""
    return -1 - len(module.kernel_size) if isinstance(module, _ConvNd) else -1


def is_plain(module: nn.Module) -> bool:
    """Does the layer do with its tensors what its class in torch does?"""
    return runs_as(module, _KINDS)


def runs_as(module: nn.Module, classes: Iterable[type[nn.Module]]) -> bool:
    """Is `module` one of `classes`, with the forward of that class and none of its own?"""
    return "forward" not in vars(module) and any(
        isinstance(module, cls)
        # two ways in which subclasses change what happens to a weight; a class of torch that has
        # no forward, as the base of the convolutions, is equal to nobody who runs
        and type(module).forward is cls.forward
        and getattr(type(module), "_conv_forward", None) is getattr(cls, "_conv_forward", None)
        for cls in classes
    )
