"""Progress on stderr."""

import sys
import time
from math import isnan
from types import TracebackType
from typing import TYPE_CHECKING, Self

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

from noiseproof.cli.console import console
from noiseproof.results import Row, swept_by, way_of
from noiseproof.specs import parse_design
from noiseproof.stats import FIRST, stein_interval

if TYPE_CHECKING:
    from noiseproof.study import News
    from noiseproof.training.progress import Progress as TrainingProgress

SECONDS_BETWEEN_LINES = 10.0


class _Bar:
    """Rich progress on stderr for the length of a with-block; where stderr is no terminal (a log
    file), a plain line now and then instead."""

    def __init__(self, *columns: ProgressColumn | str) -> None:
        self.console = console(stderr=True)
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
        unit = row.unit
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
    noise = swept_by(row.noise).text(row.level, alone=False)
    level = noise if row.noise != "none" else "no noise on weights" if row.mvm else "clean"
    how = "" if way_of(row) == "off" else f"{way_of(row)}, "
    unit = row.unit
    score = f"{unit.value(row.score)}{unit.sign}"
    return f"{row.norm}, {how}{level}, {unit_word(row)} {row.chip}: {score}"


def unit_word(row: Row) -> str:
    """What one row is of."""
    return "block" if row.design.startswith("per-image") else "chip"
