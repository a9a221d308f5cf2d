"""What the command line shows: progress on stderr, tables on stdout."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from math import isnan
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import box
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

from noiseproof import catalog, spec, stats
from noiseproof.catalog import metric_of
from noiseproof.curves import Curve, Point
from noiseproof.estimators import AUTO, ESTIMATORS, Estimator
from noiseproof.records import Row

if TYPE_CHECKING:
    from noiseproof.inventory import TensorFacts
    from noiseproof.training import Progress as TrainingProgress

NOISES = {
    "gaussian(level, reference=std, scope=tensor)": "W + level r z, z standard normal",
    "laplace(level, reference=std, scope=tensor)": "the same, z Laplace of unit variance",
    "uniform(level, reference=std, scope=tensor)": "the same, z uniform of unit variance",
    "lognormal(level)": "W exp(level z), element by element",
    "stuck(p, at=zero)": "each element stuck with probability p, at zero or at max (own sign)",
    "quantize(bits=6, scope=tensor)": "symmetric uniform, 2^bits - 1 values",
    "A + B": "first A, then B: quantize(bits=6) + gaussian(0.05, reference=max)",
    "reference=": f"what sigma is relative to: {', '.join(spec.REFERENCES)}",
    "scope=": f"over what the reference is taken: {', '.join(spec.SCOPES)}",
    "--targets": f"roles that get noise: {', '.join(spec.ROLES)}; default kernel",
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
    noise: spec.Spec | None,
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


def print_coverage(noise: spec.Spec, targets: Sequence[str], reached: int, total: int) -> None:
    """The share of a network that the noise touches, so that nothing stays clean silently."""
    share = 100 * reached / total if total else 0.0
    print(
        f"{noise.family} on {','.join(targets)} touches {reached:,} of {total:,} elements "
        f"({share:.1f} %)"
    )


def print_curves(curves: Sequence[Curve], *, title: str | None = None) -> None:
    """The table of estimates, one line per point; a narrow terminal gets fewer columns."""
    console, first = _console(), curves[0].first
    same_noise = len({(curve.family, curve.first.targets) for curve in curves}) == 1
    heading = title or f"{first.model} on {first.data}, {first.images} test images"
    if same_noise:
        heading += f"\n{curves[0].family} on {first.targets}"
    columns = [
        column
        for column in COLUMNS
        if console.width >= column.needs and (first.hits or not column.needs_hits)
    ]
    table = Table(
        title=heading,
        title_justify="left",
        caption=CAPTION,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("norm", "recal.") if same_noise else ("norm", "recal.", "noise", "targets"):
        table.add_column(name, no_wrap=name != "noise")
    for column in columns:
        title = column.title.format(metric=metric_of(first.task))
        table.add_column(title, justify="right", no_wrap=True)
    for name in first.figures:
        table.add_column(f"{name} %", justify="right", no_wrap=True)
    for curve in curves:
        lead = [curve.first.norm, recalibration_text(curve.first)]
        lead += [] if same_noise else [curve.family, curve.first.targets]
        for point in curve.points:
            cells = [column.text(point) for column in columns]
            cells += [stats.percent(point.figure(name)) for name in point.rows[0].figures]
            table.add_row(*lead, *cells, end_section=point is curve.points[-1])
            lead = [""] * len(lead)
    console.print(table)
    for curve in curves:
        if len(curve.points) > 1:
            levels = ", ".join(f"{level:g}" for level in curve.levels if level is not None)
            label = f"{curve.first.norm}, recalibrate {curve.first.recalibrate}"
            metric = metric_of(curve.clean.task)
            print(
                f"{label}: clean {100 * curve.clean.score:.2f} %, average normalised {metric} "
                f"{stats.percent(curve.average_normalised)} % over levels {levels}"
            )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of estimates; `needs`: the width of terminal from which it shows."""

    title: str
    text: Callable[[Point], str]
    needs: int = 0
    needs_hits: bool = False


COLUMNS = (
    Column(title="level", text=lambda p: "-" if p.level is None else f"{p.level:g}"),
    Column(title="chips", text=lambda p: str(p.chips)),
    Column(title="{metric} %", text=lambda p: stats.percent(p.score)),
    Column(title="crossed %", text=lambda p: _ends(p.crossed), needs=100, needs_hits=True),
    Column(title="sd", text=lambda p: f"{100 * stats.sd(p.by_chip):.1f}"),
    Column(title="worst", text=lambda p: f"{100 * min(p.by_chip):.1f}", needs=100),
    Column(title="normalised %", text=lambda p: stats.percent(p.normalised), needs=150),
    Column(
        title="chance-corr. %",
        text=lambda p: stats.percent(p.chance_corrected),
        needs=125,
        needs_hits=True,
    ),
    Column(title="nonfinite", text=lambda p: str(p.nonfinite)),
)
CAPTION = (
    "[..]: 95 % interval over chips (t; this test set). crossed: new chips and new images. "
    "sd, worst: over chips. chance-corr.: Fieller, new chips and images, clean accuracy included."
)


def _ends(interval: stats.Interval) -> str:
    text = stats.percent(interval)
    return text[text.index("[") :]


def recalibration_text(row: Row) -> str:
    """The estimator, and what it sees beside plain training images."""
    return row.recalibrate + CALIBRATION_WORDS.get(row.calibration, "")


CALIBRATION_WORDS = {"test": " [test images]", "train augmented": " [augmented]"}


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
            TextColumn("chips"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.task = self.progress.add_task("measuring", total=None)

    def update(self, row: Row, done: int, total: int) -> None:
        """Show the chip that has just been measured."""
        text = chip_text(row)
        self.progress.update(self.task, description=text, total=total, completed=done)
        self.line(f"{done}/{total} chips  {text}", last=done == total)


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


def chip_text(row: Row) -> str:
    """A chip in a few words."""
    level = "clean" if row.level is None else f"level {row.level:g}"
    how = "" if row.recalibrate == "off" else f"{row.recalibrate}, "
    return f"{row.norm}, {how}{level}, chip {row.chip}: {100 * row.score:.1f} %"
