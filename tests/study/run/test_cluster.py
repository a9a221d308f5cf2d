"""Pieces on a Ray cluster: a real one, of two nodes with one processor each."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from noiseproof.study.run import ray_pool
from noiseproof.study.run.pieces import Data, EpochDone, Failed
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.ray_transfer import packed, unpacked
from tests.study.run.machines import (
    HANG,
    NODE,
    Gate,
    Toy,
    coded,
    done,
    on_a_cluster,
    rows_of,
    stopped_at,
    wait_for,
)

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


@contextmanager
def ending_in(last: Callable[[], None]) -> Iterator[None]:
    """Ends with `last`, also where a test fails: processes that are held would hold the test."""
    try:
        yield
    finally:
        last()


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it went with its node
            os.kill(pid, number)


def rows_of_while(
    act: Callable[[], None], toy: Toy, pool: RayPool, out: Path
) -> list[dict[str, Any]]:
    """The rows of a run during which another thread does `act`."""
    with ThreadPoolExecutor(1) as side:
        acting = side.submit(act)
        rows = rows_of(toy.grid, toy.data, pool, out)
        acting.result()
    return rows


# --- the study ---


@on_a_cluster
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
@on_a_cluster
@pytest.mark.parametrize("when", ["epoch 1", "gaussian"])
def test_a_lost_node_changes_nothing_and_a_new_one_gets_work(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path, when: str
) -> None:
    gate = Gate(tmp_path / "gate")
    pool = pool_of(gate.guard(toy.data))

    def unplug() -> None:
        node = machines.worker_nodes.copy().pop()
        with ending_in(gate.open):
            pids = gate.at(node)
            machines.remove_node(node, allow_graceful=False)
            kill(pids)

    stopped_at(when, toy, tmp_path / "less")
    rows = rows_of_while(unplug, toy, pool, tmp_path / "less")
    assert rows == toy.rows
    assert pool.lost >= 1
    assert pool.in_flight == 0
    wait_for(lambda: pool.slots == 2)

    gate.close()
    node = machines.add_node(wait=False, **NODE)
    wait_for(lambda: pool.slots == 4)
    # Those of the head would do all of the work before the new node has started a process.
    others = gate.at(machines.head_node)
    kill(others, signal.SIGSTOP)

    def watch() -> None:
        with ending_in(gate.open), ending_in(lambda: kill(others, signal.SIGCONT)):
            assert gate.at(node)

    assert rows_of_while(watch, toy, pool, tmp_path / "more") == toy.rows


@linux
@on_a_cluster
def test_a_worker_that_is_killed_is_survived(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    pool = pool_of(gate.guard(toy.data))

    def kill_all() -> None:
        with ending_in(gate.open):
            nodes = (machines.head_node, *machines.worker_nodes)
            kill([pid for node in nodes for pid in gate.at(node)])

    assert rows_of_while(kill_all, toy, pool, tmp_path) == toy.rows
    assert pool.lost >= 2
    assert pool.in_flight == 0


# --- workers that tell what they do ---


@on_a_cluster
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


@on_a_cluster
def test_a_piece_that_ends_every_worker_fails(toy: Toy, pool_of: Callable[[Data], RayPool]) -> None:
    pool = pool_of(coded(toy.data, "__import__('os')._exit(1)"))
    (outcome,) = done(pool, toy.piece)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("its worker was lost 4 times: ")
    assert "\n" not in outcome.reason
    assert not outcome.final
    assert pool.lost == 3


@linux
@on_a_cluster
def test_a_process_opens_the_data_once(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    pool = pool_of(gate.guard(toy.data))

    def both() -> None:
        with ending_in(gate.open):
            for node in (machines.head_node, *machines.worker_nodes):
                gate.at(node)

    with ThreadPoolExecutor(1) as side:
        waiting = side.submit(both)
        outcomes = done(pool, *[toy.piece] * 8)
        waiting.result()
    assert {type(outcome) for outcome in outcomes} == {EpochDone}
    assert list(gate.opened().values()) == [1, 1]


def place(reference: list[Any], file: str) -> tuple[int, str, tuple[str, int]]:
    """Where a worker finds the test images: its process and node, and the memory they are in."""
    import ray

    address = unpacked(ray.get(reference[0])).test.inputs.data_ptr()
    deadline = time.monotonic() + 600  # only ends a hang
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
@on_a_cluster
def test_processes_of_a_node_share_the_data(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any, tmp_path: Path
) -> None:
    import ray

    pool_of(toy.data)
    node = machines.add_node(wait=False, **{**NODE, "num_cpus": 2}, resources={"pair": 2})
    machines.wait_for_nodes(HANG)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        task = ray.remote(num_cpus=1, resources={"pair": 1})(place)
        reference = ray.put(packed(toy.data))
        file = str(tmp_path / "here")
        found = ray.get([task.remote([reference], file) for _ in range(2)], timeout=HANG)
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    machines.remove_node(node, allow_graceful=False)
    (one, first_node, memory), (other, second_node, same_memory) = found
    assert one != other
    assert first_node == second_node
    assert memory == same_memory
    assert memory[0] != "0"  # a file that both have mapped, not memory of their own


# --- what does not fit ---


@on_a_cluster
def test_other_versions_are_one_line(
    toy: Toy, pool_of: Callable[[Data], RayPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(toy.data)
    monkeypatch.setattr(ray_pool, "__version__", "9.9")
    with pytest.raises(
        ValueError, match=r"^a worker runs .*here are noiseproof 9.9, .* every node"
    ):
        done(pool, toy.piece)


@on_a_cluster
@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without a GPU")
def test_pieces_take_a_gpu_each_where_there_are_any(
    toy: Toy, pool_of: Callable[[Data], RayPool], machines: Any
) -> None:
    machines.add_node(wait=False, **NODE, num_gpus=3)
    machines.wait_for_nodes(HANG)
    pool = pool_of(toy.data)
    assert pool.slots == 6
    (outcome,) = done(pool, toy.piece)
    assert isinstance(outcome, Failed)
    assert "CUDA" in outcome.reason or "NVIDIA" in outcome.reason  # Ray counts what is not there


@on_a_cluster
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_the_cluster_lacks_is_refused(toy: Toy, machines: Any, device: str) -> None:
    with (
        closing(open_cluster(machines.address)) as cluster,
        pytest.raises(ValueError, match=f"device '{device}' is not in the Ray cluster"),
    ):
        RayPool(cluster, toy.data, device=device)
