"""Rows on the disk: one SQLite file, and Parquet or CSV tables of it."""

import csv
import importlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from noiseproof.core.files import replacing
from noiseproof.core.version import __version__
from noiseproof.results import schema
from noiseproof.results.axes import FIRST, schema_of
from noiseproof.results.computes import same_but_code, unified
from noiseproof.results.rows import COLUMNS, Row, key_of

VERSION = b"noiseproof.schema"  # in the metadata of a Parquet file; without it, it is of `FIRST`


class Store:
    """Rows in one SQLite file. Each insert is on the disk when it returns; a row that is already
    there stays as it is. A file of an older schema is brought up to date when it is opened for
    writing, and only read otherwise. Use as a context manager.

    Raises:
        ValueError: for a file that is no noiseproof store, or of a version that is not read, or
            cannot be opened, written or read; the message is one line.
    """

    kind: ClassVar[type[Row]] = Row

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise ValueError(f"store {self.path} does not exist")
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"store {self.path} is not a file: name another")
        if not self.path.parent.is_dir():
            raise ValueError(f"store {self.path}: the folder {self.path.parent} does not exist")
        self._insertion = schema.insertion(self.kind)
        self._unnamed = attrgetter(*(one.name for one in schema.unnamed(self.kind)))
        with self._one_line():
            # Reading needs mode=rw too, to roll back what a killed writer left; falls back to ro
            # by itself where the disk is read-only.
            address = f"{self.path.absolute().as_uri()}?mode={'rw' if read_only else 'rwc'}"
            # isolation_level=None: Python's module opens no transactions of its own, each statement
            # is on the disk by itself, and BEGIN and COMMIT below mean what they say. timeout: how
            # long another process's lock is waited for.
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
            with self._transaction():
                schema.create(self._db, self.kind)
        # After creation, so that a file with tables of another program is refused and not added to.
        if self._db.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
            raise ValueError(f"{self.path} is not a noiseproof store: name another file")
        version = schema.version_of(self._db)
        _check_version(f"store {self.path}", version, self.kind)
        if version < schema_of(self.kind) and not read_only:
            with self._transaction():
                # Two processes may come here at once; the second finds nothing left to do.
                schema.bring_up_to_date(self._db, self.kind)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OverflowError) as error:
            raise ValueError(f"store {self.path}: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within it, or nothing."""
        # The write lock at once. A transaction that begins by reading and locks later fails without
        # waiting where another process wrote in between.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the disk may be full for this too
                self._db.execute("ROLLBACK")
            raise

    def add(self, row: Row, *, fresh: bool = False) -> None:
        """Insert the row, unless its chip is there already; `fresh`: in its place."""
        if fresh:
            self.add_all([row], fresh=True)
            return
        with self._one_line():
            name = schema.name_of(self.kind, key_of(row))
            self._db.execute(self._insertion, (name, *self._unnamed(row)))

    def add_all(self, rows: Sequence[Row], *, fresh: bool = False) -> None:
        """Insert several rows at once: all of them, or none. `fresh`: in place of those of the same
        names that are there, whatever code these were of."""
        # 0.040 ms a row instead of 0.89 ms in transactions of their
        # own (measured: LOG.md, 2026-11-21).
        with self._one_line(), self._transaction():
            if fresh:
                schema.remove(self._db, self.kind, [key_of(row) for row in rows])
            for row in rows:
                self.add(row)

    def stamp(self, network: Row) -> None:
        """Note what `network` computes in the rows of its network that do not say it: all of them,
        or none."""
        with self._one_line(), self._transaction():
            old = [row for row in self._read(network.checkpoint) if not row.computes]
            wanted = same_but_code(network)
            for row in old:
                if same_but_code(row) == wanted:
                    now = replace(row, computes=network.computes)
                    names = [schema.name_of(self.kind, key_of(one)) for one in (now, row)]
                    schema.rename(self._db, *names)

    def rows(self, *, checkpoint: str | None = None) -> list[Row]:
        """The rows of one checkpoint, or all rows, in the order in which they came; those of one
        network say what it computes in one text (see `computes.unified`)."""
        with self._one_line():
            # One transaction: another process may bring the file up to date between two statements.
            self._db.execute("BEGIN")
            try:
                found = self._read(checkpoint)
            finally:
                self._db.execute("COMMIT")
        return unified(found)

    def _read(self, checkpoint: str | None) -> list[Row]:
        found = list(schema.selected(self._db, self.kind, checkpoint))
        return [self._row(place, *entry) for place, entry in enumerate(found)]

    def _row(self, place: int, name: object, values: dict[str, Any]) -> Row:
        which = f"chip {values.get('chip', f'of row {place}')}"
        try:
            axes = {} if name is None else schema.axes_in(self.kind, name)
            which = f"chip {axes.get('chip')}" if name is not None else which
            row = self.kind(**axes, **values)
        except (TypeError, ValueError):
            row = None
        if row is None or not _adds_up(row):
            raise ValueError(f"store {self.path} is damaged: {which} does not add up")
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


def _check_version(what: str, version: int, kind: type[Row]) -> None:
    """Raise ValueError for a schema that this program does not read."""
    newest = schema_of(kind)
    if version > newest:
        raise ValueError(
            f"{what} has schema {version}, noiseproof {__version__} reads {FIRST} to {newest}: "
            "update noiseproof, or name another file"
        )
    if version < FIRST:
        raise ValueError(
            f"{what} has schema {version}, noiseproof {__version__} reads {FIRST} to {newest}: "
            "use the version that wrote it, or name another file"
        )


def _adds_up(row: Row) -> bool:
    """Do the hits make the count, the count the score, and are the figures readable?"""
    try:
        readable = row.details == "{}" or all(
            isinstance(value, float) for value in row.figures.values()
        )
    except (ValueError, TypeError, AttributeError):
        return False
    if row.correct is None:
        return readable and row.hits == b""
    bits = row.hits if isinstance(row.hits, bytes) else b""
    ones = int.from_bytes(bits).bit_count()  # those that fill the last byte are zeros
    if len(bits) != -(-row.images // 8) or ones != row.correct:
        return False
    # Exactly: the mean of booleans is this quotient, rounded once.
    return readable and row.score == row.correct / row.images


def export(rows: list[Row], path: str | Path) -> None:
    """Write the rows to PATH.csv or PATH.parquet (the latter needs pyarrow); hits as hex.

    Raises:
        ValueError: for another ending, or without pyarrow.
    """
    target = Path(path)
    # In hexadecimal, which CSV can hold; the same in Parquet, so that both read alike.
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
            made = arrow.table(columns).replace_schema_metadata({VERSION: str(schema_of(Row))})
            parquet.write_table(made, temporary, compression="zstd")
        else:
            raise ValueError(f"export must end in .csv or .parquet, got {target.name!r}")


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ValueError("Parquet needs pyarrow: run `pip install pyarrow`") from None


def exported(path: str | Path) -> list[Row]:
    """The rows in a Parquet file that `export` wrote (needs pyarrow); what an older file does not
    have is at its default.

    Raises:
        ValueError: for any other file, one of a newer version, or rows that do not add up.
    """
    _, parquet = _arrow()
    try:
        found = parquet.read_table(path)
        version = int((found.schema.metadata or {}).get(VERSION, FIRST))
    except Exception as error:  # whatever a damaged file does to the reader
        raise _unreadable(path, error) from None
    _check_version(str(path), version, Row)
    try:
        table = found.to_pylist()
        rows = [Row(**_in_words(entry | {"hits": bytes.fromhex(entry["hits"])})) for entry in table]
    except Exception as error:
        raise _unreadable(path, error) from None
    for row in rows:
        if not _adds_up(row):
            raise ValueError(f"{path} is damaged: chip {row.chip} does not add up")
    return unified(rows)


def _in_words(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as tables have it now. The first ones were of classifiers only, and recalibrated
    each chip on a number of images."""
    if "task" in entry:
        return entry
    images = entry["recalibrate"]
    way = f"pooled({images})" if images else "off"
    score = entry["correct"] / entry["images"]
    return entry | {"task": "classify", "score": score, "recalibrate": way}


def _unreadable(path: str | Path, error: Exception) -> ValueError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ValueError(f"{path} holds no exported rows: {reason}")
