"""The driver: finds what is missing, hands it out, and alone writes what comes back.

What is on the disk is the only state: a run that was killed, or lost its workers, goes on from
there and ends in the same rows.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from noiseproof.bench import OPENED_BY_US, calibration_from
from noiseproof.catalog import parse_pixel_scale
from noiseproof.checkpoint import Card, file_sha256, load_state
from noiseproof.crew.pieces import (
    CleanPiece,
    Data,
    EpochDone,
    Failed,
    Measured,
    MeasurePiece,
    Outcome,
    Piece,
    Pool,
    Trained,
    TrainingDone,
    TrainPiece,
)
from noiseproof.crew.points import Points
from noiseproof.crew.worker import job_of, model_of, plan_of
from noiseproof.data import open_dataset
from noiseproof.designs import sized
from noiseproof.estimators import parse_estimator
from noiseproof.job import Job
from noiseproof.records import Row, Store, replacing
from noiseproof.splits import Source
from noiseproof.study.facts import Facts, NetworkFacts, read_facts, write_facts
from noiseproof.study.grid import Grid, Network
from noiseproof.training import RESUME, WEIGHTS, epochs_done, finished

STORE, FACTS, FAILED = "rows.db", "networks.json", "failed.txt"
OnNews = Callable[["News"], None]


@contextmanager
def _writing(folder: Path, name: str) -> Iterator[Path]:
    """A file of a training's folder, written whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror}") from None
    with replacing(folder / name) as temporary:
        yield temporary


