"""What the command line shows: progress on stderr, tables on stdout."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from math import isnan
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from noiseproof.report import terminal
from noiseproof.results.curves import Curve
from noiseproof.results.rows import Row
from noiseproof.results.streams import Trace
from noiseproof.specs import catalog
from noiseproof.specs.catalog import metric_of
from noiseproof.specs.designs import DESIGNS, parse_design
from noiseproof.specs.estimators import AUTO, ESTIMATORS, Estimator
from noiseproof.specs.noise import REFERENCES, ROLES, SCOPES, Spec
from noiseproof.stats.display import unit_of
from noiseproof.stats.stopping import FIRST, stein_interval

if TYPE_CHECKING:
    from noiseproof.measuring.inventory import TensorFacts
    from noiseproof.study.progress import NetworkProgress
    from noiseproof.study.run.driver import News
    from noiseproof.study.run.estimate import Line
    from noiseproof.training.loop import Progress as TrainingProgress

NOISES = {
    "gaussian(level, reference=std, scope=tensor)": "W + level r z, z standard normal",
    "laplace(level, reference=std, scope=tensor)": "the same, z Laplace of unit variance",
    "uniform(level, reference=std, scope=tensor)": "the same, z uniform of unit variance",
    "lognormal(level)": "W exp(level z), element by element",
    "stuck(p, at=zero)": "each element stuck with probability p, at zero or at max (own sign)",
    "quantize(bits=6, scope=tensor)": "symmetric uniform, 2^bits - 1 values",
    "A + B": "first A, then B: quantize(bits=6) + gaussian(0.05, reference=max)",
    "reference=": f"what sigma is relative to: {', '.join(REFERENCES)}",
    "scope=": f"over what the reference is taken: {', '.join(SCOPES)}",
    "--targets": f"roles that get noise: {', '.join(ROLES)}; default kernel",
}
LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "models": lambda: {**catalog.MODELS, **catalog.OUTSIDE_MODELS},
    "norms": lambda: dict(catalog.NORMS),
    "noises": lambda: dict(NOISES),
    "recalibrations": lambda: dict(
        [(_form(cls), cls.about) for cls in ESTIMATORS.values()],
        auto=f"{AUTO}; a number N is pooled(N)",
        off="as the chip comes",
    ),
    "designs": lambda: {name: cls.about for name, cls in DESIGNS.items()},
    "datasets": lambda: dict(
        [(name, facts.about) for name, facts in catalog.DATASETS.items()],
        **catalog.OUTSIDE_DATASETS,
    ),
}
WIDTH_WITHOUT_TERMINAL = 160
SECONDS_BETWEEN_LINES = 10.0


def _form(cls: type[Estimator]) -> str:
    """`blend(images, prior)`: how an estimator is written; what has a default stands with it."""
    names = [
        field.name if field.default is MISSING else f"{field.name}={field.default or '...'}"
        for field in fields(cls)
    ]
    return f"{cls.kind}({', '.join(names)})"


def _console(*, stderr: bool = False) -> Console:
    """A console that prints what it is given: brackets are intervals here, not markup."""
    console = Console(stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def print_listing(title: str, entries: dict[str, str]) -> None:
    """Names and what they are."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for name, about in entries.items():
        table.add_row(name, about)
    _console().print(table)


def print_inventory(
    name: str,
    tensors: "Sequence[TensorFacts]",
    noise: Spec | None,
    targets: Sequence[str],
) -> None:
    """One line per tensor, and the share of elements that the noise touches."""
    table = Table(title=f"{name}: {len(tensors)} tensors", title_justify="left")
    for column in ("tensor", "role", "shape", "elements"):
        table.add_column(column, justify="right" if column == "elements" else "left")
    if noise is not None:
        table.add_column("touched")
    for tensor in tensors:
        shape = "x".join(str(size) for size in tensor.shape) or "scalar"
        cells = [tensor.name, tensor.role, shape, f"{tensor.elements:,}"]
        if noise is not None:
            cells.append("yes" if tensor.touched else "no")
        table.add_row(*cells)
    _console().print(table)
    if noise is not None:
        sizes = [(t.elements, t.touched) for t in tensors if t.role != "constant"]
        reached = sum(size for size, is_touched in sizes if is_touched)
        print_coverage(noise, targets, reached, sum(size for size, _ in sizes))


def print_coverage(noise: Spec, targets: Sequence[str], reached: int, total: int) -> None:
    """The share of a network that the noise touches, so that nothing stays clean silently."""
    share = 100 * reached / total if total else 0.0
    print(
        f"{noise.family} on {','.join(targets)} touches {reached:,} of {total:,} elements "
        f"({share:.1f} %)"
    )


def print_curves(
    curves: Sequence[Curve], *, title: str | None = None, above: float | None = None
) -> None:
    """The table of estimates, one line per point; a narrow terminal gets fewer columns. `above`:
    also the share of chips that score at least that."""
    console = _console()
    console.print(terminal.curves_table(curves, width=console.width, title=title))
    for line in (*terminal.spread_lines(curves, above), *terminal.average_lines(curves)):
        print(line)


def print_traces(traces: Sequence[Trace]) -> None:
    """A table for each stream: the mean over it, the paired difference to off, both its ends."""
    for table in terminal.trace_tables(traces):
        _console().print(table)


