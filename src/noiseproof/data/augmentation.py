"""What training does to its images: the standard CIFAR augmentation, and scenes' own."""

from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from noiseproof.core.device import sent
from noiseproof.core.inputs import shapes
from noiseproof.data.splits import VOID, Boxes, Labels, Split

SMALLEST_BOX = 4  # pixels; what a crop leaves of an object must be at least this wide and high


def augmented(images: Tensor, *, shift: int, flip: bool, generator: Generator) -> Tensor:
    """Each image (of (N, C, H, W), any dtype) moved by up to `shift` pixels both ways, with zeros
    coming in, and mirrored with probability 1/2 where `flip`: the standard CIFAR augmentation.
    The generator is the CPU's, so that the choices are the same on every device."""
    n, _, height, width = images.shape
    where = images.device
    padded = F.pad(images, (shift,) * 4)  # (N, C, H + 2 shift, W + 2 shift)
    # Drawn in this order and always, mirrored or not: the dice of later batches hang on it.
    top, left = sent(torch.randint(0, 2 * shift + 1, (2, n), generator=generator), where)
    mirrored = sent(torch.rand(n, generator=generator) < 0.5, where)
    columns = torch.arange(width, device=where).expand(n, width)
    if flip:
        # Mirrored within the crop: the columns are read from the right, then moved.
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)  # (N, W)
    rows = torch.arange(height, device=where) + top[:, None]  # (N, H)
    columns = columns + left[:, None]  # (N, W)
    # One gather for crop and mirror of all images. The indices broadcast to (N, H, W), and the
    # channels stay behind them: (N, H, W, C).
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(n, device=where)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2).contiguous()


def augmented_scenes(split: Split, *, scales: tuple[float, float], flip: bool = True) -> Split:
    """Each scene with its masks or boxes: mirrored with probability 1/2 where `flip`, the colours
    of pixels (not of floats) distorted with probability 1/2, scaled at random within `scales` and
    cropped or padded to its old size.

    torchvision's transforms draw from the global generator: call it under `rng.seeded`.

    Raises:
        ValueError: for inputs that are not one tensor of images.
    """
    scenes = split.inputs
    if not isinstance(scenes, Tensor):
        raise ValueError(
            f"scenes that are augmented must be images (N, C, H, W), got {shapes(scenes)}: "
            "leave augmentation out"
        )
    height, width = scenes.shape[-2:]
    colours = scenes.dtype == torch.uint8 and scenes.shape[1] == 3
    has_boxes = not isinstance(split.labels, Tensor)
    change = _scene_transform(
        height, width, scales=scales, flip=flip, colours=colours, has_boxes=has_boxes
    )
    images, labels = [], []
    for place in range(len(split)):
        image = tv_tensors.Image(scenes[place])
        if isinstance(split.labels, Tensor):
            image, mask = change(image, tv_tensors.Mask(split.labels[place]))
            labels.append(mask.as_subclass(Tensor))
        else:
            boxes = split.labels[place]
            found = {
                "boxes": tv_tensors.BoundingBoxes(
                    boxes.corners, format="XYXY", canvas_size=(height, width)
                ),
                "labels": boxes.classes,
            }
            image, found = change(image, found)
            corners = found["boxes"].as_subclass(Tensor)
            labels.append(Boxes(corners=corners, classes=found["labels"]))
        # Plain tensors again: a tv_tensor hangs its own dispatch on everything that follows.
        images.append(image.as_subclass(Tensor))
    together: Labels = tuple(labels) if has_boxes else torch.stack(labels)
    return Split(inputs=torch.stack(images), labels=together)


@cache
def _scene_transform(
    height: int,
    width: int,
    *,
    scales: tuple[float, float],
    flip: bool,
    colours: bool,
    has_boxes: bool,
) -> v2.Transform:
    # What lies around a small scene is black, and void in its mask: no loss counts it.
    fill = {tv_tensors.Image: 0, tv_tensors.Mask: VOID, "others": 0}
    steps = [
        *([v2.RandomHorizontalFlip()] if flip else []),
        *([v2.RandomPhotometricDistort(p=0.5)] if colours else []),
        v2.ScaleJitter((height, width), scale_range=scales, antialias=True),
        v2.RandomCrop((height, width), pad_if_needed=True, fill=fill),
    ]
    if has_boxes:
        # Boxes that the crop left nothing of, and their labels with them.
        steps.append(v2.SanitizeBoundingBoxes(min_size=SMALLEST_BOX))
    return v2.Compose(steps)
