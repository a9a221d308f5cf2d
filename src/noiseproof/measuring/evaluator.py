"""One network on one test set: a state goes in, a score comes out."""

import json
import time
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from noiseproof.core.device import device_of
from noiseproof.core.inputs import Inputs, count, count_of_call, named_tensors
from noiseproof.core.rng import seeded
from noiseproof.data import Split
from noiseproof.hardware import Products
from noiseproof.measuring.identity import (
    Randomness,
)
from noiseproof.measuring.watching import digital_words
from noiseproof.network import (
    Chip,
    Passes,
    Place,
    State,
    Work,
    at_products,
    missing,
    outputs,
    reach_of,
    state_sha256,
    unwatched,
    with_state,
)
from noiseproof.noise import Arrays, Programme, noisy_tensors, targeted
from noiseproof.recalibration import (
    Signature,
    calibrated,
    matched_maps,
    running_layers,
    signature_of,
    with_bias_zeros,
    with_biases,
)
from noiseproof.recalibration.following import following
from noiseproof.results import Row, pack
from noiseproof.specs import (
    Batch,
    Ema,
    Estimator,
    Match,
    PixelScale,
    Spec,
    Stored,
)
from noiseproof.tasks import (
    TASKS,
    Forward,
    Result,
    ScoreFunction,
    owned,
    taken,
)

