"""Does pieces: one epoch of a training, or a range of a curve's units."""

import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from noiseproof.measuring import (
    Evaluator,
    Setup,
    Subject,
    Units,
    named,
    network_of,
    open_evaluator,
    open_units,
    requests,
)
from noiseproof.results import Row, agree
from noiseproof.specs import (
    Chips,
    Plan,
    Recipe,
    Stored,
    norm_text,
    parse_digital,
    parse_estimator,
    parse_mvm,
    sized,
)
from noiseproof.study.run.pieces import (
    CleanPiece,
    Data,
    EpochDone,
    Failed,
    Measured,
    MeasurePiece,
    Outcome,
    Piece,
    Trained,
    TrainingDone,
    TrainPiece,
)
from noiseproof.study.wanted import Network, Task
from noiseproof.training import RESUME, WEIGHTS, Progress, loop

K = TypeVar("K")
V = TypeVar("V")
KEPT = 4  # evaluators and curves that a worker keeps ready


def plan_of(network: Network) -> Plan:
    """How to train a network of a study."""
    assert network.recipe is not None
    return Plan(
        model=network.model,
        norm=network.norm,
        norm_where=network.norm_where,
        seed=network.seed,
        recipe=Recipe(**dict(network.recipe)),  # type: ignore[arg-type]
    )


def evaluator_of(
    trained: Trained,
    data: Data,
    model: nn.Module,
    device: str,
    task: Task | None = None,
) -> Evaluator:
    """A network of a study, as it is or as a task has it: with a way to recalibrate, and layers
    that are kept digital, stored as the task says.

    Raises:
        ValueError: where this machine's network computes something else than the driver's.
    """
    network, augment = trained.network, task is not None and task.augment
    subject = Subject(
        checkpoint=trained.sha256,
        model=network.model,
        norm=norm_text(network.norm, network.norm_where),
        task=data.task,
        data=data.name,
        calibration="train augmented" if augment else "train",
    )
    setup = Setup(
        model=model,
        test=data.test,
        calibration=trained.calibration.get(augment),
        network=requests.Network(
            scale=trained.scale,
            device=device,
            subject=subject,
            digital=() if task is None else parse_digital(task.digital),
            stored=Stored(eps=network.eps) if task is None else task.stored,
            mvm=parse_mvm("" if task is None else task.mvm),
        ),
    )
    way = None if task is None else parse_estimator(task.recalibrate)
    evaluator = open_evaluator(setup, way, "off" if task is None else task.compensate)
    if not trained.computes:
        return evaluator
    own = evaluator.clean_row.computes
    # Dice of a GPU are others than those of a CPU.
    if not evaluator.is_random and not agree(own, trained.computes):
        raise ValueError(
            f"{network.name} computes something else on this machine ({evaluator.clean_row.device})"
            " than where the run is driven: use the same code and versions on all of them"
        )
    return named(evaluator, trained.computes)


def blank_of(task: Task, evaluator: Evaluator) -> Row:
    """What the rows of a task have in common."""
    design = sized(task.design, len(evaluator.test) if task.design.needs_hits else 0)
    return replace(
        evaluator.asked_row(task.specs[0], task.targets),
        seed=task.network.seed,
        pace=str(task.pace),
        design=str(design),
    )


def names_of(task: Task, units: Units, blank: Row, level: int, chips: range) -> list[Row]:
    """The rows of some units, named and without results."""
    spec = task.specs[level]
    return [
        replace(blank, noise=str(spec), level=spec.level, chip=unit, images=units.images(unit))
        for unit in chips
    ]


