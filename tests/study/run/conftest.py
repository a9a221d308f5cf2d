"""What the tests of this wing share."""

from collections.abc import Iterator
from typing import Any

import pytest

from noiseproof.study import grid_of, read_study
from noiseproof.study.run import ray_connection, ray_pool
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from tests.study.run.machines import HANG, NODE, STUDY, Toy, ended, rows_of, started
from tests.study.run.toy import Ran, study_in


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run that nothing interrupts."""
    return Ran(study_in(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def all_machines() -> Iterator[Any]:
    machines = [started()]
    yield machines[0]
    ended(machines)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may be slow to answer, and that is no cluster that is gone."""
    monkeypatch.setattr(ray_connection, "CONNECT_SECONDS", HANG)
    for module in (ray_connection, ray_pool):
        monkeypatch.setattr(module, "GONE_SECONDS", HANG)


@pytest.fixture
def machines(all_machines: Any, patient: None) -> Iterator[Any]:
    """A head and one more node, whatever the last test has done to them."""
    if not all_machines.worker_nodes:
        all_machines.add_node(wait=False, **NODE)
    all_machines.wait_for_nodes(HANG)
    before = set(all_machines.worker_nodes)
    yield all_machines
    for node in set(all_machines.worker_nodes) - before:
        all_machines.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.toml").write_text(STUDY)
    grid = grid_of(read_study(folder / "toy.toml"), "quick")
    source = open_source(grid, Places(out=folder, weights=folder), own_code=False)
    data = load_data(grid, source)
    return Toy(grid, data, rows_of(grid, data, LocalPool(data, device="cpu"), folder / "local"))
