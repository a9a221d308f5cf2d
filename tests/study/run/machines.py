"""Machines for a cluster, on this one."""

import gc
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.study import Grid
from noiseproof.study.folder import STORE
from noiseproof.study.run import ray_connection as connection
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import Places
from noiseproof.study.run.pieces import Data, Pool, TrainPiece
from noiseproof.study.run.ray_pool import RayPool

STUDY = """
name = "toy"
title = "Toy"
data = "digits"
[claim]
text = "x"
source = "y"
[[comparisons]]
question = "q"
order = [
  { norm = "none", recalibrate = "match(20)" },
  { norm = "batch", recalibrate = "match(20)" },
]
[profiles.quick]
about = "seconds"
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 2
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
recalibrate = ["off", "match(20)"]
design = "nested(50)"
chips = 30
[[profiles.quick.measurements]]
levels = [0.2]
design = "nested(50)"
precision = 0.02
"""
NODE = {"num_cpus": 1, "object_store_memory": 200_000_000}
NO_RAY = "needs Ray: pip install 'noiseproof[cluster]'"
DIFFERING = ("seconds", "device")  # all other fields of a row are the same wherever it is measured


def started() -> Any:
    """A head."""
    for name, value in connection.QUIET.items():
        os.environ.setdefault(name, value)  # Ray reads them when it is imported
    utils = pytest.importorskip("ray.cluster_utils", reason=NO_RAY)
    return utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})


def ended(machines: list[Any]) -> None:
    """Ends the one cluster of the list. Ray leaves its logs open, and its servers to themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        machines.pop().shutdown()
        gc.collect()


@dataclass(frozen=True)
class Toy:
    grid: Grid
    data: Data
    rows: list[dict[str, Any]]  # as this process measures them

    @property
    def piece(self) -> TrainPiece:
        """An epoch of a training."""
        return TrainPiece(network=self.grid.networks[0], resume=None)


def rows_of(
    grid: Grid,
    data: Data,
    pool: Pool,
    out: Path,
    on_news: Callable[[News], None] | None = None,
) -> list[dict[str, Any]]:
    """What a run leaves in its store, in the order of the keys."""
    places = Places(out=out, weights=out / "weights")
    assert drive(grid, data, places, pool, on_news=on_news) == []
    with Store(out / STORE, read_only=True) as store:
        rows = store.rows()
    return [compared(row) for row in sorted(rows, key=lambda row: str(key_of(row)))]


def compared(row: Row) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name not in DIFFERING}


def done(pool: RayPool, *pieces: TrainPiece) -> list[Any]:
    for piece in pieces:
        pool.submit(piece, None)
    outcomes = [pool.wait()[1] for _ in pieces]
    assert pool.in_flight == 0
    return outcomes
