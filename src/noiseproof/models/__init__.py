"""Networks by name, and their weights on the disk."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.models.building import build as build
    from noiseproof.models.checkpoint import fill as fill
    from noiseproof.models.checkpoint import load_state as load_state
    from noiseproof.models.checkpoint import read_card as read_card
    from noiseproof.models.checkpoint import save_weights as save_weights

__getattr__, __dir__ = face(
    __name__,
    {
        "build": "models.building",
        "fill": "models.checkpoint",
        "load_state": "models.checkpoint",
        "read_card": "models.checkpoint",
        "save_weights": "models.checkpoint",
    },
)
