"""Inputs, and what is known about them."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.data.datasets import open_dataset as open_dataset
    from noiseproof.data.splits import Boxes as Boxes
    from noiseproof.data.splits import Dataset as Dataset
    from noiseproof.data.splits import Source as Source
    from noiseproof.data.splits import Split as Split
    from noiseproof.data.splits import scaled as scaled

__getattr__, __dir__ = face(
    __name__,
    {
        "Boxes": "data.splits",
        "Dataset": "data.splits",
        "Source": "data.splits",
        "Split": "data.splits",
        "open_dataset": "data.datasets",
        "scaled": "data.splits",
    },
)
