"""What a chip of devices costs beside the plain clean forward pass of the same model and images.

    python benchmarks/devices.py [--model resnet20] [--images 1000] [--rounds 7] [--threads 2]

A chip is its programming, its ageing, its reading, its compensation, its state and the hits on all
images. `gaussian` is noise of one draw for each weight; `pcm` a chip of pairs of devices, one draw
of each for programming, drift and reading, at one day; `pcm, compensated` with the scalar factor;
`two pairs` with two for each weight; `bfloat16` computed in that, beside the clean pass in float32;
`pcm, five times` one chip at 0 s, 1 h, 1 d, 30 d and 1 y, a fifth of it. Each runs right after a
clean pass (in batches of 250) and the ratio is of the two. The last line is JSON.
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
from noiseproof.network.passes import Passes
from noiseproof.network.state import places, skeleton_of, state_of
from noiseproof.noise import Arrays, Programme

TIMES = ("0s", "1h", "1d", "30d", "1y")
VARIANTS: dict[str, tuple[tuple[str, ...], str]] = {
    "gaussian": (("gaussian(0.1, reference=std)",), "off"),
    "pcm": (("device(pcm, time=1d)",), "off"),
    "pcm, compensated": (("device(pcm, time=1d)",), "scalar"),
    "pcm, five times": (tuple(f"device(pcm, time={time})" for time in TIMES), "off"),
    "two pairs": (("device(pcm, time=1d)",), "off"),
    "gaussian, bfloat16": (("gaussian(0.1, reference=std)",), "off"),
    "pcm, bfloat16": (("device(pcm, time=1d)",), "off"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = npf.models.build(options.model).eval()
    x = torch.randn(options.images, 3, 32, 32, generator=npf.rng.stream(0, "benchmark"))
    clean = clean_pass(model, x, 250)
    works = {name: Chips(model, x, name) for name in VARIANTS}
    for work in (clean, *works.values()):
        work(0)  # warm up
    ratios: dict[str, list[float]] = {name: [] for name in works}
    made: dict[str, list[float]] = {name: [] for name in works}
    for index in range(options.rounds):
        for name, work in works.items():
            before = seconds(partial(clean, index))
            count = len(work.programmes)
            ratios[name].append(seconds(partial(work, index)) / before / count)
            made[name].append(seconds(partial(work.make, index)) / before / count)
    print(f"{'':>18} {'chip / clean':>13} {'[min, max]':>16} {'of it the noise':>16}")
    for name, found in ratios.items():
        spread = f"[{min(found):.3f}, {max(found):.3f}]"
        noise = statistics.median(made[name])
        print(f"{name:>18} {statistics.median(found):13.3f} {spread:>16} {noise:16.3f}")
    print(
        json.dumps(
            {
                "model": options.model,
                "images": options.images,
                "threads": options.threads,
                "rounds": options.rounds,
                "ratios": {name: sorted(found) for name, found in ratios.items()},
                "noise": {name: sorted(found) for name, found in made.items()},
                "machine": platform.machine(),
                "torch": torch.__version__,
                "noiseproof": npf.__version__,
            }
        )
    )


class Chips:
    """Runs a chip, named by its number, at each of a variant's points."""

    def __init__(self, model: nn.Module, x: Tensor, variant: str) -> None:
        specs, compensate = VARIANTS[variant]
        skeleton = skeleton_of(model)
        mapping, _ = npf.specs.parse_mapping("cells=pairs(2)" if variant == "two pairs" else "")
        self.programmes = [
            Programme(
                state=state_of(skeleton),
                places=places(skeleton),
                spec=npf.noise.parse(spec),
                arrays=Arrays(mapping=mapping, compensate=compensate),
            )
            for spec in specs
        ]
        dtype = torch.bfloat16 if variant.endswith("bfloat16") else None
        self._passes, self._x = Passes(skeleton, state_of(skeleton), x[:2], dtype=dtype), x

    def make(self, number: int) -> None:
        """The chips alone."""
        for programme in self.programmes:
            programme.chip(0, number)

    def __call__(self, number: int) -> None:
        for programme in self.programmes:
            forward = self._passes.load(programme.chip(0, number))
            for part in self._x.split(50):
                forward(part).argmax(1)


if __name__ == "__main__":
    main()
