"""Rows on the disk: one SQLite file, and Parquet or CSV tables of it."""

import csv
import importlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from noiseproof.core.files import replacing
from noiseproof.results.rows import COLUMNS, KEY, Row

APPLICATION_ID = 0x6E706631  # "npf1": tells our files from other SQLite files
SCHEMA = 3
_TYPES = {
    **dict.fromkeys(("seed", "chip", "seen", "images", "classes"), "INTEGER NOT NULL"),
    **dict.fromkeys(("nonfinite", "extra_images"), "INTEGER NOT NULL"),
    "correct": "INTEGER",
    "level": "REAL",
    **dict.fromkeys(("score", "seconds"), "REAL NOT NULL"),
    "hits": "BLOB NOT NULL",
}


class Store:
    """Rows in one SQLite file. Each insert is on the disk when it returns; a row that is already
    there stays as it is. Use as a context manager.

    Raises:
        ValueError: for a file that is no noiseproof store, or of another version, or cannot be
            opened, written or read; the message is one line.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise ValueError(f"store {self.path} does not exist")
        if not self.path.parent.is_dir():
            raise ValueError(f"store {self.path}: the folder {self.path.parent} does not exist")
        with self._one_line():
            # Reading needs mode=rw too, to roll back what a killed writer left; falls back to ro
            # by itself where the disk is read-only.
            address = f"{self.path.absolute().as_uri()}?mode={'rw' if read_only else 'rwc'}"
            self._db = sqlite3.connect(address, uri=True, timeout=60, isolation_level=None)
            self._db.execute(f"PRAGMA query_only = {int(read_only)}")
            try:
                self._check_or_create(read_only)
            except BaseException:
                self._db.close()
                raise

    def _check_or_create(self, read_only: bool) -> None:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0 and not read_only:
            columns = ", ".join(f"{name} {_TYPES.get(name, 'TEXT NOT NULL')}" for name in COLUMNS)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS chips ({columns}, UNIQUE ({', '.join(KEY)}))"
            )
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA}")
            self._db.execute("COMMIT")
            return
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ValueError(f"{self.path} is not a noiseproof store: name another file")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA:
            raise ValueError(
                f"store {self.path} has schema {version}, this noiseproof reads {SCHEMA}: "
                "use the version that wrote it, or a new file"
            )

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OverflowError) as error:
            raise ValueError(f"store {self.path}: {error}") from None

    def add(self, row: Row) -> None:
        """Insert the row, unless its chip is there already."""
        names, marks = ", ".join(COLUMNS), ", ".join("?" * len(COLUMNS))
        with self._one_line():
            self._db.execute(
                f"INSERT OR IGNORE INTO chips ({names}) VALUES ({marks})", astuple(row)
            )

    def add_all(self, rows: Sequence[Row]) -> None:
        """Insert several rows at once: all of them, or none."""
        with self._one_line():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self.add(row)
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # the disk may be full for this too
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, *, checkpoint: str | None = None) -> list[Row]:
        """The rows of one checkpoint, or all rows, in the order in which they came."""
        columns = ", ".join(COLUMNS)
        with self._one_line():
            found = self._db.execute(
                f"SELECT {columns} FROM chips WHERE ?1 IS NULL OR checkpoint = ?1 ORDER BY rowid",
                (checkpoint,),
            ).fetchall()
        return [self._row(values) for values in found]

    def _row(self, values: tuple[Any, ...]) -> Row:
        row = Row(**dict(zip(COLUMNS, values, strict=True)))
        if not _adds_up(row):
            raise ValueError(f"store {self.path} is damaged: chip {row.chip} does not add up")
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()


def _adds_up(row: Row) -> bool:
    """Do the hits make the count, the count the score, and are the figures readable?"""
    try:
        readable = all(isinstance(value, float) for value in row.figures.values())
    except (ValueError, TypeError, AttributeError):
        return False
    if row.correct is None:
        return readable and row.hits == b""
    bits = row.hits if isinstance(row.hits, bytes) else b""
    if len(bits) != -(-row.images // 8) or int(row.unpacked().sum()) != row.correct:
        return False
    return readable and row.score == row.correct / row.images


def export(rows: list[Row], path: str | Path) -> None:
    """Write the rows to PATH.csv or PATH.parquet (the latter needs pyarrow); hits as hex.

    Raises:
        ValueError: for another ending, or without pyarrow.
    """
    target = Path(path)
    table = [asdict(row) | {"hits": row.hits.hex()} for row in rows]
    with replacing(target) as temporary:
        if target.suffix == ".csv":
            with temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=COLUMNS)
                writer.writeheader()
                writer.writerows(table)
        elif target.suffix == ".parquet":
            columns = {name: [entry[name] for entry in table] for name in COLUMNS}
            arrow, parquet = _arrow()
            parquet.write_table(arrow.table(columns), temporary, compression="zstd")
        else:
            raise ValueError(f"export must end in .csv or .parquet, got {target.name!r}")


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ValueError("Parquet needs pyarrow: run `pip install pyarrow`") from None


def exported(path: str | Path) -> list[Row]:
    """The rows in a Parquet file that `export` wrote (needs pyarrow).

    Raises:
        ValueError: for any other file, or rows that do not add up.
    """
    _, parquet = _arrow()
    try:
        table = parquet.read_table(path).to_pylist()
        rows = [Row(**entry | {"hits": bytes.fromhex(entry["hits"])}) for entry in table]
    except Exception as error:  # whatever a damaged file does to the reader
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} holds no exported rows: {reason}") from None
    for row in rows:
        if not _adds_up(row):
            raise ValueError(f"{path} is damaged: chip {row.chip} does not add up")
    return rows
