"""Running a study: the rows of `measure`, whatever happens on the way."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from noiseproof import cli
from noiseproof.core.rng import stream
from noiseproof.data.datasets import open_dataset
from noiseproof.measuring.curves import measure
from noiseproof.measuring.evaluator import Evaluator, Subject
from noiseproof.measuring.setup import calibration_from
from noiseproof.measuring.units import open_units
from noiseproof.models import building as models
from noiseproof.models.checkpoint import file_sha256, fill, load_state
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.study import Grid, grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.measured import measured_of
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.training import loop as training
from noiseproof.training.resume import RESUME, WEIGHTS

HEAD = """
name = "toy"
title = "Toy"
data = "digits"
claim = { text = "It holds.", source = "A paper" }

[profiles.quick]
about = "seconds"
images = 100

[[profiles.quick.comparisons]] # what is compared does not matter here
question = "q"
order = [
  { noise = "gaussian(level, reference=std, scope=tensor)" },
  { noise = "gaussian(level, reference=std, scope=tensor)", seed = 3 },
]
by = ["network", "targets", "recalibrate", "design"]
"""
TRAININGS = """
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 2
lr = 0.05
batch_size = 64
seed = 3
"""
MEASUREMENTS = """
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
recalibrate = ["off", "match(20)"]
augment_calibration = true
design = "nested(50)"
chips = 6

[[profiles.quick.measurements]]
levels = 0.2
targets = "kernel,bias"
design = "per-image"

[[profiles.quick.measurements]]
levels = 0.2
only = { norm = "batch" }
targets = "kernel,norm_affine"
design = "chips"
precision = 0.05
"""
READY_HEAD = HEAD.replace("seed = 3 }", "seed = 0 }")
STUDY = HEAD + TRAININGS + MEASUREMENTS
LITTLE = '[[profiles.quick.measurements]]\nlevels = 0.2\ndesign = "chips"\nchips = 2\n'


def study_in(folder: Path, text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.toml"
    file.write_text(text)
    return file


def places_in(folder: Path, **options: Any) -> Places:
    usual = {"out": folder / "out", "weights": folder / "out" / "weights", "beside": folder}
    return Places(**usual | options)


class Ran:
    """What a run in this process has left and said."""

    def __init__(self, file: Path, **options: Any) -> None:
        self.places = places_in(file.parent, **options)
        self.grid: Grid = grid_of(read_study(file), "quick")
        self.news: list[News] = []
        self.steps: list[tuple[str, training.Progress]] = []
        data = load_data(self.grid, open_source(self.grid, self.places, own_code=False))
        pool = LocalPool(
            data, device="cpu", on_training=lambda name, state: self.steps.append((name, state))
        )
        with closing(pool):
            self.failures = drive(
                self.grid, data, self.places, pool, device="cpu", on_news=self.news.append
            )

    @property
    def rows(self) -> list[Row]:
        return rows_in(self.places.out)

    def weights(self, network: int = 0) -> Path:
        return self.places.weights / self.grid.networks[network].name / WEIGHTS


def rows_in(out: Path) -> list[Row]:
    """All rows of a run, without the time that they took."""
    with Store(out / "rows.db", read_only=True) as store:
        found = [replace(row, seconds=0.0) for row in store.rows()]
    return sorted(found, key=lambda row: (key_of(row)[0], str(key_of(row)), row.chip))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run that nothing interrupts."""
    return Ran(study_in(tmp_path_factory.mktemp("whole")))


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `noiseproof study run`."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        words = ["noiseproof", "study", "run", *map(str, arguments), "--device", "cpu"]
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            cli.main()
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code or 0, *capsys.readouterr()


def last_line(found: tuple[int, str, str]) -> str:
    """The one line of a run that was refused or stopped."""
    code, _, err = found
    assert code == 2, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("noiseproof: ")]
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    return lines[0]


# --- the same rows --------------------------------------------------------------------------------


