"""A network with its wrappers seen through: the same tensors have the same names, and the same
layers the same printed structure, whatever stands around them."""

import copy
import re
from collections.abc import Iterable
from itertools import takewhile

from torch import nn

from noiseproof.network.linear_maps import kind_of
from noiseproof.network.norms import is_batch_norm

WRAPPERS = {
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "AveragedModel": "module",
}
"""Modules that run another one as it is: the class, and the name of what is inside."""


def seen_through(model: nn.Module) -> nn.Module:
    """The network itself: `model` without wrappers, and without modules that do no more than hold
    one other. Shared, not copied."""
    while True:
        inner = _inside(model)
        if inner is None and not model._parameters and not model._buffers:
            # A container of one layer is where that layer's name comes from: it stays. Asked for
            # None, since the truth of a module may be its length.
            held = [one for one in model._modules.values() if one is not None and one._modules]
            inner = held[0] if len(held) == len(model._modules) == 1 else None
        if inner is None:
            return model
        model = inner


def printed(model: nn.Module) -> str:
    """The layers as they print themselves, wrappers seen through and without addresses."""
    # `<function f at 0x7f...>` is another text in every process.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(_without_wrappers(seen_through(model))))


def _without_wrappers(module: nn.Module) -> nn.Module:
    """The module, or where there are wrappers in it a copy to be printed, in their place what they
    run."""
    inner = _inside(module)
    if inner is not None:
        return _without_wrappers(inner)
    held = {name: _bared(m) for name, m in module._modules.items()}
    if all(held[name] is m for name, m in module._modules.items()):
        return module
    twin = copy.copy(module)
    twin.__dict__["_modules"] = held
    return twin


def _bared(module: nn.Module | None) -> nn.Module | None:
    return None if module is None else _without_wrappers(module)


def dice_names(model: nn.Module, names: Iterable[str], drawn: Iterable[str]) -> dict[str, str]:
    """For each of `names`, tensors of `model`, the name of its random streams: its own without
    wrappers, and without what all of `drawn`, those that noise can be on, have in front of the
    module that holds them. So the same network has the same dice wherever it stands."""
    modules = dict(model.named_modules(remove_duplicate=False))
    hidden = {
        f"{prefix}.{_held_as(module)}".removeprefix(".")
        for prefix, module in modules.items()
        if _inside(module) is not None
    }
    bare = {name: _bare(name, hidden) for name in names}
    front = _in_front([bare[name] for name in drawn if name in bare], modules, hidden)
    return {name: own.removeprefix(front) for name, own in bare.items()}


def _held_as(module: nn.Module) -> str:
    return WRAPPERS.get(type(module).__name__, "")


def _inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper runs; None for any other module."""
    return module._modules.get(_held_as(module))


def _bare(name: str, hidden: set[str]) -> str:
    """A tensor's name without the parts that lead into a wrapper."""
    parts = name.split(".")
    return ".".join(
        part for place, part in enumerate(parts) if ".".join(parts[: place + 1]) not in hidden
    )


def _in_front(names: list[str], modules: dict[str, nn.Module], hidden: set[str]) -> str:
    """What all names begin with, the dot behind it included: whole modules, of which the last is no
    layer, since a layer's own name is a part of its dice's."""
    owners = [name.split(".")[:-1] for name in names]
    if not owners:
        return ""
    shortest = min(map(len, owners))
    levels = ({parts[level] for parts in owners} for level in range(shortest))
    same = [level.pop() for level in takewhile(lambda level: len(level) == 1, levels)]
    bare = {_bare(f"{prefix}.", hidden).removesuffix("."): m for prefix, m in modules.items()}
    if same and _is_layer(bare.get(".".join(same))):
        same.pop()
    return "".join(f"{part}." for part in same)


def _is_layer(module: nn.Module | None) -> bool:
    """Is it one of the layers that networks are made of, not a network?"""
    return module is not None and (
        kind_of(module) is not None
        or is_batch_norm(module)
        or (type(module).__module__.startswith("torch.nn.modules.") and not module._modules)
    )