CLEAN_PASSES = 10
"""Of a network that is random by itself: its clean score has an interval too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """One network, its test set, its score and its way to recalibrate, ready to run any chip."""

    skeleton: nn.Module
    state: State
    places: dict[str, Place]
    scale: PixelScale  # by which pixels pass
    test: Any
    own_score: ScoreFunction | None
    estimator: Estimator | None
    calibration: Inputs | None  # as many as the estimator asks for
    calibration_source: str  # where they come from, in words
    batch_size: int
    compiled: bool  # by torch.compile, once for all chips
    work: Work | None  # what the network multiplies; None where no pass could be watched
    digital: str  # the layers that are kept so, in words
    stored: Stored  # how it lies on the chip
    compensate: str  # of drift, a key of `COMPENSATIONS`
    dtype: str  # that chips compute in; "": the network's own
    has_own_maps: bool  # layers that only a pass has shown to multiply
    clean_row: Row  # a row with everything filled in but the results
    randomness: Randomness = Randomness.NONE  # of a pass by itself
    known_clean: Result | None = None  # its clean score, where that was needed to name it
    products: Products | None = None  # what happens at products; None: nothing
    range_images: Inputs | None = None  # which decided the static ranges there

    @property
    def clean(self) -> Chip:
        """The network as it is: no noise, exact products."""
        return Chip(self.state)

    @property
    def device(self) -> torch.device:
        return device_of(self.state)

    @property
    def has_dice(self) -> bool:
        """Is anything drawn at the products of chips?"""
        return self.products is not None and self.products.mvm.is_random

    def at_products(self, chip: Chip, row: Row, *, only: Container[str] | None = None) -> Chip:
        """The chip of `row` with what happens at its products, or those of some kernels."""
        if self.products is None:
            return chip
        return self.products.on(chip, row.seed, row.chip, only=only, seen=row.seen)

    @property
    def clean_rows(self) -> list[Row]:
        """The names of the rows of the clean network: one, or several passes of a network that is
        random by itself."""
        passes = CLEAN_PASSES if self.is_random else 1
        return [replace(self.clean_row, chip=number) for number in range(passes)]

    @property
    def chip_row(self) -> Row:
        """The clean row with the words of the recalibration; its sha256 names the images, those
        that decided ranges too."""
        if self.estimator is None and self.range_images is None:
            return self.clean_row
        sees_test = self.estimator is not None and self.estimator.sees_test
        used = [one for one in (self.calibration, self.range_images) if one is not None]
        # Both are the first ones of the same images.
        images = max(used, key=count) if used else None
        return replace(
            self.clean_row,
            recalibrate="off" if self.estimator is None else str(self.estimator),
            calibration="test" if sees_test else self.calibration_source,
            calibration_sha256=""
            if images is None
            else state_sha256(named_tensors(images, "images")),
        )

    def asked_row(self, spec: Spec, targets: Sequence[str]) -> Row:
        """The row of the recalibrated chips with the words of the noise, and what that reaches."""
        noisy = noisy_tensors(self.places, spec, targets)
        # Without noise on the weights nothing is reached, and nobody asked for it.
        reach = reach_of(self.work, noisy) if self.work and spec.stages else None
        return replace(
            self.chip_row,
            noise=str(spec),
            level=spec.level,
            targets=",".join(targets),
            stats_as=self.stored.form(tuple(targets)),
            mapping=self.stored.mapping(
                has_arrays=spec.sweeps == "time" or self.products is not None
            ),
            # Nothing drifts but devices.
            compensate=self.compensate
            if self.compensate != "off" and spec.sweeps == "time"
            else "",
            hardware=self.stored.hardware,
            dtype=self.dtype,
            mvm="" if self.products is None else str(self.products.mvm),
            digital=digital_words(
                self.places, targets, asked=self.digital, has_own_maps=self.has_own_maps
            ),
            reached_macs=None if reach is None else reach.macs,
            reached_weights=None if reach is None else reach.weights,
        )

    def programme(self, spec: Spec, targets: Sequence[str]) -> Programme:
        """What makes chips of `spec`, and what all of them share."""
        return Programme(
            state=self.state,
            places=self.places,
            spec=spec,
            targets=targets,
            arrays=Arrays(mapping=self.stored.array, compensate=self.compensate),
        )

    def left_out(self, targets: Sequence[str]) -> str:
        """What of the network no noise on kernels reaches, in a line; "" where nothing is missing,
        or kernels are no target."""
        if "kernel" not in targets:
            return ""
        if self.work is None:
            return unwatched(self.state, self.places, targets)
        return missing(self.work, self.places, targeted(self.places, targets))

    @property
    def can_recalibrate(self) -> bool:
        """Is there anything in this network that the estimator works on?"""
        if isinstance(self.estimator, Match):
            return bool(matched_maps(self.skeleton))
        return bool(running_layers(self.skeleton))

    def clean_score(self) -> Result:
        """The network as it is, not recalibrated."""
        if self.known_clean is not None and not self.is_random:
            return self.known_clean
        if self.own_score is not None:
            return self._owned(self.skeleton, self.clean)
        return self._on(self.passes, self.clean)

    @property
    def is_random(self) -> bool:
        """Do two passes of the same inputs through the clean network differ?"""
        return self.randomness is not Randomness.NONE

    def seeded(self, seed: int, *path: str | int) -> AbstractContextManager[None]:
        """Inside the block a network that is random by itself follows the stream `path` of `seed`;
        of any other nothing happens."""
        return seeded(seed, "forward", *path) if self.is_random else nullcontext()

    def score(self, chip: Chip, test: Split | None = None) -> Result:
        """`chip`, recalibrated where an estimator says so, on the test images or
        others of their kind."""
        # No recalibration, or one that follows the test batches and takes no images of its own.
        if self.calibration is None:
            return self.scored(chip, test)[0]
        # `match` writes into biases, which the network itself may lack:
        # it runs in a copy that has them.
        biased = self._signature is not None
        recalibrated = self.recalibrated(chip)
        if self.own_score is not None:
            return self._owned(self._biased if biased else self.skeleton, recalibrated)
        passes = self._biased_passes if biased else self._chip_passes
        return self._on(passes, recalibrated, test)

    def scored(self, chip: Chip, test: Split | None = None) -> tuple[Result, Chip]:
        """`chip` as it is, and what it is afterwards, which an estimator that follows the test
        batches has moved."""
        if self.own_score is not None:
            return self._owned(self.skeleton, chip), chip
        if not isinstance(self.estimator, Ema | Batch):
            return self._on(self._chip_passes, chip, test), chip
        part: Split = self.test if test is None else test
        with following(self.skeleton, chip, self.estimator) as live:
            # Not folded: the statistics that move have to be there as tensors of their own.
            forward = self.along(partial(self.forward, self.skeleton, live))
            # In batches of the estimator's size, which is part of what
            # it does, and not of `batch_size`.
            return self.result(forward, part, self.estimator.batch), live

    def recalibrated(self, chip: Chip) -> Chip:
        """`chip` after an estimator with calibration images."""
        assert self.estimator is not None
        self._move_("calibration")
        if self._signature is None:
            return calibrated(self.skeleton, chip, self._calibration_inputs, self.estimator)
        return calibrated(
            self._biased,
            # The noise was drawn before, on the network's own tensors:
            # these zeros are exact on every chip.
            replace(chip, state=with_bias_zeros(chip.state, self._biased)),
            self._calibration_inputs,
            self.estimator,
            signature=self._signature,
        )

    @cached_property
    def extra_images(self) -> int:
        """How many images pass the network to recalibrate one chip, counted on the clean one. A
        pass that stops early counts whole; the one that `match` needs for all chips is left out.
        """
        if self.calibration is None:
            return 0
        counts: list[int] = []
        skeleton = self._biased if self._signature is not None else self.skeleton
        # Counted where it happens, so that an estimator's own passes
        # cannot be forgotten in a formula.
        hook = skeleton.register_forward_pre_hook(
            lambda _, args, kwargs: counts.append(count_of_call(args, kwargs)), with_kwargs=True
        )
        try:
            self.recalibrated(self.clean)
        finally:
            hook.remove()
        return sum(counts)

    def prepare_(self) -> None:
        """Compute once what all chips share, so that no chip's seconds carry it."""
        # Also fills the caches behind it: the signature, and the calibration images on the device.
        _ = self.extra_images
        if self.own_score is None:
            _ = self.passes

    def filled_clean(self, row: Row) -> Row:
        """The row of the clean network with its results."""
        self.prepare_()
        started = time.perf_counter()
        with self.seeded(row.seed, "clean", row.chip):
            return self.filled(row, self.clean_score(), started)

    def filled(self, row: Row, result: Result, started: float) -> Row:
        """`row` with its results; `started` is of `time.perf_counter`."""
        return replace(
            row,
            extra_images=0 if row.recalibrate == "off" else self.extra_images,
            score=result.score,
            hits=b"" if result.hits is None else pack(result.hits),
            correct=None if result.hits is None else int(result.hits.sum()),
            nonfinite=result.nonfinite,
            classes=result.classes,
            details=json.dumps(dict(result.details)),
            seconds=time.perf_counter() - started,
        )

    def result(self, forward: Forward, test: Split, batch_size: int | None = None) -> Result:
        """What `forward`, from inputs as the data set holds them to outputs, scores on `test`."""
        return TASKS[test.task].evaluate(forward, test, batch_size or self.batch_size)

    def forward(self, skeleton: nn.Module, chip: Chip, inputs: Inputs) -> Any:
        """What the network returns on `chip` for `inputs` (n, ...) as the data set holds them."""
        return outputs(skeleton, chip, self.ready(inputs))

    def ready(self, inputs: Inputs) -> Inputs:
        """What the network takes, on its device, for `inputs` (n, ...) as the data set has them."""
        return taken(inputs, self.state, self.scale)

    @cached_property
    def passes(self) -> Passes:
        """The network, ready to run chips as fast as it can."""
        return Passes(self.skeleton, self.state, self.example, compiled=self.compiled)

    @cached_property
    def _chip_passes(self) -> Passes:
        """The same for chips, which may compute in another dtype."""
        if not self.dtype:
            return self.passes
        return Passes(
            self.skeleton, self.state, self.example, compiled=self.compiled, dtype=self._dtype
        )

    @property
    def _dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if self.dtype else None

    @cached_property
    def _biased_passes(self) -> Passes:
        state = with_bias_zeros(self.state, self._biased)
        return Passes(self._biased, state, self.example, compiled=self.compiled, dtype=self._dtype)

    @property
    def example(self) -> Inputs:
        """Two test inputs as the network takes them."""
        return self.ready(self.test.part(0, 2).inputs)

    def _on(self, passes: Passes, chip: Chip, test: Split | None = None) -> Result:
        run = passes.load(chip)
        part = self.test if test is None else test
        return self.result(self.along(lambda inputs: run(self.ready(inputs))), part)

    def along(self, forward: Forward) -> Forward:
        """`forward`, batch after batch, so that draws at products go by the sample."""
        return forward if self.products is None else self.products.cursor.along(forward)

    def _move_(self, path: str) -> None:
        """Passes whose samples nobody counts follow: draws go by the call."""
        if self.products is not None:
            self.products.cursor.move_((path,))

    def _owned(self, skeleton: nn.Module, chip: Chip) -> Result:
        assert self.own_score is not None
        # A module of its own: the user's score calls it as it likes, gradients and hooks included.
        model = with_state(skeleton, chip.state)
        self._move_("own score")
        with at_products(model, chip.products):
            return owned(self.own_score, model, self.test)

    @cached_property
    def _calibration_inputs(self) -> Inputs:
        assert self.calibration is not None
        return self.ready(self.calibration)

    @cached_property
    def _biased(self) -> nn.Module:
        return with_biases(self.skeleton)

    @cached_property
    def _signature(self) -> Signature | None:
        """Of the clean network, where the estimator needs it: taken once for all chips."""
        if not isinstance(self.estimator, Match):
            return None
        return signature_of(self.skeleton, self.clean, self._calibration_inputs)
