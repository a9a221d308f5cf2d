"""What a pass of a network shows before it is measured: its kernels, and what they compute."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from torch import nn

from noiseproof.core.inputs import Inputs
from noiseproof.core.rng import seeded
from noiseproof.data import Split
from noiseproof.measuring.requests import Request
from noiseproof.measuring.setup import Setup
from noiseproof.network import (
    Place,
    State,
    Work,
    examine_,
    kept_digital,
    places,
    skeleton_of,
    state_of,
    work_of,
)
from noiseproof.noise import resolved
from noiseproof.specs import UNSCALED, PixelScale
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


def analog_places(setup: Setup) -> tuple[State, dict[str, Place]]:
    """The tensors of an opened network, and what each is when it is measured: with the kernels
    that a pass shows, and the layers that are kept digital."""
    skeleton = skeleton_of(setup.model)
    state = state_of(skeleton)
    watched(skeleton, state, example_of(setup.test, state, setup.scale or UNSCALED))
    return state, kept_digital(places(skeleton), setup.network.digital)


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


def resolved_request(request: R) -> R:
    """The request with the code of noise of one's own in its text (`noise.resolved`)."""
    asked = request.measurement
    specs = tuple(resolved(spec) for spec in asked.specs)
    return replace(request, measurement=replace(asked, specs=specs))
