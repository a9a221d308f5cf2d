"""Inputs, and what is known about them."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.data.augmentation import augmented as augmented
    from noiseproof.data.augmentation import augmented_scenes as augmented_scenes
    from noiseproof.data.boxes import Boxes as Boxes
    from noiseproof.data.datasets import open_dataset as open_dataset
    from noiseproof.data.folders import unlabelled as unlabelled
    from noiseproof.data.forms import inputs_of as inputs_of
    from noiseproof.data.forms import ready_inputs as ready_inputs
    from noiseproof.data.forms import split_of as split_of
    from noiseproof.data.labels import NO_TOKEN as NO_TOKEN
    from noiseproof.data.labels import VOID as VOID
    from noiseproof.data.labels import Labels as Labels
    from noiseproof.data.naming import fitted_to as fitted_to
    from noiseproof.data.pixels import check_scale as check_scale
    from noiseproof.data.pixels import scaled as scaled
    from noiseproof.data.sets import Dataset as Dataset
    from noiseproof.data.sets import Source as Source
    from noiseproof.data.splits import Split as Split

__getattr__, __dir__ = face(
    __name__,
    {
        "unlabelled": "data.folders",
        "Boxes": "data.boxes",
        "Dataset": "data.sets",
        "Labels": "data.labels",
        "NO_TOKEN": "data.labels",
        "Source": "data.sets",
        "Split": "data.splits",
        "VOID": "data.labels",
        "augmented": "data.augmentation",
        "augmented_scenes": "data.augmentation",
        "check_scale": "data.pixels",
        "fitted_to": "data.naming",
        "inputs_of": "data.forms",
        "ready_inputs": "data.forms",
        "split_of": "data.forms",
        "open_dataset": "data.datasets",
        "scaled": "data.pixels",
    },
)
