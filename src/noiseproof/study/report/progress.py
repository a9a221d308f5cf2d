"""How much of a profile's grid has been measured, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.measured import Measured, least_clean
from noiseproof.study.report.words import Names, listed, many
from noiseproof.study.wanted import Grid, Network, Task


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
    short = {task: _short(one) for task, one in known.items()}
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
    form = task.stored.form(task.targets)
    told: Mapping[str, str] = {
        "targets": ",".join(task.targets),
        "stats_as": form and f"statistics stored as their {form}",
        "mapping": task.mapping,
        "mvm": task.mvm,
        "compensate": task.compensate if task.compensate != "off" else "",
        "digital": task.digital and f"digital {task.digital}",
        "noise": names.value("noise", task.family),
        "recalibrate": task.recalibrate,
    }
    return f"{task.network.name}, " + ", ".join(filter(None, told.values()))


def _short(measured: Measured) -> str:
    """What the curve lacks; "" where it is done."""
    name = measured.task.swept.name
    absent = [gap.level.removeprefix(f"{name} ") for gap in measured.gaps if not gap.units]
    parts = [f"no rows at {name} {listed(absent)}"] if absent else []
    parts += [
        f"{gap.units} of {gap.wanted} units at {gap.level}" for gap in measured.gaps if gap.units
    ]
    return "; ".join(parts)


# --- networks ------------------------------------------------------------------------------------


TRAINED, READY, WAITING, FAILED = "trained", "ready", "not there yet", "training failed"


@dataclass(frozen=True, kw_only=True)
class NetworkLine:
    """One network: what it is and what became of it."""

    network: Network
    fact: NetworkFacts | None
    classes: int  # 0 where no row tells

    @property
    def state(self) -> str:
        """Is it there?"""
        if self.fact is not None and self.fact.failed and not self.fact.sha256:
            return FAILED
        if self.fact is None or not self.fact.sha256:
            return WAITING
        return READY if self.network.recipe is None else TRAINED

    @property
    def clean(self) -> float | None:
        return None if self.fact is None else self.fact.clean

    @property
    def has_not_learned(self) -> bool:
        """Is it there and known to be no better than a few times chance?"""
        return bool(self.classes) and self.clean is not None and (
            self.clean <= least_clean(self.classes)
        )  # fmt: skip

    @property
    def recipe(self) -> dict[str, int | float | bool | None]:
        return dict(self.network.recipe or ())

    @property
    def epochs(self) -> str:
        """Trained, of those planned where these are more."""
        planned = self.recipe.get("epochs")
        done = 0 if self.fact is None else self.fact.epochs
        if planned is None:
            return "-"
        return f"{done}" if done == planned else f"{done} of {planned}"


def networks_of(grid: Grid, facts: Facts, measured: Sequence[Measured]) -> tuple[NetworkLine, ...]:
    """A line for each network of the grid."""
    known = {one.task.network.name: one.points[0].clean.classes for one in measured}
    usual = set(known.values())
    classes = usual.pop() if len(usual) == 1 else 0
    return tuple(
        NetworkLine(
            network=network,
            fact=facts.get(network.name),
            classes=known.get(network.name, classes),
        )
        for network in grid.networks
    )
