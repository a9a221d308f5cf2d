"""One visible training loop."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.training.loop import advance as advance
    from noiseproof.training.loop import train as train
    from noiseproof.training.progress import Progress as Progress
    from noiseproof.training.resume import RESUME as RESUME
    from noiseproof.training.resume import WEIGHTS as WEIGHTS
    from noiseproof.training.resume import epochs_done as epochs_done
    from noiseproof.training.resume import finished as finished

__getattr__, __dir__ = face(
    __name__,
    {
        "Progress": "training.progress",
        "RESUME": "training.resume",
        "WEIGHTS": "training.resume",
        "advance": "training.loop",
        "epochs_done": "training.resume",
        "finished": "training.resume",
        "train": "training.loop",
    },
)
