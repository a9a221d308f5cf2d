"""Folders of images, one folder a class."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms import v2

from noiseproof.core.rng import stream
from noiseproof.data.pictures import IMAGE_SUFFIXES, open_image
from noiseproof.data.sets import Source
from noiseproof.data.splits import Split
from noiseproof.specs import PIXEL_SCALES, PixelScale


def image_folder(root: Path) -> Source:
    """PATH/{train,test|val}/CLASS/*.jpg, or PATH/CLASS/*.jpg, which is then the test split."""
    if not root.is_dir():
        raise ValueError(f"image folder {root} does not exist")
    tests = [root / part for part in ("test", "val") if (root / part).is_dir()]
    has_parts = bool(tests) or (root / "train").is_dir()
    homes = {"train": root / "train", "test": (tests or [root / "test"])[0]}
    if not has_parts:
        homes["test"] = root
    present = [home for home in homes.values() if home.is_dir()]
    # Of both splits: a class that only one of them has must not move the others' numbers.
    found = sorted({d.name for home in present for d in home.iterdir() if d.is_dir()})
    labels = _class_labels(found)
    # Numbers are the network's own; of names nobody knows before the network is there.
    names = () if all(name.isdecimal() for name in found) else tuple(found)
    if not labels:
        raise ValueError(f"image folder {root} holds no class folders: expected CLASS/*.jpg in it")
    mean, std = PIXEL_SCALES["imagenet"]
    return Source(
        name=f"folder:{root}",
        classes=max(labels.values()) + 1,
        channels=3,
        scale=PixelScale(mean=mean, std=std),
        # 1/8 of 224 pixels, as the CIFAR recipe's 4 are of 32.
        shift=28,
        flip=True,
        read=lambda split: _read_folder(homes[split], labels, names),
    )


def _class_labels(names: Sequence[str]) -> dict[str, int]:
    """Folders named by numbers are their own labels; others are numbered in sorted order."""
    if names and all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: place for place, name in enumerate(names)}


def _read_folder(home: Path, labels: dict[str, int], names: tuple[str, ...]) -> Split:
    """All images, shorter side resized to 256 and the centre 224x224 kept, in a fixed random
    order, so that the first n are a fair sample."""
    if not home.is_dir():
        raise ValueError(f"image folder {home} does not exist")
    # Sorted before they are shuffled: the order in which a disk lists them is its own affair.
    files = sorted(path for path in home.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"image folder {home} holds no images (CLASS/*.jpg)")
    order = torch.randperm(len(files), generator=stream(0, "folder")).tolist()
    chosen = [files[place] for place in order]
    return Split(
        inputs=torch.stack([_read_image(path) for path in chosen]),
        labels=torch.tensor([labels[path.parent.name] for path in chosen]),
        names=names,
    )


def _read_image(path: Path) -> Tensor:
    cropped = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    return cropped(open_image(path))  # type: ignore[no-any-return]
