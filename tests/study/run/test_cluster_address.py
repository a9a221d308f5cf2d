"""Clusters reached by address, and what travels to them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from noiseproof.data.splits import Boxes, Split
from noiseproof.specs.catalog import PixelScale
from noiseproof.study.run import ray_connection as connection
from noiseproof.study.run.pieces import Data, EpochDone
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.ray_transfer import packed, unpacked
from tests.study.run.machines import (
    HANG,
    NO_RAY,
    STUDY,
    Toy,
    done,
    ended,
    on_a_cluster,
    started,
    wait_for,
)

# --- what does not fit ---


@on_a_cluster
def test_ray_starts_and_ends_here(toy: Toy, patient: None) -> None:
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
from noiseproof.study.run import ray_connection
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.run.driver import drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study import grid_of, read_study
folder = Path(sys.argv[2])
grid = grid_of(read_study(folder / "toy.toml"), "quick")
places = Places(out=folder, weights=folder)
data = load_data(grid, open_source(grid, places, own_code=False))
ray_connection.CONNECT_SECONDS = float(sys.argv[3])
pool = RayPool(ray_connection.open_cluster(sys.argv[1]), data)
try:
    drive(grid, data, places, pool, on_news=lambda news: print("news", flush=True))
except ValueError as error:
    print(error, flush=True)
    pool.close()
"""


@on_a_cluster
def test_a_cluster_that_goes_away_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(STUDY.replace("epochs = 2", "epochs = 2000"))
    machines = [started()]
    try:
        command = [sys.executable, "-c", LEFT_ALONE, machines[0].address, str(tmp_path), str(HANG)]
        pipe = subprocess.PIPE
        run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        assert run.stdout is not None
        assert [run.stdout.readline() for _ in range(2)] == ["news\n"] * 2
        machines[0].head_node.kill_gcs_server(False)
        out, err = run.communicate(timeout=HANG)
    finally:
        ended(machines)
    lines = [line for line in out.splitlines() if line != "news"]
    assert len(lines) == 1, out
    assert lines[0].startswith("the Ray cluster is gone (")
    assert "Traceback" not in err


def test_without_ray_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError) as caught:
        open_cluster("auto")
    assert str(caught.value) == "--ray needs Ray: run `pip install 'noiseproof[cluster]'`"


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody else gets, and where nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


CONNECT = """
import sys
from noiseproof.study.run import ray_connection
ray_connection.CONNECT_SECONDS = float(sys.argv[2])
cluster = ray_connection.open_cluster(sys.argv[1])
print(int(cluster.ray.cluster_resources()["CPU"]), cluster.is_there)
cluster.close()
"""


@on_a_cluster
def test_a_cluster_that_was_started_by_hand_is_reached_by_address(tmp_path: Path) -> None:
    """Where this machine has a token, as any local Ray leaves one, `ray start` asks for it."""
    pytest.importorskip("ray", reason=NO_RAY)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = plain | {"HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_worker_niceness"] = "0"  # as in `machines`
    with closed_port() as port:
        pass  # Ray takes it; a port that it chose itself it would tell nobody
    options = ["--num-cpus=3", "--include-dashboard=false", "--object-store-memory=200000000"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options]
    head = subprocess.Popen(
        [*start, f"--port={port}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(port))
        found = subprocess.run(
            [sys.executable, "-c", CONNECT, f"127.0.0.1:{port}", str(HANG)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
    finally:
        head.terminate()
        head.wait(timeout=HANG)
    assert found.stdout == "3 True\n", found.stderr


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_an_address_where_nothing_answers_is_one_line_at_once(kind: str) -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    # What says it is a socket, before Ray is asked, which would take minutes.
    with (
        closed_port() as port,
        pytest.raises(ValueError, match=r"^cannot reach a Ray cluster at .*nothing answers there"),
    ):
        open_cluster(f"{kind}127.0.0.1:{port}")


@on_a_cluster
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
