"""Layers chosen by words, among the places of a network's tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noiseproof.network.state import Place
from noiseproof.specs import Layers

DIGITAL = "digital"
"""The role of a tensor that is kept so on purpose: no target names it."""


def chosen_tensors(places: Mapping[str, Place], layers: Layers) -> set[str]:
    """The tensors of the chosen layers, by name.

    Raises:
        ValueError: where there are none, with names that are close.
    """
    if layers.is_counted:
        orders = {place.order for place in places.values() if place.order is not None}
        found = {
            name
            for name, place in places.items()
            if place.order is not None and layers.is_within(place.order, len(orders))
        }
    else:
        found = {
            name
            for name, place in places.items()
            if place.role != "constant"
            and layers.fits(kind=place.kind, names=(*filter(None, place.layers), name))
        }
    if not found:
        known = [place for place in places.values() if place.role != "constant"]
        names = {place.layer or name for name, place in places.items() if place in known}
        raise layers.nothing(names=names, kinds={place.kind for place in known})
    return found


def kept_digital(places: Mapping[str, Place], digital: Sequence[Layers]) -> dict[str, Place]:
    """`places` with the role `DIGITAL` for what may be a target and lies in one of the layers.

    Raises:
        ValueError: for layers that there are not.
    """
    kept = set[str]().union(*(chosen_tensors(places, one) for one in digital))
    return {
        name: replace(place, role=DIGITAL) if name in kept and place.role != "constant" else place
        for name, place in places.items()
    }
