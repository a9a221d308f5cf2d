"""Data sets by name: `open_dataset("cifar10").read("test")` -> `Split`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from noiseproof.core.inputs import channels
from noiseproof.core.plugins import call_named
from noiseproof.data.annotations import voc_classes
from noiseproof.data.classification import READERS
from noiseproof.data.folders import image_folder
from noiseproof.data.naming import label_file, named_by, numbers_of, read_labels
from noiseproof.data.scenes import SCENE_READERS, masks_classes, masks_folder, voc_folder
from noiseproof.data.sets import Dataset as Dataset
from noiseproof.data.sets import Source as Source
from noiseproof.data.splits import SPLITS as SPLITS
from noiseproof.data.splits import VOID as VOID
from noiseproof.data.splits import Boxes as Boxes
from noiseproof.data.splits import Split as Split
from noiseproof.data.splits import scaled as scaled
from noiseproof.specs import (
    DATASETS,
    UNSCALED,
    Cropping,
    PixelScale,
    check_dataset,
    imagenet_scale,
    parse_size,
)

WITHOUT_DOWNLOAD = ("bccd", "camvid", "coco")


def open_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    labels: str | Path | Sequence[str] = (),
    cropping: Cropping | None = None,
) -> Source:
    """The data set `name`; its files are looked for in `data_dir`, else in $NOISEPROOF_DATA, else
    in ~/.cache/noiseproof. Detection and segmentation sets take a size, `camvid@180x240`.
    `labels`: a network's classes in order, or a file that has them (`naming.read_labels`), by whose
    names the classes of the data get their numbers (default: `labels.json` or `classes.txt` beside
    class folders; else the numbers are found when a network is there, `naming.class_numbers`).
    `cropping`: how the images of class folders become squares (default: 256 and 224 pixels).

    Raises:
        ValueError: for an unknown name, a cropping of other data, and, when a split is read, for
            missing or damaged files.
    """
    if cropping is not None and not name.startswith("folder:"):
        raise ValueError(f"resize and crop are for folder:PATH, got {name}: leave them out")
    source = _opened(check_dataset(name), data_dir, download, cropping or Cropping())
    given = isinstance(labels, str | Path)
    beside = label_file(Path(name.removeprefix("folder:"))) if name.startswith("folder:") else None
    where, known = "the weights' card", {}
    if isinstance(labels, str | Path) or (beside is not None and not labels):
        where = str(labels or beside)
        known = read_labels(Path(where))
    else:
        known = numbers_of(labels)

    def read(split: str) -> Split:
        # In one place for all of them: pixels never leave a data set without their scale.
        found = source.read(split).with_scale(source.scale)
        return named_by(found, known, where) if known and (found.names or given) else found

    return replace(source, read=read, classes=max(known.values()) + 1 if known else source.classes)


def _opened(name: str, data_dir: str | Path | None, download: bool, cropping: Cropping) -> Source:
    base, size = parse_size(name)
    kind, _, rest = base.partition(":")
    if rest:
        opened = {
            "folder": lambda: image_folder(Path(rest), cropping),
            "masks": lambda: _masks(name, Path(rest), size),
            "voc": lambda: _voc(name, Path(rest), size),
        }
        return opened[kind]() if kind in opened else _own(name)
    facts, folder = DATASETS[base], _data_folder(data_dir)
    if download and base in WITHOUT_DOWNLOAD:
        raise ValueError(f"{base} cannot be downloaded: leave --download out, and name its folder")

    def read(split: str) -> Split:
        try:
            if base in READERS:
                return READERS[base](folder, split, download)
            return SCENE_READERS[base](folder, split, size or facts.size, download)
        except FileNotFoundError as error:
            missing = error.filename or error.args[0]
            fetch = "" if base in WITHOUT_DOWNLOAD else "add --download, or "
            raise ValueError(
                f"{base} ({split}) is not in {folder}: {missing} is missing; {fetch}name the "
                f"folder that holds {facts.files} with --data-dir or $NOISEPROOF_DATA"
            ) from None

    return Source(
        name=name,
        classes=facts.classes,
        channels=facts.channels,
        scale=PixelScale(mean=facts.mean, std=facts.std),
        shift=facts.shift,
        flip=facts.flip,
        read=read,
        task=facts.task,
    )


def _data_folder(data_dir: str | Path | None) -> Path:
    named = data_dir or os.environ.get("NOISEPROOF_DATA")
    return Path(named) if named else Path.home() / ".cache" / "noiseproof"


def _masks(name: str, root: Path, size: tuple[int, int] | None) -> Source:
    """A folder of images and masks; the classes are those of its masks."""
    if not root.is_dir():
        raise ValueError(f"folder of masks {root} does not exist")
    return Source(
        name=name,
        classes=masks_classes(root),
        channels=3,
        scale=imagenet_scale(),
        shift=0,
        flip=True,
        read=_missing_named(lambda split: masks_folder(root, split, size)),
        task="segment",
    )


def _voc(name: str, root: Path, size: tuple[int, int] | None) -> Source:
    """A folder in the layout of Pascal VOC, boxes only."""
    if not root.is_dir():
        raise ValueError(f"VOC folder {root} does not exist")
    numbers = voc_classes(root)
    return Source(
        name=name,
        classes=len(numbers) + 1,
        channels=3,
        scale=UNSCALED,
        shift=0,
        flip=True,
        read=_missing_named(lambda split: voc_folder(root, split, size, numbers)),
        task="detect",
    )


def _missing_named(read: Callable[[str], Split]) -> Callable[[str], Split]:
    def named(split: str) -> Split:
        try:
            return read(split)
        except FileNotFoundError as error:
            raise ValueError(f"{error.filename or error.args[0]} does not exist") from None

    return named


def _own(name: str) -> Source:
    found = call_named(name)
    if not isinstance(found, Dataset):
        raise ValueError(
            f"{name} must return a noiseproof.data.Dataset, got {type(found).__name__}"
        )

    def read(split: str) -> Split:
        part = found.test if split == "test" else found.train
        if part is None:
            raise ValueError(f"{name} has no {split} split")
        return part

    return Source(
        name=name,
        classes=found.classes,
        channels=channels(found.test.part(0, 1).inputs),
        scale=found.scale or UNSCALED,
        shift=found.shift,
        flip=found.flip,
        read=read,
        task=found.test.task,
    )
