"""Which pictures public weights were trained for: their size, and the scale of their pixels."""

import importlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from torchvision.models import get_model_weights, list_models

from noiseproof.specs import Cropping, PixelScale


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How a picture of any size reaches a network."""

    cropping: Cropping
    scale: PixelScale


def pictures_of(model: str, file: str) -> Pictures | None:
    """What the weights of a public network were trained for, as its library has it: of
    torchvision by the name of the weights' `file`, which says which of several they are; of timm by
    the name of the model. None where it does not say, or resizes to something else than a square.
    """
    library, _, name = model.partition(":")
    if library == "torchvision":
        return _of_torchvision(name, file)
    if library == "timm" and importlib.util.find_spec("timm") is not None:
        timm: Any = importlib.import_module("timm")
        found = timm.get_pretrained_cfg(name)
        return None if found is None else _of_timm(found.to_dict())
    return None


def _of_torchvision(name: str, file: str) -> Pictures | None:
    for weights in get_model_weights(name) if name in list_models() else ():
        if PurePosixPath(weights.url).name == file:
            how = weights.transforms()
            resize, crop = (
                _square(getattr(how, key, None)) for key in ("resize_size", "crop_size")
            )
            if resize is None or crop is None:
                return None  # detectors take pictures as they are, segmenters crop nothing
            return Pictures(
                cropping=Cropping(resize=resize, crop=crop, interpolation=how.interpolation.value),
                scale=PixelScale(mean=tuple(how.mean), std=tuple(how.std)),
            )
    return None


def _square(size: Sequence[int] | None) -> int | None:
    """The one number in a size of torchvision's; None where there are several or none."""
    return size[0] if size and len(set(size)) == 1 else None


def _of_timm(found: Mapping[str, Any]) -> Pictures | None:
    size = found.get("test_input_size") or found["input_size"]
    share = found.get("test_crop_pct") or found.get("crop_pct") or 1.0
    is_known = found.get("interpolation") in ("bilinear", "bicubic")
    if size[1] != size[2] or found.get("crop_mode", "center") != "center" or not is_known:
        return None
    return Pictures(
        # As timm's own evaluation rounds it.
        cropping=Cropping(
            resize=math.floor(size[1] / share),
            crop=size[1],
            interpolation=found["interpolation"],
        ),
        scale=PixelScale(mean=tuple(found["mean"]), std=tuple(found["std"])),
    )
