"""Chips -> rows: `measure(model, test, spec.at([0, 0.1, 0.2]), chips=25)` -> `Curve`."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from torch import nn

from noiseproof.core.checks import NoEffectWarning, ReachWarning
from noiseproof.core.device import using_threads
from noiseproof.measuring.commands import MeasureRequest
from noiseproof.measuring.doubts import warn_near_chance
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.options import (
    MeasureOptions,
    Noise,
    asked_calibration,
    asked_measurement,
    asked_network,
    calibration_inputs,
    check_keywords,
    only_way,
    range_images,
    with_keywords,
)
from noiseproof.measuring.requests import Measurement
from noiseproof.measuring.rounding import rounding_text
from noiseproof.measuring.settling import settled, warn_of_dice
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.units import Units, open_units
from noiseproof.measuring.watching import resolved_request
from noiseproof.noise import touched
from noiseproof.results import Curve, OnRow, Row, RowCache, Store, Tally, curves_of
from noiseproof.specs import Chips, Pace, check_length, facts_of
from noiseproof.stats import FIRST, Progress, most_units
from noiseproof.tasks import facts_of_score

WIDEST = 0.5
"""The half-width from which an interval of a share says nothing."""


@with_keywords(MeasureOptions, design="chips")
def measure(
    model: nn.Module,
    data: object,
    noise: Noise | Sequence[Noise] | None = None,
    **options: Unpack[MeasureOptions],
) -> Curve:
    """What `model` scores on simulated chips under `noise`: a spec or its text, or several
    levels of one kind.

    `data` is a `Split`, a pair of inputs and labels (tensors, arrays, lists), a `Dataset` or a
    `DataLoader`. Inputs: a tensor (N, ...), as images (N, C, H, W), or a tuple or dict of tensors,
    which `model` gets as positional or keyword arguments. Labels, which also say the score: classes
    (N,) (accuracy), masks (N, H, W) (mean IoU), boxes (mAP), tokens (N, T), real numbers (R
    squared). uint8 pixels pass through `scale`, all else goes in as it is. With a `score` of your
    own, `score(model, data) -> float`, `data` is whatever it takes. `model` is left as it is.

    - `design`: which images see which chips. `chips` (default): each chip sees all test images;
      `nested`: many chips with a few images each; `per-image`: every image on a chip of its own;
      `auto`: whose choice and its reason `on_design(text)` gets.
    - `chips`: how many (default: 25; nested 200). `passes`: of per-image chips over the test images
      (default: 1).
    - `precision`: measure until the 95 % interval's half-width is that, with at most `chips` or
      `passes`. `budget`: as precise as that many seconds allow.
    - `recalibrate`: an estimator, as `pooled(1000)`; each chip is recalibrated by it on the first
      of the `calibration` images (as the test images, without labels). `calibration` alone means
      pooled over all of them. `ema` and `batch` take none: they see the test images.
    - `mvm`: what happens at every product of every analog layer, as `dac(8) + adc(8)`: see the
      docs, "At every product". `calibrate`: how many of the `calibration` images decide its static
      ranges; without a way to recalibrate they do nothing else.
    - `dtype`: bfloat16: that chips compute in (default: the network's own). What that alone
      changes is measured on the clean network, which `on_design(text)` gets.
    - `store`: rows that it holds of the same network, by what it computes, are not measured again;
      each new one is stored at once and given to `on_row(row, done, total)`; with a precision or a
      budget `total` is what it looks like so far. `fresh`: measure all of them again, each in place
      of the old one.
    - `seed`, `targets`, `scale`, `score`, `batch_size`, `device`, `compiled`, `threads`, `subject`:
      as in `requests.Network` and `requests.Measurement`.

    Raises:
        ValueError: for values out of range, or different kinds of noise; for a design that
            does not hold for the noise, the score or the network; for a store of scores of your own
            that a `subject` does not name.
        TypeError: for a keyword that there is not.
    Warns:
        NoEffectWarning: when the noise or the recalibration changes nothing.
        RandomForwardWarning: when the network is random by itself.
        StoreWarning: when the store holds rows of other code under the same weights.
    """
    check_keywords("measure", options, MeasureOptions)
    images = calibration_inputs(options)
    way = only_way(options.get("recalibrate"), images, for_ranges=range_images(options) > 0)
    request = MeasureRequest(
        network=asked_network(options),
        measurement=asked_measurement(noise, options),
        calibration=asked_calibration(way, images, options),
    )
    return measure_setup(
        held(model, data, request.network, request.calibration),
        request,
        store=options.get("store"),
        on_row=options.get("on_row"),
        on_design=options.get("on_design"),
        fresh=options.get("fresh", False),
    )[0]


def measure_setup(
    setup: Setup,
    request: MeasureRequest,
    *,
    store: Store | None = None,
    on_row: OnRow | None = None,
    on_design: Callable[[str], None] | None = None,
    fresh: bool = False,
    tally: Tally | None = None,
) -> list[Curve]:
    """A curve of an opened network for each way to recalibrate, as `measure`; they share a budget
    evenly. `tally` counts the rows that the store held already."""
    request = resolved_request(request)
    asked, remedies = request.measurement, request.calibration.remedies
    check_in_units(setup, asked)
    budget = None if asked.budget is None else asked.budget / len(remedies)
    pace = Pace(precision=asked.precision, budget=budget)
    curves = []
    with using_threads(setup.network.threads):
        for place, (factor, way) in enumerate(remedies):
            # Before the network is opened: what a way needs to begin
            # with is paid from its budget too.
            started = time.monotonic()
            evaluator = open_evaluator(setup, way, factor)
            if store is not None:
                check_named(evaluator)
            evaluator, known = settled(evaluator, store)
            known = read_as(known, evaluator.clean_row)
            blank = evaluator.asked_row(asked.specs[0], asked.targets)
            blank = replace(blank, seed=asked.seed, pace=str(pace))
            units, reason = open_units(
                evaluator, asked.design, asked.specs, asked.targets, seen=(blank, known)
            )
            check_length(units.design, chips=asked.chips, passes=asked.passes)
            if not place:
                warn_of_dice(evaluator)
            warn_without_effect(evaluator, asked)
            if on_design is not None and reason:
                on_design(f"design {units.design}: {reason}")
            if on_design is not None and not place and (text := rounding_text(evaluator)):
                on_design(text)
            cache = RowCache(known=known, store=store, on_row=on_row, fresh=fresh, tally=tally)
            rows = _measured(units, asked, blank, cache, pace=pace, started=started)
            if not place:
                warn_near_chance(evaluator, rows[0])
            curves += curves_of(rows)
    return curves


def _measured(
    units: Units,
    asked: Measurement,
    blank: Row,
    cache: RowCache,
    *,
    pace: Pace,
    started: float,
) -> list[Row]:
    """The clean row, then those of every spec, each named, looked up or evaluated, and cached."""
    specs = asked.specs
    most = most_units(
        units.design, pace, chips=asked.chips, passes=asked.passes, images=blank.images
    )
    named = [
        replace(blank, noise=str(spec), level=spec.level, design=str(units.design))
        for spec in specs
    ]
    # Every chip is then the same network on the same images: one is measured, the rest are copies.
    steady = not units.evaluator.is_random and not units.evaluator.has_dice
    same = [steady and isinstance(units.design, Chips) and not spec.is_random for spec in specs]
    found: list[list[Row]] = [[] for _ in specs]
    progress = Progress(
        pace=pace,
        scores=[[] for _ in specs],
        images=units.images(0) if units.design.needs_hits else None,
        most=most,
        first=FIRST[units.design.kind],
    )
    # Otherwise nobody knows yet how many there will be.
    if pace.is_fixed:
        assert most is not None
        cache.expect([*units.evaluator.clean_rows, *_all(named, units, same, most)])
    # First: no curve can be read from a store without its clean row, however early a run is killed.
    rows = [
        cache.row(row, units.evaluator.filled_clean, left=progress.left)
        for row in units.evaluator.clean_rows
    ]
    for point, unit in progress.order(lambda: time.monotonic() - started):
        row = replace(named[point], chip=unit, images=units.images(unit))
        if found[point] and same[point]:
            row = cache.copy(replace(found[point][0], chip=unit))
        else:
            row = cache.row(row, partial(units.evaluate, specs[point]), left=progress.left)
        found[point].append(row)
        # `progress` looks at these lists to say what comes next;
        # rows of a store count like new ones.
        progress.scores[point].append(row.score)
    # By level, whatever the order was in which they were measured.
    return rows + [row for point in found for row in point]


def _all(named: Sequence[Row], units: Units, same: Sequence[bool], most: int) -> Iterator[Row]:
    """The rows of a measurement of a fixed length, but for those that are copies."""
    for row, alike in zip(named, same, strict=True):
        for unit in range(1 if alike else most):
            yield replace(row, chip=unit, images=units.images(unit))


def check_in_units(setup: Setup, asked: Measurement) -> None:
    """Raise ValueError for a precision and a yield that cannot be meant of this score."""
    facts = facts_of(setup.test.task) if setup.score is None else facts_of_score(setup.score)
    if asked.above is not None and not facts.sign:
        raise ValueError(
            f"a yield above {asked.above:g} needs to know which way the score is better: give a "
            "noiseproof.Score(function, better=...) in place of the function"
        )
    if facts.unit != "%":
        return
    if asked.precision is not None and not asked.precision < WIDEST:
        raise ValueError(
            f"precision must be below {WIDEST:g}, got {asked.precision:g}: it is in units of the "
            f"{facts.metric}, a share, so that 0.02 is two points"
        )
    if asked.above is not None and not 0 <= asked.above <= 1:
        raise ValueError(
            f"above must be between 0 and 1, got {asked.above:g}: {facts.metric} is a share, so "
            "that 0.9 is 90 %"
        )


def read_as(known: Sequence[Row], clean: Row) -> list[Row]:
    """The rows of a store, those of a score of one's own as it is read now."""
    found = [
        replace(one, score_is=clean.score_is) if one.task == clean.task else one for one in known
    ]
    if found != list(known):
        warnings.warn(
            f"the store's rows of {clean.task} say otherwise which way it is better, its unit or "
            "its chance level: they are read as today here, and as they are in a report of the "
            "store; name another store to have them anew",
            NoEffectWarning,
            stacklevel=4,
        )
    return found


def check_named(evaluator: Evaluator) -> None:
    """Raise ValueError where rows of another score or other data would have the same names."""
    row = evaluator.clean_row
    if row.task == "own" or not (row.data_sha256 or row.data != "own"):
        raise ValueError(
            "a store needs names for a score and data of your own: give "
            "subject=Subject(task=..., data=...)"
        )


def warn_without_effect(evaluator: Evaluator, asked: Measurement) -> None:
    """Warn of noise or recalibration that changes nothing, and of noise that leaves out what
    nobody asked to leave out: in the name of the user's line, which
    called a public function, which called one with a setup, which called this.

    Raises:
        ValueError: where the network multiplies with nothing that noise on kernels can reach, so
            that every chip would be the clean network.
    """
    for text in _without_effect(evaluator, asked):
        warnings.warn(text, NoEffectWarning, stacklevel=4)
    is_noisy = any(spec.stages for spec in asked.specs)
    if is_noisy and (text := evaluator.left_out(asked.targets)):
        if evaluator.asked_row(asked.specs[0], asked.targets).reached_macs == 0:
            raise ValueError(text)
        warnings.warn(text, ReachWarning, stacklevel=4)


def _without_effect(evaluator: Evaluator, asked: Measurement) -> Iterator[str]:
    # If the strongest changes nothing, none does.
    strongest = max(asked.specs, key=lambda spec: spec.level or 0)
    targets = asked.targets
    if strongest.is_random and not any(
        touched(evaluator.state, evaluator.places, strongest, targets).values()
    ):
        yield f"{strongest} on {','.join(targets)} changes no tensor of this model"
    if evaluator.products is not None and not evaluator.products.scales:
        yield f"{evaluator.products.mvm} changes nothing: this model has no analog layer"
    if evaluator.estimator is not None and not evaluator.can_recalibrate:
        yield f"this model has nothing that {evaluator.estimator} could recalibrate"
