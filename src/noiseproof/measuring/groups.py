"""Which tensors of a network are noisy together: those of a layer, a block or a role."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from noiseproof.core.inputs import Inputs
from noiseproof.network import State, costs_of, first_called, places, users_of
from noiseproof.noise import known_layer
from noiseproof.specs import WHOLE_NETWORK


@dataclass(frozen=True, kw_only=True)
class TensorGroup:
    """Tensors that are noisy together; `weights` are their elements, `macs` the products of one
    image with the kernels among them. `modules` have them as their own. `is_replayable`: noise in
    them leaves the order in which modules are called as it is."""

    name: str
    tensors: tuple[str, ...]
    modules: tuple[str, ...]
    weights: int
    macs: int
    is_replayable: bool

    def first_call(self, starts: Sequence[str]) -> str:
        """The one of `starts` where a pass with noise in this group begins to differ."""
        return first_called(self.modules, starts)


def groups_of(
    skeleton: nn.Module,
    state: State,
    names: Collection[str],
    *,
    by: str,
    example: Inputs | None,
) -> list[TensorGroup]:
    """The tensors `names` of `state` by a key of `parts.GROUPINGS`, in the order of the network.
    `example` (N, ...) is an input to count products with; None: they are not counted.

    Raises:
        ValueError: where there are none, or a group's name has a comma.
    """
    where, users = places(skeleton), users_of(skeleton)
    layers = {name: place.layer for name, place in where.items()}
    costs = {} if example is None else costs_of(skeleton, state, example)
    modules = dict(skeleton.named_modules())
    members: dict[str, list[str]] = {}
    for name in names:
        layer = layers[name]
        key = {"layer": layer, "block": _block(layer), "role": where[name].role}[by]
        members.setdefault(key or WHOLE_NETWORK, []).append(name)
    if not members:
        raise ValueError("there is nothing to rank: no tensor has a role that gets noise")
    # A row's part lists names with commas between them.
    if odd := [name for name in members if "," in name]:
        raise ValueError(f"a ranked layer must have no comma in its name, got {odd[0]!r}")
    found = []
    for group, tensors in members.items():
        # Each user once, in order; a tied tensor makes noise in all the places where it is used.
        own = dict.fromkeys(user for name in tensors for user in users[name])
        analog = {layers[name] for name in tensors if where[name].role in ("kernel", "embedding")}
        found.append(
            TensorGroup(
                name=group,
                tensors=tuple(tensors),
                modules=tuple(own),
                weights=sum(state[name].numel() for name in tensors),
                macs=sum(costs[layer].macs for layer in analog if layer in costs),
                # layers that run image by image call themselves once for each
                is_replayable=all(known_layer(modules[user]) is not None for user in own),
            )
        )
    return found


def _block(layer: str) -> str:
    return layer.rpartition(".")[0] or layer
