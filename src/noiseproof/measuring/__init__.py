"""Chips -> rows."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.measuring.activations import explain as explain
    from noiseproof.measuring.curves import measure as measure
    from noiseproof.measuring.requests import Subject as Subject
    from noiseproof.measuring.sensitivity import rank_layers as rank_layers
    from noiseproof.measuring.setup import open_setup as open_setup
    from noiseproof.measuring.streams import track as track

__getattr__, __dir__ = face(
    __name__,
    {
        "Subject": "measuring.requests",
        "explain": "measuring.activations",
        "measure": "measuring.curves",
        "open_setup": "measuring.setup",
        "rank_layers": "measuring.sensitivity",
        "track": "measuring.streams",
    },
)
