"""Chips -> rows: `measure(model, test, spec.at([0, 0.1, 0.2]), chips=25)` -> `Curve`."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from noiseproof.catalog import PixelScale
from noiseproof.curves import Curve, curves_of
from noiseproof.data import Split
from noiseproof.estimators import Estimator, Pooled, parse_estimator
from noiseproof.job import Job, Score, Subject, open_job
from noiseproof.noise import DEFAULT_TARGETS, perturb, touched
from noiseproof.records import Row, Store, key_of
from noiseproof.spec import NoEffectWarning, Spec, ordered_targets

OnRow = Callable[[Row, int, int], None]


def measure(
    model: nn.Module,
    test: Split | tuple[Tensor, Tensor] | object,
    specs: Spec | Sequence[Spec],
    *,
    chips: int = 25,
    seed: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
    recalibrate: Estimator | str | None = None,
    calibration: Tensor | None = None,
    score: Score | None = None,
    scale: PixelScale | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    store: Store | None = None,
    subject: Subject | None = None,
    on_row: OnRow | None = None,
) -> Curve:
    """What `model` scores on `chips` simulated chips for each of `specs`.

    `test` is a `Split`, or a pair of images (N, C, H, W) and labels: classes (N,), masks (N, H, W)
    or boxes, which also say the score (accuracy, mean IoU, mAP). uint8 pixels pass through `scale`,
    floats go in as they are. With a `score` of your own, `score(model, test) -> float`, `test` is
    whatever it takes. `specs` are one kind of noise at several levels.

    `recalibrate` names an estimator, as `pooled(1000)`; each chip is recalibrated by it on the
    first of the `calibration` images (as the test images, without labels). `calibration` alone
    means pooled over all of them. `ema` and `batch` take none: they see the test images.

    Rows that `store` already holds are not measured again; each new one is stored at once and given
    to `on_row(row, done, total)`. `device` None is where the model is. `model` is left as it is.

    Raises:
        ValueError: for values out of range, or specs of different kinds of noise; for a store of
            scores of your own that a `subject` does not name.
    Warns:
        NoEffectWarning: when the noise or the recalibration changes nothing.
    """
    wanted = [specs] if isinstance(specs, Spec) else list(dict.fromkeys(specs))
    check_counts(wanted, chips=chips, batch_size=1 if batch_size is None else batch_size)
    estimator = chosen_estimator(recalibrate, calibration)
    job = open_job(
        model,
        test,
        estimator=estimator,
        calibration=calibration,
        score=score,
        scale=scale,
        batch_size=batch_size,
        device=device,
        subject=subject,
    )
    if store is not None:
        _check_named(job)
    known = {} if store is None else _known(store, job.clean_row.checkpoint)
    plan = _plan(job, wanted, ordered_targets(targets), seed, chips)
    warn_without_effect(job, wanted, targets)
    missing = [(row, spec) for row, spec in plan if key_of(row) not in known]
    total = len({key_of(row) if spec.is_random else str(spec) for row, spec in missing})
    rows, done = [], 0
    for row, spec in plan:
        found = known.get(key_of(row))
        if found is None:
            found = _evaluate(job, row, spec)
            done += 1
            if store is not None:
                store.add(found)
            if on_row is not None:
                on_row(found, done, total)
            if not spec.is_random:
                known |= _same_on_all_chips(found, plan, spec, store)
        rows.append(found)
    return curves_of(rows)[0]


def check_counts(specs: Sequence[Spec], *, chips: int, batch_size: int = 1) -> None:
    """Raise ValueError for numbers that no measurement can have."""
    if not chips >= 1:
        raise ValueError(f"chips must be >= 1, got {chips}")
    if not batch_size >= 1:
        raise ValueError(f"batch size must be >= 1, got {batch_size}")
    families = sorted({spec.family for spec in specs})
    if len(families) != 1:
        raise ValueError(f"one kind of noise at a time, got {len(families)}: {', '.join(families)}")
    if families == ["none"]:
        raise ValueError("there is nothing to measure without noise: give a spec with a stage")


def chosen_estimator(
    recalibrate: Estimator | str | None, calibration: Tensor | None
) -> Estimator | None:
    """The estimator that is meant, if the calibration images are enough for it.

    Raises:
        ValueError: where they are not.
    """
    if calibration is not None and not isinstance(calibration, Tensor):
        raise ValueError(
            f"calibration must be a tensor of images, got {type(calibration).__name__}"
        )
    if recalibrate is None:
        return None if calibration is None else Pooled(images=len(calibration))
    estimator = parse_estimator(recalibrate) if isinstance(recalibrate, str) else recalibrate
    needed = 0 if estimator is None else estimator.calibration_images
    there = 0 if calibration is None else len(calibration)
    if needed > there:
        raise ValueError(f"{estimator} needs {needed} calibration images, got {there}")
    return estimator


def _check_named(job: Job) -> None:
    """Raise ValueError where rows of another score or other data would have the same names."""
    row = job.clean_row
    if row.task == "own" or not (row.data_sha256 or row.data != "own"):
        raise ValueError(
            "a store needs names for a score and data of your own: give "
            "subject=Subject(task=..., data=...)"
        )


def _known(store: Store, checkpoint: str) -> dict[tuple[object, ...], Row]:
    return {key_of(row): row for row in store.rows(checkpoint=checkpoint)}


def _plan(
    job: Job, specs: Sequence[Spec], targets: tuple[str, ...], seed: int, chips: int
) -> list[tuple[Row, Spec]]:
    """The clean network, then every chip of every spec: rows named, results still empty."""
    blank = replace(job.chip_row, targets=",".join(targets), seed=seed)
    noisy = [
        (replace(blank, noise=str(spec), level=spec.level, chip=chip), spec)
        for spec in specs
        for chip in range(chips)
    ]
    return [(job.clean_row, Spec()), *noisy]


def _evaluate(job: Job, row: Row, spec: Spec) -> Row:
    """The row with its results: manufacture the chip, recalibrate if asked, score it."""
    job.prepare_()
    started = time.perf_counter()
    if not spec.stages:
        return job.filled(row, job.clean_score(), started)
    state = perturb(
        job.state, job.places, spec, targets=row.targets.split(","), seed=row.seed, chip=row.chip
    )
    return job.filled(row, job.score(state), started)


def _same_on_all_chips(
    row: Row, plan: Sequence[tuple[Row, Spec]], spec: Spec, store: Store | None
) -> dict[tuple[object, ...], Row]:
    """A spec without randomness makes every chip the same: the other chips' rows are this one's."""
    copies = [replace(row, chip=other.chip) for other, its_spec in plan if its_spec is spec]
    for copy in copies if store is not None else ():
        store.add(copy)  # type: ignore[union-attr]
    return {key_of(copy): copy for copy in copies}


def warn_without_effect(job: Job, specs: Sequence[Spec], targets: Sequence[str]) -> None:
    """Warn, in the name of the caller's caller, of noise or recalibration that changes nothing."""
    for text in _without_effect(job, specs, targets):
        warnings.warn(text, NoEffectWarning, stacklevel=3)


def _without_effect(job: Job, specs: Sequence[Spec], targets: Sequence[str]) -> Iterator[str]:
    strongest = max(specs, key=lambda spec: spec.level or 0)
    if strongest.is_random and not any(touched(job.state, job.places, strongest, targets).values()):
        yield f"{strongest} on {','.join(targets)} changes no tensor of this model"
    if job.estimator is not None and not job.can_recalibrate:
        yield f"this model has nothing that {job.estimator} could recalibrate"
