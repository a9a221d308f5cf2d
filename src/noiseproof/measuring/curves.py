"""Chips -> rows: `measure(model, test, spec.at([0, 0.1, 0.2]), chips=25)` -> `Curve`."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.inputs import Inputs, as_inputs, count
from noiseproof.data.splits import Labels, Split
from noiseproof.measuring.evaluator import Evaluator, Score, Subject, open_evaluator
from noiseproof.measuring.units import Units, open_units
from noiseproof.noise.perturbation import DEFAULT_TARGETS, touched
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.row_cache import OnRow, RowCache
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.catalog import PixelScale
from noiseproof.specs.designs import Auto, Chips, Design, PerImage, parse_design
from noiseproof.specs.estimators import Estimator, Pooled, parse_estimator
from noiseproof.specs.noise import Spec, ordered_targets
from noiseproof.stats.pacing import Pace, Progress, most_units
from noiseproof.stats.stopping import FIRST


def measure(
    model: nn.Module,
    test: Split | tuple[Inputs, Labels] | object,
    specs: Spec | Sequence[Spec],
    *,
    design: Design | str = "chips",
    chips: int | None = None,
    passes: int | None = None,
    precision: float | None = None,
    budget: float | None = None,
    seed: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
    recalibrate: Estimator | str | None = None,
    calibration: Inputs | None = None,
    score: Score | None = None,
    scale: PixelScale | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    compiled: bool = False,
    store: Store | None = None,
    subject: Subject | None = None,
    on_row: OnRow | None = None,
    on_design: Callable[[str], None] | None = None,
) -> Curve:
    """What `model` scores on simulated chips for each of `specs`.

    `test` is a `Split`, or a pair of inputs and labels. Inputs: a tensor (N, ...), as images
    (N, C, H, W), or a tuple or dict of tensors, which `model` gets as positional or keyword
    arguments. Labels: classes (N,), masks (N, H, W) or boxes, which also say the score (accuracy,
    mean IoU, mAP). uint8 pixels pass through `scale`, all else goes in as it is. With a `score` of
    your own, `score(model, test) -> float`, `test` is whatever it takes. `specs` are one kind of
    noise at several levels.

    `design` (see `designs`): `chips`, of which each sees all test images (25 unless `chips` says
    otherwise); `nested`, many chips with a few images each (200); `per-image`, every image on a
    chip of its own, `passes` times over the test images (once); `auto`, whose choice and its
    reason `on_design` gets. `precision`: measure until the 95 % interval's half-width is that, with
    at most `chips` or `passes`; `budget`: as precise as that many seconds allow.

    `recalibrate` names an estimator, as `pooled(1000)`; each chip is recalibrated by it on the
    first of the `calibration` images (as the test images, without labels). `calibration` alone
    means pooled over all of them. `ema` and `batch` take none: they see the test images.

    Rows that `store` already holds are not measured again; each new one is stored at once and given
    to `on_row(row, done, total)`; with a precision or a budget `total` is what it looks like so
    far. `device` None is where the model is; `compiled`: by torch.compile, once for all chips.
    `model` is left as it is.

    Raises:
        ValueError: for values out of range, or specs of different kinds of noise; for a design that
            does not hold for the noise, the score or the network; for a store of scores of your own
            that a `subject` does not name.
    Warns:
        NoEffectWarning: when the noise or the recalibration changes nothing.
    """
    started = time.monotonic()
    wanted = [specs] if isinstance(specs, Spec) else list(dict.fromkeys(specs))
    pace = Pace(precision=precision, budget=budget)
    asked = parse_design(design) if isinstance(design, str) else design
    check_counts(wanted, chips=chips, batch_size=batch_size)
    check_length(asked, chips=chips, passes=passes)
    evaluator = open_evaluator(
        model,
        test,
        estimator=chosen_estimator(recalibrate, calibration),
        calibration=calibration,
        score=score,
        scale=scale,
        batch_size=batch_size,
        device=device,
        subject=subject,
        compiled=compiled,
    )
    if store is not None:
        _check_named(evaluator)
    roles = ordered_targets(targets)
    known = [] if store is None else store.rows(checkpoint=evaluator.clean_row.checkpoint)
    blank = replace(evaluator.chip_row, targets=",".join(roles), seed=seed, pace=str(pace))
    units, reason = open_units(evaluator, asked, wanted, roles, seen=(blank, known))
    check_length(units.design, chips=chips, passes=passes)
    warn_without_effect(evaluator, wanted, targets)
    if on_design is not None and reason:
        on_design(f"design {units.design}: {reason}")
    most = most_units(
        units.design, pace, chips=chips, passes=passes, images=evaluator.clean_row.images
    )
    cache = RowCache(known=known, store=store, on_row=on_row)
    rows = _measured(units, wanted, blank, cache, pace=pace, most=most, started=started)
    return curves_of(rows)[0]


def _measured(
    units: Units,
    specs: Sequence[Spec],
    blank: Row,
    cache: RowCache,
    *,
    pace: Pace,
    most: int | None,
    started: float,
) -> list[Row]:
    """The clean row, then those of every spec, each named, looked up or evaluated, and cache."""
    named = [
        replace(blank, noise=str(spec), level=spec.level, design=str(units.design))
        for spec in specs
    ]
    same = [isinstance(units.design, Chips) and not spec.is_random for spec in specs]
    found: list[list[Row]] = [[] for _ in specs]
    progress = Progress(
        pace=pace,
        scores=[[] for _ in specs],
        images=units.images(0) if units.design.needs_hits else None,
        most=most,
        first=FIRST[units.design.kind],
    )
    if pace.is_fixed:
        assert most is not None
        cache.expect([units.evaluator.clean_row, *_all(named, units, same, most)])
    rows = [cache.row(units.evaluator.clean_row, units.clean, left=progress.left)]
    for point, unit in progress.order(lambda: time.monotonic() - started):
        row = replace(named[point], chip=unit, images=units.images(unit))
        if found[point] and same[point]:
            row = cache.copy(replace(found[point][0], chip=unit))
        else:
            row = cache.row(row, partial(units.evaluate, specs[point]), left=progress.left)
        found[point].append(row)
        progress.scores[point].append(row.score)
    return rows + [row for point in found for row in point]


def _all(named: Sequence[Row], units: Units, same: Sequence[bool], most: int) -> Iterator[Row]:
    """The rows of a measurement of a fixed length, but for those that are copies."""
    for row, alike in zip(named, same, strict=True):
        for unit in range(1 if alike else most):
            yield replace(row, chip=unit, images=units.images(unit))


def check_length(design: Design, *, chips: int | None, passes: int | None) -> None:
    """Raise ValueError for a number of chips or passes that the design does not have."""
    if chips is not None and isinstance(design, PerImage):
        raise ValueError(f"design {design.kind} has no number of chips, got {chips}: give passes")
    if passes is not None and not isinstance(design, PerImage | Auto):
        raise ValueError(f"design {design.kind} has no passes, got {passes}: give chips")
    if passes is not None and not passes >= 1:
        raise ValueError(f"passes must be >= 1, got {passes}")


def check_counts(
    specs: Sequence[Spec], *, chips: int | None, batch_size: int | None = None
) -> None:
    """Raise ValueError for numbers that no measurement can have."""
    if chips is not None and not chips >= 1:
        raise ValueError(f"chips must be >= 1, got {chips}")
    if batch_size is not None and not batch_size >= 1:
        raise ValueError(f"batch size must be >= 1, got {batch_size}")
    families = sorted({spec.family for spec in specs})
    if len(families) != 1:
        raise ValueError(f"one kind of noise at a time, got {len(families)}: {', '.join(families)}")
    if families == ["none"]:
        raise ValueError("there is nothing to measure without noise: give a spec with a stage")


def chosen_estimator(
    recalibrate: Estimator | str | None, calibration: Inputs | None
) -> Estimator | None:
    """The estimator that is meant, if the calibration images are enough for it.

    Raises:
        ValueError: where they are not.
    """
    there = 0 if calibration is None else count(as_inputs(calibration, "calibration"))
    if recalibrate is None:
        return None if calibration is None else Pooled(images=there)
    estimator = parse_estimator(recalibrate) if isinstance(recalibrate, str) else recalibrate
    needed = 0 if estimator is None else estimator.calibration_images
    if needed > there:
        raise ValueError(f"{estimator} needs {needed} calibration images, got {there}")
    return estimator


def _check_named(evaluator: Evaluator) -> None:
    """Raise ValueError where rows of another score or other data would have the same names."""
    row = evaluator.clean_row
    if row.task == "own" or not (row.data_sha256 or row.data != "own"):
        raise ValueError(
            "a store needs names for a score and data of your own: give "
            "subject=Subject(task=..., data=...)"
        )


def warn_without_effect(
    evaluator: Evaluator, specs: Sequence[Spec], targets: Sequence[str]
) -> None:
    """Warn, in the name of the caller's caller, of noise or recalibration that changes nothing."""
    for text in _without_effect(evaluator, specs, targets):
        warnings.warn(text, NoEffectWarning, stacklevel=3)


def _without_effect(
    evaluator: Evaluator, specs: Sequence[Spec], targets: Sequence[str]
) -> Iterator[str]:
    strongest = max(specs, key=lambda spec: spec.level or 0)
    if strongest.is_random and not any(
        touched(evaluator.state, evaluator.places, strongest, targets).values()
    ):
        yield f"{strongest} on {','.join(targets)} changes no tensor of this model"
    if evaluator.estimator is not None and not evaluator.can_recalibrate:
        yield f"this model has nothing that {evaluator.estimator} could recalibrate"
