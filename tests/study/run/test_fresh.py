"""A study measured anew: new rows take the places of the old ones, one after the other."""

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from noiseproof.results.store import Store
from noiseproof.study import run_study
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.study.run.pieces import Failed, Outcome, Piece, Trained
from tests.study.run.toy import HEAD, LITTLE, TRAININGS, Ran, rows_in, study_in

ONE = HEAD + TRAININGS.replace('["batch", "none"]', '"none"').replace("epochs = 2", "epochs = 1")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(study_in(tmp_path_factory.mktemp("fresh"), ONE + LITTLE))


class Lame:
    """Workers that do nothing."""

    slots = 1

    def __init__(self) -> None:
        self.given: deque[Piece] = deque()

    def submit(self, piece: Piece, trained: Trained | None) -> None:
        self.given.append(piece)

    def wait(self) -> tuple[Piece, Outcome]:
        return self.given.popleft(), Failed(reason="no power")

    def close(self) -> None:
        pass


def again(ran: Ran, *, lame: bool = False, fresh: bool = True) -> tuple[list[str], News]:
    """What failed, and the last news."""
    data = load_data(ran.grid, open_source(ran.grid, ran.places, own_code=False))
    pool = Lame() if lame else LocalPool(data, device="cpu")
    news: list[News] = []
    failed = drive(ran.grid, data, ran.places, pool, device="cpu", on_news=news.append, fresh=fresh)
    return failed, news[-1]


def spoil(ran: Ran) -> None:
    """Every row says something else than was measured."""
    with Store(ran.places.out / "rows.db") as store:
        store.add_all([replace(row, seconds=1e6) for row in store.rows()], fresh=True)


def seconds(ran: Ran) -> set[float]:
    with Store(ran.places.out / "rows.db", read_only=True) as store:
        return {row.seconds for row in store.rows()}


def test_what_is_there_is_counted_and_stays(ran: Ran) -> None:
    spoil(ran)
    failed, news = again(ran, fresh=False)
    assert (failed, news.tally.text) == ([], "3 of 3 rows were there already")
    assert seconds(ran) == {1e6}


def test_a_fresh_run_measures_all_rows_anew_and_keeps_the_weights(ran: Ran) -> None:
    spoil(ran)
    weights, rows = ran.weights().read_bytes(), rows_in(ran.places.out)
    failed, news = again(ran)
    assert (failed, news.tally.there, news.tally.wanted, news.rows) == ([], 0, 3, 2)
    assert max(seconds(ran)) < 1e6
    assert rows_in(ran.places.out) == rows
    assert ran.weights().read_bytes() == weights


def test_an_old_row_stays_until_the_new_one_is_there(ran: Ran) -> None:
    spoil(ran)
    before = rows_in(ran.places.out)
    failed, _ = again(ran, lame=True)
    assert len(failed) == 2, "a clean score, a curve"
    assert rows_in(ran.places.out) == before
    assert seconds(ran) == {1e6}


def test_rows_of_a_first_run_were_not_there_before(ran: Ran) -> None:
    assert ran.news[-1].tally.there == 0
    assert ran.news[-1].tally.wanted == 3


def test_a_run_in_no_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = study_in(tmp_path / "study", ONE + LITTLE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("out", "weights", "checkpoints", "data_dir"):
        with pytest.raises(ValueError, match=f"{name} is an empty path: name a folder"):
            run_study(file, **{name: ""})  # type: ignore[arg-type]
    assert not list(Path().iterdir())
