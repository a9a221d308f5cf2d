"""The arrays of a network, found and measured once for all chips."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, count, rows
from noiseproof.hardware.cutting import cuts_of, scale_of
from noiseproof.hardware.products import Products
from noiseproof.hardware.ranges import Ranges, static_ranges
from noiseproof.hardware.samples import Cursor, SampleAxis
from noiseproof.hardware.wires import Wiring
from noiseproof.network import Chip, Kind, LinearMap, Plain, State, outputs
from noiseproof.network.linear_maps import linear_maps
from noiseproof.specs import AS_ARRAYS, ArrayMapping, Mvm, Read, Wires

_LOOKED_UP = (Kind.EMBEDDING, Kind.BAG)


def products_at(
    skeleton: nn.Module,
    state: State,
    mvm: Mvm,
    *,
    analog: Collection[str],
    example: Inputs,
    images: Inputs | None,
    mapping: ArrayMapping = AS_ARRAYS,
) -> Products:
    """What happens by `mvm` at the products of a network, ready for chips.

    - `skeleton`: a private one.
    - `state`: what the chips are meant to hold, which decides scales and ranges.
    - `analog`: names of the tensors that lie in arrays; the other layers multiply exactly.
    - `example`: three inputs as the network takes them, or fewer, which show where samples lie.
    - `images`: calibration images as the network takes them, where `mvm` has static ranges.
    - `mapping`: how kernels lie in arrays (default: pairs, each output channel by its own scale).

    Raises:
        ValueError: for a layer at whose products nothing can stand, calibration images that the
            network cannot take, and a mapping whose products are not one of a kernel.
    """
    _check_mapping(mvm, mapping)
    maps = array_maps(skeleton, analog)
    scales = {name: scale_of(state[one.weight], one, mapping) for name, one in maps.items()}
    cuts = cuts_of(maps, state, mapping)
    wiring = _wiring(mvm, maps, mapping, state)
    axes = sample_axes(skeleton, state, maps, example)
    axes |= {array: axes.get(name) for name, cut in cuts.items() for array in cut.names}
    ranges: dict[str, Ranges] = {}
    if images is not None and mvm.needs_images:
        ranges = static_ranges(skeleton, state, mvm, images, scales=scales, axes=axes, cuts=cuts)
    return Products(
        mvm=mvm,
        weights={name: one.weight for name, one in maps.items()},
        scales=scales,
        ranges=ranges,
        axes=axes,
        cursor=Cursor(),
        cuts=cuts,
        wiring=wiring,
    )


def _check_mapping(mvm: Mvm, mapping: ArrayMapping) -> None:
    """Raise ValueError for a mapping whose products are not one of a kernel, and for wires between
    other cells than it has."""
    kind, wires = mapping.cells.kind, mvm.get(Wires)
    if kind == "slices" or (kind != "pair" and mvm.get(Read) is not None):
        raise ValueError(
            f"{mvm} is at products of pairs of devices, and the mapping is {mapping}: give "
            "cells=pair"
        )
    if wires is not None and mapping.scale == "tile":
        raise ValueError(
            f"{wires} is between cells of one scale, and the mapping is {mapping}: give "
            "scale=channel or scale=tensor"
        )
    if wires is not None and (kind == "offset") != (wires.cells == "offset"):
        fitting = "offset" if kind == "offset" else "separate or cells=interleaved"
        raise ValueError(f"wires of cells={kind} must have cells={fitting}, got {wires}")


def _wiring(
    mvm: Mvm, maps: Mapping[str, LinearMap], mapping: ArrayMapping, state: State
) -> Wiring | None:
    """The wires of all arrays; raises ValueError where one is too large."""
    wires = mvm.get(Wires)
    if wires is None:
        return None
    layouts = {one.weight: one for one in maps.values()}
    found = Wiring(wires=wires, layouts=layouts, tile=mapping.tile)
    found.check(state)
    return found


def array_maps(skeleton: nn.Module, analog: Collection[str]) -> dict[str, LinearMap]:
    """The linear maps with a kernel in `analog` that are multiplied with; not tables, of which rows
    are looked up.

    Raises:
        ValueError: for one at whose products nothing can stand.
    """
    found = {
        name: one
        for name, one in linear_maps(skeleton).items()
        if one.role == "kernel" and one.weight in analog and one.kind not in _LOOKED_UP
    }
    closed = [one for one in found.values() if not one.is_open or one.kind is Kind.BILINEAR]
    if closed:
        kinds = list(dict.fromkeys(one.kind for one in closed))
        more = f" and of {len(closed) - 1} more" if len(closed) > 1 else ""
        raise ValueError(
            f"converters and noise at products need layers that are one product and a bias, and "
            f"layer {closed[0].layer!r} ({closed[0].kind}){more} computes more in one call: keep "
            f"such digital, --digital {','.join(f'kind:{kind}' for kind in kinds)}"
        )
    return found


def sample_axes(
    skeleton: nn.Module, state: State, names: Collection[str], example: Inputs
) -> dict[str, SampleAxis | None]:
    """Where the samples lie in what the layers return, told apart by passes with different numbers
    of them; None where that cannot be told."""
    n = count(example)
    if n < 2:
        return dict.fromkeys(names)
    few = _shapes(skeleton, state, names, rows(example, slice(0, n - 1)))
    more = _shapes(skeleton, state, names, example)
    return {
        name: SampleAxis.of(few[name], n - 1, more[name], n)
        for name in names
        if name in few and name in more
    }


def _shapes(
    skeleton: nn.Module, state: State, names: Collection[str], x: Inputs
) -> Mapping[str, tuple[int, ...]]:
    """The shape of what each layer returns at its first call."""
    found: dict[str, tuple[int, ...]] = {}

    def watched(name: str) -> Any:
        def product(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
            y = plain(*inputs)
            found.setdefault(name, tuple(y.shape))
            return y

        return product

    outputs(skeleton, Chip(state, {name: watched(name) for name in names}), x)
    return found