class Worker:
    """Does one piece after another, and keeps what the next one is likely to need."""

    def __init__(
        self,
        data: Data,
        *,
        device: str = "auto",
        on_training: Callable[[str, Progress], None] | None = None,
    ) -> None:
        self.data, self.device, self.on_training = data, device, on_training
        self._models: OrderedDict[str, nn.Module] = OrderedDict()
        self._evaluators: OrderedDict[tuple[object, ...], Evaluator] = OrderedDict()
        self._curves: OrderedDict[Task, Units] = OrderedDict()

    def do(self, piece: Piece, trained: Trained | None) -> Outcome:
        """The piece's outcome; whatever goes wrong is a `Failed`.

        Raises:
            torch.AcceleratorError: where the GPU no longer works in this process.
        """
        try:
            if isinstance(piece, TrainPiece):
                return self._train(piece)
            assert trained is not None
            if isinstance(piece, CleanPiece):
                return self._clean(piece, trained)
            return self._measure(piece, trained)
        # The order matters: NotFiniteError is a ValueError, but trying again would end in the same
        # place.
        except loop.NotFiniteError as error:
            return Failed(reason=str(error), final=True)
        except ValueError as error:
            return Failed(reason=_line(error))
        except torch.AcceleratorError:
            raise  # no call on this GPU will work again in this process
        except (OSError, RuntimeError) as error:  # as a full disk, or out of memory
            return Failed(reason=_line(error), passing=True)

    def _train(self, piece: TrainPiece) -> Outcome:
        plan, name, report = plan_of(piece.network), piece.network.name, self.on_training
        with tempfile.TemporaryDirectory() as folder:
            resume = Path(folder) / RESUME
            if piece.resume is not None:
                resume.write_bytes(piece.resume)
            # One epoch a piece: what a lost worker costs is at most an epoch.
            card = loop.advance(
                plan,
                self.data.source,
                folder,
                epochs=1,
                device=self.device,
                on_progress=None if report is None else lambda state: report(name, state),
            )
            if card is None:
                return EpochDone(resume=resume.read_bytes())
            weights = (Path(folder) / WEIGHTS).read_bytes()
            return TrainingDone(weights=weights, card=card.model_dump_json(indent=2) + "\n")

    def _clean(self, piece: CleanPiece, trained: Trained) -> Outcome:
        evaluator = evaluator_of(trained, self.data, self._model(trained), self.device)
        units = Units(evaluator=evaluator, design=Chips(), targets=())
        return Measured(
            rows=tuple(units.evaluator.filled_clean(row) for row in units.evaluator.clean_rows)
        )

    def _measure(self, piece: MeasurePiece, trained: Trained) -> Outcome:
        task = piece.task
        units = self._curve(task, trained)
        blank = blank_of(task, units.evaluator)
        named = names_of(task, units, blank, piece.level, range(piece.first, piece.last))
        return Measured(rows=tuple(units.evaluate(task.specs[piece.level], row) for row in named))

    def _curve(self, task: Task, trained: Trained) -> Units:
        def opened() -> Units:
            evaluator = self._evaluator(task, trained)
            seen = (blank_of(task, evaluator), ())
            return open_units(evaluator, task.design, task.specs, task.targets, seen=seen)[0]

        return _kept(self._curves, task, opened)

    def _evaluator(self, task: Task, trained: Trained) -> Evaluator:
        def opened() -> Evaluator:
            return evaluator_of(trained, self.data, self._model(trained), self.device, task)

        return _kept(self._evaluators, (task.network.name, *task.opened), opened)

    def _model(self, trained: Trained) -> nn.Module:
        return _kept(self._models, trained.network.name, lambda: model_of(trained, self.data))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def model_of(trained: Trained, data: Data) -> nn.Module:
    """The network with its weights."""
    network = trained.network
    return network_of(
        trained.state,
        model=network.model,
        norm=network.norm,
        norm_where=network.norm_where,
        classes=trained.classes,
        channels=data.channels,
    )


def _kept(cache: "OrderedDict[K, V]", key: K, make: Callable[[], V]) -> V:
    """The value of `key`, made if it is not there; the oldest beyond `KEPT` go."""
    if key not in cache:
        cache[key] = make()
    cache.move_to_end(key)
    while len(cache) > KEPT:
        cache.popitem(last=False)
    return cache[key]
