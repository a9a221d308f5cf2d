"""One image, its mask or its boxes: read from files, and fitted into one size.

An image of another shape is scaled to fit and padded below and to the right: black pixels, void in
its mask. Boxes are scaled with it, so scores are those of the scaled images.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from noiseproof.data.boxes import Boxes
from noiseproof.data.labels import VOID
from noiseproof.specs import Cropping

Size = tuple[int, int]  # height, width in pixels
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}
MASK_MODES = ("P", "L", "I", "I;16", "1")  # of Pillow: one value per pixel
SLACK = 1.0  # pixels by which boxes of public data sets reach out of their images, by rounding


@dataclass(frozen=True, kw_only=True)
class Found:
    """One box as a file has it, in pixels of the file's image, and the name of its class."""

    corners: tuple[float, float, float, float]
    name: str


def open_image(path: Path) -> Tensor:
    """The pixels (3, H, W) of an image file.

    Raises:
        ValueError: for a file that is no image; FileNotFoundError: for none.
    """
    pixels: Tensor = F.pil_to_tensor(_opened(path).convert("RGB"))
    return pixels


def size_of(path: Path) -> Size:
    """Height and width of an image file, by its head alone.

    Raises:
        ValueError: for a file that is no image; FileNotFoundError: for none.
    """
    with _readable(path), Image.open(path) as image:
        return image.height, image.width


def open_mask(path: Path) -> Tensor:
    """The values (H, W) of a mask file, uint8, as they are: palette indices where it has a palette.

    Raises:
        ValueError: for a file of colours, or of values above 255; FileNotFoundError: for none.
    """
    image = _opened(path)
    if image.mode not in MASK_MODES:
        raise ValueError(f"mask {path} must hold one class per pixel, got mode {image.mode}")
    values = np.array(image).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= VOID:
        raise ValueError(
            f"mask {path} must hold classes from 0 to {VOID - 1}, and {VOID} for void, got "
            f"{values.max() if values.max() > VOID else values.min()}"
        )
    return torch.from_numpy(values.astype(np.uint8))


def _opened(path: Path) -> Image.Image:
    with _readable(path), Image.open(path) as image:
        image.load()
        # A copy outlives the file, which is closed here: thousands
        # of them would run out of handles.
        return image.copy()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from None


def cropped(path: Path, cropping: Cropping) -> Tensor:
    """The image (3, crop, crop) of a file. Errors as `open_image`."""
    how = InterpolationMode(cropping.interpolation)
    pixels = F.resize(open_image(path), [cropping.resize], how, antialias=True)
    found: Tensor = F.center_crop(pixels, [cropping.crop, cropping.crop])
    return found.contiguous()  # a view would hold on to all that was cropped


def fitted_size(shape: Size, size: Size) -> Size:
    """The size that an image of `shape` has when it is scaled to fit into `size`."""
    factor = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(side * factor)) for side in shape)
    # Rounding may exceed the target by one.
    return min(size[0], height), min(size[1], width)


def fit(pixels: Tensor, size: Size) -> Tensor:
    """The image (C, h, w) scaled to fit into `size` and padded with black -> (C, H, W)."""
    inner = fitted_size((pixels.shape[1], pixels.shape[2]), size)
    if inner != tuple(pixels.shape[1:]):
        pixels = F.resize(pixels, list(inner), antialias=True)
    return _padded(pixels, size, 0)


def fit_mask(mask: Tensor, size: Size) -> Tensor:
    """The mask (h, w) of an image that `fit` takes -> (H, W): its values, and void around."""
    inner = fitted_size((mask.shape[0], mask.shape[1]), size)
    if inner != tuple(mask.shape):
        # Classes cannot be averaged. EXACT, since the plain one is
        # half a pixel off the resized image.
        nearest = InterpolationMode.NEAREST_EXACT
        mask = F.resize(mask[None], list(inner), interpolation=nearest)[0]
    return _padded(mask[None], size, VOID)[0]


def _padded(pixels: Tensor, size: Size, fill: int) -> Tensor:
    below, right = size[0] - pixels.shape[1], size[1] - pixels.shape[2]
    padded: Tensor = F.pad(pixels, [0, 0, right, below], fill=fill)
    return padded


def fit_boxes(found: Sequence[Found], shape: Size, size: Size, numbers: dict[str, int]) -> Boxes:
    """The boxes of an image of `shape` that `fit` takes; those without area are left out.

    Raises:
        ValueError: for a class that is not in `numbers`, or a box that lies outside the image.
    """
    for box in found:
        if box.name not in numbers:
            known = ", ".join(sorted(numbers))
            raise ValueError(f"unknown class {box.name!r} of a box: expected one of {known}")
    # (K, 4); in float64, so that scaling moves no box across its image's edge by rounding.
    corners = torch.tensor([box.corners for box in found], dtype=torch.float64).reshape(-1, 4)
    limit = torch.tensor([shape[1], shape[0]] * 2, dtype=torch.float64)  # x, y, x, y
    inside = ((corners >= -SLACK) & (corners <= limit + SLACK)).all(1)
    if not inside.all():
        worst = found[int((~inside).nonzero()[0])]
        raise ValueError(
            f"a box must lie inside its image, got {list(worst.corners)} in one of "
            f"{shape[0]}x{shape[1]} pixels"
        )
    inner = fitted_size(shape, size)
    edge = torch.tensor([inner[1], inner[0]] * 2, dtype=torch.float64)
    corners = (corners.clamp(torch.zeros_like(limit), limit) * (edge / limit)).float()
    kept = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    classes = torch.tensor([numbers[box.name] for box in found], dtype=torch.int64)
    # The last rounding, to float32, may still reach over the edge, which `Split` refuses.
    return Boxes(corners=torch.minimum(corners, edge.float())[kept], classes=classes[kept])
