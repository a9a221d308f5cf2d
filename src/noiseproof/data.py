"""Data sets as tensors. `load("cifar10", "test")` -> `Split`; pixels stay bytes until used."""

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from noiseproof.catalog import DATASETS, PIXEL_SCALES, UNSCALED, PixelScale, check_dataset
from noiseproof.outside import call_named
from noiseproof.rng import stream

SPLITS = ("train", "test")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """`images` (N, C, H, W): uint8 pixels, or floats that a network takes as they are. `labels`
    (N,): whole numbers from 0, kept as int64.

    Raises:
        ValueError: for anything else.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        for name, value in (("images", self.images), ("labels", self.labels)):
            if not isinstance(value, Tensor):
                raise ValueError(f"{name} must be a tensor, got {type(value).__name__}")
        whole = not (self.labels.is_floating_point() or self.labels.is_complex())
        if self.labels.dim() != 1 or not whole:
            raise ValueError(
                f"labels must be whole numbers (N,), got {self.labels.dtype} "
                f"{tuple(self.labels.shape)}"
            )
        if len(self.labels) and int(self.labels.min()) < 0:
            raise ValueError(f"labels must be >= 0, got {int(self.labels.min())}")
        object.__setattr__(self, "labels", self.labels.to(torch.int64))
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"images and labels must be equally many, got {len(self.images)} and "
                f"{len(self.labels)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> "Split":
        """The first n images; ValueError where there are fewer, or n < 1."""
        if not 1 <= n <= len(self):
            raise ValueError(f"images must be between 1 and {len(self)}, got {n}")
        return Split(images=self.images[:n], labels=self.labels[:n])

    def sample(self, n: int, *, seed: int) -> Tensor:
        """n of the images, without labels, drawn without replacement from a named stream."""
        if not 1 <= n <= len(self):
            raise ValueError(f"calibration images must be between 1 and {len(self)}, got {n}")
        chosen = torch.randperm(len(self), generator=stream(seed, "calibration"))[:n]
        return self.images[chosen]

    def sha256(self) -> str:
        """The fingerprint of pixels and labels, in order."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.images.dtype)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a loader of one's own returns. `scale` turns pixels into network inputs; `train` may be
    None where nothing is trained or recalibrated."""

    test: Split
    train: Split | None = None
    classes: int = 10
    scale: PixelScale = UNSCALED
    shift: int = 0
    flip: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named data set, its splits read on demand."""

    name: str
    classes: int
    channels: int
    scale: PixelScale
    shift: int
    flip: bool
    read: Callable[[str], Split]


def scaled(images: Tensor, scale: PixelScale) -> Tensor:
    """Network inputs for `images` (N, C, H, W): (pixel / 255 - mean) / std where they are uint8,
    the images themselves where they are floats already.

    Raises:
        ValueError: where the scale is of another number of channels.
    """
    if images.dtype != torch.uint8:
        return images
    if len(scale.mean) not in (1, images.shape[1]):
        raise ValueError(
            f"the pixel scale {scale} has {len(scale.mean)} channels, the images "
            f"{images.shape[1]}: choose another --normalize"
        )
    mean = torch.tensor(scale.mean, device=images.device).view(-1, 1, 1)
    std = torch.tensor(scale.std, device=images.device).view(-1, 1, 1)
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)


# --- readers: (folder, split, may download) -> Split -------------------------------------------


def _cifar(cls: type[torchvision.datasets.CIFAR10], key: str) -> Callable[[Path, str, bool], Split]:
    """Reads only the files of one split, each only after its md5 is the published one (the files
    are pickles, so nothing else may be opened)."""

    def read(folder: Path, split: str, download: bool) -> Split:
        files = cls.train_list if split == "train" else cls.test_list
        paths = [(folder / cls.base_folder / name, md5) for name, md5 in files]
        if download and not all(check_integrity(str(path), md5) for path, md5 in paths):
            download_and_extract_archive(cls.url, folder, filename=cls.filename, md5=cls.tgz_md5)
        images, labels = [], []
        for path, md5 in paths:
            if not path.exists():
                raise FileNotFoundError(path)
            if not check_integrity(str(path), md5):
                raise ValueError(f"{path} is damaged: its md5 is not {md5}; download it again")
            content = pickle.loads(path.read_bytes(), encoding="latin1")
            images.append(content["data"])
            labels += content[key]
        pixels = torch.from_numpy(np.concatenate(images)).view(-1, 3, 32, 32)
        return Split(images=pixels, labels=torch.tensor(labels))

    return read


def _mnist(cls: type[torchvision.datasets.MNIST]) -> Callable[[Path, str, bool], Split]:
    def read(folder: Path, split: str, download: bool) -> Split:
        try:
            found = cls(str(folder), train=split == "train", download=download)
        except RuntimeError:
            raise FileNotFoundError(folder / cls.__name__) from None
        return Split(images=F.pad(found.data[:, None], (2, 2, 2, 2)), labels=found.targets)

    return read


