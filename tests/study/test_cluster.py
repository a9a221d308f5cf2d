"""Pieces on a Ray cluster: a real one, of two nodes with one CPU each, on this machine."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import noiseproof
from noiseproof.data.splits import Boxes, Split
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.specs.catalog import PixelScale
from noiseproof.study import Grid, grid_of, read_study
from noiseproof.study.folder import STORE
from noiseproof.study.run import ray_connection as connection
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.study.run.pieces import Data, EpochDone, Failed, Pool, TrainPiece
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.ray_transfer import packed, unpacked

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

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


# --- the machines ---


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


@pytest.fixture(scope="module")
def all_machines() -> Iterator[Any]:
    machines = [started()]
    yield machines[0]
    ended(machines)


@pytest.fixture
def machines(all_machines: Any) -> Iterator[Any]:
    """A head and one more node, whatever the last test has done to them."""
    if not all_machines.worker_nodes:
        all_machines.add_node(**NODE)
    all_machines.wait_for_nodes()
    before = set(all_machines.worker_nodes)
    yield all_machines
    for node in set(all_machines.worker_nodes) - before:
        all_machines.remove_node(node, allow_graceful=False)


@pytest.fixture
def pool_of(machines: Any) -> Iterator[Callable[[Data], RayPool]]:
    """Makes a pool on the machines."""
    pools = []

    def make(data: Data) -> RayPool:
        pools.append(RayPool(open_cluster(machines.address), data))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def workers(node: Any) -> dict[int, str]:
    """The processes of a node: `ray::do` is one that is at a piece."""
    raylet = node.all_processes["raylet"][0].process.pid
    command = ["ps", "--ppid", str(raylet), "-o", "pid=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pairs = (line.split(maxsplit=1) for line in listed.splitlines())
    return {int(pid): title.strip() for pid, title in pairs}


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited for a minute"
        time.sleep(0.2)


def stopped_at_a_piece(node: Any) -> int:
    """Waits until a process of the node is at a piece, and stops it there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for pid, title in workers(node).items():
            if title.startswith("ray::do"):
                os.kill(pid, signal.SIGSTOP)
                if workers(node).get(pid, "").startswith("ray::do"):
                    return pid
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.002)
    raise AssertionError(f"no process was at a piece: {workers(node)}")


# --- the study ---


@dataclass(frozen=True)
class Toy:
    grid: Grid
    data: Data
    rows: list[dict[str, Any]]  # as this process measures them

    @property
    def piece(self) -> TrainPiece:
        """An epoch of a training."""
        return TrainPiece(network=self.grid.networks[0], resume=None)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.toml").write_text(STUDY)
    grid = grid_of(read_study(folder / "toy.toml"), "quick")
    source = open_source(grid, Places(out=folder, weights=folder), own_code=False)
    data = load_data(grid, source)
    return Toy(grid, data, rows_of(grid, data, LocalPool(data, device="cpu"), folder / "local"))


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


@pytest.mark.slow
def test_a_cluster_measures_what_one_process_measures(
    toy: Toy, pool_of: Callable[[Data], RayPool], tmp_path: Path
) -> None:
    pool = pool_of(toy.data)
    assert pool.slots == 4
    rows = rows_of(toy.grid, toy.data, pool, tmp_path)
    assert len(rows) > 2 * (1 + 4 * 30 + 40)  # clean, fixed, and with a precision at least 40
    assert rows == toy.rows
    assert pool.lost == 0


@linux
@pytest.mark.slow
@pytest.mark.parametrize("when", ["epoch 1", "gaussian"])
def test_a_lost_node_changes_nothing_and_a_new_one_gets_work(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path, when: str
) -> None:
    pool = pool_of(toy.data)
    seen = threading.Event()

    def unplug() -> None:
        assert seen.wait(120)
        node = machines.worker_nodes.copy().pop()
        pid = stopped_at_a_piece(node)
        machines.remove_node(node, allow_graceful=False)
        os.kill(pid, signal.SIGKILL)

    def hear(news: News) -> None:
        if when in news.text:
            seen.set()

    unplugging = threading.Thread(target=unplug)
    unplugging.start()
    rows = rows_of(toy.grid, toy.data, pool, tmp_path / "less", on_news=hear)
    unplugging.join()
    assert rows == toy.rows
    assert pool.lost >= 1
    assert pool.in_flight == 0
    wait_for(lambda: pool.slots == 2)

    node = machines.add_node(**NODE)
    wait_for(lambda: pool.slots == 4)
    worked: list[int] = []

    def watch() -> None:
        worked.append(stopped_at_a_piece(node))
        os.kill(worked[0], signal.SIGCONT)

    watching = threading.Thread(target=watch)
    watching.start()
    rows = rows_of(toy.grid, toy.data, pool, tmp_path / "more")
    watching.join()
    assert rows == toy.rows
    assert worked


