"""Which layers are analog: their kernels, how those lie, and what goes in and comes out of them.

A linear map is one kernel of one layer, the thing that a chip holds in an array. `linear_maps`
finds all of a network; whoever has a rule of its own (which of them `match` corrects, which fold,
which the per-image design knows) says it as a filter of that answer.

torch's own layers are known by their classes. Those of other classes are known by what they
compute, which one pass shows (`reach.examine_`): it leaves a note at the modules of a private
skeleton, which copies carry along, and which is read here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from noiseproof.network.layouts import Layout


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
    OWN = "own"  # a class that is not torch's


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
_TABLES = (Kind.EMBEDDING, Kind.BAG)
_FOUND, _ORDER = "_noiseproof_found", "_noiseproof_order"  # attributes of modules: see `note_`


# --- what a pass has shown ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Found(Layout):
    """What a pass showed of one parameter: the network multiplies with it, or only looks its rows
    up (`is_table`). `axis`: the output channels in what the product returns, from the end."""

    axis: int
    is_table: bool


def note_(skeleton: nn.Module, found: Mapping[str, Found], order: Sequence[str]) -> None:
    """Leave at the modules of a private skeleton what a pass showed of their parameters, by name,
    and in which order the pass read tensors. Copies of the skeleton have it too."""
    for module in skeleton.modules():
        vars(module).pop(_FOUND, None)
    for name, one in found.items():
        owner, _, local = name.rpartition(".")
        vars(skeleton.get_submodule(owner)).setdefault(_FOUND, {})[local] = one
    vars(skeleton)[_ORDER] = tuple(order)


def found_in(module: nn.Module) -> Mapping[str, Found]:
    """What `note_` left at a module, by the local names of its parameters."""
    found: Mapping[str, Found] = vars(module).get(_FOUND, {})
    return found


def order_in(skeleton: nn.Module) -> tuple[str, ...]:
    """The tensors of a skeleton in the order in which a pass first read them; empty where none was
    watched."""
    order: tuple[str, ...] = vars(skeleton).get(_ORDER, ())
    return order


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
    layer has a parameter that other modules have too. `role`: kernel, or embedding for a table that
    is only looked up; one that is an output projection too (tied) is a kernel in all its places.
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
    role: str = "kernel"

    @property
    def is_open(self) -> bool:
        """Can one stand before and behind the product: is the call of the layer the map, and
        nothing else but its bias, or the layer torch's attention, whose projections can be taken
        apart (`attentions`)?"""
        is_whole = bool(self.inputs) and not self.inside
        return self.plain and (is_whole or self.kind is Kind.ATTENTION)


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
        for local in _kernels_of(module, own):
            name = f"{layer}.{_short(local)}".strip(".")
            found[name] = _map_of(module, layer, local, names, shared)
    multiplied = {one.weight for one in found.values() if one.role == "kernel"}
    return {
        name: one if one.role == "kernel" or one.weight not in multiplied else _as_kernel(one)
        for name, one in found.items()
    }


def maps_by_weight(model: nn.Module) -> dict[str, list[LinearMap]]:
    """The maps of each kernel or table by its name in a state, several where it is tied."""
    found: dict[str, list[LinearMap]] = {}
    for one in linear_maps(model).values():
        found.setdefault(one.weight, []).append(one)
    return found


def lies(model: nn.Module, maps: Sequence[LinearMap]) -> Layout:
    """How a tensor with these maps lies: as it is multiplied with, and not as it is looked up;
    among several layers that multiply as the first one has it."""
    multiplied = next((one for one in maps if one.kind not in _TABLES), None)
    if multiplied is not None:
        return multiplied
    owner, _, local = maps[0].weight.rpartition(".")
    return found_in(model.get_submodule(owner)).get(local, maps[0])


def biases_of(model: nn.Module) -> dict[str, str]:
    """The layer of each bias, by its name in a state: of attention's output projection, which is
    never called, the attention."""
    maps = linear_maps(model).values()
    return {one.bias: one.layer for one in reversed(list(maps)) if one.bias is not None}


def _as_kernel(table: LinearMap) -> LinearMap:
    return replace(table, role="kernel")


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules with linear maps: those of torch's classes, and those with a note."""
    inside = {m.out_proj for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    for name, module in model.named_modules():
        if (kind_of(module) is not None and module not in inside) or found_in(module):
            yield name, module


def _kernels_of(module: nn.Module, own: Mapping[str, nn.Parameter]) -> list[str]:
    """The parameters of a layer that are kernels, by their names in it."""
    if kind_of(module) is None:
        return [local for local in own if local in found_in(module)]
    return [local for local in own if "bias" not in local]


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
    kind, layout, found = kind_of(module), layout_of(module), found_in(module).get(local)
    weight = names[id(_own_parameters(module)[local])]
    if kind is None:
        assert found is not None
        return _map_of_own(layer, weight, found, shared)
    is_multiplied = found is not None and not found.is_table
    bias = _bias_of(kind, local)
    if bias is not None:
        held = _own_parameters(module).get(bias)
        bias = names.get(id(held), f"{layer}.{bias}".strip("."))
    return LinearMap(
        layer=layer,
        kind=kind,
        weight=weight,
        bias=bias,
        inputs=_INPUTS.get(local, _INPUTS.get(kind, ())),
        inside=kind in _INSIDE and not local.startswith("out_proj."),
        axis=output_axis(module),
        plain=is_plain(module)
        and "weight" in local  # a parameter that torch's class does not know, it does not use
        and getattr(module, "max_norm", None) is None,
        # The network may multiply with a table too, without a layer of its own for that.
        shared=shared or (kind in _TABLES and is_multiplied),
        role="embedding" if kind in _TABLES and not is_multiplied else "kernel",
        input_first=layout.input_first,
        groups=layout.groups,
    )


def _map_of_own(layer: str, weight: str, found: Found, shared: bool) -> LinearMap:
    """A map of a layer whose class is not torch's, as a pass showed it."""
    return LinearMap(
        layer=layer,
        kind=Kind.EMBEDDING if found.is_table else Kind.OWN,
        weight=weight,
        bias=None,
        inputs=(),
        inside=False,
        axis=found.axis,
        plain=False,
        shared=shared,
        role="embedding" if found.is_table else "kernel",
        input_first=found.input_first,
        groups=found.groups,
        outputs=found.outputs,
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