def test_a_study_ends_in_the_rows_of_measure(whole: Ran, tmp_path: Path) -> None:
    source = open_dataset("digits")
    test = source.read("test").first(100)
    with Store(tmp_path / "rows.db") as store:
        for task in whole.grid.tasks:
            network = task.network
            weights = whole.places.weights / network.name
            model = models.build(
                network.model, norm=network.norm, where=network.norm_where, classes=10, channels=1
            )
            fill(model, load_state(weights), name=network.name)
            calibration = calibration_from(source, 20, augment=True, seed=network.seed)
            measure(
                model,
                test,
                task.specs,
                design=task.design,
                chips=task.chips,
                passes=task.passes,
                precision=task.pace.precision,
                seed=network.seed,
                targets=task.targets,
                recalibrate=task.recalibrate,
                calibration=None if task.recalibrate == "off" else calibration,
                scale=source.scale,
                store=store,
                subject=Subject(
                    checkpoint=file_sha256(weights / WEIGHTS),
                    model=network.model,
                    norm=network.norm_text,
                    task="classify",
                    data="digits",
                    calibration="train augmented",
                ),
            )
    expected = rows_in(tmp_path)
    assert [key_of(row) for row in whole.rows] == [key_of(row) for row in expected]
    assert whole.rows == expected, "hits, scores, devices too"
    assert len({row.design for row in whole.rows}) >= 3
    assert {row.pace for row in whole.rows} == {"", "precision(0.05)"}


def test_the_facts_say_what_the_networks_are(whole: Ran) -> None:
    facts = read_facts(whole.places.out / "networks.json")
    assert facts.keys() == {network.name for network in whole.grid.networks}
    for place, network in enumerate(whole.grid.networks):
        fact = facts[network.name]
        assert fact.factors == network.factors
        assert (fact.sha256, fact.epochs) == (file_sha256(whole.weights(place)), 2)
        (clean,) = (r for r in whole.rows if (r.checkpoint, r.noise) == (fact.sha256, "none"))
        assert fact.clean == clean.score
        assert not fact.failed


def test_the_facts_know_the_clean_hits_on_each_units_own_images(whole: Ran) -> None:
    test = open_dataset("digits").read("test").first(100)
    for network in whole.grid.networks:
        fact = read_facts(whole.places.out / "networks.json")[network.name]
        own = [row for row in whole.rows if row.checkpoint == fact.sha256]
        (clean,) = (row.unpacked() for row in own if row.noise == "none")
        designs = {row.design for row in own} - {"chips"}
        assert fact.clean_hits.keys() == designs == {"nested(50)", "per-image(10)"}
        drawn = [torch.randperm(len(test), generator=stream(3, "nested images", u)) for u in (0, 5)]
        nested = fact.clean_hits["nested(50)"]
        assert len(nested) == 6
        assert [nested[0], nested[5]] == [clean[places[:50]].sum() for places in drawn]
        order = torch.randperm(len(test), generator=stream(3, "blocks of images"))
        blocks = [clean[places].sum() for places in order.view(10, 10)]
        assert fact.clean_hits["per-image(10)"][:10] == blocks


def test_every_curve_of_a_run_that_has_ended_is_found_whole(whole: Ran) -> None:
    facts = read_facts(whole.places.out / "networks.json")
    found = measured_of(whole.grid, facts, whole.rows)
    assert [one.task for one in found] == list(whole.grid.tasks)
    assert all(one.is_whole for one in found)


def test_progress_counts_to_the_end(whole: Ran) -> None:
    last = whole.news[-1]
    assert (last.trained, last.trainings, last.epochs, last.epochs_in_all) == (2, 2, 4, 4)
    assert last.rows == last.rows_in_all == sum(row.noise != "none" for row in whole.rows)
    assert [news.rows for news in whole.news] == sorted(news.rows for news in whole.news)


def test_a_run_that_has_ended_does_nothing_again(whole: Ran) -> None:
    with Store(whole.places.out / "rows.db", read_only=True) as store:
        before = store.rows()
    again = Ran(whole.places.beside / "study.toml")  # type: ignore[operator]
    assert (again.failures, again.steps) == ([], [])
    with Store(whole.places.out / "rows.db", read_only=True) as store:
        assert store.rows() == before, "seconds too: nothing was measured twice"


def test_a_way_to_recalibrate_by_another_name_is_found_again(tmp_path: Path) -> None:
    text = HEAD + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    ran = Ran(study_in(tmp_path, text + LITTLE + 'recalibrate = "20"\n'))
    facts = read_facts(ran.places.out / "networks.json")
    assert len(measured_of(ran.grid, facts, ran.rows)) == 2


