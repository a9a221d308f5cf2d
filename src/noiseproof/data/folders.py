"""Folders of images, one folder a class."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from noiseproof.core.rng import stream
from noiseproof.data.pictures import IMAGE_SUFFIXES, cropped, fit, open_image, size_of
from noiseproof.data.sets import Source
from noiseproof.data.splits import Split
from noiseproof.data.streaming import images
from noiseproof.specs import PIXEL_SCALES, Cropping, PixelScale


def image_folder(root: Path, cropping: Cropping) -> Source:
    """PATH/{train,test|val}/CLASS/*.jpg, or PATH/CLASS/*.jpg, which is then the test split. Images
    are read when they are needed."""
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
    image = partial(cropped, cropping=cropping)
    mean, std = PIXEL_SCALES["imagenet"]
    return Source(
        name=f"folder:{root}{cropping}",
        classes=max(labels.values()) + 1,
        channels=3,
        scale=PixelScale(mean=mean, std=std),
        # 1/8 of the image, as the CIFAR recipe's 4 pixels are of 32: 28 of 224.
        shift=cropping.crop // 8,
        flip=True,
        read=lambda split: _read_folder(homes[split], labels, names, image),
        image=image,
    )


def _class_labels(names: Sequence[str]) -> dict[str, int]:
    """Folders named by numbers are their own labels; others are numbered in sorted order."""
    if names and all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: place for place, name in enumerate(names)}


def _read_folder(
    home: Path,
    labels: dict[str, int],
    names: tuple[str, ...],
    image: Callable[[Path], Tensor],
) -> Split:
    """All images in a fixed random order, so that the first n are a fair sample."""
    if not home.is_dir():
        raise ValueError(f"image folder {home} does not exist")
    chosen = _shuffled(home.glob("*/*"))
    if not chosen:
        raise ValueError(f"image folder {home} holds no images (CLASS/*.jpg)")
    for path in chosen:
        size_of(path)  # what is no image is refused now, not after the first chips
    return images(
        image,
        chosen,
        torch.tensor([labels[path.parent.name] for path in chosen]),
        names=names,
    )


def unlabelled(root: Path, source: Source, test: Split, n: int) -> Tensor:
    """The first n (n, C, H, W) of all images in a folder and the folders in it, in a fixed random
    order, as the images of `source` are: squares where those of `test` are, else scaled to fit.

    Raises:
        ValueError: for no such folder, fewer images, or test inputs that are no images.
    """
    one = test.part(0, 1).inputs
    if not isinstance(one, Tensor) or one.dim() != 4 or one.dtype != torch.uint8:
        raise ValueError(f"a calibration folder holds images, and {source.name} has none")
    if not root.is_dir():
        raise ValueError(f"calibration folder {root} does not exist")
    chosen = _shuffled(root.rglob("*"))
    if len(chosen) < n:
        raise ValueError(f"{root} holds {len(chosen)} images, and {n} are needed to calibrate")
    height, width = one.shape[2:]
    read = source.image or partial(_of_size, height=height, width=width)
    return torch.stack([read(path) for path in chosen[:n]])


def _of_size(path: Path, *, height: int, width: int) -> Tensor:
    if height == width:
        return cropped(path, Cropping(resize=height, crop=height))
    return fit(open_image(path), (height, width))


def _shuffled(found: Iterable[Path]) -> list[Path]:
    """Those that are images."""
    # Sorted before they are shuffled: the order in which a disk lists them is its own affair.
    files = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    order = torch.randperm(len(files), generator=stream(0, "folder")).tolist()
    return [files[place] for place in order]
