"""How much of a profile's grid has been measured, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noiseproof.designs import images_of, sized
from noiseproof.pacing import most_units, units_wanted
from noiseproof.points import Point
from noiseproof.stopping import FIRST
from noiseproof.study.facts import Facts
from noiseproof.study.grid import Grid, Task
from noiseproof.study.report.words import Names, listed, many
from noiseproof.study.values import Measured


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Curves of the grid: `done` have all their levels with all their units, `begun` some,
    `failed` belong to networks that have no weights, and the others have no row yet."""

    curves: int
    done: int
    begun: int
    failed: int
    gaps: tuple[str, ...]  # what is missing, a line each

    @property
    def absent(self) -> int:
        """Curves without a row that could have some."""
        return self.curves - self.done - self.begun - self.failed

    @property
    def is_finished(self) -> bool:
        """Has all been measured that can be?"""
        return self.done + self.failed == self.curves

    @property
    def text(self) -> str:
        """`unfinished: 12 of 40 curves measured`; "" where nothing is missing."""
        if self.done == self.curves:
            return ""
        word = "incomplete" if self.is_finished else "unfinished"
        return f"{word}: {self.done} of {many(self.curves, 'curve')} measured"

    @property
    def rest_text(self) -> str:
        """What became of the other curves: `8 begun, 20 without a row`."""
        parts = [f"{self.begun} begun"] if self.begun else []
        parts += [f"{self.absent} without a row"] if self.absent else []
        parts += [f"{self.failed} impossible, since a training failed"] if self.failed else []
        return ", ".join(parts)


def progress_of(grid: Grid, facts: Facts, measured: Sequence[Measured], names: Names) -> Progress:
    """Where the grid stands."""
    known = {one.task: one for one in measured}
    failed = {name for name, fact in facts.items() if fact.failed and not fact.sha256}
    short = {task: _short(task, one) for task, one in known.items()}
    without = [task for task in grid.tasks if task not in known]
    lost = [task for task in without if task.network.name in failed]
    return Progress(
        curves=len(grid.tasks),
        done=sum(not short[task] for task in grid.tasks if task in known),
        begun=sum(bool(short[task]) for task in grid.tasks if task in known),
        failed=len(lost),
        gaps=(
            *_absent(without, failed),
            *(f"{_name(task, names)}: {what}" for task, what in short.items() if what),
        ),
    )


def _absent(without: Sequence[Task], failed: set[str]) -> list[str]:
    by_network: dict[str, int] = {}
    for task in without:
        by_network[task.network.name] = by_network.get(task.network.name, 0) + 1
    return [
        f"{name}: {many(count, 'curve')} without rows"
        + (", since its training failed" if name in failed else "")
        for name, count in by_network.items()
    ]


def _name(task: Task, names: Names) -> str:
    told: Mapping[str, str] = {
        "targets": ",".join(task.targets),
        "noise": names.value("noise", task.family),
        "recalibrate": task.recalibrate,
    }
    return f"{task.network.name}, " + ", ".join(told.values())


def _short(task: Task, measured: Measured) -> str:
    """What the curve lacks; "" where it is done."""
    found = {point.level: point for point in measured.points}
    absent = [f"{spec.level:g}" for spec in task.specs if spec.level not in found]
    parts = [f"no rows at level {listed(absent)}"] if absent else []
    for level, point in found.items():
        wanted = units_planned(task, point)
        if len(point.rows) < wanted:
            parts.append(f"{len(point.rows)} of {wanted} units at level {level:g}")
    return "; ".join(parts)


def units_planned(task: Task, point: Point) -> int:
    """How many units (chips, or blocks of images) the point needs, as far as its first ones tell:
    the rule that decides when a level is done."""
    images = point.clean.images
    design = sized(task.design, images if task.design.needs_hits else 0)
    first = FIRST[design.kind]
    found = {row.chip: row.score for row in point.rows}
    begun = [found[unit] for unit in range(first) if unit in found]
    return units_wanted(
        begun if len(begun) == first else [],
        task.pace,
        most=most_units(design, task.pace, chips=task.chips, passes=task.passes, images=images),
        first=first,
        images=images_of(design, images),
    )
