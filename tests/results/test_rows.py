"""The store: rows come back as they went in, or one sentence says why not."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.results.rows import COLUMNS, KEY, Row, key_of, pack
from noiseproof.results.store import Store, export
from tests.results.made import BOXES, IMAGES, made


def filled(path: Path, chips: int = 3) -> Path:
    with Store(path) as store:
        for chip in range(chips):
            store.add(made(chip))
    return path


def rows_in(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return store.rows()


# --- rows ---------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_hits_come_back_from_their_bits(hits: list[bool]) -> None:
    packed = pack(np.array(hits))
    row = made(images=len(hits), hits=packed)
    assert row.unpacked().tolist() == hits
    assert len(packed) == -(-len(hits) // 8)


def test_rows_come_back_as_they_went_in_and_in_their_order(tmp_path: Path) -> None:
    rows = [made(2), made(0, level=None, noise="none", targets=""), made(1, norm="Σ 'quoted' ; --")]
    with Store(tmp_path / "r.db") as store:
        for row in rows:
            store.add(row)
        assert store.rows() == rows
    assert rows_in(tmp_path / "r.db") == rows


def test_a_row_without_hits_comes_back_with_its_further_figures(tmp_path: Path) -> None:
    with Store(tmp_path / "r.db") as store:
        store.add(made(**BOXES))
    (row,) = rows_in(tmp_path / "r.db")
    assert row == made(**BOXES)
    assert row.figures == {"mAP@.5": 0.5}
    assert made().figures == {}


def test_a_score_of_ones_own_is_any_number(tmp_path: Path) -> None:
    own = made(task="my.module:score", score=-37.5, correct=None, hits=b"")
    with Store(tmp_path / "r.db") as store:
        store.add(own)
        assert store.rows() == [own]


def test_the_first_row_of_a_chip_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "r.db") as store:
        store.add(made(seconds=1.0))
        store.add(made(seconds=2.0, score=0.0, correct=0, hits=pack(np.zeros(IMAGES, dtype=bool))))
        assert store.rows() == [made(seconds=1.0)]


@pytest.mark.parametrize("name", [name for name in KEY if name != "images"])
def test_rows_that_differ_in_one_part_of_the_key_are_two(tmp_path: Path, name: str) -> None:
    other = replace(made(), **{name: 7 if isinstance(getattr(made(), name), int) else "other"})
    assert key_of(other) != key_of(made())
    with Store(tmp_path / "r.db") as store:
        store.add(made())
        store.add(other)
        assert store.rows() == [made(), other]


def test_windows_of_two_lengths_are_two_rows(tmp_path: Path) -> None:
    long, short = (
        made(stream="redraw(every=8)", images=n, score=1.0, correct=n, hits=pack(np.ones(n, bool)))
        for n in (8, 4)
    )
    with Store(tmp_path / "r.db") as store:
        store.add(long)
        store.add(short)
        assert store.rows() == [long, short]


def test_rows_of_one_checkpoint_can_be_asked_for(tmp_path: Path) -> None:
    with Store(tmp_path / "r.db") as store:
        for checkpoint in ("a" * 64, "b" * 64):
            store.add(made(checkpoint=checkpoint))
        assert store.rows(checkpoint="b" * 64) == [made(checkpoint="b" * 64)]


def test_two_writers_of_one_file_share_its_rows(tmp_path: Path) -> None:
    with Store(tmp_path / "r.db") as one, Store(tmp_path / "r.db") as two:
        one.add(made(0))
        two.add(made(0))
        two.add(made(1))
        assert one.rows() == two.rows() == [made(0), made(1)]


@pytest.mark.parametrize("name", ["r.db", "with space.db", "100%25 ?mode=ro#x.db", "Größe.db"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    assert rows_in(filled(tmp_path / name)) == [made(0), made(1), made(2)]
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    path.touch()
    assert rows_in(filled(path)) == [made(0), made(1), made(2)]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path / "r.db")
    before = path.read_bytes()
    rows_in(path)
    with (
        Store(path, read_only=True) as store,
        pytest.raises(ValueError, match="attempt to write a readonly database"),
    ):
        store.add(made(9))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_seed_that_sqlite_cannot_hold_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "r.db") as store, pytest.raises(ValueError, match="too large"):
        store.add(made(seed=2**63))


# --- killed, and full disks ---------------------------------------------------------------------


WRITER = """
import sys
sys.path[:0] = {paths!r}
import importlib.util
spec = importlib.util.spec_from_file_location("here", {here!r})
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
{limit}
try:
    with here.Store({path!r}) as store:
        for chip in range(100_000):
            store.add(here.made(chip, images=40_000, score=0.0, correct=0, hits=bytes(5000)))
            print(chip, flush=True)
except ValueError as error:
    print(error, file=sys.stderr)
