"""The same pieces on a Ray cluster: each is one task, and what a lost worker had is done again.

Every node needs the same noiseproof, torch and Python, and nothing else: no disk is shared. Data
and networks lie in the cluster's memory, once on each node, and all processes of a node read them
there.
"""

import importlib
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from noiseproof.core.version import __version__
from noiseproof.study.run.pieces import Data, Failed, Outcome, Piece, Trained
from noiseproof.study.run.ray_connection import GONE_SECONDS, Cluster, gone, sentence
from noiseproof.study.run.ray_transfer import packed, unpacked
from noiseproof.study.run.worker import KEPT, Worker

CHANCES = 4  # how many workers a piece may lose
PER_WORKER = 2  # pieces in flight: one at work, one that waits for it
BROKEN_SECONDS = 5.0  # before a worker that may be broken takes another piece from a sound one
COUNTED_SECONDS = 2.0  # for which the number of workers holds
QUIET_SECONDS = 3.0  # without an outcome, and one looks whether the cluster is still there
KEPT_NETWORKS = 64  # in the cluster's memory, beside those in flight
LOST = (  # in ray.exceptions
    *("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError"),
    *("ObjectLostError", "OutOfMemoryError"),
)


@dataclass(frozen=True, kw_only=True)
class Handout:
    """What a worker needs beside the piece. Ray fetches references that are arguments themselves
    before every task; inside this they wait until the worker asks, which it does once."""

    data: Any  # reference to a packed Data
    trained: Any  # reference to a packed Trained; None where nothing is measured
    device: str
    versions: str


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """Why a worker can do no piece at all."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class _Flight:
    """A piece that is handed out."""

    piece: Piece
    trained: Trained | None
    losses: int = 0


class RayPool:
    """Workers on a Ray cluster: a GPU each where the cluster has any when the pool is made, so that
    all rows come from one kind of device, else a CPU each with one thread. Nodes may come and go.

    Raises:
        ValueError: for a device that the cluster does not have; later, from any method, where the
            cluster goes away or a node runs other versions than this machine.
    """

    def __init__(self, cluster: Cluster, data: Data, *, device: str = "auto") -> None:
        self._cluster, self._ray = cluster, cluster.ray
        self._device = _device(device, has_gpus=self._count("GPU") > 0)
        on_gpu = self._device == "cuda"
        options = {"num_gpus": 1, "num_cpus": 0} if on_gpu else {"num_cpus": 1}
        # max_calls: Ray would end the process after each piece on a GPU. max_retries: see `wait`.
        self._do = self._ray.remote(**options, max_retries=0, max_calls=0)(do)
        self._lost = tuple(getattr(self._ray.exceptions, name) for name in LOST)
        self._data = self._put(data)
        self._networks: OrderedDict[str, Any] = OrderedDict()
        self._flying: dict[Any, _Flight] = {}
        self._workers, self._counted = 0, -COUNTED_SECONDS
        self.lost = 0  # pieces that were handed out again, since their worker was lost

    @property
    def slots(self) -> int:
        """How many pieces keep all workers busy. Never 0: without a node pieces wait for one."""
        # Asking the cluster takes milliseconds to seconds, and `slots` is read for every piece.
        if time.monotonic() - self._counted >= COUNTED_SECONDS:
            self._workers = self._count("GPU" if self._device == "cuda" else "CPU")
            self._counted = time.monotonic()
        return PER_WORKER * max(1, self._workers)

    @property
    def in_flight(self) -> int:
        """How many pieces are handed out."""
        return len(self._flying)

    def submit(self, piece: Piece, trained: Trained | None) -> None:
        self._send(_Flight(piece=piece, trained=trained))

    def wait(self) -> tuple[Piece, Outcome]:
        """The next piece that is done. One whose worker or node was lost is handed out again, by
        this alone and not by Ray too, so that a piece which kills its workers ends somewhere."""
        while True:
            done = self._next_done()
            flight = self._flying.pop(done)
            try:
                outcome = self._ray.get(done)
            # First ask whether the cluster itself is gone: then every piece looks lost, and handing
            # out again would only hide it.
            except self._lost as error:
                self._cluster.check()
                flight = replace(flight, losses=flight.losses + 1)
                if flight.losses == CHANCES:
                    reason = f"its worker was lost {CHANCES} times: {sentence(error)}"
                    return flight.piece, Failed(reason=reason)
                self.lost += 1
                self._send(flight)
                continue
            except self._ray.exceptions.RayTaskError as error:
                outcome = Unfit(reason=f"cannot run noiseproof: {sentence(error)}")
            except (self._ray.exceptions.RayError, ConnectionError) as error:
                raise ValueError(gone(sentence(error))) from None
            if isinstance(outcome, Unfit):
                raise ValueError(f"a worker {outcome.reason}; install the same on every node")
            return flight.piece, outcome

    def close(self) -> None:
        """Let the workers drop what they have, and leave the cluster."""
        if self._cluster.is_there:
            # force: a piece in the middle of torch does not look at signals.
            for flying in self._flying:
                self._ray.cancel(flying, force=True)
        self._flying.clear()
        self._cluster.close()

    def _next_done(self) -> Any:
        while True:
            with self._cluster.asked():
                done, _ = self._ray.wait(list(self._flying), timeout=QUIET_SECONDS)
            if done:
                return done[0]
            self._cluster.check()

    def _send(self, flight: _Flight) -> None:
        handout = Handout(
            data=self._data,
            trained=None if flight.trained is None else self._network(flight.trained),
            device=self._device,
            versions=versions(),
        )
        with self._cluster.asked():
            self._flying[self._do.remote(handout, flight.piece)] = flight

    def _network(self, trained: Trained) -> Any:
        """The reference to a network that is in the cluster's memory, or is put there."""
        name = trained.network.name
        if name not in self._networks:
            self._networks[name] = self._put(trained)
        self._networks.move_to_end(name)
        # Dropping the last reference frees the object in the cluster's memory.
        while len(self._networks) > KEPT_NETWORKS:
            self._networks.popitem(last=False)
        return self._networks[name]

    def _put(self, thing: Data | Trained) -> Any:
        with self._cluster.asked():
            return self._ray.put(packed(thing))

    def _count(self, resource: str) -> int:
        self._cluster.check()
        with self._cluster.asked():
            found = _within(GONE_SECONDS, self._ray.cluster_resources)
        return int(found.get(resource, 0))


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns. Ray's calls have no limit of their own, and outlast the head by a minute
    if it goes away in the middle.

    Raises:
        ConnectionError: where it takes longer, or fails.
    """
    found: list[Any] = []

    def ask() -> None:
        with suppress(Exception):
            found.append(call())

    # A daemon: where Ray never answers, the thread must not keep the program alive.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if not found:
        raise ConnectionError("it does not say what it has")
    return found[0]


def _device(asked: str, *, has_gpus: bool) -> str:
    """What the workers run on."""
    if asked == "mps" or (asked == "cuda" and not has_gpus):
        raise ValueError(f"device {asked!r} is not in the Ray cluster: use auto or cpu")
    return "cuda" if asked != "cpu" and has_gpus else "cpu"


def versions() -> str:
    """What has to agree between the nodes for their rows to be of one kind."""
    python = ".".join(map(str, sys.version_info[:2]))
    torch_version = torch.__version__.partition("+")[0]  # not which CUDA it was built for
    return f"noiseproof {__version__}, torch {torch_version}, Python {python}"


# --- the workers' side ---


def do(handout: Handout, piece: Piece) -> Outcome | Unfit:
    """The task: the piece's outcome, by this process's own worker."""
    if versions() != handout.versions:
        return Unfit(reason=f"runs {versions()}, here are {handout.versions}")
    gpus = () if handout.device == "cpu" else importlib.import_module("ray").get_gpu_ids()
    # One process for each core: two threads in each would only wait for each other.
    if handout.device == "cpu":
        torch.set_num_threads(1)
    worker = _worker(handout.data, handout.device, tuple(gpus))
    trained = None if handout.trained is None else _fetched(handout.trained)
    try:
        choose_gpu(gpus)
        outcome = worker.do(piece, trained)
        # A worker whose disk is full fails in milliseconds and would take all pieces from the sound
        # ones.
        if isinstance(outcome, Failed) and outcome.passing:
            time.sleep(BROKEN_SECONDS)
        return outcome
    except torch.AcceleratorError:
        os._exit(1)  # no call on this process' GPU will work again: it counts as lost
    except Exception as error:
        return Failed(reason=f"{type(error).__name__}: {sentence(error)}", passing=True)


@lru_cache(maxsize=8)  # a process may come by every GPU of its node
def _worker(data: Any, device: str, gpus: tuple[int | str, ...]) -> Worker:
    return Worker(_fetched(data), device=device)


@lru_cache(maxsize=KEPT + 1)
def _fetched(reference: Any) -> Any:
    return unpacked(importlib.import_module("ray").get(reference))


def choose_gpu(ids: Sequence[int | str]) -> None:
    """Run on the GPU that Ray gave this piece. CUDA reads CUDA_VISIBLE_DEVICES once, but Ray may
    give the same process another GPU for its next piece: so all stay visible, and one is current.
    GPUs that are named, not numbered, are left as Ray sets them."""
    if len(ids) == 1 and str(ids[0]).isdecimal():
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        torch.cuda.set_device(int(ids[0]))