def _digits(folder: Path, split: str, download: bool) -> Split:
    """scikit-learn's digits in a fixed random order: 1,297 to train, 500 to test. Values 0..16
    become pixels 0..255."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = torch.randperm(len(found.target), generator=stream(0, "digits"))
    part = order[500:] if split == "train" else order[:500]
    pixels = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)
    return Split(images=pixels[part, None], labels=torch.from_numpy(found.target)[part])


READERS: dict[str, Callable[[Path, str, bool], Split]] = {
    "cifar10": _cifar(torchvision.datasets.CIFAR10, "labels"),
    "cifar100": _cifar(torchvision.datasets.CIFAR100, "fine_labels"),
    "digits": _digits,
    "fashion_mnist": _mnist(torchvision.datasets.FashionMNIST),
    "mnist": _mnist(torchvision.datasets.MNIST),
}

# --- any data set by name -----------------------------------------------------------------------


def open_dataset(
    name: str, *, data_dir: str | Path | None = None, download: bool = False
) -> Source:
    """The data set `name`; its files are looked for in `data_dir`, else in $NOISEPROOF_DATA, else
    in ~/.cache/noiseproof.

    Raises:
        ValueError: for an unknown name, and, when a split is read, for missing or damaged files.
    """
    check_dataset(name)
    if name.startswith("folder:"):
        return _folder(Path(name.removeprefix("folder:")))
    if ":" in name:
        return _own(name)
    facts, folder = DATASETS[name], _data_folder(data_dir)

    def read(split: str) -> Split:
        try:
            return READERS[name](folder, split, download)
        except FileNotFoundError as error:
            raise ValueError(
                f"{name} ({split}) is not in {folder}: {error.args[0]} is missing; add --download, "
                f"or name the folder that holds {facts.files} with --data-dir or $NOISEPROOF_DATA"
            ) from None

    return Source(
        name=name,
        classes=facts.classes,
        channels=facts.channels,
        scale=PixelScale(mean=facts.mean, std=facts.std),
        shift=facts.shift,
        flip=facts.flip,
        read=read,
    )


def _data_folder(data_dir: str | Path | None) -> Path:
    named = data_dir or os.environ.get("NOISEPROOF_DATA")
    return Path(named) if named else Path.home() / ".cache" / "noiseproof"


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
        channels=found.test.images.shape[1],
        scale=found.scale,
        shift=found.shift,
        flip=found.flip,
        read=read,
    )


# --- image folders ------------------------------------------------------------------------------


def _folder(root: Path) -> Source:
    """PATH/{train,test|val}/CLASS/*.jpg, or PATH/CLASS/*.jpg, which is then the test split."""
    if not root.is_dir():
        raise ValueError(f"image folder {root} does not exist")
    tests = [root / part for part in ("test", "val") if (root / part).is_dir()]
    has_parts = bool(tests) or (root / "train").is_dir()
    homes = {"train": root / "train", "test": (tests or [root / "test"])[0]}
    if not has_parts:
        homes["test"] = root
    present = [home for home in homes.values() if home.is_dir()]
    labels = _class_labels(
        sorted({d.name for home in present for d in home.iterdir() if d.is_dir()})
    )
    if not labels:
        raise ValueError(f"image folder {root} holds no class folders: expected CLASS/*.jpg in it")
    mean, std = PIXEL_SCALES["imagenet"]
    return Source(
        name=f"folder:{root}",
        classes=max(labels.values()) + 1,
        channels=3,
        scale=PixelScale(mean=mean, std=std),
        shift=28,
        flip=True,
        read=lambda split: _read_folder(homes[split], labels),
    )


def _class_labels(names: Sequence[str]) -> dict[str, int]:
    """Folders named by numbers are their own labels; others are numbered in sorted order."""
    if names and all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: place for place, name in enumerate(names)}


def _read_folder(home: Path, labels: dict[str, int]) -> Split:
    """All images, shorter side resized to 256 and the centre 224x224 kept, in a fixed random
    order, so that the first n are a fair sample."""
    if not home.is_dir():
        raise ValueError(f"image folder {home} does not exist")
    files = sorted(path for path in home.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"image folder {home} holds no images (CLASS/*.jpg)")
    order = torch.randperm(len(files), generator=stream(0, "folder")).tolist()
    chosen = [files[place] for place in order]
    return Split(
        images=torch.stack([_read_image(path) for path in chosen]),
        labels=torch.tensor([labels[path.parent.name] for path in chosen]),
    )


def _read_image(path: Path) -> Tensor:
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms import v2

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from None
    cropped = v2.Compose([v2.PILToTensor(), v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    return cropped(image)  # type: ignore[no-any-return]