"""
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"


def writer(path: Path, *, limit: str = "") -> subprocess.Popen[str]:
    """A process that adds rows and prints each chip after its row is on the disk."""
    code = WRITER.format(paths=sys.path, here=__file__, limit=limit, path=str(path))
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("after", [1, 10, 37])
def test_a_writer_killed_in_mid_writing_leaves_whole_rows_and_all_that_it_reported(
    tmp_path: Path, after: int
) -> None:
    path = tmp_path / "r.db"
    with writer(path) as process:
        assert process.stdout is not None
        for _ in range(after):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        reported = after + len(process.stdout.readlines())
    with Store(path) as store:
        rows = store.rows()
    assert [row.chip for row in rows] == list(range(len(rows)))
    assert reported <= len(rows) <= reported + 1
    assert all(len(row.hits) == 5000 for row in rows)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_killed_within_an_insert_reads_as_before_it(
    tmp_path: Path, read_only: bool
) -> None:
    """The moment between the journal and its removal, caught by copying both files."""
    path, copy = filled(tmp_path / "r.db"), tmp_path / "copy.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA cache_size = 1")
    database.execute("BEGIN")
    names = ", ".join(name for name in COLUMNS if name not in KEY)
    for place in range(200):  # pages that no longer fit in memory go to the file
        database.execute(
            f"INSERT INTO measured (name, {names}) "
            f"SELECT replace(name, '\"chip\":0', ?), {names} FROM measured WHERE rowid = 1",
            (f'"chip":{1000 + place}',),
        )
    shutil.copy(path, copy)
    shutil.copy(f"{path}-journal", f"{copy}-journal")
    database.close()
    assert path.read_bytes() != copy.read_bytes(), "nothing was caught in mid-writing"
    with Store(copy, read_only=read_only) as store:
        assert store.rows() == [made(0), made(1), made(2)]


def test_a_full_disk_ends_in_one_line_and_keeps_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with writer(path, limit=FULL) as process:
        out, err = process.communicate()
    reported = len(out.split())
    assert 10 <= reported <= 40  # of 5 kB each into 200 kB
    assert err.startswith(f"store {path}: ")
    assert err.count("\n") == 1
    with Store(path) as store:
        assert [row.chip for row in store.rows()] == list(range(reported))


# --- files that are no store --------------------------------------------------------------------


def text_file(path: Path) -> None:
    path.write_text("accuracy,level\n0.9,0.1\n" * 100)


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE chips (potato TEXT)")
    database.close()


def other_schema(version: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        database = sqlite3.connect(filled(path))
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()
        database.close()

    return make


def cut_short(path: Path) -> None:
    filled(path, chips=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


REFUSED = {
    "text": (text_file, "^store .*r.db: file is not a database$"),
    "foreign": (foreign_database, "r.db is not a noiseproof store: name another file$"),
    "schema 0": (other_schema(0), "^store .*r.db has schema 0, noiseproof .* reads 3 to .: use"),
    "schema 1": (other_schema(1), "^store .*r.db has schema 1, noiseproof .* reads 3 to .: use"),
    "schema 99": (other_schema(99), "^store .*r.db has schema 99, noiseproof .* reads 3 to .: "),
    "cut short": (cut_short, "^store .*r.db: database disk image is malformed$"),
    "folder": (Path.mkdir, "^store .*r.db( is not a file: name another| does not exist)$"),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_no_store_is_refused_in_one_line_and_left_alone(
    tmp_path: Path, kind: str, read_only: bool
) -> None:
    path, (make, sentence) = tmp_path / "r.db", REFUSED[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ValueError, match=sentence) as caught, Store(path, read_only=read_only) as s:
        s.rows()
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize(
    "damage",
    [
        *("hits = x'ff'", "hits = zeroblob(2)", "hits = 'text'", "hits = x''"),
        *("correct = correct + 1", "correct = NULL", "score = score + 0.01"),
        *("details = 'text'", "details = '[1]'", 'details = \'{"a": "b"}\''),
        *("details = '{\"a\": null}'", "name = replace(name, ':13', ':99')"),
    ],
)
def test_rows_that_do_not_add_up_are_refused(tmp_path: Path, damage: str) -> None:
    path = filled(tmp_path / "r.db")
    database = sqlite3.connect(path)
    database.execute(f"UPDATE measured SET {damage} WHERE rowid = 2")
    database.commit()
    database.close()
    with pytest.raises(ValueError, match="^store .*r.db is damaged: chip 1 does not add up$"):
        rows_in(path)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_reading_what_holds_nothing_is_refused_and_creates_nothing(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "r.db"
    if kind == "empty":
        path.touch()
    with pytest.raises(ValueError, match="r.db (does not exist|is not a noiseproof store)"):
        Store(path, read_only=True)
    assert not path.exists() or not path.stat().st_size


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"r.db: the folder .*nowhere does not exist"):
        Store(tmp_path / "nowhere" / "r.db")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that not even root can fill")
def test_a_folder_that_takes_no_files_ends_in_one_line() -> None:
    with pytest.raises(ValueError, match="^store /proc/r.db: unable to open database file$"):
        Store("/proc/r.db")
    with pytest.raises(ValueError, match="^cannot write /proc/r.csv: "):
        export([made()], "/proc/r.csv")