def print_plan(title: str, lines: "Sequence[Line]") -> None:
    """What a study would do, and for how long."""
    table = Table(title=title, title_justify="left")
    for column in ("work", "left", "in all", "each", "time"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for line in lines:
        each = f"{line.each:.3g} s" if line.left else ""
        left = f"{line.left:,} {line.unit}"
        table.add_row(line.what, left, f"{line.in_all:,}", each, duration(line.seconds))
    table.add_row("all", "", "", "", duration(sum(line.seconds for line in lines)))
    _console().print(table)


def print_status(title: str, states: "Sequence[NetworkProgress]") -> None:
    """How far a study is."""
    table = Table(title=title, title_justify="left")
    for column in ("network", "state", "clean", "curves", "rows", ""):
        table.add_column(column, justify="right" if column in ("clean", "rows") else "left")
    for one in states:
        clean = "" if one.clean is None else f"{100 * one.clean:.2f} %"
        begun = f" (+{one.begun} begun)" if one.begun else ""
        curves = f"{one.curves}/{one.curves_in_all}{begun}"
        table.add_row(one.name, one.state, clean, curves, f"{one.rows:,}", one.note)
    _console().print(table)


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


class _Bar:
    """Rich progress on stderr for the length of a with-block; where stderr is no terminal (a log
    file), a plain line now and then instead."""

    def __init__(self, *columns: ProgressColumn | str) -> None:
        self.console = _console(stderr=True)
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4)
        self.last_line = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self.progress.stop()

    def line(self, text: str, *, last: bool) -> None:
        """`text`, at most every few seconds, unless it is the `last` of its kind."""
        if self.console.is_terminal:
            return
        now = time.monotonic()
        if last or now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            print(text, file=sys.stderr, flush=True)


class TrainingBar(_Bar):
    """Epoch, loss, accuracy, images/s and the time left."""

    def __init__(self, label: str) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")
        )
        self.task = self.progress.add_task(label, total=None, text="")

    def update(self, state: "TrainingProgress") -> None:
        """Show where the training stands."""
        left = time.strftime("%H:%M:%S", time.gmtime(state.seconds_left))
        right = "" if isnan(state.accuracy) else f"accuracy {100 * state.accuracy:.1f} %  "
        text = (
            f"epoch {state.epoch}/{state.epochs}  loss {state.loss:.3f}  {right}"
            f"{state.images_per_second:.0f} images/s  {left} left"
        )
        self.progress.update(
            self.task,
            total=state.epochs * state.steps,
            completed=(state.epoch - 1) * state.steps + state.step,
            text=text,
        )
        self.line(text, last=state.step == state.steps)


class MeasuringBar(_Bar):
    """Chips done, the last chip's accuracy, and the time left."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.task = self.progress.add_task("measuring", total=None)
        self.scores: dict[tuple[str, str], list[float]] = {}

    def update(self, row: Row, done: int, total: int) -> None:
        """Show the chip that has just been measured, and where the number of chips is not fixed
        how far the interval has shrunk."""
        text = chip_text(row) + self._half_width(row)
        self.progress.update(self.task, description=text, total=total, completed=done)
        units = f"{unit_word(row)}s"
        self.line(f"{done}/{total} {units}  {text}", last=done == total)

    def _half_width(self, row: Row) -> str:
        if not row.pace:
            return ""
        scores = self.scores.setdefault((row.noise, row.recalibrate), [])
        scores.append(row.score)
        found = stein_interval(scores, first=FIRST[parse_design(row.design).kind])
        half = (found.high - found.low) / 2
        unit = unit_of(metric_of(row.task))
        shown = "" if isnan(half) else f"{unit.value(found.mean)} +- {unit.value(half, places=2)}"
        return f"; so far {shown}{unit.sign}" if shown else ""


class Bars(_Bar):
    """Several named bars, one for each step of a longer run."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self.tasks: dict[str, TaskID] = {}

    def update(self, step: str, done: int, total: int, text: str) -> None:
        """Show that `done` of `total` parts of `step` are done."""
        if step not in self.tasks:
            self.tasks[step] = self.progress.add_task(step, total=total, text="")
        self.progress.update(self.tasks[step], completed=done, total=total, text=text)
        self.line(f"{step}: {text}", last=done == total)


class StudyBar(_Bar):
    """The whole grid in one view: epochs trained, rows measured, what happened last."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self.epochs = self.progress.add_task("epochs", total=None, text="")
        self.rows = self.progress.add_task("rows", total=None, text="")

    def update(self, news: "News") -> None:
        """Show where the run stands."""
        trained = f"{news.trained}/{news.trainings} networks"
        self.progress.update(
            self.epochs, completed=news.epochs, total=news.epochs_in_all, text=trained
        )
        self.progress.update(self.rows, completed=news.rows, total=news.rows_in_all, text=news.text)
        self.line(
            f"{trained}, {news.epochs}/{news.epochs_in_all} epochs, {news.rows}/{news.rows_in_all} "
            f"rows: {news.text}",
            last=False,
        )

    def training(self, name: str, state: "TrainingProgress") -> None:
        """Show where a training on this machine stands."""
        text = (
            f"{name} epoch {state.epoch}/{state.epochs}, loss {state.loss:.3f}, "
            f"{state.images_per_second:.0f} images/s"
        )
        self.progress.update(self.epochs, text=text)
        self.line(text, last=False)


def chip_text(row: Row) -> str:
    """A chip in a few words."""
    level = "clean" if row.level is None else f"level {row.level:g}"
    how = "" if row.recalibrate == "off" else f"{row.recalibrate}, "
    unit = unit_of(metric_of(row.task))
    score = f"{unit.value(row.score)}{unit.sign}"
    return f"{row.norm}, {how}{level}, {unit_word(row)} {row.chip}: {score}"


def unit_word(row: Row) -> str:
    """What one row is of."""
    return "block" if row.design.startswith("per-image") else "chip"
