"""Noise that changes with time: `track(model, test, spec, Stream(every=1000), ...)` -> traces.

A stream of test images meets a chip whose noise changes. Weights are perturbed anew at each change;
running statistics are what the recalibration at hand makes of them, and stay across a change.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from noiseproof.core.inputs import Inputs
from noiseproof.core.rng import derived, stream
from noiseproof.data.splits import Labels, Split
from noiseproof.measuring.curves import check_counts, chosen_estimator, warn_without_effect
from noiseproof.measuring.evaluator import Evaluator, Subject, open_evaluator
from noiseproof.network.state import State
from noiseproof.noise.perturbation import DEFAULT_TARGETS, perturb
from noiseproof.recalibration.running_stats import running_layers
from noiseproof.results.row_cache import OnRow
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.results.streams import Trace, traces_of
from noiseproof.specs.catalog import PixelScale
from noiseproof.specs.estimators import Estimator
from noiseproof.specs.noise import Spec, ordered_targets
from noiseproof.specs.streams import WANDERS_WITHIN, Stream, check_followed, check_lengths


def track(
    model: nn.Module,
    test: Split | tuple[Inputs, Labels],
    spec: Spec,
    changes: Stream,
    *,
    recalibrate: Estimator | str | Sequence[Estimator | str | None] = "off",
    calibration: Inputs | None = None,
    images: int | None = None,
    window: int | None = None,
    period: int | None = None,
    chips: int = 10,
    seed: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
    scale: PixelScale | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    store: Store | None = None,
    subject: Subject | None = None,
    on_row: OnRow | None = None,
) -> list[Trace]:
    """The score along a stream of `images` test images on `chips` chips whose noise `changes`.

    The test images come in a random order (the same for all chips), again and again where the
    stream is longer than the test set. Every `window` of them gives one score (default: a change's
    length); no batch reaches over the end of a window. `recalibrate` are the ways to compare:
    `off` keeps the clean statistics, `ema` follows the test images from change to change, `batch`
    takes each batch's own, and `pooled`, `layerwise` and `blend` are computed at the start and
    after every `period` images (default: at every change) on the `calibration` images, and stay in
    between.

    A chip that `store` holds to the end is not followed again. `on_row(row, done, total)` gets each
    new row; those of the store count as done.

    Raises:
        ValueError: for values out of range; for `match`, whose corrections are folded into weights
            that change.
    Warns:
        NoEffectWarning: when the noise or a recalibration changes nothing.
    """
    length = 10 * changes.every if images is None else images
    steps = changes.every if window is None else window
    pace = changes.every if period is None else period
    check_lengths(changes, images=length, window=steps, period=pace)
    check_counts([spec], chips=chips, batch_size=1 if batch_size is None else batch_size)
    roles = ordered_targets(targets)
    estimators = _estimators(recalibrate, calibration)
    check_followed(spec, changes, roles, estimators)
    rows: list[Row] = []
    total = len(estimators) * chips * (length // steps)
    for estimator in estimators:
        evaluator = open_evaluator(
            model,
            test,
            estimator=estimator,
            calibration=calibration,
            score=None,
            scale=scale,
            batch_size=batch_size,
            device=device,
            subject=subject,
        )
        warn_without_effect(evaluator, [spec], roles)
        blank = replace(
            evaluator.chip_row,
            noise=str(spec),
            level=spec.level,
            targets=",".join(roles),
            seed=seed,
            stream=str(changes),
            recalibrate=_words(evaluator, pace),
            images=steps,
        )
        known = _known(store, blank)
        for chip in range(chips):
            named = [replace(blank, chip=chip, seen=s) for s in range(0, length, steps)]
            if all(key_of(row) in known for row in named):
                rows += [known[key_of(row)] for row in named]
                continue
            for row in _followed(evaluator, named, spec, changes, pace):
                rows.append(row)
                if store is not None:
                    store.add(row)
                if on_row is not None:
                    on_row(row, len(rows), total)
    return traces_of(rows)


def _words(evaluator: Evaluator, period: int) -> str:
    """The estimator, and how often it runs where it is not at every batch."""
    if evaluator.estimator is None or evaluator.estimator.sees_test:
        return evaluator.chip_row.recalibrate
    return f"{evaluator.estimator} every {period}"


def _estimators(
    recalibrate: Estimator | str | Sequence[Estimator | str | None], calibration: Inputs | None
) -> list[Estimator | None]:
    """Each way once, in the order given; None is `off`."""
    if isinstance(recalibrate, str) or not isinstance(recalibrate, Sequence):
        recalibrate = [recalibrate]
    return list(dict.fromkeys(chosen_estimator(way or "off", calibration) for way in recalibrate))


def _known(store: Store | None, blank: Row) -> dict[tuple[object, ...], Row]:
    """The rows of streams on the checkpoint of `blank` that `store` holds."""
    found = [] if store is None else store.rows(checkpoint=blank.checkpoint)
    return {key_of(row): row for row in found if row.stream}


def _followed(
    evaluator: Evaluator, named: Sequence[Row], spec: Spec, changes: Stream, period: int
) -> Iterator[Row]:
    """The rows of one chip with their results, window after window."""
    test: Split = evaluator.test
    order = torch.randperm(len(test), generator=stream(named[0].seed, "track order"))
    layers = running_layers(evaluator.skeleton)
    ends = ("running_mean", "running_var")
    names = [f"{layer}.{end}".removeprefix(".") for layer in layers for end in ends]
    statistics = {name: evaluator.state[name] for name in names}
    state: State = {}
    for row in named:
        started = time.perf_counter()
        if row.seen % changes.every == 0:
            state = _changed(evaluator, row, spec, changes)
        now = row.seen % period == 0 and evaluator.calibration is not None
        if now:
            recalibrated = evaluator.recalibrated(state)
            statistics = {name: recalibrated[name] for name in names}
        places = torch.arange(row.seen, row.seen + row.images) % len(test)
        result, last = evaluator.scored(state | statistics, test.take(order[places]))
        statistics = {name: last[name] for name in names}
        filled = evaluator.filled(row, result, started)
        yield filled if now else replace(filled, extra_images=0)


def _changed(evaluator: Evaluator, row: Row, spec: Spec, changes: Stream) -> State:
    """The chip as it is from image `row.seen` on."""
    change = row.seen // changes.every
    seed, level = row.seed, spec
    if changes.wander is None:
        seed = derived(row.seed, "redraw", change) if change else row.seed
    elif change:
        level = spec.at(wandered(spec.level or 0.0, changes.wander, row.seed, row.chip, change))
    return perturb(
        evaluator.state,
        evaluator.places,
        level,
        targets=row.targets.split(","),
        seed=seed,
        chip=row.chip,
    )


def wandered(start: float, wander: float, seed: int, chip: int, change: int) -> float:
    """The level after `change` steps of a random walk of its logarithm, reflected at the ends."""
    edge = math.log(WANDERS_WITHIN)
    dice = stream(seed, "wander", chip)
    place = 0.0
    for _ in range(change):
        # One by one: torch draws n numbers at once in another way for each n.
        step = torch.randn((), generator=dice, dtype=torch.float64).item()
        place = (place + wander * step + edge) % (4 * edge)  # unfolded: up and down again
        place = (place if place <= 2 * edge else 4 * edge - place) - edge
    return start * math.exp(place)
