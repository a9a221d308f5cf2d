"""What travels between the driver and its workers: pieces of work, what they need, what came out.

Everything here is plain data: a piece done twice gives the same result twice, so a worker that is
lost costs time and nothing else.
"""

from dataclasses import dataclass
from typing import Protocol

from noiseproof.core.inputs import Inputs
from noiseproof.data import Source, Split
from noiseproof.network import State
from noiseproof.results import Row
from noiseproof.specs import PixelScale
from noiseproof.study.wanted import Network, Task


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set in memory."""

    name: str
    classes: int
    channels: int
    scale: PixelScale
    shift: int
    flip: bool
    task: str
    train: Split | None  # None where nothing is trained
    test: Split

    @property
    def source(self) -> Source:
        """The same, as training and measuring read it."""
        return Source(
            name=self.name,
            classes=self.classes,
            channels=self.channels,
            scale=self.scale,
            shift=self.shift,
            flip=self.flip,
            task=self.task,
            read=lambda split: self._read(split),
        )

    def _read(self, split: str) -> Split:
        found = self.test if split == "test" else self.train
        assert found is not None
        return found


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network with its weights and calibration images, ready to be measured."""

    network: Network
    sha256: str  # of the weights' file
    classes: int
    state: State
    scale: PixelScale
    calibration: dict[bool, Inputs]  # by whether they are augmented; as many as any task asks for
    computes: str = ""  # as its rows say it; "" until the driver has looked


@dataclass(frozen=True, kw_only=True)
class TrainPiece:
    """One epoch of one training; `resume` is what the last one left."""

    network: Network
    resume: bytes | None


@dataclass(frozen=True, kw_only=True)
class MeasurePiece:
    """Units `first` to `last` (not included) of one level of a curve."""

    task: Task
    level: int  # place among the task's specs
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class CleanPiece:
    """The clean network."""

    network: Network


Piece = TrainPiece | MeasurePiece | CleanPiece


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """A training that goes on."""

    resume: bytes


@dataclass(frozen=True, kw_only=True)
class TrainingDone:
    """The files of a finished training."""

    weights: bytes
    card: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The rows of a piece."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why a piece cannot be done, in one line. `final`: a training that would fail so again.
    `passing`: what may be the worker's fault, and not the piece's."""

    reason: str
    final: bool = False
    passing: bool = False


Outcome = EpochDone | TrainingDone | Measured | Failed


class Pool(Protocol):
    """Workers. Pieces go in, outcomes come out in any order."""

    @property
    def slots(self) -> int:
        """How many pieces keep all workers busy."""

    def submit(self, piece: Piece, trained: Trained | None) -> None:
        """Hand a piece out; `trained` is the network that it measures."""

    def wait(self) -> tuple[Piece, Outcome]:
        """The next piece that is done, and what came of it."""

    def close(self) -> None:
        """Let the workers go."""
