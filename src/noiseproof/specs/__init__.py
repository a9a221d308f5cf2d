"""What can be asked, as values with one text form; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.specs.catalog import BCCD_CLASSES as BCCD_CLASSES
    from noiseproof.specs.catalog import DATASETS as DATASETS
    from noiseproof.specs.catalog import DETECTORS as DETECTORS
    from noiseproof.specs.catalog import PIXEL_SCALES as PIXEL_SCALES
    from noiseproof.specs.catalog import SEGMENTERS as SEGMENTERS
    from noiseproof.specs.catalog import UNSCALED as UNSCALED
    from noiseproof.specs.catalog import VOC_CLASSES as VOC_CLASSES
    from noiseproof.specs.catalog import PixelScale as PixelScale
    from noiseproof.specs.catalog import check_dataset as check_dataset
    from noiseproof.specs.catalog import check_model as check_model
    from noiseproof.specs.catalog import check_norm as check_norm
    from noiseproof.specs.catalog import has_hits as has_hits
    from noiseproof.specs.catalog import imagenet_scale as imagenet_scale
    from noiseproof.specs.catalog import is_share as is_share
    from noiseproof.specs.catalog import metric_of as metric_of
    from noiseproof.specs.catalog import norm_text as norm_text
    from noiseproof.specs.catalog import parse_pixel_scale as parse_pixel_scale
    from noiseproof.specs.catalog import parse_size as parse_size
    from noiseproof.specs.cells import Cells as Cells
    from noiseproof.specs.cells import Offset as Offset
    from noiseproof.specs.cells import Pair as Pair
    from noiseproof.specs.cells import Pairs as Pairs
    from noiseproof.specs.cells import Slices as Slices
    from noiseproof.specs.cells import parse_cells as parse_cells
    from noiseproof.specs.cropping import Cropping as Cropping
    from noiseproof.specs.cropping import asked_cropping as asked_cropping
    from noiseproof.specs.designs import DESIGNS as DESIGNS
    from noiseproof.specs.designs import Auto as Auto
    from noiseproof.specs.designs import Chips as Chips
    from noiseproof.specs.designs import Design as Design
    from noiseproof.specs.designs import Nested as Nested
    from noiseproof.specs.designs import PerImage as PerImage
    from noiseproof.specs.designs import auto_design as auto_design
    from noiseproof.specs.designs import blocks_of as blocks_of
    from noiseproof.specs.designs import check_above as check_above
    from noiseproof.specs.designs import check_design as check_design
    from noiseproof.specs.designs import check_length as check_length
    from noiseproof.specs.designs import images_of as images_of
    from noiseproof.specs.designs import parse_design as parse_design
    from noiseproof.specs.designs import sized as sized
    from noiseproof.specs.estimators import AUTO as AUTO
    from noiseproof.specs.estimators import ESTIMATORS as ESTIMATORS
    from noiseproof.specs.estimators import Batch as Batch
    from noiseproof.specs.estimators import Blend as Blend
    from noiseproof.specs.estimators import Ema as Ema
    from noiseproof.specs.estimators import Estimator as Estimator
    from noiseproof.specs.estimators import Layerwise as Layerwise
    from noiseproof.specs.estimators import Match as Match
    from noiseproof.specs.estimators import Pooled as Pooled
    from noiseproof.specs.estimators import parse_estimator as parse_estimator
    from noiseproof.specs.hardware import Hardware as Hardware
    from noiseproof.specs.hardware import find_hardware as find_hardware
    from noiseproof.specs.layers import Layers as Layers
    from noiseproof.specs.layers import digital_text as digital_text
    from noiseproof.specs.layers import parse_digital as parse_digital
    from noiseproof.specs.layers import parse_layers as parse_layers
    from noiseproof.specs.mapping import AS_ARRAYS as AS_ARRAYS
    from noiseproof.specs.mapping import COMPENSATIONS as COMPENSATIONS
    from noiseproof.specs.mapping import ArrayMapping as ArrayMapping
    from noiseproof.specs.mapping import parse_mapping as parse_mapping
    from noiseproof.specs.mvm import EXACT as EXACT
    from noiseproof.specs.mvm import Adc as Adc
    from noiseproof.specs.mvm import Dac as Dac
    from noiseproof.specs.mvm import Mvm as Mvm
    from noiseproof.specs.mvm import Output as Output
    from noiseproof.specs.mvm import Read as Read
    from noiseproof.specs.mvm import Wires as Wires
    from noiseproof.specs.mvm import parse_mvm as parse_mvm
    from noiseproof.specs.noise import REFERENCES as REFERENCES
    from noiseproof.specs.noise import ROLES as ROLES
    from noiseproof.specs.noise import SCOPES as SCOPES
    from noiseproof.specs.noise import Additive as Additive
    from noiseproof.specs.noise import DeadColumn as DeadColumn
    from noiseproof.specs.noise import DeadRow as DeadRow
    from noiseproof.specs.noise import Lognormal as Lognormal
    from noiseproof.specs.noise import OnDevices as OnDevices
    from noiseproof.specs.noise import Own as Own
    from noiseproof.specs.noise import Quantize as Quantize
    from noiseproof.specs.noise import Spec as Spec
    from noiseproof.specs.noise import Stage as Stage
    from noiseproof.specs.noise import Stuck as Stuck
    from noiseproof.specs.noise import Verify as Verify
    from noiseproof.specs.noise import ordered_targets as ordered_targets
    from noiseproof.specs.noise import parse as parse
    from noiseproof.specs.noise import parse_levels as parse_levels
    from noiseproof.specs.noise import parse_targets as parse_targets
    from noiseproof.specs.pace import Pace as Pace
    from noiseproof.specs.pace import parse_seconds as parse_seconds
    from noiseproof.specs.recipes import Plan as Plan
    from noiseproof.specs.recipes import Recipe as Recipe
    from noiseproof.specs.scores import ScoreFacts as ScoreFacts
    from noiseproof.specs.scores import facts_of as facts_of
    from noiseproof.specs.scores import key_of_score as key_of_score
    from noiseproof.specs.selection import CLEAN as CLEAN
    from noiseproof.specs.selection import GROUPINGS as GROUPINGS
    from noiseproof.specs.selection import WHOLE_NETWORK as WHOLE_NETWORK
    from noiseproof.specs.selection import but_part as but_part
    from noiseproof.specs.selection import check_ranked as check_ranked
    from noiseproof.specs.selection import chosen_steps as chosen_steps
    from noiseproof.specs.selection import only_part as only_part
    from noiseproof.specs.selection import parse_steps as parse_steps
    from noiseproof.specs.shipped import hardware_names as hardware_names
    from noiseproof.specs.storing import AS_TORCH as AS_TORCH
    from noiseproof.specs.storing import FORMS as FORMS
    from noiseproof.specs.storing import OWN_FORMS as OWN_FORMS
    from noiseproof.specs.storing import Stored as Stored
    from noiseproof.specs.streams import WANDERS_WITHIN as WANDERS_WITHIN
    from noiseproof.specs.streams import Course as Course
    from noiseproof.specs.streams import Stream as Stream
    from noiseproof.specs.streams import check_followed as check_followed
    from noiseproof.specs.streams import parse_stream as parse_stream
    from noiseproof.specs.times import parse_time as parse_time
    from noiseproof.specs.times import parse_times as parse_times
    from noiseproof.specs.times import time_text as time_text

__getattr__, __dir__ = face(
    __name__,
    {
        "Own": "specs.noise",
        "DeadColumn": "specs.noise",
        "DeadRow": "specs.noise",
        "Verify": "specs.noise",
        "Adc": "specs.mvm",
        "Dac": "specs.mvm",
        "EXACT": "specs.mvm",
        "Mvm": "specs.mvm",
        "Output": "specs.mvm",
        "Read": "specs.mvm",
        "Wires": "specs.mvm",
        "parse_mvm": "specs.mvm",
        "Cells": "specs.cells",
        "Offset": "specs.cells",
        "Pair": "specs.cells",
        "Pairs": "specs.cells",
        "Slices": "specs.cells",
        "parse_cells": "specs.cells",
        "OnDevices": "specs.noise",
        "AS_ARRAYS": "specs.mapping",
        "Hardware": "specs.hardware",
        "find_hardware": "specs.hardware",
        "hardware_names": "specs.shipped",
        "COMPENSATIONS": "specs.mapping",
        "ArrayMapping": "specs.mapping",
        "parse_mapping": "specs.mapping",
        "parse_time": "specs.times",
        "parse_times": "specs.times",
        "time_text": "specs.times",
        "Cropping": "specs.cropping",
        "asked_cropping": "specs.cropping",
        "AUTO": "specs.estimators",
        "Additive": "specs.noise",
        "Layers": "specs.layers",
        "digital_text": "specs.layers",
        "parse_digital": "specs.layers",
        "parse_layers": "specs.layers",
        "Auto": "specs.designs",
        "BCCD_CLASSES": "specs.catalog",
        "Batch": "specs.estimators",
        "Blend": "specs.estimators",
        "CLEAN": "specs.selection",
        "Chips": "specs.designs",
        "Course": "specs.streams",
        "DATASETS": "specs.catalog",
        "DESIGNS": "specs.designs",
        "DETECTORS": "specs.catalog",
        "Design": "specs.designs",
        "ESTIMATORS": "specs.estimators",
        "Ema": "specs.estimators",
        "Estimator": "specs.estimators",
        "GROUPINGS": "specs.selection",
        "Layerwise": "specs.estimators",
        "Lognormal": "specs.noise",
        "Match": "specs.estimators",
        "Nested": "specs.designs",
        "PIXEL_SCALES": "specs.catalog",
        "Pace": "specs.pace",
        "PerImage": "specs.designs",
        "PixelScale": "specs.catalog",
        "AS_TORCH": "specs.storing",
        "FORMS": "specs.storing",
        "OWN_FORMS": "specs.storing",
        "Plan": "specs.recipes",
        "Stored": "specs.storing",
        "Pooled": "specs.estimators",
        "Quantize": "specs.noise",
        "REFERENCES": "specs.noise",
        "ROLES": "specs.noise",
        "Recipe": "specs.recipes",
        "SCOPES": "specs.noise",
        "SEGMENTERS": "specs.catalog",
        "ScoreFacts": "specs.scores",
        "Spec": "specs.noise",
        "Stage": "specs.noise",
        "Stream": "specs.streams",
        "Stuck": "specs.noise",
        "UNSCALED": "specs.catalog",
        "VOC_CLASSES": "specs.catalog",
        "WANDERS_WITHIN": "specs.streams",
        "WHOLE_NETWORK": "specs.selection",
        "auto_design": "specs.designs",
        "blocks_of": "specs.designs",
        "but_part": "specs.selection",
        "check_above": "specs.designs",
        "check_dataset": "specs.catalog",
        "check_design": "specs.designs",
        "check_followed": "specs.streams",
        "check_length": "specs.designs",
        "check_model": "specs.catalog",
        "check_norm": "specs.catalog",
        "check_ranked": "specs.selection",
        "chosen_steps": "specs.selection",
        "facts_of": "specs.scores",
        "has_hits": "specs.catalog",
        "imagenet_scale": "specs.catalog",
        "images_of": "specs.designs",
        "is_share": "specs.catalog",
        "key_of_score": "specs.scores",
        "metric_of": "specs.catalog",
        "norm_text": "specs.catalog",
        "only_part": "specs.selection",
        "ordered_targets": "specs.noise",
        "parse": "specs.noise",
        "parse_design": "specs.designs",
        "parse_estimator": "specs.estimators",
        "parse_levels": "specs.noise",
        "parse_pixel_scale": "specs.catalog",
        "parse_seconds": "specs.pace",
        "parse_size": "specs.catalog",
        "parse_steps": "specs.selection",
        "parse_stream": "specs.streams",
        "parse_targets": "specs.noise",
        "sized": "specs.designs",
    },
)
