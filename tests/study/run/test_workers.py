"""A run whose workers fail, whose weights others train, whose folder holds more than it asks."""

from collections import Counter, deque
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noiseproof import cli
from noiseproof.models.checkpoint import file_sha256
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.study import Grid, grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.measured import measured_of
from noiseproof.study.run.driver import CHANCES, drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.study.run.pieces import Data, Failed, MeasurePiece, Outcome, Piece, Trained
from noiseproof.study.run.worker import Worker
from noiseproof.training.resume import RESUME, WEIGHTS

STUDY = """
name = "toy"
title = "Toy"
data = "digits"
claim = { text = "It holds.", source = "A paper" }
[[comparisons]]
question = "q"
order = [{ norm = "batch" }, { norm = "none" }]
[profiles.quick]
about = "seconds"
images = 100
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 2
batch_size = 64
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
design = "nested(50)"
chips = 6
"""


class Toy:
    """The study in a folder."""

    def __init__(self, folder: Path, text: str = STUDY, *, weights: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.toml").write_text(text)
        self.grid: Grid = grid_of(read_study(folder / "study.toml"), "quick")
        self.places = Places(out=folder, weights=weights or folder / "weights")
        self.data: Data = load_data(self.grid, open_source(self.grid, self.places, own_code=False))

    def run(self, pool: Any = None, **options: Any) -> list[str]:
        with closing(pool or LocalPool(self.data, device="cpu")) as workers:
            return drive(self.grid, self.data, self.places, workers, device="cpu", **options)

    @property
    def rows(self) -> list[Row]:
        with Store(self.places.out / "rows.db", read_only=True) as store:
            return [replace(row, seconds=0.0) for row in store.rows()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("whole"))
    assert toy.run() == []
    return toy


class OneBroken:
    """A sound worker and a broken one, which gets each measurement `first` times before."""

    slots = 4

    def __init__(self, data: Data, failed: Failed, *, first: int) -> None:
        self.sound, self.failed, self.first = Worker(data, device="cpu"), failed, first
        self.waiting: deque[tuple[Piece, Trained | None]] = deque()
        self.tries: Counter[Piece] = Counter()

    def submit(self, piece: Piece, trained: Trained | None) -> None:
        self.waiting.append((piece, trained))

    def wait(self) -> tuple[Piece, Outcome]:
        piece, trained = self.waiting.popleft()
        self.tries[piece] += 1
        if isinstance(piece, MeasurePiece) and self.tries[piece] <= self.first:
            return piece, self.failed
        return piece, self.sound.do(piece, trained)

    def close(self) -> None:
        self.waiting.clear()


def test_what_a_broken_worker_failed_is_done_by_another(whole: Toy, tmp_path: Path) -> None:
    toy = Toy(tmp_path, weights=whole.places.weights)
    failed = Failed(reason="CUDA error", passing=True)
    broken = OneBroken(toy.data, failed, first=CHANCES - 1)
    assert toy.run(broken) == []
    assert toy.rows == whole.rows


def test_what_fails_again_and_again_is_told(whole: Toy, tmp_path: Path) -> None:
    toy = Toy(tmp_path, weights=whole.places.weights)
    failed = Failed(reason="no memory", passing=True)
    failures = toy.run(OneBroken(toy.data, failed, first=CHANCES))
    assert [line.rpartition(": ")[2] for line in failures] == ["no memory"] * len(failures)
    assert len(failures) >= len(toy.grid.tasks)
    assert toy.run() == [], "nothing of it is kept"
    assert toy.rows == whole.rows


def test_a_full_disk_may_be_the_workers_fault_but_a_refusal_is_not(whole: Toy) -> None:
    worker = Worker(whole.data, device="cpu")
    piece = MeasurePiece(task=whole.grid.tasks[0], level=0, first=0, last=1)
    for error, passing in ((OSError("disk full"), True), (ValueError("refused"), False)):

        def failing(*arguments: Any, error: Exception = error) -> Any:
            raise error

        worker._measure = failing  # type: ignore[method-assign]
        outcome = worker.do(piece, object())  # type: ignore[arg-type]
        assert outcome == Failed(reason=str(error), passing=passing)


def test_two_runs_with_one_folder_of_weights_train_and_measure_the_same(
    whole: Toy, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    first, second = Toy(tmp_path / "1", weights=weights), Toy(tmp_path / "2", weights=weights)
    steps: list[str] = []
    between = []

    def other_run(news: Any) -> None:
        if not between and news.epochs == 1:
            between.append(second.run())

    pool = LocalPool(first.data, device="cpu", on_training=lambda name, _: steps.append(name))
    assert first.run(pool, on_news=other_run) == []
    assert between == [[]]
    assert set(steps) == {first.grid.networks[0].name}, "the rest was there by then"
    assert first.rows == second.rows == whole.rows
    fact = read_facts(tmp_path / "1" / "networks.json")[first.grid.networks[0].name]
    file = weights / first.grid.networks[0].name / WEIGHTS
    assert fact.sha256 == file_sha256(file)
    assert not (file.parent / RESUME).exists()


def test_units_that_an_earlier_run_has_left_do_not_count(whole: Toy, tmp_path: Path) -> None:
    toy = Toy(tmp_path, STUDY.replace("chips = 6", "chips = 2"), weights=whole.places.weights)
    toy.run()
    facts = read_facts(whole.places.out / "networks.json")
    fresh = measured_of(toy.grid, facts, toy.rows)
    after = measured_of(toy.grid, facts, whole.rows)
    assert [len(point.rows) for one in after for point in one.points] == [2] * 4
    values = [one.value("average_normalised") for one in fresh]
    assert [one.value("average_normalised") for one in after] == values
    assert [one.by_chip("average") for one in after] == [one.by_chip("average") for one in fresh]


def test_rows_of_other_test_images_do_not_count(whole: Toy) -> None:
    facts = read_facts(whole.places.out / "networks.json")
    changed = [replace(row, data_sha256="0" * 64, score=0.5) for row in whole.rows]
    found = measured_of(whole.grid, facts, [*changed, *whole.rows])
    expected = measured_of(whole.grid, facts, whole.rows)
    assert [one.value("average") for one in found] == [one.value("average") for one in expected]
    assert len(found) == 2


def test_a_folder_of_weights_that_cannot_be_made_is_told_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    toy = Toy(tmp_path / "toy", weights=tmp_path / "file")
    steps: list[str] = []
    pool = LocalPool(toy.data, device="cpu", on_training=lambda name, _: steps.append(name))
    with pytest.raises(ValueError, match=r"cannot make the folder .*file: File exists"):
        toy.run(pool)
    assert not steps


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(130)], ids=repr)
def test_ctrl_c_says_how_to_go_on(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**options: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "noiseproof: stopped; run the same command to go on\n"
