"""What a run would do, and how long that takes on this machine, from a short calibration."""

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from noiseproof.measuring import named
from noiseproof.models import build
from noiseproof.network import state_of
from noiseproof.results import Row, Store, agree
from noiseproof.stats import units_needed
from noiseproof.study.folder import STORE
from noiseproof.study.run.loading import Places, calibration_of, load_trained, ready_file
from noiseproof.study.run.pieces import Data, Failed, Measured, MeasurePiece, Trained
from noiseproof.study.run.queue import Points, known_of
from noiseproof.study.run.worker import Worker, evaluator_of, model_of, plan_of
from noiseproof.study.wanted import Grid, Network, Task
from noiseproof.training import WEIGHTS, epochs_done, finished, loop

T = TypeVar("T")
STEPS, UNITS = 3, 3  # that are timed, after a first one
USUAL_SD = 0.1  # of a unit's score, where a precision decides how many units there are


@dataclass(frozen=True, kw_only=True)
class Line:
    """One kind of work: `left` of `in_all` epochs or units, and the seconds that one takes."""

    what: str
    unit: str  # "epochs" or "units"
    left: int
    in_all: int
    each: float

    @property
    def seconds(self) -> float:
        """What is left, in seconds."""
        return self.left * self.each


def estimate(
    grid: Grid,
    data: Data,
    places: Places,
    *,
    device: str = "auto",
    on_step: Callable[[str], None] | None = None,
) -> list[Line]:
    """A line for each kind of training and of measuring, timed on this machine by a few steps and
    a few units of it.

    Raises:
        ValueError: as `drive`.
    """
    tell = on_step or (lambda text: None)
    lines = []
    for what, networks in _alike(grid.trainings, _training_kind).items():
        tell(what)
        left = sum(_epochs_left(network, data, places) for network in networks)
        in_all = sum(plan_of(network).recipe.epochs for network in networks)
        each = _epoch_seconds(networks[0], data, device) if left else 0.0
        lines.append(Line(what=what, unit="epochs", left=left, in_all=in_all, each=each))
    rows = _rows(places)
    worker = Worker(data, device=device)
    for what, tasks in _alike(grid.tasks, _task_kind).items():
        tell(what)
        counts = [_units_left(task, grid, data, places, rows, device) for task in tasks]
        left = sum(one for one, _ in counts)
        each = _unit_seconds(tasks[0], grid, data, places, worker) if left else 0.0
        in_all = sum(one for _, one in counts)
        lines.append(Line(what=what, unit="units", left=left, in_all=in_all, each=each))
    return lines


def _training_kind(network: Network) -> str:
    return f"train {network.model}, norm {network.norm_text}"


def _task_kind(task: Task) -> str:
    network = task.network
    return (
        f"measure {network.model}, norm {network.norm_text}, recalibrate {task.recalibrate}, "
        f"{task.design}"
    )


def _alike(things: Sequence[T], kind: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for thing in things:
        found.setdefault(kind(thing), []).append(thing)
    return found


def _rows(places: Places) -> list[Row]:
    if not (places.out / STORE).is_file():
        return []
    with Store(places.out / STORE, read_only=True) as store:
        return store.rows()


def _epochs_left(network: Network, data: Data, places: Places) -> int:
    folder = places.weights / network.name
    plan = plan_of(network)
    if finished(folder, plan, data.source) is not None:
        return 0
    return plan.recipe.epochs - epochs_done(folder)


def _epoch_seconds(network: Network, data: Data, device: str) -> float:
    """Of one epoch, from a few steps on the first images."""
    assert data.train is not None
    plan = plan_of(network)
    batch = plan.recipe.batch_size
    # The first step allocates and compiles; it is made but not timed.
    few = replace(
        data,
        train=data.train.first(min((STEPS + 1) * batch, len(data.train))),
        test=data.test.first(2),
    )
    times = [time.perf_counter()]
    with (
        tempfile.TemporaryDirectory() as folder,
        suppress(loop.NotFiniteError),  # a run records it, and goes on
    ):
        loop.advance(
            plan,
            few.source,
            folder,
            epochs=1,
            device=device,
            on_progress=lambda state: times.append(time.perf_counter()),
            look_every=1,
        )
    steps = [after - before for before, after in itertools.pairwise(times)]
    return median(steps[1:] or steps or [0.0]) * -(-len(data.train) // batch)


def _trained(network: Network, grid: Grid, data: Data, places: Places) -> tuple[Trained, bool]:
    """The network with its weights, or fresh ones where they are not there yet."""
    if network.recipe is None:
        return load_trained(network, ready_file(network, places), None, grid, data), True
    folder = places.weights / network.name
    card = finished(folder, plan_of(network), data.source)
    if card is not None:
        return load_trained(network, folder / WEIGHTS, card, grid, data), True
    model = build(
        network.model,
        norm=network.norm,
        where=network.norm_where,
        classes=data.classes,
        channels=data.channels,
    )
    fresh = Trained(
        network=network,
        sha256="",
        classes=data.classes,
        state=state_of(model),
        scale=data.scale,
        calibration=calibration_of(network, grid, data),
    )
    return fresh, False


def _units_left(
    task: Task, grid: Grid, data: Data, places: Places, rows: Sequence[Row], device: str
) -> tuple[int, int]:
    """Units that are left and units in all."""
    trained, is_there = _trained(task.network, grid, data, places)
    known = known_of(row for row in rows if is_there and row.checkpoint == trained.sha256)
    model = model_of(trained, data)
    evaluator = evaluator_of(trained, data, model, device, task)
    texts = [row.computes for row in rows if row.checkpoint == trained.sha256]
    own = evaluator.clean_row.computes
    # Whether older rows are of this network is found out by a run, which measures its clean score.
    same = next((text for text in texts if not text or agree(text, own)), own)
    points = Points(task, named(evaluator, same), known)
    if task.pace.precision is None:
        return points.wanted - points.done, points.wanted
    first = [0.5 - USUAL_SD, 0.5 + USUAL_SD] * 20
    usual = units_needed(first, half_width=task.pace.precision) * len(task.specs)
    return max(0, usual - points.done), usual


def _unit_seconds(task: Task, grid: Grid, data: Data, places: Places, worker: Worker) -> float:
    """Of one unit at the strongest level."""
    trained, _ = _trained(task.network, grid, data, places)
    piece = MeasurePiece(task=task, level=len(task.specs) - 1, first=0, last=UNITS + 1)
    outcome = worker.do(piece, trained)
    if isinstance(outcome, Failed):
        raise ValueError(f"{task.network.name}: {outcome.reason}")
    assert isinstance(outcome, Measured)
    return median(row.seconds for row in outcome.rows[1:])
