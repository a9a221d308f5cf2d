"""Noise that changes with time: `track(model, test, spec, Stream(every=1000), ...)` -> traces.

A stream of test images meets a chip whose noise changes. Weights are perturbed anew at each change;
running statistics are what the recalibration at hand makes of them, and stay across a change.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Unpack

import torch
from torch import nn

from noiseproof.core.device import using_threads
from noiseproof.core.rng import stream
from noiseproof.core.seeds import derived
from noiseproof.data import Split
from noiseproof.measuring.commands import TrackRequest
from noiseproof.measuring.curves import warn_without_effect
from noiseproof.measuring.doubts import warn_near_chance
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.options import (
    Noise,
    TrackOptions,
    asked_calibration,
    asked_measurement,
    asked_network,
    calibration_inputs,
    check_keywords,
    several_ways,
    with_keywords,
)
from noiseproof.measuring.requests import USUAL_CHIPS
from noiseproof.measuring.settling import settled, warn_of_dice
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.watching import resolved_request
from noiseproof.network import Chip
from noiseproof.recalibration import running_layers
from noiseproof.results import OnRow, Row, RowCache, Store, Tally, Trace, key_of, traces_of
from noiseproof.specs import WANDERS_WITHIN, Course, Spec, Stream


@with_keywords(TrackOptions, chips=USUAL_CHIPS, recalibrate="off")
def track(
    model: nn.Module,
    data: object,
    noise: Noise,
    changes: Stream,
    **options: Unpack[TrackOptions],
) -> list[Trace]:
    """The score along a stream of test images on chips whose noise `changes`. `data` and
    `noise` are as in `measure`.

    The test images come in a random order (the same for all chips), again and again where the
    stream is longer than the test set. No batch reaches over the end of a window.

    - `images`: length of the stream (default: ten changes). `window`: images of one score (default:
      a change's length).
    - `recalibrate`: the ways to compare (default: off). `off` keeps the clean statistics, `ema`
      follows the test images from change to change, `batch` takes each batch's own, and `pooled`,
      `layerwise` and `blend` are computed at the start and after every `period` images (default: at
      every change) on the `calibration` images, and stay in between.
    - `chips`: how many (default: 10).
    - `store`: a chip that it holds to the end is not followed again, unless `fresh`: then the new
      rows take the place of the old. `on_row(row, done, total)` gets each new row; those of the
      store count as done.
    - `seed`, `targets`, `scale`, `batch_size`, `device`, `threads`, `subject`: as in
      `requests.Network` and `requests.Measurement`.

    Raises:
        ValueError: for values out of range; for `match`, whose corrections are folded into weights
            that change.
        TypeError: for a keyword that there is not.
    Warns:
        NoEffectWarning: when the noise or a recalibration changes nothing.
    """
    check_keywords("track", options, TrackOptions)
    course = Course(
        changes=changes,
        images=options.get("images"),
        window=options.get("window"),
        period=options.get("period"),
    )
    ways = several_ways(options.get("recalibrate", "off"))
    request = TrackRequest(
        network=asked_network(options),
        measurement=asked_measurement(noise, options),
        calibration=asked_calibration(ways, calibration_inputs(options), options),
        course=course,
    )
    return track_setup(
        held(model, data, request.network, request.calibration),
        request,
        store=options.get("store"),
        on_row=options.get("on_row"),
        fresh=options.get("fresh", False),
    )


def track_setup(
    setup: Setup,
    request: TrackRequest,
    *,
    store: Store | None = None,
    on_row: OnRow | None = None,
    fresh: bool = False,
    tally: Tally | None = None,
) -> list[Trace]:
    """The traces of an opened network, as `track`. `tally` counts the rows that the store held
    already."""
    request = resolved_request(request)
    asked, course, ways = request.measurement, request.course, request.calibration.ways
    rows: list[Row] = []
    total = len(ways) * asked.followed * (course.length // course.step)
    counts = Tally() if tally is None else tally
    counts.wanted += total
    with using_threads(setup.network.threads):
        for way in ways:
            evaluator, stored = settled(open_evaluator(setup, way, request.compensate), store)
            if way is ways[0]:
                # First, as everywhere: a stream says nothing without what it falls from.
                cache = RowCache(known=stored, store=store, on_row=None, fresh=fresh)
                named = evaluator.clean_rows
                rows += [cache.row(row, evaluator.filled_clean, left=1) for row in named]
                warn_near_chance(evaluator, rows[0])
            warn_without_effect(evaluator, asked)
            if way == ways[0]:
                warn_of_dice(evaluator)
            blank = replace(
                evaluator.asked_row(asked.spec, asked.targets),
                seed=asked.seed,
                stream=str(course.changes),
                recalibrate=_words(evaluator, course.pause),
                images=course.step,
                dice=evaluator.programme(asked.spec, asked.targets).origin,
            )
            known = {key_of(row): row for row in stored if row.stream and not fresh}
            for chip in range(asked.followed):
                seen = range(0, course.length, course.step)
                named = [replace(blank, chip=chip, seen=place) for place in seen]
                # All or none: the statistics that a window starts with are not in the rows.
                if all(key_of(row) in known for row in named):
                    rows += [known[key_of(row)] for row in named]
                    counts.there += len(named)
                    continue
                for row in _followed(evaluator, named, asked.spec, course):
                    rows.append(row)
                    if store is not None:
                        store.add(row, fresh=fresh)
                    if on_row is not None:
                        on_row(row, len(rows) - 1, total)
    return traces_of(rows)


def _words(evaluator: Evaluator, period: int) -> str:
    """The estimator, and how often it runs where it is not at every batch."""
    if evaluator.estimator is None or evaluator.estimator.sees_test:
        return evaluator.chip_row.recalibrate
    return f"{evaluator.estimator} every {period}"


def _followed(
    evaluator: Evaluator, named: Sequence[Row], spec: Spec, course: Course
) -> Iterator[Row]:
    """The rows of one chip with their results, window after window."""
    test: Split = evaluator.test
    # One order for all chips and ways: their differences are then paired, window by window.
    order = torch.randperm(len(test), generator=stream(named[0].seed, "track order"))
    layers = running_layers(evaluator.skeleton)
    ends = ("running_mean", "running_var")
    # The network may itself be the layer, with the name "".
    names = [f"{layer}.{end}".removeprefix(".") for layer in layers for end in ends]
    # What stays when the noise changes; all other tensors come from the chip of the moment.
    statistics = {name: evaluator.state[name] for name in names}
    chip = evaluator.clean
    for row in named:
        started = time.perf_counter()
        # Only at a window's start: `Course` refuses lengths that are no multiple of a window.
        if row.seen % course.changes.every == 0:
            chip = _changed(evaluator, row, spec, course.changes)
        now = row.seen % course.pause == 0 and evaluator.calibration is not None
        if now:
            recalibrated = evaluator.recalibrated(evaluator.at_products(chip, row))
            statistics = {name: recalibrated.state[name] for name in names}
        places = torch.arange(row.seen, row.seen + row.images) % len(test)  # from the start again
        moved = evaluator.at_products(replace(chip, state=chip.state | statistics), row)
        with evaluator.seeded(row.seed, row.chip, row.seen):
            result, last = evaluator.scored(moved, test.take(order[places]))
        # Where an estimator follows the batches they have moved; else they are as they were.
        statistics = {name: last.state[name] for name in names}
        filled = evaluator.filled(row, result, started)
        # Calibration images passed in this window only where one began with them.
        yield filled if now else replace(filled, extra_images=0)


def _changed(evaluator: Evaluator, row: Row, spec: Spec, changes: Stream) -> Chip:
    """The chip as it is from image `row.seen` on."""
    change = row.seen // changes.every
    seed, level = row.seed, spec
    if changes.wander is None:
        # The first chip is that of an ordinary measurement with this seed.
        seed = derived(row.seed, "redraw", change) if change else row.seed
    elif change:
        # The same dice at another level: the chip drifts, it is not replaced.
        level = spec.at(wandered(spec.level or 0.0, changes.wander, row.seed, row.chip, change))
    return evaluator.programme(level, row.targets.split(",")).chip(seed, row.chip)


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
