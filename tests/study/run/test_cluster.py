"""Pieces on a Ray cluster: a real one, of two nodes with one processor each."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import noiseproof
from noiseproof.study.run.driver import News
from noiseproof.study.run.pieces import Data, EpochDone, Failed
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.ray_transfer import packed, unpacked
from tests.study.run.machines import NODE, Toy, done, rows_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


# --- the machines ---


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
