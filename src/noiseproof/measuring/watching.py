"""What a network is when it is measured: as it lies on the chip, with kernels that a pass shows."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.inputs import Inputs
from noiseproof.core.rng import seeded
from noiseproof.data import Split
from noiseproof.hardware import find_device, whole_tile
from noiseproof.measuring.commands import Request
from noiseproof.measuring.requests import Network
from noiseproof.measuring.setup import Setup
from noiseproof.network import (
    Place,
    State,
    Work,
    examine_,
    fold_of,
    kept_digital,
    norm_layers,
    places,
    set_eps_,
    skeleton_of,
    state_of,
    stored_as,
    work_of,
)
from noiseproof.noise import Arrays, resolved, targeted
from noiseproof.specs import UNSCALED, OnDevices, PixelScale, Spec
from noiseproof.tasks import taken

R = TypeVar("R", bound=Request)
IMAGES = 2
"""Test inputs that are looked at: what a network computes shows on any."""


def example_of(data: object, state: State, scale: PixelScale) -> Inputs | None:
    """The first test inputs as the network takes them; None of data of an unknown form."""
    if not isinstance(data, Split) or not len(data):
        return None
    return taken(data.part(0, IMAGES).inputs, state, scale)


def watched(skeleton: nn.Module, state: State, example: Inputs | None) -> tuple[Work | None, bool]:
    """What the network multiplies, and whether that has shown layers which their class does not."""
    if example is None:
        return None, False
    try:
        with seeded(0, "watched pass"):  # of a network that is random by itself
            has_own_maps = examine_(skeleton, state, example)
            return work_of(skeleton, state, example), has_own_maps
    except ValueError:  # a score of one's own may call the network in another way
        return None, False


@dataclass(frozen=True, kw_only=True, eq=False)
class Analog:
    """A network as it lies on the chip."""

    skeleton: nn.Module
    state: State
    places: dict[str, Place]
    work: Work | None  # what it multiplies; None where no pass could be watched
    has_own_maps: bool  # layers that only a pass has shown to multiply


def analog_of(skeleton: nn.Module, network: Network, example: Inputs | None) -> Analog:
    """The network as `network.stored` says, and what each of its tensors is when it is measured.
    `skeleton` is marked by the pass that is watched.

    Raises:
        ValueError: for layers that there are not, and where the network cannot be folded or its
            statistics cannot be stored so.
    Warns:
        NoEffectWarning: where nothing is folded, or a part of the normalisation is not.
    """
    state, stored = state_of(skeleton), network.stored
    if stored.fold_norm:
        skeleton, state = _folded(skeleton, state, example)
    work, has_own_maps = watched(skeleton, state, example)
    where = kept_digital(places(skeleton), network.digital)
    where = stored_as(where, skeleton, stored.stats_as)
    return Analog(
        skeleton=skeleton, state=state, places=where, work=work, has_own_maps=has_own_maps
    )


def _folded(skeleton: nn.Module, state: State, example: Inputs | None) -> tuple[nn.Module, State]:
    """The network with each batch normalisation in the layer in front of it, where that is one."""
    if example is None:
        raise ValueError("fold_norm needs test inputs of a known form, to see what follows what")
    there = list(norm_layers(skeleton))
    fold = fold_of(skeleton, state, example)
    folded = [] if fold is None else [pair.norm for pair in fold.pairs]
    left = [name for name in there if name not in folded]
    if left or not there:
        shown = f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
        warnings.warn(
            "fold_norm folds only BatchNorm that alone follows a convolution or linear layer: "
            f"{len(left)} of {len(there)} normalisation layers stay as they are ({shown})"
            if there
            else f"fold_norm changes nothing: the {type(skeleton).__name__} has no normalisation",
            NoEffectWarning,
            stacklevel=2,
        )
    return (skeleton, state) if fold is None else (fold.skeleton, fold.state(state))


def analog_places(setup: Setup) -> tuple[State, dict[str, Place]]:
    """The tensors of an opened network, and what each is when it is measured."""
    skeleton = skeleton_of(setup.model)
    set_eps_(skeleton, setup.network.stored)
    example = example_of(setup.test, state_of(skeleton), setup.scale or UNSCALED)
    found = analog_of(skeleton, setup.network, example)
    return found.state, found.places


def digital_words(
    where: Mapping[str, Place], targets: Sequence[str], *, asked: str, has_own_maps: bool
) -> str:
    """What rows say is kept digital: what was asked for, and tables that are looked up.

    Rows from before tables were, and before layers of other classes than torch's were found
    (`has_own_maps`), say nothing: so where either changes the noise, there are some words.
    """
    has_tables = any(place.role == "embedding" for place in where.values())
    left_out = has_tables and "kernel" in targets and "embedding" not in targets
    words = ",".join(filter(None, ("embedding" if left_out else "", asked)))
    return words or ("none" if has_own_maps else "")


def fitted_request(setup: Setup, request: R) -> R:
    """`resolved_request`, where the kernels of the opened network fit into the arrays too: asked
    before anything is written.

    Raises:
        ValueError: as `resolved_request`, for tiles that are smaller than one input channel, and
            for cells that a device cannot be.
    """
    found = resolved_request(request)
    arrays = Arrays(mapping=setup.network.stored.array)
    stages = {stage for spec in found.measurement.specs for stage in spec.stages}
    devices = [stage for stage in stages if isinstance(stage, OnDevices)]
    for name in {stage.path or stage.device for stage in devices if not stage.is_function}:
        find_device(name).check_cells(arrays.mapping.cells)
    tile = arrays.mapping.tile
    if tile is not None and devices:
        state = state_of(setup.model)
        where = kept_digital(places(setup.model), setup.network.digital)
        for name in targeted(where, found.measurement.targets):
            if state[name].dim() > 1:
                whole_tile(state[name], where[name], tile)
    return found


def _warn_of_idle_times(specs: Sequence[Spec]) -> None:
    """Warn of several times of devices that no time changes."""
    stages = [stage for spec in specs for stage in spec.stages if isinstance(stage, OnDevices)]
    names = sorted({stage.path or stage.device for stage in stages if not stage.is_function})
    if len({stage.time for stage in stages}) < 2 or any(stage.is_function for stage in stages):
        return
    if not any(find_device(name).ages for name in names):
        warnings.warn(
            f"the times change nothing: {', '.join(names)} has programming alone, and does not age",
            NoEffectWarning,
            stacklevel=5,
        )


def resolved_request(request: R) -> R:
    """The request with the code of noise of one's own in its text (`noise.resolved`)."""
    asked = request.measurement
    specs = tuple(resolved(spec) for spec in asked.specs)
    _warn_of_idle_times(specs)
    return replace(request, measurement=replace(asked, specs=specs))