def test_weights_of_one_folder_are_trained_once_for_two_studies(whole: Ran, tmp_path: Path) -> None:
    other = HEAD.replace('"toy"', '"other"') + TRAININGS + LITTLE
    ran = Ran(study_in(tmp_path, other), weights=whole.places.weights)
    assert (ran.failures, ran.steps) == ([], [])
    assert {row.checkpoint for row in ran.rows} == {row.checkpoint for row in whole.rows}


# --- killed ---------------------------------------------------------------------------------------

# Forks a program for each line it is given, since starting Python with torch takes seconds.
ZYGOTE = """
import os, resource, sys
import torch
torch.set_num_threads(1)
from noiseproof import cli
from noiseproof.cli import console
import noiseproof.study.run.driver, noiseproof.study.run.local, noiseproof.study
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os.dup2(2, 1)  # stdout is for the numbers below
        limit, *words = line.split()
        if int(limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit),) * 2)
        sys.argv = ["noiseproof", *words]
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code or 0
        sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
Start = Callable[..., int]


class Programs:
    """`noiseproof study run` in processes of their own, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, file: Path, out: Path, *, limit: int = 0) -> int:
        """The number of the process."""
        assert self.process.stdin is not None
        words = f"{limit} study run {file} --out {out} --device cpu"
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return int(self._read())

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return int(self._read())

    def kill_when(self, pid: int, moment: Callable[[], bool], *, after: float) -> bool:
        """Kill it some time after the moment has come; was it still running?"""
        latest = time.monotonic() + 60
        while not moment() and time.monotonic() < latest:
            time.sleep(0.002)
        time.sleep(after)
        with suppress(ProcessLookupError):  # it has ended already
            os.kill(pid, signal.SIGKILL)
        return self.end() == -signal.SIGKILL


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


def count(out: Path) -> int:
    """Rows so far, as another process sees them."""
    if not (out / "rows.db").is_file():
        return 0
    try:
        with Store(out / "rows.db", read_only=True) as store:
            return len(store.rows())
    except ValueError:  # it is being made
        return 0


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_in_the_same_rows_and_weights(
    whole: Ran, programs: Programs, tmp_path: Path
) -> None:
    file, out = study_in(tmp_path), tmp_path / "out"
    weights = out / "weights"
    names = [network.name for network in whole.grid.networks]
    seed = random.SystemRandom().randrange(1000)
    dice = random.Random(seed)

    def has(network: int, name: str) -> Callable[[], bool]:
        return lambda: (weights / names[network] / name).is_file()

    moments: list[tuple[Callable[[], bool], float]] = [
        (has(0, RESUME), dice.uniform(0.0, 0.05)),  # in the middle of its second epoch
        (has(0, WEIGHTS), 0.0),  # the weights are there, the card may not be
        (has(1, RESUME), dice.uniform(0.0, 0.2)),
        (lambda: count(out) >= 3, dice.uniform(0.0, 0.05)),
        (lambda: count(out) >= 20, dice.uniform(0.0, 0.3)),
        (lambda: True, dice.uniform(0.0, 1.0)),
    ]
    killed = [
        programs.kill_when(programs.start(file, out), moment, after=after)
        for moment, after in moments
    ]
    assert killed[0], "three epochs were still to come"
    early = rows_in(out) if count(out) else []
    programs.start(file, out)
    assert programs.end() == 0
    assert rows_in(out) == whole.rows, f"dice {seed}"
    assert all(row in whole.rows for row in early)
    for place, name in enumerate(names):
        found = file_sha256(weights / name / WEIGHTS)
        assert found == file_sha256(whole.weights(place)), f"dice {seed}"
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


@pytest.mark.slow
def test_a_disk_that_is_truly_full_loses_nothing(
    whole: Ran, programs: Programs, tmp_path: Path
) -> None:
    file, out = study_in(tmp_path, HEAD + TRAININGS + LITTLE), tmp_path / "out"
    programs.start(file, out, limit=60_000)  # bytes of a file: less than the weights
    assert programs.end() in (1, 2)
    programs.start(file, out)
    assert programs.end() == 0
    for place, network in enumerate(whole.grid.networks):
        found = out / "weights" / network.name / WEIGHTS
        assert file_sha256(found) == file_sha256(whole.weights(place))


# --- what fails -----------------------------------------------------------------------------------

DIVERGING = TRAININGS.replace('["batch", "none"]', '"none"').replace("lr = 0.05", "lr = 1e6")


