"""How much of a network's work the noise reaches, and what it does not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from noiseproof.core.inputs import Inputs
from noiseproof.network.costs import Cost, Work
from noiseproof.network.linear_maps import Found, linear_maps, note_
from noiseproof.network.products import NAMELESS, products_of
from noiseproof.network.state import Place, State

ENOUGH = 0.99
"""A share below which something of the network is missing from the noise."""
_NAMED = 3  # of what is missing


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The shares of the multiply-accumulates and of the weights, of all that the network multiplies
    activations with, that noise on some tensors reaches; None of nothing."""

    macs: float | None
    weights: float | None


def examine_(skeleton: nn.Module, state: State, example: Inputs) -> bool:
    """Find the kernels of layers whose class is not torch's, by running the inputs `example`
    (N, ...), and note them at the modules of `skeleton`, a private one: `linear_maps` and all that
    ask it know them from then on. Were there any?

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    products = products_of(skeleton, state, example)
    parameters = dict(skeleton.named_parameters())
    structural = {one.weight for one in linear_maps(skeleton).values() if one.role == "kernel"}
    found = {
        name: Found(
            axis=use.axis,
            is_table=False,
            input_first=use.layout.input_first,
            groups=use.layout.groups,
            outputs=use.layout.outputs,
        )
        for name, use in products.uses.items()
        if name in parameters and name not in structural
    }
    tables = {
        name: Found(axis=-1, is_table=True, input_first=True)
        for name in products.looked_up
        if name in parameters and name not in structural and name not in found
    }
    note_(skeleton, {**tables, **found}, products.order)
    return bool(found or tables)


def reach_of(work: Work, names: Collection[str]) -> Reach:
    """What of `work` is done with the tensors `names`."""
    parts = [(cost, name in names) for name, cost in work.kernels.items()]
    parts += [(cost, set(made) <= set(names)) for made, cost in work.made.items()]
    return Reach(
        macs=_share([(cost.macs, is_in) for cost, is_in in parts]),
        weights=_share([(cost.weights, is_in) for cost, is_in in parts]),
    )


def _share(parts: list[tuple[int, bool]]) -> float | None:
    whole = sum(size for size, _ in parts)
    return sum(size for size, is_in in parts if is_in) / whole if whole else None


def missing(work: Work, places: Mapping[str, Place], names: Collection[str]) -> str:
    """One line about what of the network no noise on kernels can reach, with the largest layers and
    what to do; "" where `ENOUGH` is reached. What is kept digital on purpose is not missing:
    `names` are the tensors that noise may reach, beside those with the role "digital"."""
    known = {*names, *(name for name, place in places.items() if place.role == "digital")}
    reach = reach_of(work, known | work.kernels.keys())
    if min(1.0 if share is None else share for share in (reach.macs, reach.weights)) >= ENOUGH:
        return ""
    left = {made: cost for made, cost in work.made.items() if not set(made) <= known}
    largest = sorted(left, key=lambda made: (-left[made].macs, -left[made].weights))[:_NAMED]
    listed = "; ".join(_told(made, left[made], places) for made in largest)
    more = f"; and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return f"noise can reach only {_percents(reach)}: left out {listed}{more}"


def unwatched(state: State, places: Mapping[str, Place], targets: Collection[str]) -> str:
    """One line about parameters that may be kernels of layers whose class is not torch's, where no
    pass could be watched; "" where there are too few of them to matter."""
    sizes = {
        name: state[name].numel()
        for name, place in places.items()
        if place.role == "other" and "other" not in targets and state[name].dim() > 1
    }
    kernels = sum(state[name].numel() for name, p in places.items() if p.role == "kernel")
    if sum(sizes.values()) <= (1 - ENOUGH) * (kernels + sum(sizes.values())):
        return ""
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
    more = f" and {len(sizes) - _NAMED} more" if len(sizes) > _NAMED else ""
    return (
        f"noise may leave out a part of the network: {', '.join(largest)}{more} belong to layers "
        "whose class is not torch's, and no example inputs show what those compute (add other to "
        "the targets, or give examples)"
    )


def _percents(reach: Reach) -> str:
    macs, weights = (f"{100 * (x or 0):.3g} %" for x in (reach.macs, reach.weights))
    return f"{macs} of the multiply-accumulates and {weights} of the weights"


def _told(made: tuple[str, ...], cost: Cost, places: Mapping[str, Place]) -> str:
    roles = {places[name].role if name in places else NAMELESS for name in made}
    if NAMELESS in roles or "constant" in roles:
        owner = " and ".join(name for name in made if name not in (NAMELESS, "")) or "the network"
        what = f"{owner}, whose weights are no parameter (make them an nn.Parameter)"
    else:
        more = ",".join(sorted(role for role in roles if role != "kernel"))
        what = f"weights made of {' and '.join(made)} (add {more or 'other'} to the targets)"
    return f"{what}, {cost.weights} weights, {cost.macs} multiply-accumulates an input"
