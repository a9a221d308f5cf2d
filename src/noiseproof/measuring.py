"""Chips -> rows: `measure(model, test, spec.at([0, 0.1, 0.2]), chips=25)` -> `Curve`."""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import noiseproof
from noiseproof.accelerator import device_name, device_of, pick_device
from noiseproof.catalog import UNSCALED, PixelScale
from noiseproof.curves import Curve, curves_of
from noiseproof.data import Split, scaled
from noiseproof.network import Place, State, outputs, places, skeleton_of, state_of
from noiseproof.noise import DEFAULT_TARGETS, perturb, touched
from noiseproof.recalibration import recalibrated, running_layers
from noiseproof.records import Row, Store, key_of, pack
from noiseproof.spec import NoEffectWarning, Spec, ordered_targets

BATCH_SIZE = 250
OnRow = Callable[[Row, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured, in the words that every row carries. `checkpoint` is a sha256."""

    checkpoint: str
    model: str
    norm: str = "own"
    data: str = "own"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One network on one test set, ready to run any state."""

    skeleton: nn.Module
    state: State
    places: dict[str, Place]
    inputs: Callable[[Tensor], Tensor]
    test: Split
    calibration: Tensor | None
    batch_size: int
    clean_row: Row  # a row with everything filled in but the results

    @property
    def device(self) -> torch.device:
        return device_of(self.state)


def measure(
    model: nn.Module,
    test: Split | tuple[Tensor, Tensor],
    specs: Spec | Sequence[Spec],
    *,
    chips: int = 25,
    seed: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
    calibration: Tensor | None = None,
    scale: PixelScale | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | None = None,
    store: Store | None = None,
    subject: Subject | None = None,
    on_row: OnRow | None = None,
) -> Curve:
    """The accuracy of `model` on `chips` simulated chips for each of `specs`.

    `test` are images (N, C, H, W) and labels (N,): uint8 pixels pass through `scale`, floats go in
    as they are. `specs` are one kind of noise at several levels. With `calibration` images (as
    `test.images`, without labels) each chip's normalisation is recalibrated on them first. Rows
    that `store` already holds are not measured again; each new one is stored at once and given to
    `on_row(row, done, total)`. `device` None is where the model is. `model` is left as it is.

    Raises:
        ValueError: for values out of range, or specs of different kinds of noise.
    Warns:
        NoEffectWarning: when the noise or the recalibration changes nothing.
    """
    wanted = [specs] if isinstance(specs, Spec) else list(dict.fromkeys(specs))
    check_counts(wanted, chips=chips, batch_size=batch_size)
    job = _job(model, _split(test), calibration, scale, batch_size, device, subject)
    known = {} if store is None else _known(store, job.clean_row.checkpoint)
    plan = _plan(job, wanted, ordered_targets(targets), seed, chips)
    _warn_without_effect(job, wanted, targets)
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


def check_counts(specs: Sequence[Spec], *, chips: int, batch_size: int = BATCH_SIZE) -> None:
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


def state_sha256(state: State) -> str:
    """The fingerprint of a state: names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def count_hits(
    skeleton: nn.Module,
    state: State,
    inputs: Callable[[Tensor], Tensor],
    test: Split,
    *,
    batch_size: int = BATCH_SIZE,
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], int, int]:
    """Which of the test images the network gets right (N,), how many outputs are not finite, and
    the number of classes it tells apart.

    An image whose outputs are not all finite is a miss: argmax would read nan as class 0, which
    looks exactly like chance.
    """
    device = device_of(state)
    hits, nonfinite, classes = [], 0, 0
    for start in range(0, len(test), batch_size):
        part = slice(start, start + batch_size)
        output = outputs(skeleton, state, inputs(test.images[part].to(device)))
        finite = output.isfinite().all(1)
        hits.append((output.argmax(1) == test.labels[part].to(device)) & finite)
        nonfinite += int((~finite).sum())
        classes = output.shape[1]
    return torch.cat(hits).cpu().numpy(), nonfinite, classes


def check_fits(model: nn.Module, test: Split, scale: PixelScale) -> None:
    """Run two of the images through a copy of `model`.

    Raises:
        ValueError: where there are none, or the network cannot take them, returns no logits, or
            has fewer classes than the labels.
    """
    if not len(test):
        raise ValueError("images must be >= 1, got 0")
    skeleton = skeleton_of(model)
    state = state_of(skeleton)
    device = device_of(state)
    output = outputs(skeleton, state, scaled(test.images[:2].to(device), scale))
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise ValueError("a classifier must return logits (N, C)")
    top = int(test.labels.max())
    if top >= output.shape[1]:
        raise ValueError(f"the labels go up to {top}, the network knows {output.shape[1]} classes")


def _split(test: Split | tuple[Tensor, Tensor]) -> Split:
    return test if isinstance(test, Split) else Split(images=test[0], labels=test[1])


def _job(
    model: nn.Module,
    test: Split,
    calibration: Tensor | None,
    scale: PixelScale | None,
    batch_size: int,
    device: str | None,
    subject: Subject | None,
) -> Job:
    skeleton = skeleton_of(model)
    if device is not None:
        skeleton = skeleton.to(pick_device(device))
    state = state_of(skeleton)
    scale = scale or UNSCALED
    check_fits(skeleton, test, scale)
    subject = subject or Subject(checkpoint=state_sha256(state), model=type(model).__name__)
    row = Row(
        checkpoint=subject.checkpoint,
        model=subject.model,
        norm=subject.norm,
        data=subject.data,
        data_sha256=test.sha256(),
        scale=str(scale) if test.images.dtype == torch.uint8 else "as is",
        noise="none",
        targets="",
        recalibrate=0,
        calibration_sha256="",
        seed=0,
        chip=0,
        level=None,
        images=len(test),
        classes=0,
        correct=0,
        nonfinite=0,
        hits=b"",
        seconds=0.0,
        device=device_name(device_of(state)),
        versions=f"noiseproof {noiseproof.__version__}, torch {torch.__version__}",
    )
    return Job(
        skeleton=skeleton,
        state=state,
        places=places(skeleton),
        inputs=partial(scaled, scale=scale),
        test=test,
        calibration=calibration,
        batch_size=batch_size,
        clean_row=row,
    )


def _known(store: Store, checkpoint: str) -> dict[tuple[object, ...], Row]:
    return {key_of(row): row for row in store.rows(checkpoint=checkpoint)}


def _plan(
    job: Job, specs: Sequence[Spec], targets: tuple[str, ...], seed: int, chips: int
) -> list[tuple[Row, Spec]]:
    """The clean network, then every chip of every spec: rows named, results still empty."""
    used = job.calibration
    blank = replace(
        job.clean_row,
        targets=",".join(targets),
        recalibrate=0 if used is None else len(used),
        calibration_sha256="" if used is None else state_sha256({"images": used}),
        seed=seed,
    )
    noisy = [
        (replace(blank, noise=str(spec), level=spec.level, chip=chip), spec)
        for spec in specs
        for chip in range(chips)
    ]
    return [(job.clean_row, Spec()), *noisy]


def _evaluate(job: Job, row: Row, spec: Spec) -> Row:
    """The row with its results: manufacture the chip, recalibrate if asked, count the hits."""
    started = time.perf_counter()
    state = job.state
    if spec.stages:
        state = perturb(
            state,
            job.places,
            spec,
            targets=row.targets.split(","),
            seed=row.seed,
            chip=row.chip,
        )
    if row.recalibrate:
        assert job.calibration is not None
        inputs = job.inputs(job.calibration.to(job.device))
        state = recalibrated(job.skeleton, state, inputs)
    hits, nonfinite, classes = count_hits(
        job.skeleton, state, job.inputs, job.test, batch_size=job.batch_size
    )
    return replace(
        row,
        hits=pack(hits),
        correct=int(hits.sum()),
        nonfinite=nonfinite,
        classes=classes,
        seconds=time.perf_counter() - started,
    )


def _same_on_all_chips(
    row: Row, plan: Sequence[tuple[Row, Spec]], spec: Spec, store: Store | None
) -> dict[tuple[object, ...], Row]:
    """A spec without randomness makes every chip the same: the other chips' rows are this one's."""
    copies = [replace(row, chip=other.chip) for other, its_spec in plan if its_spec is spec]
    for copy in copies if store is not None else ():
        store.add(copy)  # type: ignore[union-attr]
    return {key_of(copy): copy for copy in copies}


def _warn_without_effect(job: Job, specs: Sequence[Spec], targets: Sequence[str]) -> None:
    for text in _without_effect(job, specs, targets):
        warnings.warn(text, NoEffectWarning, stacklevel=3)


def _without_effect(job: Job, specs: Sequence[Spec], targets: Sequence[str]) -> Iterator[str]:
    strongest = max(specs, key=lambda spec: spec.level or 0)
    if strongest.is_random and not any(touched(job.state, job.places, strongest, targets).values()):
        yield f"{strongest} on {','.join(targets)} changes no tensor of this model"
    if job.calibration is not None and not running_layers(job.skeleton):
        yield "this model has no running statistics to recalibrate"
