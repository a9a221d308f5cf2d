"""Data sets for detection and segmentation: masks and boxes in memory, images read when they are
needed, all at one size (see `pictures`)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.datasets import VOCDetection, VOCSegmentation

from noiseproof.core.rng import stream
from noiseproof.data.annotations import numbered, read_coco, read_voc
from noiseproof.data.pictures import (
    IMAGE_SUFFIXES,
    Found,
    Size,
    fit,
    fit_boxes,
    fit_mask,
    open_image,
    open_mask,
    size_of,
)
from noiseproof.data.splits import SPLITS, VOID, Split
from noiseproof.data.streaming import images
from noiseproof.specs import BCCD_CLASSES, DATASETS, VOC_CLASSES

T = TypeVar("T")
MASK_FOLDERS = ("masks", "labels", "annotations", "annot")
CAMVID_VOID = 11

# --- segmentation -------------------------------------------------------------------------------


def masks_folder(root: Path, split: str, size: Size | None, *, void: int = VOID) -> Split:
    """Images and masks of equal names, in PATH/SPLIT and PATH/SPLITannot, or in PATH/images/SPLIT
    and PATH/masks/SPLIT (or labels, annotations). Mask values are classes; `void` counts nowhere.

    Raises:
        ValueError: where an image has no mask, or there is none; FileNotFoundError: no folder.
    """
    pairs = _mask_pairs(root, split)
    return _with_masks([pairs[place] for place in _order(len(pairs), "masks")], size, root, void)


def masks_classes(root: Path) -> int:
    """The number of classes in the masks of both splits of a `masks_folder`: the largest, plus 1.

    Raises:
        ValueError: where there are no such folders, or all is void, and as `masks_folder`.
    """
    present = [split for split in SPLITS if _mask_folders(root, split) is not None]
    if not present:
        raise ValueError(
            f"{root} holds no masks: expected test and testannot in it, or images/test and "
            "masks/test (the same for train)"
        )
    top = -1
    for split in present:
        for _, path in _mask_pairs(root, split):
            values = open_mask(path)
            named = values[values != VOID]
            top = max(top, int(named.max()) if len(named) else -1)
    if top < 0:
        raise ValueError(f"the masks in {root} hold no class: all their pixels are {VOID}, void")
    return top + 1


def _mask_folders(root: Path, split: str) -> tuple[Path, Path] | None:
    pairs = [(root / split, root / f"{split}annot")]
    pairs += [(root / "images" / split, root / name / split) for name in MASK_FOLDERS]
    return next(((i, m) for i, m in pairs if i.is_dir() and m.is_dir()), None)


def _mask_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The files of the images and of their masks, sorted by name."""
    folders = _mask_folders(root, split)
    if folders is None:
        # The path that is missing, for the caller's sentence.
        raise FileNotFoundError(root / (f"{split}annot" if (root / split).is_dir() else split))
    images, masks = folders
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"{images} holds no images")
    # By the name without its ending: images are often .jpg, and masks are .png.
    beside = {path.stem: path for path in masks.iterdir()}
    missing = next((path for path in files if path.stem not in beside), None)
    if missing is not None:
        raise ValueError(f"image {missing} has no mask {masks / missing.stem}.png")
    return [(path, beside[path.stem]) for path in files]


def _with_masks(
    pairs: Iterable[tuple[Path, Path]], size: Size | None, root: Path, void: int
) -> Split:
    sizes = _Sizes(size, root)
    labels: list[Tensor] = []
    files: list[Path] = []
    for image_file, mask_file in pairs:
        shape, mask = size_of(image_file), open_mask(mask_file)
        if shape != tuple(mask.shape):
            raise ValueError(
                f"mask {mask_file} must be as large as its image, got {tuple(mask.shape)} and "
                f"{shape}"
            )
        # One word for void before anything is resized, since padding adds void too.
        labels.append(fit_mask(mask.masked_fill(mask == void, VOID), sizes.of(shape)))
        files.append(image_file)
    return images(sizes.read, files, torch.stack(labels))


def _camvid(root: Path, split: str, size: Size | None, download: bool) -> Split:
    """CamVid as in SegNet's tutorial: 367 to train, 233 to test, 11 classes and void."""
    return masks_folder(root / "camvid", split, size, void=CAMVID_VOID)


def _voc_segment(root: Path, split: str, size: Size | None, download: bool) -> Split:
    found = _from_torchvision(
        lambda: VOCSegmentation(str(root), image_set=_voc_set(split), download=download), root
    )
    pairs = zip(map(Path, found.images), map(Path, found.masks), strict=True)
    return _with_masks(pairs, size, root, VOID)


