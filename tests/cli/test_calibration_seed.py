"""Which calibration images a command draws."""

from pathlib import Path

import pytest

from noiseproof.data.datasets import open_dataset
from noiseproof.network.state import state_sha256
from noiseproof.results.store import Store
from tests.cli.program import Run


@pytest.mark.parametrize(
    ("options", "seed"), [((), 0), (("--seed", 5), 5), (("--seed", 5, "--calibration-seed", 2), 2)]
)
def test_the_images_are_drawn_by_their_own_seed_or_that_of_the_chips(
    run: Run, trained: Path, tmp_path: Path, options: tuple[object, ...], seed: int
) -> None:
    call = ("--chips", 1, "--images", 20, "--device", "cpu", "--recalibrate", 30)
    assert run("measure", trained, *call, *options, "--store", tmp_path / "r.db")[0] == 0
    with Store(tmp_path / "r.db") as store:
        row = store.rows()[-1]
    images = open_dataset("digits").read("train").sample(30, seed=seed)
    assert row.calibration_sha256 == state_sha256({"images": images})
