"""One visible training loop."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.training.loop import advance as advance
    from noiseproof.training.loop import train as train

__getattr__, __dir__ = face(
    __name__,
    {
        "advance": "training.loop",
        "train": "training.loop",
    },
)