def test_a_training_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = HEAD + DIVERGING + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    file = study_in(tmp_path, text)
    ran = Ran(file)
    diverged, good = ran.grid.networks
    (failure,) = ran.failures
    assert failure.startswith(f"{diverged.name}: the loss is no longer finite in epoch 1")
    facts = read_facts(ran.places.out / "networks.json")
    assert "no longer finite" in facts[diverged.name].failed
    assert facts[good.name].clean is not None
    assert len(ran.rows) == 1 + 2
    assert not (ran.places.weights / diverged.name / WEIGHTS).exists()
    again = Ran(file)
    assert again.steps == [], "it would end so again"
    assert again.rows == ran.rows


def test_a_rerun_says_again_what_has_failed(tmp_path: Path) -> None:
    """Otherwise it would end well, and the program with it."""
    text = HEAD + DIVERGING + TRAININGS.replace('["batch", "none"]', '"batch"') + LITTLE
    file = study_in(tmp_path, text)
    first, again = Ran(file), Ran(file)
    (failure,) = first.failures
    assert again.failures == first.failures
    kept = first.places.weights / first.grid.networks[0].name / "failed.txt"
    assert failure.endswith(f"(to train it again, delete {kept})")
    kept.unlink()
    assert Ran(file).steps, "it is trained again"


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_is_at_work(
    whole: Ran, tmp_path: Path
) -> None:
    places = replace(whole.places, out=tmp_path)
    refused = []

    def start_another(news: News) -> None:
        if not refused:
            with pytest.raises(ValueError) as caught:
                drive(whole.grid, data, places, pool, device="cpu")
            refused.append(str(caught.value))

    data = load_data(whole.grid, open_source(whole.grid, places, own_code=False))
    with closing(LocalPool(data, device="cpu")) as pool:
        drive(whole.grid, data, places, pool, device="cpu", on_news=start_another)
        drive(whole.grid, data, places, pool, device="cpu")
    wait = "wait for it, or choose another --out"
    assert refused == [f"another run is at work in {tmp_path}: {wait}"]
    assert len(rows_in(tmp_path)) == len(whole.rows), "the first one went on to its end"


def test_a_measurement_that_is_refused_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(evaluator: Evaluator, *arguments: Any, **options: Any) -> Any:
        if evaluator.clean_row.norm == "batch":
            raise ValueError("per-image chips do not hold for this network")
        return open_units(evaluator, *arguments, **options)

    monkeypatch.setattr("noiseproof.study.run.worker.open_units", refusing)
    ran = Ran(study_in(tmp_path, HEAD + TRAININGS + LITTLE))
    (failure,) = ran.failures
    assert failure.startswith(ran.grid.networks[0].name)
    assert failure.endswith("per-image chips do not hold for this network")
    assert len(ran.rows) == 1 + (1 + 2)


def test_more_calibration_images_than_there_are_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    text = HEAD + TRAININGS + LITTLE
    text += LITTLE.replace("0.2", "0.3") + 'recalibrate = "pooled(5000)"\nonly = { norm = "batch" }'
    with pytest.raises(ValueError, match=r"pooled\(5000\) needs 5000 .*, digits has 1297"):
        Ran(study_in(tmp_path, text))
    assert not list(tmp_path.rglob("*.pt"))


def test_ready_weights_that_do_not_fit_do_not_stop_the_others(whole: Ran, tmp_path: Path) -> None:
    ready = "".join(
        f'[[profiles.quick.ready]]\nname = "{name}"\nweights = "w.safetensors"\n'
        f'model = "{model}"\nnorm = "batch"\n'
        for name, model in (("other", "resnet14"), ("same", "resnet8"))
    )
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
    try:
        ran = Ran(file)
    except ValueError as error:  # before anything was done: that is as good
        sentence = str(error)
    else:
        (sentence,) = ran.failures
        assert len(ran.rows) == 1 + 2
    assert "weights do not fit resnet14" in sentence
    assert "other" in sentence, "which of the networks it is"


