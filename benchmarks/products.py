"""What converters and noise at every product cost beside the plain clean forward pass of the same
model and images.

    python benchmarks/products.py [--model resnet20] [--images 1000] [--rounds 7] [--threads 2]

A pass is the network on a chip with exact weights, its products as the variant says, and the hits
on all images in batches of 50. Each runs right after a clean pass (in batches of 250), and the
ratio is of the two. `exact` is a chip without anything at its products. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
from functools import partial

import torch
from throughput import clean_pass, seconds
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.hardware import products_at
from noiseproof.network import Chip
from noiseproof.network.passes import Passes
from noiseproof.network.state import skeleton_of, state_of

VARIANTS = {
    "exact": "",
    "converters": "dac(8) + adc(8)",
    "converters, image": "dac(8, range=image) + adc(8, range=fixed(10))",
    "read, additive": "read(0.0175)",
    "read, device": "read(0.0175, law=device)",
    "output": "output(0.04)",
    "all": "dac(8) + read(0.0175, law=device) + output(0.04) + adc(8, range=fixed(10))",
    "converters, vector": "dac(8, range=vector) + adc(8, range=fixed(10))",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", action="append", choices=VARIANTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = npf.models.build(options.model).eval()
    x = torch.randn(options.images, 3, 32, 32, generator=npf.rng.stream(0, "benchmark"))
    clean = clean_pass(model, x, 250)
    works = {name: Pass(model, x, VARIANTS[name]) for name in options.only or VARIANTS}
    for work in (clean, *works.values()):
        work(0)  # warm up
    ratios: dict[str, list[float]] = {name: [] for name in works}
    for index in range(options.rounds):
        for name, work in works.items():
            before = seconds(partial(clean, index))
            ratios[name].append(seconds(partial(work, index)) / before)
    print(f"{'':>20} {'pass / clean':>13} {'[min, max]':>16}")
    for name, found in ratios.items():
        spread = f"[{min(found):.3f}, {max(found):.3f}]"
        print(f"{name:>20} {statistics.median(found):13.3f} {spread:>16}")
    print(
        json.dumps(
            {
                "model": options.model,
                "images": options.images,
                "threads": options.threads,
                "rounds": options.rounds,
                "ratios": {name: sorted(found) for name, found in ratios.items()},
                "machine": platform.machine(),
                "torch": torch.__version__,
                "noiseproof": npf.__version__,
            }
        )
    )


class Pass:
    """Runs a chip, named by its number, on all images."""

    def __init__(self, model: nn.Module, x: Tensor, text: str) -> None:
        skeleton = skeleton_of(model)
        self._chip, self._x = Chip(state_of(skeleton)), x
        self._passes = Passes(skeleton, state_of(skeleton), x[:2])
        mvm = npf.specs.parse_mvm(text)
        self._products = (
            products_at(
                skeleton,
                self._chip.state,
                mvm.calibrated(100 if mvm.needs_images else None),
                analog=list(self._chip.state),
                example=x[:3],
                images=x[:100],
            )
            if mvm
            else None
        )

    def __call__(self, number: int) -> None:
        chip, at = self._chip, self._products
        forward = self._passes.load(chip if at is None else at.on(chip, 0, number))
        if at is not None:
            forward = at.cursor.along(forward)
        for part in self._x.split(50):
            forward(part).argmax(1)


if __name__ == "__main__":
    main()