# --- detection ----------------------------------------------------------------------------------


def voc_folder(root: Path, split: str, size: Size | None, numbers: dict[str, int]) -> Split:
    """PATH/JPEGImages, PATH/Annotations/*.xml and PATH/ImageSets/Main/SPLIT.txt. `numbers` gives
    each class its number, from 1.

    Raises:
        ValueError: for damaged files; FileNotFoundError: for missing ones.
    """
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    names = listed.read_text().split()
    if not names:
        raise ValueError(f"{listed} names no images")
    notes = root / "Annotations"
    scenes = (
        (root / "JPEGImages" / f"{name}.jpg", read_voc(notes / f"{name}.xml")) for name in names
    )
    return _with_boxes(scenes, size, root, numbers)


def _with_boxes(
    scenes: Iterable[tuple[Path, list[Found]]],
    size: Size | None,
    root: Path,
    numbers: dict[str, int],
    classes: int = 0,
) -> Split:
    sizes = _Sizes(size, root)
    labels = []
    files: list[Path] = []
    for file, boxes in scenes:
        shape = size_of(file)
        to = sizes.of(shape)
        try:
            labels.append(fit_boxes(boxes, shape, to, numbers))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
        files.append(file)
    names = [""] * max(classes, 1 + max(numbers.values(), default=0))
    for name, number in numbers.items():
        names[number] = name
    return images(sizes.read, files, tuple(labels), names=tuple(names))


def _bccd(root: Path, split: str, size: Size | None, download: bool) -> Split:
    """Blood cells; two boxes without area are left out."""
    return voc_folder(root / "bccd", split, size, numbered(BCCD_CLASSES))


def _voc_detect(root: Path, split: str, size: Size | None, download: bool) -> Split:
    found = _from_torchvision(
        lambda: VOCDetection(str(root), image_set=_voc_set(split), download=download), root
    )
    # .../VOC2012/JPEGImages/NAME.jpg
    folder = Path(found.images[0]).parents[1]
    return voc_folder(folder, _voc_set(split), size, numbered(VOC_CLASSES))


def _coco(root: Path, split: str, size: Size | None, download: bool) -> Split:
    """COCO 2017 by its own category numbers; `train2017` or `val2017`, crowds left out."""
    # The test images' boxes are not published.
    part = "train2017" if split == "train" else "val2017"
    notes = root / "coco" / "annotations" / f"instances_{part}.json"
    found, numbers = read_coco(notes)
    if not found:
        raise ValueError(f"{notes} names no images")
    scenes = ((root / "coco" / part / name, boxes) for name, boxes in found.items())
    return _with_boxes(scenes, size, root, numbers, DATASETS["coco"].classes)


SceneReader = Callable[[Path, str, Size | None, bool], Split]
SCENE_READERS: dict[str, SceneReader] = {
    "bccd": _bccd,
    "camvid": _camvid,
    "coco": _coco,
    "voc_detect": _voc_detect,
    "voc_segment": _voc_segment,
}


def _voc_set(split: str) -> str:
    # VOC's own test annotations are not published for 2012.
    return "train" if split == "train" else "val"


def _from_torchvision(make: Callable[[], T], root: Path) -> T:
    try:
        return make()
    except RuntimeError:
        raise FileNotFoundError(root / "VOCdevkit" / "VOC2012") from None


def _order(n: int, name: str) -> list[int]:
    """A fixed random order, so that the first images are a fair sample of a video."""
    order: list[int] = torch.randperm(n, generator=stream(0, name)).tolist()
    return order


class _Sizes:
    """The one size that images are read at: the one asked for, else that of all of them."""

    def __init__(self, asked: Size | None, root: Path) -> None:
        self.size, self._is_free, self._root = asked, asked is None, root

    def of(self, shape: Size) -> Size:
        """The size that an image of `shape` (height, width) gets.

        Raises:
            ValueError: where none is asked for, and this one has another than those before.
        """
        if self.size is None:
            self.size = shape
        if self._is_free and self.size != shape:
            raise ValueError(
                f"the images in {self._root} differ in size: name one, as in NAME@240x320 "
                "(height x width)"
            )
        return self.size

    def read(self, path: Path) -> Tensor:
        """The image (3, H, W) of a file, fitted."""
        assert self.size is not None, "`of` has seen it"
        return fit(open_image(path), self.size)
