"""What a noisy chip costs beside the plain clean forward pass of the same model and images.

    python benchmarks/chip_cost.py [--model resnet20] [--images 1000] [--repeats 7]

A chip is everything that `measure` does for one: draw the noise, make the state, scale the pixels,
run, count the hits. The clean pass is `model(x)` on inputs that are scaled already. Runs alternate;
the ratio is of neighbours, so a slow spell of the machine hits both. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch

import noiseproof as npf
from noiseproof.accelerator import device_name, pick_device
from noiseproof.catalog import parse_pixel_scale
from noiseproof.data import Split, scaled
from noiseproof.network import State, outputs, places, skeleton_of, state_of
from noiseproof.noise import perturb
from noiseproof.recalibration import recalibrated
from noiseproof.tasks import TASKS


def main() -> None:
    options = arguments()
    device = pick_device(options.device)
    model = npf.models.build(options.model).eval().to(device)
    generator = npf.rng.stream(0, "benchmark")
    pixels = torch.randint(0, 256, (options.images, 3, 32, 32), generator=generator)
    labels = torch.zeros(options.images, dtype=torch.int64)
    test = Split(images=pixels.to(torch.uint8), labels=labels)
    scale = parse_pixel_scale("cifar10")
    x = scaled(test.images, scale).to(device)
    skeleton, where = skeleton_of(model), places(model)
    state, spec = state_of(skeleton), npf.noise.parse("gaussian(0.1, reference=std)")

    def clean() -> None:
        with torch.no_grad():
            for part in x.split(options.batch_size):
                model(part).argmax(1)

    def count_hits(chip: State) -> None:
        TASKS["classify"].evaluate(
            lambda images: outputs(skeleton, chip, scaled(images.to(device), scale)),
            test,
            options.batch_size,
        )

    def chip(index: int) -> None:
        count_hits(perturb(state, where, spec, seed=0, chip=index))

    def recalibrated_chip(index: int) -> None:
        noisy = perturb(state, where, spec, seed=0, chip=index)
        count_hits(recalibrated(skeleton, noisy, x))

    def program(index: int) -> None:
        perturb(state, where, spec, seed=0, chip=index)

    for warm_up in (clean, lambda: chip(0), lambda: recalibrated_chip(0)):
        warm_up()
    times: dict[str, list[float]] = {"clean": [], "chip": [], "program": [], "recalibrated": []}
    for repeat in range(options.repeats):
        times["clean"].append(seconds(clean, device))
        times["chip"].append(seconds(lambda r=repeat: chip(r), device))
        times["program"].append(seconds(lambda r=repeat: program(r), device))
        times["recalibrated"].append(seconds(lambda r=repeat: recalibrated_chip(r), device))
    ratios = {
        name: [ours / floor for ours, floor in zip(times[name], times["clean"], strict=True)]
        for name in ("chip", "program", "recalibrated")
    }
    print(f"{options.model}, {options.images} images, batches of {options.batch_size}")
    for name, values in ratios.items():
        print(f"{name:>13} / clean: {statistics.median(values):.3f}  {spread(values)}")
    document = {
        "model": options.model,
        "images": options.images,
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "clean_images_per_second": options.images / statistics.median(times["clean"]),
        "ratio": {
            name: {"median": statistics.median(v), "min": min(v), "max": max(v)}
            for name, v in ratios.items()
        },
        "device": device_name(device),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "noiseproof": npf.__version__,
    }
    print(json.dumps(document))


def seconds(work: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def spread(values: list[float]) -> str:
    return f"[{min(values):.3f}, {max(values):.3f}] over {len(values)} alternating runs"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