def test_a_sample_larger_than_the_test_set_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    file = study_in(tmp_path, HEAD + TRAININGS + LITTLE.replace('chips"', 'nested(200)"'))
    with pytest.raises(ValueError, match=r"nested\(200\) asks for more than the 100 test images"):
        Ran(file)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_training_whose_resume_file_is_damaged_names_that_file_or_starts_over(
    whole: Ran, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "weights" / whole.grid.networks[0].name
    folder.mkdir(parents=True)
    (folder / RESUME).write_bytes(b"PK half a file")
    try:
        ran = Ran(study_in(tmp_path, HEAD + TRAININGS + LITTLE))
    except ValueError as error:  # before anything was done
        sentence = str(error)
    else:
        assert file_sha256(ran.weights()) == file_sha256(whole.weights())
        return
    assert f"cannot resume from {folder / RESUME}: delete it" in sentence


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": 3}', '{"a": {}}', "\0\xff"])
def test_a_damaged_file_of_networks_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = study_in(tmp_path, HEAD + TRAININGS + LITTLE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "networks.json").write_text(content, encoding="latin-1")
    line = last_line(said(capsys, file, "--out", tmp_path / "out"))
    assert "networks.json is no file of a study's networks: delete it" in line


def test_ready_weights_that_are_missing_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISEPROOF_CHECKPOINTS", str(tmp_path / "elsewhere"))
    ready = '[[profiles.quick.ready]]\nname = "theirs"\nweights = "w.pt"\nmodel = "resnet8"\n'
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    line = last_line(said(capsys, file, "--out", tmp_path / "out"))
    assert "weights w.pt of theirs are not in" in line
    assert str(tmp_path / "elsewhere") in line
    assert "--checkpoints" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [True, False])
def test_ready_weights_are_looked_for_before_anything_is_trained(
    whole: Ran, tmp_path: Path, missing: bool
) -> None:
    ready = '[[profiles.quick.ready]]\nname = "w"\nweights = "w.safetensors"\nmodel = "resnet8"\n'
    file = study_in(tmp_path, HEAD + TRAININGS + ready + LITTLE)
    if missing:
        with pytest.raises(ValueError, match=r"w\.safetensors of w are not in"):
            Ran(file)
        assert not (tmp_path / "out" / "weights").exists()
    else:
        (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
        ran = Ran(file, weights=whole.places.weights)
        assert ran.steps == []
        assert len(ran.rows) == 2 * (1 + 2) + 1 * (1 + 2)


def test_two_networks_from_one_file_of_weights_are_measured_once(
    whole: Ran, tmp_path: Path
) -> None:
    ready = "".join(
        f'[[profiles.quick.ready]]\nname = "{name}"\nweights = "w.safetensors"\n'
        f'model = "resnet8"\nnorm = "batch"\nseed = {seed}\n'
        for seed, name in enumerate("ab")
    )
    file = study_in(tmp_path, READY_HEAD + ready + LITTLE)
    (tmp_path / "w.safetensors").write_bytes(whole.weights().read_bytes())
    ran = Ran(file)
    assert len(ran.rows) == 1 + 2 * 2
    again = Ran(file)
    assert [news.text for news in again.news] == ["starting"], "nothing is measured again"
    assert again.news[0].rows == 4


def test_data_that_are_missing_are_fetched_only_where_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study_in(tmp_path, STUDY.replace('data = "digits"', 'data = "cifar10"'))
    options = (file, "--out", tmp_path / "out", "--data-dir", tmp_path / "none")
    assert "is missing; add --download, or" in last_line(said(capsys, *options))

    def fetch(*arguments: Any, **named: Any) -> None:
        raise ValueError("fetching")

    monkeypatch.setattr("noiseproof.data.classification.download_and_extract_archive", fetch)
    assert "fetching" in last_line(said(capsys, *options, "--download"))
    assert not (tmp_path / "out").exists()


def test_code_of_ones_own_is_refused_unless_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study_own_net.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    own = TRAININGS.replace('"resnet8"', '"study_own_net:net"').replace('["batch", "none"]', "[]")
    own = own.replace("norm = []\n", "")
    file = study_in(tmp_path, HEAD + own + LITTLE)
    options = (file, "--out", tmp_path / "out")
    line = last_line(said(capsys, *options))
    assert "the study names code of its own, study_own_net:net: add --own-code to run it" in line
    assert "study_own_net" not in sys.modules
    assert not (tmp_path / "out").exists()
    loader = HEAD.replace('"digits"', '"study_own_net:load"') + TRAININGS + LITTLE
    line = last_line(said(capsys, study_in(tmp_path / "data", loader)))
    assert "code of its own, study_own_net:load" in line
    assert "study_own_net" not in sys.modules
    code, _, err = said(capsys, *options, "--own-code")
    sys.modules.pop("study_own_net", None)
    assert code == 0, err
    assert len(rows_in(tmp_path / "out")) == 1 + 2