@linux
@pytest.mark.slow
def test_a_worker_that_is_killed_is_survived(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path
) -> None:
    pool = pool_of(toy.data)

    def kill() -> None:
        for node in (machines.head_node, *machines.worker_nodes):
            os.kill(stopped_at_a_piece(node), signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    rows = rows_of(toy.grid, toy.data, pool, tmp_path)
    killing.join()
    assert rows == toy.rows
    assert pool.lost >= 2
    assert pool.in_flight == 0


# --- workers that tell what they do ---


class Code(str):
    """A name that arrives by running code: the name is the code's value."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return eval, (str(self),)


def coded(data: Data, code: str) -> Data:
    """The data set, whose name each process finds out by `code` when it gets it."""
    return replace(data, name=Code(code))


def done(pool: RayPool, *pieces: TrainPiece) -> list[Any]:
    for piece in pieces:
        pool.submit(piece, None)
    outcomes = [pool.wait()[1] for _ in pieces]
    assert pool.in_flight == 0
    return outcomes


@pytest.mark.slow
def test_a_worker_that_ends_itself_once_is_survived(
    toy: Toy, pool_of: Callable[[Data], RayPool], tmp_path: Path
) -> None:
    mark = str(tmp_path / "ended")
    code = f"""[os := __import__("os"), os.path.exists({mark!r})
        or (open({mark!r}, "w").close(), os._exit(1)), "digits"][2]"""
    pool = pool_of(coded(toy.data, code))
    outcomes = done(pool, toy.piece)
    assert [type(outcome) for outcome in outcomes] == [EpochDone]
    assert pool.lost == 1


@pytest.mark.slow
def test_a_piece_that_ends_every_worker_fails(toy: Toy, pool_of: Callable[[Data], RayPool]) -> None:
    pool = pool_of(coded(toy.data, "__import__('os')._exit(1)"))
    (outcome,) = done(pool, toy.piece)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("its worker was lost 4 times: ")
    assert "\n" not in outcome.reason
    assert not outcome.final
    assert pool.lost == 3


@pytest.mark.slow
def test_a_process_opens_the_data_once(
    toy: Toy, pool_of: Callable[[Data], RayPool], tmp_path: Path
) -> None:
    code = f"""[os := __import__("os"), file := open({str(tmp_path / "opened")!r}, "a"),
        file.write(str(os.getpid()) + chr(10)), file.close(), "digits"][4]"""
    pool = pool_of(coded(toy.data, code))
    outcomes = done(pool, *[toy.piece] * 8)
    assert {type(outcome) for outcome in outcomes} == {EpochDone}
    opened = Counter((tmp_path / "opened").read_text().split())
    assert set(opened.values()) == {1}
    assert len(opened) == 2


def place(reference: list[Any], file: str) -> tuple[int, str, tuple[str, int]]:
    """Where a worker finds the test images: its process and node, and the memory they are in."""
    import ray

    from noiseproof.study.run.ray_transfer import unpacked

    address = unpacked(ray.get(reference[0])).test.inputs.data_ptr()
    deadline = time.monotonic() + 60
    with open(file, "a") as lines:
        lines.write("here\n")
    while len(Path(file).read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)  # so that a second process does the second task
    node = ray.get_runtime_context().get_node_id()
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            return os.getpid(), node, (line.split()[4], address - first)
    raise AssertionError("no memory is mapped there")


@linux
@pytest.mark.slow
def test_processes_of_a_node_share_the_data(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path
) -> None:
    import ray

    pool_of(toy.data)
    node = machines.add_node(**{**NODE, "num_cpus": 2}, resources={"pair": 2})
    machines.wait_for_nodes()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        task = ray.remote(num_cpus=1, resources={"pair": 1})(place)
        reference = ray.put(packed(toy.data))
        file = str(tmp_path / "here")
        found = ray.get([task.remote([reference], file) for _ in range(2)], timeout=120)
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    machines.remove_node(node, allow_graceful=False)
    (one, first_node, memory), (other, second_node, same_memory) = found
    assert one != other
    assert first_node == second_node
    assert memory == same_memory
    assert memory[0] != "0"  # a file that both have mapped, not memory of their own


# --- what does not fit ---


@pytest.mark.slow
def test_other_versions_are_one_line(
    toy: Toy, pool_of: Callable[[Data], RayPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(toy.data)
    monkeypatch.setattr(noiseproof, "__version__", "9.9")
    with pytest.raises(
        ValueError, match=r"^a worker runs .*here are noiseproof 9.9, .* every node"
    ):
        done(pool, toy.piece)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without a GPU")
def test_pieces_take_a_gpu_each_where_there_are_any(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any
) -> None:
    machines.add_node(**NODE, num_gpus=3)
    machines.wait_for_nodes()
    pool = pool_of(toy.data)
    assert pool.slots == 6
    (outcome,) = done(pool, toy.piece)
    assert isinstance(outcome, Failed)
    assert "CUDA" in outcome.reason or "NVIDIA" in outcome.reason  # Ray counts what is not there


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_the_cluster_lacks_is_refused(toy: Toy, machines: Any, device: str) -> None:
    with (
        closing(open_cluster(machines.address)) as cluster,
        pytest.raises(ValueError, match=f"device '{device}' is not in the Ray cluster"),
    ):
        RayPool(cluster, toy.data, device=device)


@pytest.mark.slow
def test_ray_starts_and_ends_here(toy: Toy) -> None:
    ray = pytest.importorskip("ray", reason=NO_RAY)
    pool = RayPool(open_cluster("local"), toy.data, device="cpu")
    assert pool.slots == 2 * int(ray.cluster_resources()["CPU"])
    assert [type(outcome) for outcome in done(pool, toy.piece)] == [EpochDone]
    pool.submit(toy.piece, None)
    pool.close()
    assert not ray.is_initialized()


LEFT_ALONE = """
import sys
from pathlib import Path
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.driver import drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study import grid_of, read_study
folder = Path(sys.argv[2])
grid = grid_of(read_study(folder / "toy.toml"), "quick")
places = Places(out=folder, weights=folder)
data = load_data(grid, open_source(grid, places, own_code=False))
pool = RayPool(open_cluster(sys.argv[1]), data)
try:
    drive(grid, data, places, pool, on_news=lambda news: print("news", flush=True))
except ValueError as error:
    print(error, flush=True)
    pool.close()
"""


@pytest.mark.slow
def test_a_cluster_that_goes_away_is_one_line(tmp_path: Path) -> None:
    machines = started()
    (tmp_path / "toy.toml").write_text(STUDY.replace("epochs = 2", "epochs = 2000"))
    run = subprocess.Popen(
        [sys.executable, "-c", LEFT_ALONE, machines.address, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert [run.stdout.readline() for _ in range(2)] == ["news\n"] * 2
    machines.head_node.kill_gcs_server(False)
    out, err = run.communicate(timeout=50)
    ended([machines])
    lines = [line for line in out.splitlines() if line != "news"]
    assert len(lines) == 1, out
    assert lines[0].startswith("the Ray cluster is gone (")
    assert "Traceback" not in err


def test_without_ray_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError) as caught:
        open_cluster("auto")
    assert str(caught.value) == "--ray needs Ray: run `pip install 'noiseproof[cluster]'`"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


CONNECT = """
import sys
from noiseproof.study.run.ray_connection import open_cluster
cluster = open_cluster(sys.argv[1])
print(int(cluster.ray.cluster_resources()["CPU"]), cluster.is_there)
cluster.close()
"""


@pytest.mark.slow
def test_a_cluster_that_was_started_by_hand_is_reached_by_address(tmp_path: Path) -> None:
    """Where this machine has a token, as any local Ray leaves one, `ray start` asks for it."""
    pytest.importorskip("ray", reason=NO_RAY)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = plain | {"HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    port = free_port()
    options = ["--num-cpus=3", "--include-dashboard=false", "--object-store-memory=200000000"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options]
    head = subprocess.Popen(
        [*start, f"--port={port}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while not answers(port) and time.monotonic() < until:
            time.sleep(0.2)
        found = subprocess.run(
            [sys.executable, "-c", CONNECT, f"127.0.0.1:{port}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    finally:
        head.terminate()
        head.wait(timeout=30)
    assert found.stdout == "3 True\n", found.stderr


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_an_address_where_nothing_answers_is_one_line_at_once(kind: str) -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"^cannot reach a Ray cluster at .*nothing answers there"):
        open_cluster(f"{kind}127.0.0.1:{free_port()}")
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_an_address_of_something_else_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 4.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ValueError, match=r"^cannot reach .*\(no answer within 4 s\).*local$"):
            open_cluster(f"127.0.0.1:{silent.getsockname()[1]}")


def test_no_address_at_all_is_one_line() -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    with pytest.raises(ValueError, match=r"^cannot reach a Ray cluster at 'nonsense' \(.*Invalid"):
        open_cluster("nonsense")


# --- what travels ---

PIXELS = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).view(2, 3, 8, 8)
TENSORS = {
    "pixels": PIXELS,
    "not contiguous": PIXELS.float().transpose(0, 3),
    "half": torch.randn(4, 5).half(),
    "bfloat16": torch.randn(4, 5).bfloat16(),
    "a number": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "bools": torch.tensor([True, False]),
    "a parameter": torch.nn.Parameter(torch.ones(3)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_travel_as_they_are(name: str) -> None:
    tensor = TENSORS[name]
    found = unpacked(packed({"it": tensor}))["it"]  # type: ignore[arg-type]
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    assert torch.equal(found, tensor)


def test_a_data_set_travels_with_its_tensors_apart() -> None:
    boxes = Boxes(corners=torch.tensor([[0.0, 0.0, 4.0, 4.0]]), classes=torch.tensor([1]))
    split = Split(inputs=PIXELS, labels=(boxes, boxes))
    data = Data(
        name="own",
        classes=2,
        channels=3,
        scale=PixelScale(mean=(0.5,), std=(0.5,)),
        shift=0,
        flip=False,
        task="detect",
        train=None,
        test=split,
    )
    parts = packed(data)
    assert len(parts[0]) < 2000
    assert any(buffer.raw().nbytes == PIXELS.numel() for buffer in parts[1])
    found = unpacked(parts)
    assert replace(found, test=split) == data
    assert torch.equal(found.test.inputs, PIXELS)
    assert torch.equal(found.test.labels[1].corners, boxes.corners)
