"""The classification data sets that have a name: (folder, split, may download) -> Split."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch.nn import functional as F
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from noiseproof.core.rng import stream
from noiseproof.data.splits import Split


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
        # A row of the file holds all red values, then all green, then all blue ones.
        pixels = torch.from_numpy(np.concatenate(images)).view(-1, 3, 32, 32)
        return Split(inputs=pixels, labels=torch.tensor(labels))

    return read


def _mnist(cls: type[torchvision.datasets.MNIST]) -> Callable[[Path, str, bool], Split]:
    def read(folder: Path, split: str, download: bool) -> Split:
        try:
            found = cls(str(folder), train=split == "train", download=download)
        except RuntimeError:
            raise FileNotFoundError(folder / cls.__name__) from None
        # 28x28 -> 32x32, for which the CIFAR networks are made.
        return Split(inputs=F.pad(found.data[:, None], (2, 2, 2, 2)), labels=found.targets)

    return read


def _digits(folder: Path, split: str, download: bool) -> Split:
    """scikit-learn's digits in a fixed random order: 1,297 to train, 500 to test. Values 0..16
    become pixels 0..255."""
    # Here and not above: it takes 0.6 s to import, which every other data set would pay too.
    from sklearn.datasets import load_digits

    found = load_digits()
    order = torch.randperm(len(found.target), generator=stream(0, "digits"))
    part = order[500:] if split == "train" else order[:500]
    pixels = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)
    return Split(inputs=pixels[part, None], labels=torch.from_numpy(found.target)[part])


READERS: dict[str, Callable[[Path, str, bool], Split]] = {
    "cifar10": _cifar(torchvision.datasets.CIFAR10, "labels"),
    "cifar100": _cifar(torchvision.datasets.CIFAR100, "fine_labels"),
    "digits": _digits,
    "fashion_mnist": _mnist(torchvision.datasets.FashionMNIST),
    "mnist": _mnist(torchvision.datasets.MNIST),
}
