"""Machines for a cluster, on this one."""

import gc
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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
from noiseproof.study.run.local import LocalPool
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
HANG = 600.0  # seconds: nothing that a test waits for takes so long on any machine
DIFFERING = ("seconds", "device")  # all other fields of a row are the same wherever it is measured


def on_a_cluster(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that starts Ray: one after the other, since each takes all cores."""
    marked: Callable[..., None] = pytest.mark.xdist_group("cluster")(pytest.mark.cluster(test))
    return marked


def started() -> Any:
    """A head."""
    for name, value in connection.QUIET.items():
        os.environ.setdefault(name, value)  # Ray reads them when it is imported
    # Ray's workers have niceness 15: beside programs that keep all cores busy they stand still.
    os.environ.setdefault("RAY_worker_niceness", "0")
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


class Code(str):
    """A name that arrives by running code: the name is the code's value."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return eval, (str(self),)


def coded(data: Data, code: str) -> Data:
    """The data set, whose name each process finds out by `code` when it gets it."""
    return replace(data, name=Code(code))


HOLD = """
import os, time
from pathlib import Path
folder, until = Path({folder!r}), time.monotonic() + {hang}
with (folder / f"{{os.getpid()}}-{{os.getppid()}}").open("a") as file:
    file.write("opened ")
while not (folder / "go").exists() and time.monotonic() < until:
    time.sleep(0.02)
"""


class Gate:
    """Holds each process at its first piece, where it has told that it is at work, until it is
    `open`: so a test can act on processes that certainly are at a piece."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    def guard(self, data: Data) -> Data:
        """The data set, at whose opening a process tells and waits."""
        hold = HOLD.format(folder=str(self._folder), hang=HANG)
        return coded(data, f"[exec({hold!r}), {str(data.name)!r}][1]")

    def opened(self) -> dict[tuple[int, int], int]:
        """How often each process, by its number and its parent's, has opened the data."""
        files = (file for file in self._folder.iterdir() if "-" in file.name)
        return {_pair(file.name): file.read_text().count("opened") for file in files}

    def at(self, node: Any) -> list[int]:
        """The processes of a node that have begun; waits for the first of them."""
        raylet = node.all_processes["raylet"][0].process.pid

        def found() -> list[int]:
            return [pid for pid, parent in self.opened() if parent == raylet]

        wait_for(lambda: bool(found()))
        return found()

    def open(self) -> None:
        (self._folder / "go").touch()

    def close(self) -> None:
        """From now on hold processes that begin."""
        (self._folder / "go").unlink()


def _pair(name: str) -> tuple[int, int]:
    pid, parent = name.split("-")
    return int(pid), int(parent)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when the condition holds. The limit only ends a hang."""
    until = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < until, "this never came"
        time.sleep(0.02)


class StopError(Exception):
    pass


def stopped_at(text: str, toy: Toy, out: Path) -> None:
    """What a run in this process leaves in `out` that ends when its news hold `text`."""

    def stop(news: News) -> None:
        if text in news.text:
            raise StopError

    with pytest.raises(StopError):
        rows_of(toy.grid, toy.data, LocalPool(toy.data, device="cpu"), out, on_news=stop)


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
