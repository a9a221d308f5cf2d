"""Networks by name, and their weights on the disk."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.models.building import build as build
    from noiseproof.models.checkpoint import Card as Card
    from noiseproof.models.checkpoint import file_sha256 as file_sha256
    from noiseproof.models.checkpoint import fill as fill
    from noiseproof.models.checkpoint import load_state as load_state
    from noiseproof.models.checkpoint import read_card as read_card
    from noiseproof.models.checkpoint import round_kernels_ as round_kernels_
    from noiseproof.models.checkpoint import save_weights as save_weights
    from noiseproof.models.checkpoint import weights_file as weights_file
    from noiseproof.models.checkpoint import write_card as write_card
    from noiseproof.models.own_pictures import pictures_of as pictures_of

__getattr__, __dir__ = face(
    __name__,
    {
        "Card": "models.checkpoint",
        "build": "models.building",
        "pictures_of": "models.own_pictures",
        "file_sha256": "models.checkpoint",
        "fill": "models.checkpoint",
        "load_state": "models.checkpoint",
        "read_card": "models.checkpoint",
        "round_kernels_": "models.checkpoint",
        "save_weights": "models.checkpoint",
        "weights_file": "models.checkpoint",
        "write_card": "models.checkpoint",
    },
)
