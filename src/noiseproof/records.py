"""The row type and its store: one SQLite file, one row per unit, inserted once.

Measuring writes rows, reports read them; they share nothing else. No torch here.
"""

import csv
import importlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

APPLICATION_ID = 0x6E706631  # "npf1": tells our files from other SQLite files
SCHEMA = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One unit of replication, measured: a chip, or a block of images that are each on their own.
    The fields up to `images` name it; no two rows agree in all of them."""

    checkpoint: str  # sha256 of the weights
    model: str
    norm: str  # "own" where the model's layers were left as they are
    task: str  # a key of catalog.TASKS, or the name of a score of one's own
    data: str
    data_sha256: str  # of the test images and labels, in order; "" where they cannot be hashed
    scale: str  # pixel means and standard deviations; "as is" for float inputs
    noise: str  # the spec's text form, level included; "none" for the clean network
    targets: str  # comma-separated roles; "" for the clean network
    recalibrate: str  # the estimator's text form; "off" without
    calibration_sha256: str  # of the calibration images; "" where there are none
    seed: int
    chip: int  # the unit's number
    design: str = "chips"  # which images see which chips, as `designs.parse_design` reads it
    part: str = "all"  # which of the targeted tensors are noisy
    stream: str = ""  # how the noise changes with time; "" where it stays as it is
    seen: int = 0  # in a stream: images before these
    images: int  # that this unit saw
    pace: str = ""  # what decided the number of units; "" where it was fixed beforehand
    calibration: str = ""  # where its images come from: "train", "train augmented", "test"
    level: float | None  # dimensionless; None where the noise has no level
    classes: int
    score: float
    correct: int | None  # images that were right; None where single images have no hit or miss
    nonfinite: int  # images whose outputs were not all finite
    hits: bytes  # one bit per image, in order, padded to whole bytes; b"" without
    details: str = "{}"  # JSON: further figures by name
    extra_images: int = 0  # images forwarded for this chip beside the test images
    seconds: float
    device: str
    versions: str

    def unpacked(self) -> NDArray[np.bool_]:
        """The hits as booleans (N,)."""
        bits = np.frombuffer(self.hits, dtype=np.uint8)
        return np.unpackbits(bits, count=self.images).astype(np.bool_)

    @cached_property
    def figures(self) -> dict[str, float]:
        """The further figures by name, as `mAP@.5`."""
        found = json.loads(self.details)
        return {str(name): float(value) for name, value in found.items()}


_COLUMNS = tuple(field.name for field in fields(Row))
KEY = _COLUMNS[: _COLUMNS.index("images") + 1]
_TYPES = {
    **dict.fromkeys(("seed", "chip", "seen", "images", "classes"), "INTEGER NOT NULL"),
    **dict.fromkeys(("nonfinite", "extra_images"), "INTEGER NOT NULL"),
    "correct": "INTEGER",
    "level": "REAL",
    **dict.fromkeys(("score", "seconds"), "REAL NOT NULL"),
    "hits": "BLOB NOT NULL",
}


def key_of(row: Row) -> tuple[Any, ...]:
    """What names the row's chip: the values of `KEY`."""
    return tuple(getattr(row, name) for name in KEY)


def pack(hits: NDArray[np.bool_]) -> bytes:
    """Booleans (N,) as bits."""
    return np.packbits(hits).tobytes()


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
            columns = ", ".join(f"{name} {_TYPES.get(name, 'TEXT NOT NULL')}" for name in _COLUMNS)
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
        names, marks = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
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
        columns = ", ".join(_COLUMNS)
        with self._one_line():
            found = self._db.execute(
                f"SELECT {columns} FROM chips WHERE ?1 IS NULL OR checkpoint = ?1 ORDER BY rowid",
                (checkpoint,),
            ).fetchall()
        return [self._row(values) for values in found]

    def _row(self, values: tuple[Any, ...]) -> Row:
        row = Row(**dict(zip(_COLUMNS, values, strict=True)))
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
                writer = csv.DictWriter(file, fieldnames=_COLUMNS)
                writer.writeheader()
                writer.writerows(table)
        elif target.suffix == ".parquet":
            columns = {name: [entry[name] for entry in table] for name in _COLUMNS}
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well, so that no
    reader ever sees half a file. OSErrors become one-line ValueErrors."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # the name itself may be impossible
            temporary.unlink(missing_ok=True)
