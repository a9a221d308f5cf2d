"""A connection to a Ray cluster, which may be wrong, missing, or go away at any moment."""

import importlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

GONE_SECONDS = 8.0  # without an answer, and it is gone; Ray itself would end the process later
CONNECT_SECONDS = 40.0


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
        # One refused connection is no proof: a busy head answers late.
        until = time.monotonic() + GONE_SECONDS
        while not self.is_there:
            if time.monotonic() > until:
                raise ValueError(gone("it no longer answers"))
            time.sleep(0.5)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """What goes wrong between here and the cluster is one sentence."""
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise ValueError(gone(sentence(error))) from None

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
    # None in sys.modules is how Python marks a module that must not be imported.
    if sys.modules.get("ray", True) is None or not importlib.util.find_spec("ray"):
        raise ValueError("--ray needs Ray: run `pip install 'noiseproof[cluster]'`")
    if address != "local":
        os.environ["RAY_AUTH_MODE"] = _auth_mode(address)  # read when Ray is imported
    ray = importlib.import_module("ray")
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises many kinds, and each means the same here
        raise ValueError(_unreachable(address, sentence(error))) from None
    return Cluster(ray=ray, doors=tuple(_doors(ray, address)))


QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # drops what Ray prints of every lost worker and node
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that it will be so
}


def _auth_mode(address: str) -> str:
    """How the cluster is to be spoken to, found by trying. `ray start` asks for a token wherever it
    finds one (since Ray 2.59), but who connects to HOST:PORT shows its own only where it is told
    to; and from a driver that asks for tokens, workers without one get no data."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    has_token = named or (Path.home() / ".ray" / "auth_token").is_file()
    modes = ["token"] if address.startswith("ray://") else ["disabled", "token"]
    if not has_token:
        modes = ["disabled"]
    if os.environ.get("RAY_AUTH_MODE"):
        modes = [os.environ["RAY_AUTH_MODE"]]
    for mode in modes[:-1]:
        if _try(address, mode, may_be_refused=True):
            return mode
    _try(address, modes[-1])
    return modes[-1]


REFUSED = "InvalidAuthToken"
TRY = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"


def _try(address: str, mode: str, *, may_be_refused: bool = False) -> bool:
    """Connect in a process of its own: Ray takes minutes to give up, and may end the process. False
    where the cluster asks for a token, and that `may_be`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    # A plain socket first: Ray itself takes minutes to say that nothing is there.
    if port.isdecimal() and not _answers(host, int(port)):
        raise ValueError(_unreachable(address, "nothing answers there"))
    trying = subprocess.Popen(
        [sys.executable, "-c", TRY, address],
        env=os.environ | {"RAY_AUTH_MODE": mode},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The limit ends the process from outside, since inside it Ray blocks in C++.
    stopping = threading.Timer(CONNECT_SECONDS, trying.kill)
    stopping.start()
    said = ""
    with trying:
        assert trying.stderr is not None
        for line in trying.stderr:
            said += line
            if REFUSED in line and may_be_refused:
                trying.kill()
    stopping.cancel()
    if may_be_refused and REFUSED in said:
        return False
    if trying.returncode == -signal.SIGKILL:
        raise ValueError(_unreachable(address, f"no answer within {CONNECT_SECONDS:g} s"))
    if trying.returncode:
        raise ValueError(_unreachable(address, _last_line(said)))
    return True


def _doors(ray: ModuleType, address: str) -> Iterator[tuple[str, int]]:
    """Where the cluster's head and this machine's own node listen."""
    if address.startswith("ray://"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        yield host, int(port)
        return
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    yield host, int(port)
    # This machine's own node too: when it dies, Ray ends this process without a word.
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


def gone(why: str) -> str:
    return f"the Ray cluster is gone ({why}): run the study again, and it goes on from here"


def sentence(error: BaseException) -> str:
    """An error of Ray's in one line: of a traceback that came from a worker its last line."""
    text = str(error) if "Traceback" not in str(error) else _last_line(str(error))
    line = " ".join(text.split()).partition(". ")[0]
    return line[:300] or type(error).__name__


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
