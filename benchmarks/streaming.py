"""How much memory do 50,000 images in a folder take while a network is measured on them?

    python benchmarks/streaming.py [--images 50000] [--side 256] [--folder PATH]

Makes the images, JPEGs of smooth colours, in ten class folders (in a temporary folder unless one is
named), measures a small convolutional network on them, and prints the peak memory of the process
above what it took with the network and its libraries loaded.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import noiseproof as npf
from noiseproof.data.streaming import CACHE_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.folder or Path(temporary)
        make(root, asked.images, asked.side)
        run(root, asked.images)


def make(root: Path, images: int, side: int) -> None:
    """The images that are not there yet."""
    for place in range(images):
        path = root / f"{place % 10}" / f"{place:05}.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            dice = np.random.default_rng(place)
            small = dice.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR).save(path)


def run(root: Path, images: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 7, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(8, 10)),
    )
    small = npf.data.Split(inputs=torch.randn(100, 3, 224, 224), labels=torch.arange(100) % 10)
    npf.measure(net, small, "gaussian(0.1)", chips=1)
    before, started = peak(), time.monotonic()
    split = npf.data.open_dataset(f"folder:{root}").read("test")
    assert len(split) == images
    curve = npf.measure(net, split, "gaussian(0.1)", chips=2)
    print(
        f"{images:,} images of 224x224 ({images * 3 * 224 * 224 / 2**30:.1f} GiB as pixels), "
        f"clean and {len(curve.points[0].rows)} chips: peak {(peak() - before) / 2**30:.2f} GiB "
        f"above the network and its libraries ({before / 2**30:.2f} GiB), of which "
        f"{CACHE_BYTES / 2**30:.0f} GiB may be read images; {time.monotonic() - started:.0f} s, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
