"""Rows that are looked up, measured, stored and shown, each once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store

OnRow = Callable[[Row, int, int], None]


@dataclass(kw_only=True)
class Tally:
    """How many rows were asked for, and how many of them a store held already."""

    wanted: int = 0
    there: int = 0

    @property
    def text(self) -> str:
        """`161 of 161 rows were there already`."""
        return f"{self.there:,} of {self.wanted:,} rows were there already"


class RowCache:
    """The rows that a store holds already, and those that are added to it now.

    - `known`: what `store` holds.
    - `on_row(row, done, total)` gets each new row.
    - `fresh`: nothing of it is used; each new row takes the place of the old one.
    - `tally`: counts.
    """

    def __init__(
        self,
        *,
        known: Iterable[Row],
        store: Store | None,
        on_row: OnRow | None,
        fresh: bool = False,
        tally: Tally | None = None,
    ) -> None:
        self._known: dict[tuple[Any, ...], Row] = (
            {} if fresh else {key_of(row): row for row in known}
        )
        self._store = store
        self._on_row = on_row
        self._fresh = fresh
        self._tally = Tally() if tally is None else tally
        self._done = 0
        self._total: int | None = None

    def expect(self, rows: Iterable[Row]) -> None:
        """Say which rows are wanted in all, so that the number of new ones is known."""
        self._total = self.new(rows)

    def new(self, rows: Iterable[Row]) -> int:
        """How many of these rows are not there yet."""
        # A set: a row that is wanted twice is measured once.
        return len({key_of(row) for row in rows} - self._known.keys())

    def row(self, row: Row, evaluate: Callable[[Row], Row], *, left: int) -> Row:
        """The row of that name, evaluated if it is new; `left`: how many are still to come, it
        included, as far as one can tell where nothing was said by `expect`."""
        found = self._known.get(key_of(row))
        if found is not None:
            self._tally.wanted += 1
            self._tally.there += 1
            return found
        found = self.copy(evaluate(row))
        self._done += 1
        if self._on_row is not None:
            total = self._done + max(0, left - 1) if self._total is None else self._total
            self._on_row(found, self._done, total)
        return found

    def copy(self, row: Row) -> Row:
        """The row, kept; the one of its name that is there already, if there is."""
        self._tally.wanted += 1
        self._tally.there += key_of(row) in self._known
        if key_of(row) not in self._known:
            self._known[key_of(row)] = row
            # On the disk before anyone is told of it: what a killed
            # run showed is there the next time.
            if self._store is not None:
                self._store.add(row, fresh=self._fresh)
        return self._known[key_of(row)]
