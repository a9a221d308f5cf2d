"""Stores and tables of earlier versions: read as they were, brought up to date as a whole."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from noiseproof.results import schema
from noiseproof.results.axes import FIRST, columns_of, schema_of
from noiseproof.results.rows import Row
from noiseproof.results.store import Store, export, exported
from tests.results.made import BOXES, made

ROOT = Path(__file__).parents[2]
TABLES = sorted([*ROOT.glob("studies/**/*.parquet"), *ROOT.glob("benchmarks/results/*.parquet")])
NOW = schema_of(Row)
NAMING = (  # in a store of schema 3, in this order
    "checkpoint, model, norm, task, data, data_sha256, scale, noise, targets, recalibrate, "
    "calibration_sha256, seed, chip, design, part, stream, seen, images"
)
SCHEMA_3 = f"""
CREATE TABLE chips (
    checkpoint TEXT NOT NULL, model TEXT NOT NULL, norm TEXT NOT NULL, task TEXT NOT NULL,
    data TEXT NOT NULL, data_sha256 TEXT NOT NULL, scale TEXT NOT NULL, noise TEXT NOT NULL,
    targets TEXT NOT NULL, recalibrate TEXT NOT NULL, calibration_sha256 TEXT NOT NULL,
    seed INTEGER NOT NULL, chip INTEGER NOT NULL, design TEXT NOT NULL, part TEXT NOT NULL,
    stream TEXT NOT NULL, seen INTEGER NOT NULL, images INTEGER NOT NULL, pace TEXT NOT NULL,
    calibration TEXT NOT NULL, level REAL, classes INTEGER NOT NULL, score REAL NOT NULL,
    correct INTEGER, nonfinite INTEGER NOT NULL, hits BLOB NOT NULL, details TEXT NOT NULL,
    extra_images INTEGER NOT NULL, seconds REAL NOT NULL, device TEXT NOT NULL,
    versions TEXT NOT NULL, UNIQUE ({NAMING})
);
PRAGMA application_id = {0x6E706631};
PRAGMA user_version = 3;
"""


def rows_of(chips: int) -> list[Row]:
    """Rows that differ in all that a row of schema 3 can say."""
    clean: dict[str, Any] = {"noise": "none", "targets": "", "level": None}
    first = made(norm="Σ 'quoted' ; --", seed=2**63 - 1, **clean)
    noisy = replace(first, noise="stuck(0.1, at=zero)", targets="bias,kernel", level=0.1, seed=3)
    boxes = made(
        recalibrate="pooled(8)",
        calibration_sha256="e" * 64,
        calibration="train",
        extra_images=8,
        pace="precision 0.01",
        **BOXES,
    )
    other = replace(noisy, checkpoint="b" * 64, design="nested(13)", part="only:layer:fc")
    return [first, boxes, other, *(replace(noisy, chip=chip) for chip in range(chips))]


def old_store(path: Path, chips: int = 3) -> list[Row]:
    """Write a store as version 0.1.0 did, and return its rows."""
    rows = rows_of(chips)
    database = sqlite3.connect(path)
    database.executescript(SCHEMA_3)
    names = [one.name for one in columns_of(Row) if one.since == FIRST]
    database.executemany(
        f"INSERT INTO chips ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [[getattr(row, name) for name in names] for row in rows],
    )
    database.commit()
    database.close()
    return rows


def version_in(path: Path) -> int:
    database = sqlite3.connect(path)
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return found


def read(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return store.rows()


# --- stores --------------------------------------------------------------------------------------


def test_a_store_of_schema_3_reads_as_before_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    rows = old_store(path)
    before = path.read_bytes()
    assert read(path) == rows
    assert {row.threads for row in read(path)} == {0}
    with Store(path, read_only=True) as store:
        assert store.rows(checkpoint="b" * 64) == [rows[2]]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_measuring_goes_on_in_a_store_of_schema_3(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    rows = old_store(path)
    new = replace(rows[-1], chip=77, threads=2)
    with Store(path) as store:
        assert store.rows() == rows
        for row in (*rows, new):
            store.add(replace(row, seconds=9.0))  # those that are there stay as they are
        assert store.rows() == [*rows, replace(new, seconds=9.0)]
        assert store.rows(checkpoint="b" * 64) == [rows[2]]
    assert version_in(path) == NOW
    assert read(path) == [*rows, replace(new, seconds=9.0)]


def test_a_store_brought_up_to_date_is_made_like_a_new_one(tmp_path: Path) -> None:
    old_store(tmp_path / "old.db", chips=0)
    made = []
    for name in ("old.db", "new.db"):
        with Store(tmp_path / name) as store:
            found = store._db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
            made.append(found)
    assert made[0] == made[1]


KILLED = """
import os, signal, sqlite3, sys
sys.path[:0] = {paths!r}
from noiseproof.results import store

class Dying(sqlite3.Connection):
    left = {after}
    def execute(self, text, *rest):
        if not text.startswith("PRAGMA") or "=" in text:
            if Dying.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            Dying.left -= 1
        done = super().execute(text, *rest)
        if text.startswith("BEGIN"):
            super().execute("PRAGMA cache_size = 1")  # pages go to the file before the end
        return done

connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, **more, factory=Dying)
store.Store({path!r})
"""


def test_a_migration_killed_at_any_statement_loses_nothing(tmp_path: Path) -> None:
    origin = tmp_path / "r.db"
    rows, after, versions = old_store(origin, chips=300), 0, []
    while True:
        path = tmp_path / f"{after}.db"
        shutil.copy(origin, path)
        code = KILLED.format(paths=sys.path, after=after, path=str(path))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        versions.append(version_in(path))
        assert read(path) == rows
        with Store(path) as store:
            assert store.rows() == rows
        after += 1
    assert version_in(path) == NOW
    assert len(versions) > 6, "the migration was not killed within its statements"
    assert versions[-1] == 3, "the last statement, which commits, was not reached"


ADDS = """
import sys
sys.path[:0] = {paths!r}
from dataclasses import replace
from noiseproof.results.store import Store
sys.stdin.readline()
with Store({path!r}) as store:
    first = store.rows()[-1]
    store.add(replace(first, chip={chip}))
    store.add(replace(first, chip=1000))
"""


def test_several_processes_may_open_the_same_old_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    rows = old_store(path, chips=50)
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDS.format(paths=sys.path, path=str(path), chip=100 + one)],
            stdin=pipe,
            stderr=pipe,
            text=True,
        )
        for one in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    found = read(path)
    assert found[: len(rows)] == rows
    assert sorted(row.chip for row in found[len(rows) :]) == [100, 101, 102, 1000]


def test_who_comes_second_finds_the_store_up_to_date(tmp_path: Path) -> None:
    """Between another process' look at the version and its own transaction."""
    path = tmp_path / "r.db"
    rows = old_store(path)
    with Store(path) as store:
        store._db.execute("BEGIN IMMEDIATE")
        schema.bring_up_to_date(store._db, Row)
        store._db.execute("COMMIT")
        assert store.rows() == rows


def test_a_reader_goes_on_while_another_brings_the_store_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    rows = old_store(path)
    with Store(path, read_only=True) as reader:
        assert reader.rows() == rows
        with Store(path) as writer:
            writer.add(replace(rows[-1], chip=9))
        assert reader.rows() == [*rows, replace(rows[-1], chip=9)]


@pytest.mark.parametrize(
    "damage", ["'text'", "'[1]'", "'{}'", "replace(name, 'model', 'mode')", "x'ff'", "'{\"a\": 1}'"]
)
def test_a_name_that_is_none_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "r.db"
    with Store(path) as store:
        store.add(rows_of(1)[-1])
    database = sqlite3.connect(path)
    database.execute(f"UPDATE measured SET name = {damage}")
    database.commit()
    database.close()
    with pytest.raises(ValueError, match="^store .*r.db is damaged: chip .* does not add up$"):
        read(path)


def test_a_chip_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with Store(path) as store:
        store.add(rows_of(1)[-1])
    database = sqlite3.connect(path)
    database.execute('UPDATE measured SET name = replace(name, \'"chip":0\', \'"chip":"0"\')')
    database.commit()
    database.close()
    with pytest.raises(ValueError, match="^store .*r.db is damaged: chip .* does not add up$"):
        read(path)


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_committed_tables_read_as_before_and_what_is_new_is_at_its_default(
    path: Path, tmp_path: Path
) -> None:
    rows = exported(path)
    table = parquet.read_table(path).to_pylist()
    changed = {"hits"} if "task" in table[0] else {"hits", "recalibrate"}
    same = [name for name in table[0] if name not in changed]
    assert [{name: getattr(row, name) for name in same} for row in rows] == [
        {name: entry[name] for name in same} for entry in table
    ]
    assert [row.hits.hex() for row in rows] == [entry["hits"] for entry in table]
    new = {one.name: one.default for one in fields(Row) if one.name not in table[0]}
    new = {name: new[name] for name in ("threads", "stats_as", "mapping") if name in new}
    assert all({name: getattr(row, name) for name in new} == new for row in rows)
    export(rows, tmp_path / "again.parquet")
    assert exported(tmp_path / "again.parquet") == rows


def test_there_are_committed_tables() -> None:
    assert len(TABLES) >= 9


def test_the_first_tables_have_a_number_of_images_for_a_way_to_recalibrate() -> None:
    path = ROOT / "benchmarks/results/public_checkpoints.parquet"
    images = [entry["recalibrate"] for entry in parquet.read_table(path).to_pylist()]
    rows = exported(path)
    expected = {0: "off", 1000: "pooled(1000)"}
    assert [row.recalibrate for row in rows] == [expected[count] for count in images]
    assert {row.task for row in rows} == {"classify"}
    assert all(row.score == row.unpacked().mean() for row in rows)


def test_what_is_exported_reads_back(tmp_path: Path) -> None:
    rows = [replace(row, threads=place) for place, row in enumerate(rows_of(4))]
    export(rows, tmp_path / "r.parquet")
    assert exported(tmp_path / "r.parquet") == rows


def test_a_table_of_a_newer_program_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    export(rows_of(1), path)
    table = parquet.read_table(path)
    assert table.schema.metadata[b"noiseproof.schema"] == str(NOW).encode()
    newer = table.replace_schema_metadata({"noiseproof.schema": "99"})
    parquet.write_table(newer, path)
    sentence = rf"r.parquet has schema 99, noiseproof \S+ reads 3 to {NOW}: update noiseproof, or"
    with pytest.raises(ValueError, match=sentence):
        exported(path)