@dataclass(frozen=True, kw_only=True)
class News:
    """Where a run stands: trainings and rows, done and in all as far as is known."""

    trained: int
    trainings: int
    epochs: int
    epochs_in_all: int
    rows: int
    rows_in_all: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run finds and leaves its files."""

    out: Path  # store and facts
    weights: Path  # a folder for each training
    checkpoints: Path | None = None  # where ready weights are, beside the study's own folder
    beside: Path | None = None  # the study's own folder
    data_dir: Path | None = None


def run_study(
    grid: Grid,
    data: Data,
    places: Places,
    pool: Pool,
    *,
    device: str = "auto",
    on_news: OnNews | None = None,
) -> list[str]:
    """Run what is missing of `grid` by the workers of `pool`; returns what failed, a line each.

    Raises:
        ValueError: for weights that are missing or do not fit, or files that cannot be written.
    """
    try:
        places.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {places.out}: {error.strerror}") from None
    check_sizes(grid, data)
    with Store(places.out / STORE) as store:
        run = _Run(grid, data, places, pool, store, device, on_news)
        return run.to_the_end()


def load_data(grid: Grid, source: Source) -> Data:
    """The data set in memory, its training images only where they are needed."""
    test = source.read("test")
    if grid.images is not None:
        test = test.first(grid.images)
    return Data(
        name=source.name,
        classes=source.classes,
        channels=source.channels,
        scale=source.scale,
        shift=source.shift,
        flip=source.flip,
        task=source.task,
        train=source.read("train"),
        test=test,
    )


def open_source(grid: Grid, places: Places, *, own_code: bool) -> Source:
    """The data set of the grid.

    Raises:
        ValueError: where the study names code of its own and that was not allowed.
    """
    for network in grid.networks:
        for name in (network.model, network.data):
            kind, _, rest = name.partition(":")
            if rest and kind not in OPENED_BY_US and not own_code:
                raise ValueError(
                    f"the study names code of its own, {name}: add --own-code to run it"
                )
    return open_dataset(grid.networks[0].data, data_dir=places.data_dir)


class _Run:
    """What is known, what is handed out."""

    def __init__(
        self,
        grid: Grid,
        data: Data,
        places: Places,
        pool: Pool,
        store: Store,
        device: str,
        on_news: OnNews | None,
    ) -> None:
        self.grid, self.data, self.places, self.pool = grid, data, places, pool
        self.store, self.device, self.on_news = store, device, on_news
        self.rows: dict[str, list[Row]] = {}
        for row in store.rows():
            self.rows.setdefault(row.checkpoint, []).append(row)
        self.trained: dict[str, Trained] = {}
        self.facts: Facts = read_facts(places.out / FACTS)
        self.ready: deque[tuple[Piece, Trained | None]] = deque()
        self.points: list[Points] = []
        self.flying = 0
        self.failures: list[str] = []
        self.epochs: dict[str, int] = {}

    def to_the_end(self) -> list[str]:
        for network in self.grid.networks:
            self._start(network)
        self._tell("starting")
        while True:
            while self.flying < self.pool.slots and (work := self._next()) is not None:
                self.pool.submit(*work)
                self.flying += 1
            if not self.flying:
                return self.failures
            piece, outcome = self.pool.wait()
            self.flying -= 1
            self._take(piece, outcome)

    def _next(self) -> tuple[Piece, Trained | None] | None:
        """Trainings first, since measuring waits for them; then curve after curve."""
        if self.ready:
            return self.ready.popleft()
        for points in self.points:
            piece = points.next_piece()
            if piece is not None:
                return piece, self.trained[points.task.network.name]
        return None

    # --- networks ---

    def _start(self, network: Network) -> None:
        """Put a network where it stands: to be trained, on its way, failed, or to be measured."""
        if network.recipe is None:
            self._measure(network, ready_file(network, self.places))
            return
        folder = self.places.weights / network.name
        card = finished(folder, plan_of(network), self.data.source)
        if card is not None:
            self._finished(network, card)
        elif (folder / FAILED).is_file():
            reason = (folder / FAILED).read_text().strip()
            self.failures.append(f"{network.name}: {reason}")
            self._failed_training(network, reason)
        else:
            resume = folder / RESUME
            begun = resume.read_bytes() if resume.is_file() else None
            self.epochs[network.name] = epochs_done(folder)
            self.ready.append((TrainPiece(network=network, resume=begun), None))

    def _finished(self, network: Network, card: Card) -> None:
        self.epochs[network.name] = card.epochs_done
        self._measure(network, self.places.weights / network.name / WEIGHTS, card)

    def _measure(self, network: Network, file: Path, card: Card | None = None) -> None:
        trained = load_trained(network, file, card, self.grid, self.data)
        self.trained[network.name] = trained
        known = self.rows.get(trained.sha256, [])
        try:
            model = model_of(trained, self.data)
        except ValueError as error:
            raise ValueError(f"{network.name}: {error}") from None
        tasks = [task for task in self.grid.tasks if task.network == network]
        clean = job_of(trained, self.data, model, self.device).clean_row
        found = next((row for row in known if _same_clean(row, clean)), None)
        self._note(network, trained.sha256, card, found)
        if found is None:
            self.ready.append((CleanPiece(network=network), trained))
        jobs: dict[tuple[str, bool], Job] = {}
        for task in tasks:
            way = (task.recalibrate, task.augment)
            if way not in jobs:
                jobs[way] = job_of(
                    trained, self.data, model, self.device, recalibrate=way[0], augment=way[1]
                )
            self.points.append(Points(task, jobs[way], known))

    def _note(self, network: Network, sha256: str, card: Card | None, clean: Row | None) -> None:
        """Write down what the report needs to know of a network."""
        self.facts[network.name] = NetworkFacts(
            factors=network.factors,
            sha256=sha256,
            clean=None if clean is None else clean.score,
            epochs=0 if card is None else card.epochs_done,
            seconds=0.0 if card is None else card.seconds,
            device="" if card is None else card.device,
            versions="" if card is None else card.versions,
        )
        write_facts(self.facts, self.places.out / FACTS)

    def _failed_training(self, network: Network, reason: str) -> None:
        self.facts[network.name] = NetworkFacts(factors=network.factors, failed=reason)
        write_facts(self.facts, self.places.out / FACTS)
        self._tell(f"{network.name}: {reason}")

    # --- outcomes ---

    def _take(self, piece: Piece, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self._take_failure(piece, outcome)
        elif isinstance(outcome, Measured):
            self._take_rows(piece, outcome)
        else:
            assert isinstance(piece, TrainPiece)
            self._take_training(piece.network, outcome)

    def _take_failure(self, piece: Piece, failed: Failed) -> None:
        if isinstance(piece, TrainPiece):
            name = piece.network.name
            if failed.final:
                with _writing(self.places.weights / name, FAILED) as file:
                    file.write_text(failed.reason + "\n")
            self._failed_training(piece.network, failed.reason)
        elif isinstance(piece, MeasurePiece):
            task, name = piece.task, piece.task.network.name
            self.points = [points for points in self.points if points.task != task]
            name = f"{name}, {task.family} on {','.join(task.targets)}, {task.recalibrate}"
        else:
            name = piece.network.name
        self.failures.append(f"{name}: {failed.reason}")
        self._tell(self.failures[-1])

    def _take_rows(self, piece: Piece, outcome: Measured) -> None:
        self.store.add_all(outcome.rows)
        if isinstance(piece, MeasurePiece):
            points = next((one for one in self.points if one.task == piece.task), None)
            if points is not None:
                points.take(piece, outcome.rows)
            self._tell(f"{piece.task.network.name} {piece.task.specs[piece.level]}")
        elif isinstance(piece, CleanPiece):
            name = piece.network.name
            self.facts[name] = self.facts[name].with_clean(outcome.rows[0].score)
            write_facts(self.facts, self.places.out / FACTS)

    def _take_training(self, network: Network, outcome: EpochDone | TrainingDone) -> None:
        folder = self.places.weights / network.name
        if isinstance(outcome, EpochDone):
            with _writing(folder, RESUME) as file:
                file.write_bytes(outcome.resume)
            self.epochs[network.name] = self.epochs.get(network.name, 0) + 1
            self.ready.appendleft((TrainPiece(network=network, resume=outcome.resume), None))
            self.facts[network.name] = NetworkFacts(
                factors=network.factors, epochs=self.epochs[network.name]
            )
            write_facts(self.facts, self.places.out / FACTS)
            self._tell(f"{network.name}, epoch {self.epochs[network.name]}")
            return
        with _writing(folder, WEIGHTS) as file:
            file.write_bytes(outcome.weights)
        with _writing(folder, str(Path(WEIGHTS).with_suffix(".json"))) as file:
            file.write_text(outcome.card)
        (folder / RESUME).unlink(missing_ok=True)
        card = Card.model_validate_json(outcome.card)
        self._finished(network, card)
        self._tell(f"{network.name} trained, {100 * (card.clean_accuracy or 0):.1f} % clean")

    def _tell(self, text: str) -> None:
        if self.on_news is None:
            return
        trainings = self.grid.trainings
        self.on_news(
            News(
                trained=sum(network.name in self.trained for network in trainings),
                trainings=len(trainings),
                epochs=sum(self.epochs.values()),
                epochs_in_all=sum(int(dict(n.recipe or ())["epochs"] or 0) for n in trainings),
                rows=sum(points.done for points in self.points),
                rows_in_all=self._rows_in_all(),
                text=text,
            )
        )

    def _rows_in_all(self) -> int:
        """As far as is known: a network that is still to be trained counts as the others do."""
        known = sum(points.wanted for points in self.points)
        waiting = [t for t in self.grid.tasks if t.network.name not in self.trained]
        each = known / len(self.points) if self.points else 0.0
        return known + round(each * len(waiting))


def check_sizes(grid: Grid, data: Data) -> None:
    """Raise ValueError for more images than there are."""
    assert data.train is not None
    for task in grid.tasks:
        if task.design.needs_hits:
            sized(task.design, len(data.test))
        estimator = parse_estimator(task.recalibrate)
        if estimator is not None and estimator.calibration_images > len(data.train):
            raise ValueError(
                f"{estimator} needs {estimator.calibration_images} calibration images, {data.name} "
                f"has {len(data.train)} for training"
            )


def ready_file(network: Network, places: Places) -> Path:
    """The weights of a network that is not trained here.

    Raises:
        ValueError: where they are not found.
    """
    assert network.weights is not None
    folders = [folder for folder in (places.beside, places.checkpoints) if folder is not None]
    for folder in folders:
        if (folder / network.weights).is_file():
            return folder / network.weights
    listed = " or ".join(str(folder) for folder in folders)
    raise ValueError(
        f"weights {network.weights} of {network.name} are not in {listed}: name their folder with "
        "--checkpoints or $NOISEPROOF_CHECKPOINTS"
    )


def load_trained(
    network: Network, file: Path, card: Card | None, grid: Grid, data: Data
) -> Trained:
    """A network with its weights from `file`, and the calibration images that the grid needs.

    Raises:
        ValueError: for a file that cannot be read.
    """
    return Trained(
        network=network,
        sha256=file_sha256(file),
        classes=data.classes if card is None else card.classes,
        state=load_state(file),
        scale=data.scale if network.normalize is None else parse_pixel_scale(network.normalize),
        calibration=calibration_of(network, grid, data),
    )


def calibration_of(network: Network, grid: Grid, data: Data) -> dict[bool, Tensor]:
    """As many calibration images as any task of the network needs, plain and augmented, drawn by
    the network's seed."""
    needed: dict[bool, int] = {}
    for task in grid.tasks:
        estimator = parse_estimator(task.recalibrate)
        images = 0 if estimator is None else estimator.calibration_images
        if task.network == network and images:
            needed[task.augment] = max(needed.get(task.augment, 0), images)
    return {
        augment: calibration_from(data.source, images, augment=augment, seed=network.seed)
        for augment, images in needed.items()
    }


def _same_clean(row: Row, clean: Row) -> bool:
    return row.noise == "none" and (row.data_sha256, row.scale, row.model, row.norm) == (
        clean.data_sha256,
        clean.scale,
        clean.model,
        clean.norm,
    )
