"""Running a study that is killed, or whose disk is full: nothing is lost."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noiseproof.models.checkpoint import file_sha256
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.study import grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.run.driver import drive
from noiseproof.study.run.loading import load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.training import loop as training
from noiseproof.training.resume import RESUME, WEIGHTS
from tests.study.run.toy import (
    HEAD,
    LITTLE,
    TRAININGS,
    Ran,
    last_line,
    places_in,
    rows_in,
    said,
    study_in,
)

# --- killed ---------------------------------------------------------------------------------------


# Forks a program for each line it is given: starting Python with torch takes seconds. One that
# is to die does so after so much work of its own from an event on, however busy the machine is: the
# profiling timer counts the processor time of the process, and its signal ends it on the spot.
ZYGOTE = """
import json, os, resource, signal, sys
import torch
torch.set_num_threads(1)
from noiseproof import cli
from noiseproof.cli import console
from noiseproof.results.store import Store
import noiseproof.study.run.driver, noiseproof.study.run.local, noiseproof.study
print("ready", flush=True)

def dies(after, placed=None, rows=0):
    def start():
        signal.setitimer(signal.ITIMER_PROF, after)
    def watch(event, arguments):
        if event == "os.rename" and str(arguments[1]).endswith(placed):
            start()
    def add(store, row):
        nonlocal rows
        real(store, row)
        rows -= 1
        if rows == 0:
            start()
    if placed:
        sys.addaudithook(watch)
    elif rows:
        real, Store.add = Store.add, add
    else:
        start()

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os.dup2(2, 1)  # stdout is for the numbers below
        limit, death, words = json.loads(line)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if death:
            dies(**death)
        sys.argv = ["noiseproof", *words]
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code or 0
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Programs:
    """`noiseproof study run` in processes of their own, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, file: Path, out: Path, *, limit: int = 0, **death: Any) -> int:
        """Its exit code. It may die: `after` seconds of work, counted from the moment where a
        file, `placed`, takes its place, or so many `rows` are stored."""
        assert self.process.stdin is not None
        words = ["study", "run", str(file), "--out", str(out), "--device", "cpu"]
        self.process.stdin.write(json.dumps([limit, death, words]) + "\n")
        self.process.stdin.flush()
        return int(self._read())


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    errors = tmp_path_factory.mktemp("programs") / "err"
    pipe = subprocess.PIPE
    with (
        errors.open("w") as err,
        subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=pipe,
            stdout=pipe,
            stderr=err,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        ) as process,
    ):
        yield Programs(process)
        assert process.stdin is not None
        process.stdin.close()
    assert "Traceback" not in errors.read_text()


@pytest.mark.parametrize("dice_seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_ends_in_the_same_rows_and_weights(
    whole: Ran, programs: Programs, tmp_path: Path, dice_seed: int
) -> None:
    file, out = study_in(tmp_path), tmp_path / "out"
    weights = out / "weights"
    names = [network.name for network in whole.grid.networks]
    dice = random.Random(dice_seed)
    deaths: list[dict[str, Any]] = [
        {"placed": f"{names[0]}/{RESUME}", "after": dice.uniform(0.001, 0.05)},
        {"placed": f"{names[0]}/{WEIGHTS}", "after": 0.001},  # the card may not be there
        {"placed": f"{names[1]}/{RESUME}", "after": dice.uniform(0.001, 0.2)},
        {"rows": 3, "after": dice.uniform(0.001, 0.05)},
        {"rows": 20, "after": dice.uniform(0.001, 0.1)},
        {"after": dice.uniform(0.001, 1.0)},
    ]
    codes = [programs.run(file, out, **death) for death in deaths]
    assert codes[:3] == [-signal.SIGPROF] * 3, "there was much left to do"
    early = rows_in(out)
    assert programs.run(file, out) == 0
    assert rows_in(out) == whole.rows
    assert all(row in whole.rows for row in early)
    for place, name in enumerate(names):
        found = file_sha256(weights / name / WEIGHTS)
        assert found == file_sha256(whole.weights(place))
    facts, expected = (read_facts(folder / "networks.json") for folder in (out, whole.places.out))
    timeless = [
        {name: one.model_copy(update={"seconds": 0.0}) for name, one in found.items()}
        for found in (facts, expected)
    ]
    assert timeless[0] == timeless[1]


def test_a_training_killed_between_weights_and_card_ends_in_the_same_weights(
    whole: Ran, tmp_path: Path
) -> None:
    """The moments that are too short to be caught: what is on the disk then is written here."""
    file = study_in(tmp_path, HEAD + TRAININGS + LITTLE)
    places = places_in(tmp_path)
    for place, network in enumerate(whole.grid.networks):
        folder = places.weights / network.name
        folder.mkdir(parents=True)
        content = whole.weights(place).read_bytes()
        half = content[: len(content) // 2] if place else content
        (folder / WEIGHTS).write_bytes(half)
    ran = Ran(file)
    assert ran.failures == []
    for place in range(2):
        assert file_sha256(ran.weights(place)) == file_sha256(whole.weights(place))


def test_epochs_are_counted_on_where_a_training_goes_on(tmp_path: Path) -> None:
    text = HEAD + TRAININGS.replace("epochs = 2", "epochs = 3") + LITTLE

    class StopError(Exception):
        pass

    file = study_in(tmp_path, text)
    grid = grid_of(read_study(file), "quick")
    places = places_in(tmp_path)
    data = load_data(grid, open_source(grid, places, own_code=False))

    def stop(name: str, state: training.Progress) -> None:
        if state.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        drive(grid, data, places, LocalPool(data, device="cpu", on_training=stop), device="cpu")
    ran = Ran(file)
    assert (ran.steps[0][1].epoch, ran.steps[0][1].step) == (2, 1)
    assert ran.news[0].epochs == 1
    assert ran.news[-1].epochs == ran.news[-1].epochs_in_all == 6


# --- full disks -----------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_for_rows_is_one_line_and_a_rerun_completes(
    whole: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = study_in(tmp_path), tmp_path / "out"
    real, calls = Store.add, []

    def add(self: Store, row: Row) -> None:
        calls.append(row)
        if len(calls) > 10:
            full()
        real(self, row)

    options = (file, "--out", out, "--weights", whole.places.weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "add", add)
        assert "No space left on device" in last_line(said(capsys, *options))
    early = rows_in(out)
    assert 0 < len(early) <= 10
    assert said(capsys, *options)[0] == 0
    assert rows_in(out) == whole.rows
    assert all(row in whole.rows for row in early)


@pytest.mark.parametrize("name", [RESUME, WEIGHTS, "weights.json", "networks.json"])
def test_a_disk_that_is_full_for_a_file_is_one_line_and_a_rerun_completes(
    whole: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file, out = study_in(tmp_path, HEAD + TRAININGS + LITTLE), tmp_path / "out"
    real = os.replace

    def replace_file(source: Any, target: Any) -> None:
        if Path(target).name == name and out in Path(target).parents:
            full()
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace_file)
        line = last_line(said(capsys, file, "--out", out))
    assert name in line
    assert "No space left on device" in line
    assert not list(out.rglob("*.tmp")), "nothing is left lying about"
    assert said(capsys, file, "--out", out)[0] == 0
    for place, network in enumerate(whole.grid.networks):
        found = out / "weights" / network.name / WEIGHTS
        assert file_sha256(found) == file_sha256(whole.weights(place))


def test_a_disk_that_is_truly_full_loses_nothing(
    whole: Ran, programs: Programs, tmp_path: Path
) -> None:
    file, out = study_in(tmp_path, HEAD + TRAININGS + LITTLE), tmp_path / "out"
    limit = 60_000  # bytes of a file: less than the weights
    assert programs.run(file, out, limit=limit) in (1, 2)
    assert programs.run(file, out) == 0
    for place, network in enumerate(whole.grid.networks):
        found = out / "weights" / network.name / WEIGHTS
        assert file_sha256(found) == file_sha256(whole.weights(place))
