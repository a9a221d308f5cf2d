"""Inputs, and what is known about them."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.data.augmentation import augmented as augmented
    from noiseproof.data.augmentation import augmented_scenes as augmented_scenes
    from noiseproof.data.datasets import open_dataset as open_dataset
    from noiseproof.data.splits import VOID as VOID
    from noiseproof.data.splits import Boxes as Boxes
    from noiseproof.data.splits import Dataset as Dataset
    from noiseproof.data.splits import Labels as Labels
    from noiseproof.data.splits import Source as Source
    from noiseproof.data.splits import Split as Split
    from noiseproof.data.splits import scaled as scaled

__getattr__, __dir__ = face(
    __name__,
    {
        "Boxes": "data.splits",
        "Dataset": "data.splits",
        "Labels": "data.splits",
        "Source": "data.splits",
        "Split": "data.splits",
        "VOID": "data.splits",
        "augmented": "data.augmentation",
        "augmented_scenes": "data.augmentation",
        "open_dataset": "data.datasets",
        "scaled": "data.splits",
    },
)
