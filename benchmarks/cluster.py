"""What handing pieces to Ray costs, what a second worker brings, and where the one driver ends.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py --out benchmarks/results/cluster.json

(a) Overhead: milliseconds of a piece of one unit beyond the unit's own seconds, one at a time, in
this process and on a Ray of one CPU, alternating. (b) Efficiency: units per second of two one-CPU
workers over twice those of one, on the same images, alternating. (c) The driver: rows per second
that `Store.add` takes, and what a piece costs in `Points`. All else is arithmetic from these: the
share of its time that the driver is busy, and how many workers keep it busy all the time.
Intervals are of t over the repeats, 95 %. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ray
import torch
from scipy import stats as sps

import noiseproof as npf
from noiseproof.core.files import replacing
from noiseproof.data.splits import Split
from noiseproof.models import building as models
from noiseproof.network.state import state_of
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.catalog import PixelScale
from noiseproof.specs.designs import parse_design
from noiseproof.specs.noise import parse
from noiseproof.specs.pace import Pace
from noiseproof.study.run.local import LocalPool
from noiseproof.study.run.pieces import Data, Measured, MeasurePiece, Pool, Trained
from noiseproof.study.run.queue import PIECE_SECONDS, Points
from noiseproof.study.run.ray_connection import Cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.worker import evaluator_of, model_of
from noiseproof.study.wanted import Network, Task

WORKERS = 64
SCALE = PixelScale(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    data, trained, task = subject(options.images, options.design)
    store = driver_rates(data, trained, task, options)
    over = overheads(data, trained, task, options)
    two = efficiency(data, trained, task, options)
    unit = two["seconds_of_a_unit"]
    document = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/cluster.py",
        "model": options.model,
        "images": options.images,
        "design": options.design,
        "driver": store,
        "overhead": over,
        "efficiency": two,
        "extrapolation": extrapolation(unit, store, over),
        "device": f"cpu, {torch.get_num_threads()} thread a worker",
        "machine": platform.machine(),
        "cpus": torch.multiprocessing.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ray": ray.__version__,
        "noiseproof": npf.__version__,
    }
    show(document)
    if options.out is not None:
        with replacing(options.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))


def subject(images: int, design: str) -> tuple[Data, Trained, Task]:
    """An untrained network and random pixels in the shape of CIFAR-10: time is what is measured."""
    torch_dice = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, generator=torch_dice)
    labels = torch.randint(10, (images,), generator=torch_dice)
    data = Data(
        name="random pixels",
        classes=10,
        channels=3,
        scale=SCALE,
        shift=0,
        flip=False,
        task="classify",
        train=None,
        test=Split(inputs=pixels, labels=labels),
    )
    network = Network(
        name="resnet20", data=data.name, model="resnet20", norm="batch", norm_where="all", seed=0
    )
    model = models.build("resnet20", norm="batch", where="all", classes=10, channels=3, seed=0)
    trained = Trained(
        network=network,
        sha256="0" * 64,
        classes=10,
        state=state_of(model),
        scale=SCALE,
        calibration={},
    )
    task = Task(
        network=network,
        specs=tuple(parse("gaussian(0.1, reference=std)").at([0.1])),
        targets=("kernel",),
        recalibrate="off",
        augment=False,
        design=parse_design(design),
        chips=100_000,
        passes=None,
        pace=Pace(),
    )
    return data, trained, task


def piece_of(task: Task, first: int, units: int) -> MeasurePiece:
    return MeasurePiece(task=task, level=0, first=first, last=first + units)


def done(pool: Pool, trained: Trained, pieces: Sequence[MeasurePiece]) -> list[Row]:
    """The rows of pieces that are handed out as a run does it, so many at a time as fit."""
    waiting, flying, rows = list(pieces), 0, []
    while waiting or flying:
        while waiting and flying < pool.slots:
            pool.submit(waiting.pop(0), trained)
            flying += 1
        _, outcome = pool.wait()
        flying -= 1
        assert isinstance(outcome, Measured), outcome
        rows += outcome.rows
    return rows


# --- (a) ---


def overheads(
    data: Data, trained: Trained, task: Task, options: argparse.Namespace
) -> dict[str, object]:
    """Milliseconds of a piece beyond its row's own seconds: local, and on Ray."""
    local, cluster = LocalPool(data, device="cpu"), ray_of(1, data)
    found: dict[str, list[float]] = {"local": [], "ray": []}
    for repeat in range(options.repeats + 1):
        for name, pool in (("local", local), ("ray", cluster)):
            spent = []
            for unit in range(options.pieces):
                started = time.perf_counter()
                (row,) = done(pool, trained, [piece_of(task, unit, 1)])
                spent.append(time.perf_counter() - started - row.seconds)
            if repeat:  # the first time opens everything
                found[name].append(1000 * statistics.median(spent))
    cluster.close()
    busy = ray_of(2, data)
    done(busy, trained, [piece_of(task, unit, 1) for unit in range(20)])
    taken = []
    for _ in range(options.repeats):
        taken.append(1000 * driver_busy(busy, trained, task, options.pieces))
    busy.close()
    return {
        "pieces": options.pieces,
        "local_ms": interval(found["local"]),
        "ray_ms": interval(found["ray"]),
        "driver_ms": interval(taken),
    }


