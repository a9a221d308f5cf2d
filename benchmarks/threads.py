"""What another thread costs or gains, alone and beside busy neighbours.

    python benchmarks/threads.py WEIGHTS --model resnet20 --norm batch --data cifar10

The same chips are measured with 1, 2 and `auto` threads in turns, with and without `--neighbours`
endless loops beside them. Printed are ratios of times to one thread (median [min, max] over the
turns), what `auto` was, and whether all hits are the same; the last line is one JSON document.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import noiseproof as npf
from noiseproof.measuring.setup import Setup, open_setup
from noiseproof.specs.noise import parse

WAYS: tuple[int | str, ...] = (1, 2, "auto")


def main() -> None:
    options = arguments()
    setup = open_setup(
        options.weights,
        model=options.model,
        norm=options.norm,
        data=options.data,
        data_dir=options.data_dir,
        normalize=options.normalize,
        images=options.images,
    )
    document: dict[str, Any] = {"torch": torch.__version__, "cores": os.cpu_count()}
    hits = set()
    for name, loops in (("alone", 0), ("beside", options.neighbours)):
        with neighbours(loops):
            times, used, found = turns(setup, options)
        hits |= found
        document[name] = {"loops": loops, "load": os.getloadavg()[0], "auto": used["auto"]}
        for way in WAYS:
            ratios = [one / floor for one, floor in zip(times[way], times[1], strict=True)]
            text = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            document[name][f"ratio_{way}"] = ratios
            print(f"{name} ({loops} loops), {way} threads ({used[way]}): {text}", flush=True)
    document["same_hits"] = len(hits) == 1
    print(json.dumps(document))


def turns(
    setup: Setup, options: argparse.Namespace
) -> tuple[dict[int | str, list[float]], dict[int | str, list[int]], set[tuple[bytes, ...]]]:
    """Seconds of each way in each turn, the threads that it was, and the hits of all."""
    times: dict[int | str, list[float]] = {way: [] for way in WAYS}
    used: dict[int | str, list[int]] = {way: [] for way in WAYS}
    hits = set()
    for _ in range(options.turns):
        for way in WAYS:
            started = time.perf_counter()
            curve = npf.measure(
                setup.model,
                setup.test,
                parse(options.noise),
                chips=options.chips,
                scale=setup.scale,
                device="cpu",
                threads=way,
            )
            times[way].append(time.perf_counter() - started)
            rows = curve.points[0].rows
            used[way].append(rows[0].threads)
            hits.add(tuple(row.hits for row in rows))
    return times, used, hits


@contextmanager
def neighbours(loops: int) -> Iterator[None]:
    """Endless loops of other processes, at this one's priority."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--norm")
    parser.add_argument("--data")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--normalize")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--noise", default="gaussian(0.2, reference=std)")
    parser.add_argument("--chips", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--neighbours", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
