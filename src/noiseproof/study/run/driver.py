"""The driver: finds what is missing, hands it out, and alone writes what comes back.

What is on the disk is the only state: a run that was killed, or lost its workers, goes on from
there and ends in the same rows.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from noiseproof.measuring import Evaluator, settled
from noiseproof.models import Card
from noiseproof.results import Row, Store, Tally, network_key
from noiseproof.study.facts import Facts, NetworkFacts, read_facts, write_facts
from noiseproof.study.folder import FACTS, STORE
from noiseproof.study.run.clean_hits import clean_hits
from noiseproof.study.run.files import FAILED, alone, how_to_try_again, make_folder, writing
from noiseproof.study.run.loading import Places, check_sizes, load_trained, ready_file
from noiseproof.study.run.pieces import (
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
from noiseproof.study.run.queue import Points, known_of
from noiseproof.study.run.worker import evaluator_of, model_of, plan_of
from noiseproof.study.wanted import Grid, Network, Task
from noiseproof.training import RESUME, WEIGHTS, epochs_done, finished

CHANCES = 6  # for a piece that fails where it may be the worker's fault
OnNews = Callable[["News"], None]


@dataclass(frozen=True, kw_only=True)
class News:
    """Where a run stands: trainings and rows, done and in all as far as is known. `tally`: how many
    rows, those without noise too, were there before the run, of how many that it needs."""

    trained: int
    trainings: int
    epochs: int
    epochs_in_all: int
    rows: int
    rows_in_all: int
    text: str
    tally: Tally


def drive(
    grid: Grid,
    data: Data,
    places: Places,
    pool: Pool,
    *,
    device: str = "auto",
    on_news: OnNews | None = None,
    fresh: bool = False,
) -> list[str]:
    """Run what is missing of `grid` by the workers of `pool`; returns what failed, a line each.
    `fresh`: measure all anew; each new row takes the place of the old one.

    Raises:
        ValueError: for weights that are missing or do not fit, files that cannot be written, or
            another run in the same folder.
    """
    check_sizes(grid, data)
    for network in grid.networks:
        if network.recipe is None:
            ready_file(network, places)  # found now, or nothing is begun
    make_folder(places.out)
    if grid.trainings:
        make_folder(places.weights)
    with alone(places.out), Store(places.out / STORE) as store:
        run = _Run(grid, data, places, pool, store, device, on_news, fresh)
        return run.to_the_end()


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
        fresh: bool,
    ) -> None:
        self.grid, self.data, self.places, self.pool = grid, data, places, pool
        self.store, self.device, self.on_news, self.fresh = store, device, on_news, fresh
        self.trained: dict[str, Trained] = {}
        self.facts: Facts = read_facts(places.out / FACTS)
        self.ready: deque[tuple[Piece, Trained | None]] = deque()
        self.points: dict[Task, Points] = {}
        self.open: list[Points] = []  # curves that still need units
        self.rows_in = self.rows_wanted = self.there = 0
        self.blanks: dict[str, Row] = {}  # clean rows without results, of what has weights
        self.flying: dict[Piece, Trained | None] = {}
        self.again: deque[tuple[Piece, Trained | None]] = deque()
        self.tries: Counter[Piece] = Counter()
        self.failures: list[str] = []
        self.epochs: dict[str, int] = {}

    def to_the_end(self) -> list[str]:
        for network in self.grid.networks:
            self._start(network)
        self._tell("starting")
        while True:
            # Hand out before waiting: a worker that finds nothing in its queue idles for a whole
            # round trip.
            while len(self.flying) < self.pool.slots and (work := self._next()) is not None:
                self.pool.submit(*work)
                self.flying[work[0]] = work[1]
            if not self.flying:
                self._note_clean_hits()
                return self.failures
            piece, outcome = self.pool.wait()
            self._take(piece, self.flying.pop(piece), outcome)

    def _next(self) -> tuple[Piece, Trained | None] | None:
        """Trainings first, since measuring waits for them; then curve after curve; last what has
        failed before."""
        while self.ready:
            work = self.ready.popleft()
            if not isinstance(work[0], TrainPiece):
                return work
            # Looked up again here, not only at the start: two runs may share a folder of weights,
            # and the other may have ended this training meanwhile.
            card = self._card(work[0].network)
            if card is None:
                return work
            self._finished(work[0].network, card)  # another run with these weights was faster
        for points in self.open:
            piece = points.next_piece()
            if piece is not None:
                return piece, self.trained[points.task.network.name]
        return self.again.popleft() if self.again else None

    def _follow(self, points: Points, rows: int, wanted: int) -> None:
        """Count a curve's rows anew; one that is whole is looked at no more, and a network whose
        curves all are is dropped."""
        self.rows_in += points.done - rows
        self.rows_wanted += points.wanted - wanted
        if points.done < points.wanted:
            return
        self.open = [one for one in self.open if one is not points]
        name = points.task.network.name
        # Weights of a finished network are dropped, or a study of hundreds would hold them all.
        if all(one.task.network.name != name for one in self.open):
            self.trained.pop(name, None)

    # --- networks ---

    def _start(self, network: Network) -> None:
        """Put a network where it stands: to be trained, on its way, failed, or to be measured."""
        if network.recipe is None:
            self._measure(network, ready_file(network, self.places))
            return
        folder = self.places.weights / network.name
        card = self._card(network)
        if card is not None:
            self._finished(network, card)
        elif (folder / FAILED).is_file():
            reason = (folder / FAILED).read_text().strip()
            self.failures.append(f"{network.name}: {reason}{how_to_try_again(folder)}")
            self._failed_training(network, reason)
        else:
            resume = folder / RESUME
            # The resume file travels with the piece: a worker may be on a machine without this
            # disk.
            begun = resume.read_bytes() if resume.is_file() else None
            self.epochs[network.name] = epochs_done(folder)
            self.ready.append((TrainPiece(network=network, resume=begun), None))

    def _card(self, network: Network) -> Card | None:
        """Of weights that are there."""
        folder = self.places.weights / network.name
        return finished(folder, plan_of(network), self.data.source)

    def _finished(self, network: Network, card: Card) -> None:
        folder = self.places.weights / network.name
        (folder / RESUME).unlink(missing_ok=True)
        self.epochs[network.name] = card.epochs_done
        self._measure(network, folder / WEIGHTS, card)

    def _measure(self, network: Network, file: Path, card: Card | None = None) -> None:
        trained = load_trained(network, file, card, self.grid, self.data)
        try:
            model = model_of(trained, self.data)
        except ValueError as error:
            raise ValueError(f"{network.name}: {error}") from None
        tasks = [task for task in self.grid.tasks if task.network == network]
        evaluator = evaluator_of(trained, self.data, model, self.device)
        # Named once, here: the workers' own figures differ in their last digits.
        evaluator, known = settled(evaluator, self.store)
        # Not read, but not removed either: an old row goes when the new one is there.
        known = [] if self.fresh else known
        clean = evaluator.clean_row
        trained = replace(trained, computes=clean.computes)
        self.trained[network.name], self.blanks[network.name] = trained, clean
        found = next((row for row in known if row.noise == "none" and _is_same(row, clean)), None)
        self._note(network, trained.sha256, card, found)
        if found is None:
            self.ready.append((CleanPiece(network=network), trained))
        self.there += found is not None
        evaluators: dict[tuple[object, ...], Evaluator] = {}
        by_point = known_of(known)
        for task in tasks:
            if task.opened not in evaluators:
                evaluators[task.opened] = evaluator_of(trained, self.data, model, self.device, task)
            self.points[task] = Points(task, evaluators[task.opened], by_point)
            self.open.append(self.points[task])
            self.there += self.points[task].done
        for task in tasks:
            self._follow(self.points[task], 0, 0)

    def _note(self, network: Network, sha256: str, card: Card | None, clean: Row | None) -> None:
        """Write down what the report needs to know of a network."""
        before = self.facts.get(network.name)
        self.facts[network.name] = NetworkFacts(
            factors=network.factors,
            sha256=sha256,
            clean_hits={} if before is None or before.sha256 != sha256 else before.clean_hits,
            data_sha256=self.blanks[network.name].data_sha256,
            computes=self.blanks[network.name].computes,
            clean=None if clean is None else clean.score,
            epochs=0 if card is None else card.epochs_done,
            seconds=0.0 if card is None else card.seconds,
            device="" if card is None else card.device,
            versions="" if card is None else card.versions,
        )
        write_facts(self.facts, self.places.out / FACTS)

    def _note_clean_hits(self) -> None:
        """Write down, for the report, what each network gets right on the images of its units."""
        by_weights: dict[str, list[Row]] = {}
        for row in self.store.rows():
            by_weights.setdefault(row.checkpoint, []).append(row)
        for network in self.grid.networks:
            if network.name not in self.blanks:
                continue
            blank = self.blanks[network.name]
            rows = [row for row in by_weights.get(blank.checkpoint, []) if _is_same(row, blank)]
            clean = [row for row in rows if row.noise == "none"]
            noisy = [row for row in rows if row.noise != "none" and row.seed == network.seed]
            if clean and noisy:
                found = {"clean_hits": clean_hits(clean[0], noisy)}
                self.facts[network.name] = self.facts[network.name].model_copy(update=found)
        write_facts(self.facts, self.places.out / FACTS)

    def _failed_training(self, network: Network, reason: str) -> None:
        self.facts[network.name] = NetworkFacts(factors=network.factors, failed=reason)
        write_facts(self.facts, self.places.out / FACTS)
        self._tell(f"{network.name}: {reason}")

    # --- outcomes ---

    def _take(self, piece: Piece, trained: Trained | None, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.tries[piece] += 1
            # Perhaps this worker's fault (memory, disk): another one may try, but not for ever.
            if outcome.passing and self.tries[piece] < CHANCES:
                self.again.append((piece, trained))
            else:
                self._take_failure(piece, outcome)
        elif isinstance(outcome, Measured):
            self._take_rows(piece, outcome)
        else:
            assert isinstance(piece, TrainPiece)
            self._take_training(piece.network, outcome)

    def _take_failure(self, piece: Piece, failed: Failed) -> None:
        again = ""
        if isinstance(piece, TrainPiece):
            name = piece.network.name
            if failed.final:
                folder = self.places.weights / name
                with writing(folder, FAILED) as file:
                    file.write_text(failed.reason + "\n")
                again = how_to_try_again(folder)
            self._failed_training(piece.network, failed.reason)
        elif isinstance(piece, MeasurePiece):
            task, name = piece.task, piece.task.network.name
            self.open = [points for points in self.open if points.task != task]
            name = f"{name}, {task.family} on {','.join(task.targets)}, {task.recalibrate}"
        else:
            name = piece.network.name
        self.failures.append(f"{name}: {failed.reason}{again}")
        self._tell(self.failures[-1])

    def _take_rows(self, piece: Piece, outcome: Measured) -> None:
        # All rows of a piece in one transaction, and before any bookkeeping: a kill between the two
        # costs a lookup, never a row.
        self.store.add_all(outcome.rows, fresh=self.fresh)
        if isinstance(piece, MeasurePiece):
            points = self.points[piece.task]
            rows, wanted = points.done, points.wanted
            points.take(piece, outcome.rows)
            self._follow(points, rows, wanted)
            self._tell(f"{piece.task.network.name} {piece.task.specs[piece.level]}")
        elif isinstance(piece, CleanPiece):
            name = piece.network.name
            self.facts[name] = self.facts[name].with_clean(mean(row.score for row in outcome.rows))
            write_facts(self.facts, self.places.out / FACTS)

    def _take_training(self, network: Network, outcome: EpochDone | TrainingDone) -> None:
        folder = self.places.weights / network.name
        if isinstance(outcome, EpochDone):
            # The epoch is on the disk before the next one is handed out.
            with writing(folder, RESUME) as file:
                file.write_bytes(outcome.resume)
            self.epochs[network.name] = self.epochs.get(network.name, 0) + 1
            self.ready.appendleft((TrainPiece(network=network, resume=outcome.resume), None))
            self.facts[network.name] = NetworkFacts(
                factors=network.factors, epochs=self.epochs[network.name]
            )
            write_facts(self.facts, self.places.out / FACTS)
            self._tell(f"{network.name}, epoch {self.epochs[network.name]}")
            return
        card = self._card(network)
        # The weights that are there win: rows measured by others carry their sha256.
        if card is not None:  # as before: rows that others have measured are of these weights
            self._finished(network, card)
            return
        with writing(folder, WEIGHTS) as file:
            file.write_bytes(outcome.weights)
        with writing(folder, str(Path(WEIGHTS).with_suffix(".json"))) as file:
            file.write_text(outcome.card)
        card = Card.model_validate_json(outcome.card)
        self._finished(network, card)
        self._tell(f"{network.name} trained, {100 * (card.clean_accuracy or 0):.1f} % clean")

    def _tell(self, text: str) -> None:
        if self.on_news is None:
            return
        trainings = self.grid.trainings
        self.on_news(
            News(
                trained=sum(network.name in self.blanks for network in trainings),
                trainings=len(trainings),
                epochs=sum(self.epochs.values()),
                epochs_in_all=sum(int(dict(n.recipe or ())["epochs"] or 0) for n in trainings),
                rows=self.rows_in,
                rows_in_all=self._rows_in_all(),
                text=text,
                tally=Tally(wanted=self.rows_wanted + len(self.blanks), there=self.there),
            )
        )

    def _rows_in_all(self) -> int:
        """As far as is known: a curve of a network that is still to be trained counts as others."""
        each = self.rows_wanted / len(self.points) if self.points else 0.0
        return self.rows_wanted + round(each * (len(self.grid.tasks) - len(self.points)))


def _is_same(row: Row, blank: Row) -> bool:
    """Is it of the same network and images?"""
    return network_key(row) == network_key(blank)
