"""The tables of stores, old and new: how they are made, brought up to date, and read.

Schema 3: a table `chips` with a column for each field, unique over those that name a row.
Schema 4 and later: a table `measured` whose column `name` is the canonical JSON of the axes, those
at their default left out, beside a column for each other field. So a new axis changes no name that
is there and no file; a new column is added with its default.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from noiseproof.results.axes import FIRST, Column, axes_of, columns_of, kept, schema_of
from noiseproof.results.rows import Row

APPLICATION_ID = 0x6E706631  # "npf1": tells our files from other SQLite files
NAMED = 4
"""The first schema in which a row's name is one column."""
_SQL: dict[Any, str] = {
    str: "TEXT NOT NULL",
    int: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    bytes: "BLOB NOT NULL",
    int | None: "INTEGER",
    float | None: "REAL",
}
_LARGEST = 2**63  # from which on a number fits neither SQLite nor Parquet
# Sorted, so that the order of the fields in the class is free.
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def name_of(kind: type[Row], values: Sequence[Any]) -> str:
    """The name of a row whose axes have these values.

    Raises:
        ValueError: for a number that no table can hold.
    """
    found = {}
    for one, value in zip(axes_of(kind), values, strict=True):
        if one.type is int and not -_LARGEST <= value < _LARGEST:
            raise ValueError(f"{one.name} must be below 2**63, got {value}: it is too large")
        if value != one.default:
            found[one.name] = value
    return _encoded(found)


def axes_in(kind: type[Row], name: object) -> dict[str, Any]:
    """The values in a row's name; axes at their default are not in it.

    Raises:
        ValueError: for anything that is no name of a row.
    """
    found = json.loads(name) if isinstance(name, str) else None
    types = _types_of(kind)
    if not isinstance(found, dict) or not all(
        # The very type, since true would pass as a whole number by isinstance.
        type(value) is types.get(axis)
        for axis, value in found.items()
    ):
        raise ValueError(f"not the name of a row: {name!r}")
    return found


@kept
def _types_of(kind: type[Row]) -> dict[str, Any]:
    return {one.name: one.type for one in axes_of(kind)}


def unnamed(kind: type[Row]) -> list[Column]:
    """The fields that name nothing: the columns beside `name`."""
    return [one for one in columns_of(kind) if one.role is None]


def version_of(database: sqlite3.Connection) -> int:
    """The schema of an open store."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def create(database: sqlite3.Connection, kind: type[Row]) -> None:
    """Make a store of an empty file, unless another process just did; in a transaction."""
    columns = ", ".join(_declared(database, one) for one in unnamed(kind))
    database.execute(f"CREATE TABLE IF NOT EXISTS measured (name TEXT NOT NULL UNIQUE, {columns})")
    # PRAGMA takes no parameters: these are numbers of our own.
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {schema_of(kind)}")


def bring_up_to_date(database: sqlite3.Connection, kind: type[Row]) -> None:
    """Make an older store one of today's, unless another process just did; in a transaction. Every
    row keeps its place and what it says."""
    # Asked again within the transaction: another process may have done it while this one waited.
    if version_of(database) < NAMED:
        create(database, kind)
        _move_chips(database, kind)
    there = _columns_of(database, "measured")
    for one in unnamed(kind):
        if one.name not in there:
            database.execute(f"ALTER TABLE measured ADD COLUMN {_declared(database, one)}")
    database.execute(f"PRAGMA user_version = {schema_of(kind)}")


def _declared(database: sqlite3.Connection, one: Column) -> str:
    if one.since == FIRST:
        return f"{one.name} {_SQL[one.type]}"
    # A default in a table's definition takes no parameter either; SQLite spells the value itself.
    default = database.execute("SELECT quote(?)", (one.default,)).fetchone()[0]
    return f"{one.name} {_SQL[one.type]} DEFAULT {default}"


def _move_chips(database: sqlite3.Connection, kind: type[Row]) -> None:
    """The rows of schema 3, as they are, into the table that comes after it."""
    old = [one for one in columns_of(kind) if one.since == FIRST]
    axes = [one.name for one in old if one.role is not None]
    rest = ", ".join(one.name for one in old if one.role is None)

    def name(*values: Any) -> str:
        known = dict(zip(axes, values, strict=True))
        return name_of(kind, [known.get(one.name, one.default) for one in axes_of(kind)])

    # Called by SQLite row after row: a store need not fit into memory to be brought up to date.
    database.create_function("name_of", len(axes), name, deterministic=True)
    database.execute(
        # The rowid goes along: it is the order in which rows came.
        f"INSERT INTO measured (rowid, name, {rest}) "
        f"SELECT rowid, name_of({', '.join(axes)}), {rest} FROM chips ORDER BY rowid"
    )
    database.execute("DROP TABLE chips")


def _columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    return {entry[1] for entry in database.execute(f"PRAGMA table_info({table})")}


def insertion(kind: type[Row]) -> str:
    """The statement that adds a row, unless its name is there: its name, then `unnamed`."""
    names = [one.name for one in unnamed(kind)]
    marks = ", ".join("?" * len(names))
    # Of two processes that measure the same row the first one's stays, and neither fails.
    return f"INSERT OR IGNORE INTO measured (name, {', '.join(names)}) VALUES (?, {marks})"


def remove(database: sqlite3.Connection, kind: type[Row], keys: Iterable[Sequence[Any]]) -> None:
    """Remove the rows whose axes have these values, but for what their networks compute."""
    # Named without it: code that has changed since is what a fresh measurement is for.
    names = json.dumps([name_of(kind, key) for key in keys])
    database.execute(
        "DELETE FROM measured WHERE json_remove(name, '$.computes') IN "
        "(SELECT json_remove(value, '$.computes') FROM json_each(?))",
        (names,),
    )


def rename(database: sqlite3.Connection, now: str, before: str) -> None:
    """Give the row another name, unless a row has it."""
    database.execute("UPDATE OR IGNORE measured SET name = ? WHERE name = ?", (now, before))


def selected(
    database: sqlite3.Connection, kind: type[Row], checkpoint: str | None
) -> Iterator[tuple[object, dict[str, Any]]]:
    """The name and the other fields of each row of one checkpoint, or of all, in the order in which
    they came. A store of schema 3 gives no name but all its fields; what a file does not have is
    left out."""
    is_old = version_of(database) < NAMED
    table, name = ("chips", "NULL") if is_old else ("measured", "name")
    there = _columns_of(database, table)
    names = [one.name for one in columns_of(kind) if one.name in there]
    where = "checkpoint" if is_old else "json_extract(name, '$.checkpoint')"
    for found, *values in database.execute(
        f"SELECT {name}, {', '.join(names)} FROM {table} "
        f"WHERE ?1 IS NULL OR {where} = ?1 ORDER BY rowid",
        (checkpoint,),
    ):
        yield found, dict(zip(names, values, strict=True))
