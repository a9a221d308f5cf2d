"""What is measured of one curve, and what comes next."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from noiseproof.measuring import Evaluator, Units
from noiseproof.results import Row, key_of
from noiseproof.specs import sized
from noiseproof.study.run.pieces import MeasurePiece
from noiseproof.study.run.worker import blank_of, names_of
from noiseproof.study.wanted import Task

Known = Mapping[tuple[Any, ...], Mapping[int, float]]  # point -> unit -> score
PIECE_SECONDS = 5.0  # of a piece: little is lost with a worker, and handing out costs little
FIRST_PIECE = 4


class Points:
    """The units of one task, level by level. Which units a level needs is decided by its own first
    units alone (`pacing.units_wanted`), whoever measured them and in whatever order they came."""

    def __init__(self, task: Task, evaluator: Evaluator, known: Known) -> None:
        self.task = task
        design = sized(task.design, len(evaluator.test) if task.design.needs_hits else 0)
        units = Units(evaluator=evaluator, design=design, targets=task.targets)
        self._images = len(evaluator.test)
        self._flying: list[set[int]] = [set() for _ in task.specs]
        self._seconds: list[float] = []
        blank = blank_of(task, evaluator)
        self._found: list[dict[int, float]] = []
        for level in range(len(task.specs)):
            name = names_of(task, units, blank, level, range(1))[0]
            self._found.append(dict(known.get(_point_of(name), {})))

    @property
    def done(self) -> int:
        """Units that are in the store."""
        return sum(len(found) for found in self._found)

    @property
    def wanted(self) -> int:
        """Units in all, as far as the first ones of each level tell."""
        levels = range(len(self._found))
        return sum(max(self._wanted(level), len(self._found[level])) for level in levels)

    def next_piece(self) -> MeasurePiece | None:
        """The next units that nobody measures yet."""
        for level, found in enumerate(self._found):
            flying = self._flying[level]
            wanted = self._wanted(level)
            free = (u for u in range(wanted) if u not in found and u not in flying)
            first = next(free, None)
            if first is None:
                continue
            last = first + 1
            while last < min(wanted, first + self._size()) and not (
                last in found or last in flying
            ):
                last += 1
            flying.update(range(first, last))
            return MeasurePiece(task=self.task, level=level, first=first, last=last)
        return None

    def take(self, piece: MeasurePiece, rows: Sequence[Row]) -> None:
        """A piece is done: these are its rows."""
        self._flying[piece.level] -= set(range(piece.first, piece.last))
        self._found[piece.level].update({row.chip: row.score for row in rows})
        self._seconds.append(sum(row.seconds for row in rows) / len(rows))

    def _size(self) -> int:
        """Units that take about `PIECE_SECONDS`."""
        if not self._seconds:
            return FIRST_PIECE
        return max(1, round(PIECE_SECONDS / max(median(self._seconds[-5:]), 1e-4)))

    def _wanted(self, level: int) -> int:
        return self.task.units_wanted(self._found[level], test_images=self._images)


def known_of(rows: Iterable[Row]) -> Known:
    """What was measured, point by point."""
    found: dict[tuple[Any, ...], dict[int, float]] = {}
    for row in rows:
        found.setdefault(_point_of(row), {})[row.chip] = row.score
    return found


def _point_of(row: Row) -> tuple[Any, ...]:
    """What the units of one point share: the key but for the unit and its images."""
    return key_of(row, without=("chip", "images"))
