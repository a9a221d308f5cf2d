"""The same pieces on a Ray cluster: each is one task, and what a lost worker had is done again.

Every node needs the same noiseproof, torch and Python, and nothing else: no disk is shared. Data
and networks lie in the cluster's memory, once on each node, and all processes of a node read them
there.
"""

import importlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import noiseproof
from noiseproof.crew.pieces import Data, Failed, Outcome, Piece, Trained
from noiseproof.crew.worker import KEPT, Worker

CHANCES = 4  # how many workers a piece may lose
PER_WORKER = 2  # pieces in flight: one at work, one that waits for it
COUNTED_SECONDS = 2.0  # for which the number of workers holds
QUIET_SECONDS = 3.0  # without an outcome, and one looks whether the cluster is still there
GONE_SECONDS = 8.0  # without an answer, and it is gone; Ray itself would end the process later
CONNECT_SECONDS = 40.0
KEPT_NETWORKS = 64  # in the cluster's memory, beside those in flight
LOST = (  # in ray.exceptions
    *("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError"),
    *("ObjectLostError", "OutOfMemoryError"),
)


# --- the connection ---


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A connection to Ray. `doors` are the (host, port) that answer as long as it is there."""

    ray: ModuleType
    doors: tuple[tuple[str, int], ...]

    @property
    def is_there(self) -> bool:
        """Does it answer? Ray's own calls would wait for it, and then end the process."""
        return all(_answers(*door) for door in self.doors)

    def check(self) -> None:
        """Raise ValueError where the cluster is gone."""
        until = time.monotonic() + GONE_SECONDS
        while not self.is_there:
            if time.monotonic() > until:
                raise ValueError(_gone("it no longer answers"))
            time.sleep(0.5)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """What goes wrong between here and the cluster is one sentence."""
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise ValueError(_gone(_sentence(error))) from None

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self.is_there:
            self.ray.shutdown()


def open_cluster(address: str) -> Cluster:
    """A connection to the cluster at `address`: `auto` is the one that runs on this machine,
    `local` a new one of all its cores, anything else HOST:PORT, or ray://HOST:PORT.

    Raises:
        ValueError: without Ray, or where there is no such cluster.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise ValueError("--ray needs Ray: run `pip install 'noiseproof[cluster]'`") from None
    if address != "local":
        _try(address)
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises many kinds, and each means the same here
        raise ValueError(_unreachable(address, _sentence(error))) from None
    return Cluster(ray=ray, doors=tuple(_doors(ray, address)))


QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # drops what Ray prints of every lost worker and node
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that it will be so
}
TRY = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"


def _try(address: str) -> None:
    """Connect in a process of its own: Ray takes minutes to give up, and may end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal() and not _answers(host, int(port)):
        raise ValueError(_unreachable(address, "nothing answers there"))
    command = [sys.executable, "-c", TRY, address]
    try:
        tried = subprocess.run(
            command, capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(_unreachable(address, f"no answer within {CONNECT_SECONDS:g} s")) from None
    if tried.returncode:
        raise ValueError(_unreachable(address, _last_line(tried.stderr)))


def _doors(ray: ModuleType, address: str) -> Iterator[tuple[str, int]]:
    """Where the cluster's head and this machine's own node listen."""
    if address.startswith("ray://"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        yield host, int(port)
        return
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    yield host, int(port)
    for node in ray.nodes():
        if node["NodeID"] == context.get_node_id():
            yield node["NodeManagerAddress"], node["NodeManagerPort"]


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def _unreachable(address: str, why: str) -> str:
    return (
        f"cannot reach a Ray cluster at {address!r} ({why}): start one with `ray start --head`, "
        "or use --ray local"
    )


def _gone(why: str) -> str:
    return f"the Ray cluster is gone ({why}): run the study again, and it goes on from here"


def _sentence(error: BaseException) -> str:
    """An error of Ray's in one line: of a traceback that came from a worker its last line."""
    text = str(error) if "Traceback" not in str(error) else _last_line(str(error))
    line = " ".join(text.split()).partition(". ")[0]
    return line[:300] or type(error).__name__


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


# --- the driver's side ---


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
            except self._lost as error:
                self._cluster.check()
                flight = replace(flight, losses=flight.losses + 1)
                if flight.losses == CHANCES:
                    reason = f"its worker was lost {CHANCES} times: {_sentence(error)}"
                    return flight.piece, Failed(reason=reason)
                self.lost += 1
                self._send(flight)
                continue
            except self._ray.exceptions.RayTaskError as error:
                outcome = Unfit(reason=f"cannot run noiseproof: {_sentence(error)}")
            except (self._ray.exceptions.RayError, ConnectionError) as error:
                raise ValueError(_gone(_sentence(error))) from None
            if isinstance(outcome, Unfit):
                raise ValueError(f"a worker {outcome.reason}; install the same on every node")
            return flight.piece, outcome

    def close(self) -> None:
        """Let the workers drop what they have, and leave the cluster."""
        if self._cluster.is_there:
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
    return f"noiseproof {noiseproof.__version__}, torch {torch_version}, Python {python}"


# --- the workers' side ---


def do(handout: Handout, piece: Piece) -> Outcome | Unfit:
    """The task: the piece's outcome, by this process's own worker."""
    if versions() != handout.versions:
        return Unfit(reason=f"runs {versions()}, here are {handout.versions}")
    gpus = () if handout.device == "cpu" else importlib.import_module("ray").get_gpu_ids()
    if handout.device == "cpu":
        torch.set_num_threads(1)
    worker = _worker(handout.data, handout.device, tuple(gpus))
    trained = None if handout.trained is None else _fetched(handout.trained)
    try:
        choose_gpu(gpus)
        return worker.do(piece, trained)
    except Exception as error:  # as out of memory: this piece's own
        return Failed(reason=f"{type(error).__name__}: {_sentence(error)}")


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
    if len(ids) == 1 and isinstance(ids[0], int):
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        torch.cuda.set_device(ids[0])


# --- what travels ---


class _Packer(pickle.Pickler):
    """Takes tensors apart, into arrays that Ray shares between processes without a copy."""

    def reducer_override(self, thing: object) -> Any:
        if isinstance(thing, Tensor):
            plain = thing.detach().cpu().contiguous()
            array = plain.view(-1).view(torch.uint8).numpy()
            return _tensor, (array, plain.dtype, tuple(plain.shape))
        return NotImplemented


def packed(thing: Data | Trained) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """`thing` without its tensors, and these."""
    buffers: list[pickle.PickleBuffer] = []
    file = BytesIO()
    _Packer(file, protocol=5, buffer_callback=buffers.append).dump(thing)
    return file.getvalue(), buffers


def unpacked(parts: tuple[bytes, list[pickle.PickleBuffer]]) -> Any:
    """The thing; its tensors are read-only and lie where the parts lie."""
    return pickle.loads(parts[0], buffers=parts[1])


def _tensor(array: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).view(dtype).view(shape)
