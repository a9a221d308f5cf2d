"""A network as a skeleton and a state, and what its layers are."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.network.chip import Chip as Chip
    from noiseproof.network.chip import outputs as outputs
    from noiseproof.network.linear_maps import LinearMap as LinearMap
    from noiseproof.network.norms import replace_norms as replace_norms
    from noiseproof.network.state import Place as Place
    from noiseproof.network.state import State as State
    from noiseproof.network.state import places as places
    from noiseproof.network.state import skeleton_of as skeleton_of
    from noiseproof.network.state import state_of as state_of
    from noiseproof.network.state import with_state as with_state

__getattr__, __dir__ = face(
    __name__,
    {
        "Chip": "network.chip",
        "LinearMap": "network.linear_maps",
        "Place": "network.state",
        "State": "network.state",
        "outputs": "network.chip",
        "places": "network.state",
        "replace_norms": "network.norms",
        "skeleton_of": "network.state",
        "state_of": "network.state",
        "with_state": "network.state",
    },
)