def driver_busy(pool: Pool, trained: Trained, task: Task, pieces: int) -> float:
    """Seconds of processor time that this process spends on a piece in `submit` and `wait`, Ray's
    own threads included."""
    started = time.process_time()
    done(pool, trained, [piece_of(task, unit, 1) for unit in range(pieces)])
    return (time.process_time() - started) / pieces


def ray_of(cpus: int, data: Data) -> RayPool:
    """A pool on a Ray of so many CPUs of this machine."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=cpus, **quiet)
    return RayPool(Cluster(ray=ray, doors=()), data, device="cpu")


# --- (b) ---


def efficiency(
    data: Data, trained: Trained, task: Task, options: argparse.Namespace
) -> dict[str, object]:
    """Units per second of two workers over twice those of one; how much longer a unit takes by its
    own clock where both work (cores that share caches and memory), and the ratio but for that. Both
    have all they need before the clock runs; the one has the second worker beside it, idle."""
    pool = ray_of(2, data)
    alone = _One(pool)
    for _ in range(2):  # both processes have opened everything
        done(pool, trained, [piece_of(task, unit, 2) for unit in range(8)])
    found: dict[str, list[float]] = {"ratio": [], "unit_slower": [], "but_for_that": []}
    units = []
    for _ in range(options.repeats):
        one, alone_seconds = rate(alone, trained, task, options.seconds)
        two, both_seconds = rate(pool, trained, task, options.seconds)
        units.append(alone_seconds)
        found["ratio"].append(two / one / 2)
        found["unit_slower"].append(both_seconds / alone_seconds)
        found["but_for_that"].append(found["ratio"][-1] * found["unit_slower"][-1])
    pool.close()
    return {
        **{name: interval(values) for name, values in found.items()},
        "seconds_of_a_unit": statistics.median(units),
        "seconds_of_a_run": options.seconds,
    }


class _One:
    """A pool that keeps only one piece in flight."""

    slots = 1

    def __init__(self, pool: Pool) -> None:
        self.submit, self.wait, self.close = pool.submit, pool.wait, pool.close


def rate(pool: Pool, trained: Trained, task: Task, seconds: float) -> tuple[float, float]:
    """Units per second over about so many seconds, in pieces of about one second, and the median
    seconds of a unit."""
    each = statistics.median(r.seconds for r in done(pool, trained, [piece_of(task, 0, 5)]))
    size = max(1, round(1 / each))
    pieces = max(4, round(seconds)) * (1 if pool.slots == 1 else 2)
    started = time.perf_counter()
    rows = done(pool, trained, [piece_of(task, p * size, size) for p in range(pieces)])
    spent = time.perf_counter() - started
    return len(rows) / spent, statistics.median(row.seconds for row in rows)


# --- (c) ---


def driver_rates(
    data: Data, trained: Trained, task: Task, options: argparse.Namespace
) -> dict[str, object]:
    """Milliseconds of a row in the store, by its images, and of a piece in `Points`."""
    row = done(LocalPool(data, device="cpu"), trained, [piece_of(task, 0, 1)])[0]
    found: dict[str, object] = {}
    for images in (50, 10_000):
        filled = replace(row, images=images, hits=bytes(-(-images // 8)), correct=0, score=0.0)
        for each in (1, options.rows):
            found[f"row_of_{images}_by_{each}_ms"] = interval(
                [added(filled, options.rows, each) for _ in range(options.repeats)]
            )
    evaluator = evaluator_of(trained, data, model_of(trained, data), "cpu")
    for known in (0, 2000):
        found[f"points_with_{known}_units_ms"] = interval(
            [handed(task, evaluator, row, known) for _ in range(options.repeats)]
        )
    return found


def added(row: Row, rows: int, each: int) -> float:
    """Milliseconds of a row, where so many are on the disk before the next ones come."""
    with tempfile.TemporaryDirectory(dir=".") as folder, Store(Path(folder) / "rows.db") as store:
        many = [replace(row, chip=chip) for chip in range(rows)]
        started = time.perf_counter()
        for first in range(0, rows, each):
            store.add_all(many[first : first + each])
        return 1000 * (time.perf_counter() - started) / rows


def handed(task: Task, evaluator: object, row: Row, known: int) -> float:
    """Milliseconds of `next_piece`, `take`, `done` and `wanted` for a piece, where so many units
    are there already."""
    points = Points(task, evaluator, {})  # type: ignore[arg-type]
    slow = replace(row, seconds=PIECE_SECONDS / 4)
    while points.done < known:
        take(points, slow)
    started = time.perf_counter()
    for _ in range(50):
        take(points, slow)
    return 1000 * (time.perf_counter() - started) / 50


def take(points: Points, row: Row) -> None:
    piece = points.next_piece()
    assert piece is not None
    points.take(piece, [replace(row, chip=unit) for unit in range(piece.first, piece.last)])
    _ = points.done, points.wanted


# --- arithmetic ---


def extrapolation(
    unit: float, store: dict[str, object], over: dict[str, object]
) -> list[dict[str, float]]:
    """Of the driver, for pieces of `PIECE_SECONDS`, where units take so long as measured here, or
    ten times shorter or longer: its busy seconds for a piece (rows, Points, Ray) over those that a
    worker has it."""
    found = []
    for seconds in (unit / 10, unit, 10 * unit):
        rows = max(1, round(PIECE_SECONDS / seconds))
        by_piece = next(
            name for name in store if name.startswith("row_of_50_") and "_1_" not in name
        )
        ms = rows * mean_of(store[by_piece])
        ms += mean_of(store["points_with_2000_units_ms"]) + mean_of(over["driver_ms"])
        share = ms / 1000 / max(PIECE_SECONDS, seconds)
        found.append(
            {
                "seconds_of_a_unit": seconds,
                "rows_in_a_piece": rows,
                "driver_ms_of_a_piece": ms,
                f"share_at_{WORKERS}": WORKERS * share,
                "saturates_at_workers": 1 / share,
            }
        )
    return found


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean and 95 % interval of t, over the repeats."""
    n, mean = len(values), statistics.fmean(values)
    half = float(sps.t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def mean_of(found: object) -> float:
    assert isinstance(found, dict)
    return float(found["mean"])


def show(document: dict[str, object]) -> None:
    for part in ("driver", "overhead", "efficiency"):
        for name, found in document[part].items():  # type: ignore[attr-defined]
            if isinstance(found, dict):
                print(
                    f"{part:<10} {name:<28} {found['mean']:9.3f}  "
                    f"[{found['low']:.3f}, {found['high']:.3f}]  n {found['n']}"
                )
            else:
                print(f"{part:<10} {name:<28} {found:9.4g}")
    print(f"\n{'s / unit':>9} {'rows / piece':>13} {'driver ms / piece':>18}", end="")
    print(f" {f'busy at {WORKERS}':>11} {'full at workers':>16}")
    for line in document["extrapolation"]:  # type: ignore[attr-defined]
        a, b, c, d, e = line.values()
        print(f"{a:9.4f} {b:13d} {c:18.2f} {100 * d:10.1f}% {e:16,.0f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--design", default="nested(50)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
