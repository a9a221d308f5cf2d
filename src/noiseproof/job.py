"""One network on one test set: a state goes in, a score comes out."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

import noiseproof
from noiseproof.accelerator import device_name, device_of, pick_device
from noiseproof.analog import analog_layers, with_bias_zeros, with_biases
from noiseproof.catalog import UNSCALED, PixelScale
from noiseproof.data import Split, scaled
from noiseproof.estimators import Batch, Ema, Estimator, Match, images_forwarded
from noiseproof.evaluation import BATCH_SIZES, check_fits
from noiseproof.following import following
from noiseproof.matching import Signature, signature_of
from noiseproof.network import Place, State, outputs, places, skeleton_of, state_of, with_state
from noiseproof.recalibration import calibrated, running_layers
from noiseproof.records import Row, pack
from noiseproof.tasks import TASKS, Result

Score = Callable[[nn.Module, Any], float]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured, in the words that every row carries. `checkpoint` is a sha256; `task` and
    `data` name a score and data of one's own; `calibration` says where its images come from."""

    checkpoint: str
    model: str
    norm: str = "own"
    task: str = "own"
    data: str = "own"
    calibration: str = "own"


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One network, its test set, its score and its way to recalibrate, ready to run any state."""

    skeleton: nn.Module
    state: State
    places: dict[str, Place]
    inputs: Callable[[Tensor], Tensor]
    test: Any
    own_score: Score | None
    estimator: Estimator | None
    calibration: Tensor | None  # as many images as the estimator asks for
    calibration_source: str  # where they come from, in words
    batch_size: int
    clean_row: Row  # a row with everything filled in but the results

    @property
    def device(self) -> torch.device:
        return device_of(self.state)

    @property
    def chip_row(self) -> Row:
        """The clean row with the words of this job's recalibration; its sha256 names the images."""
        if self.estimator is None:
            return self.clean_row
        images = self.calibration
        return replace(
            self.clean_row,
            recalibrate=str(self.estimator),
            calibration="test" if self.estimator.sees_test else self.calibration_source,
            calibration_sha256="" if images is None else state_sha256({"images": images}),
            extra_images=images_forwarded(
                self.estimator, layers=len(running_layers(self.skeleton))
            ),
        )

    @property
    def can_recalibrate(self) -> bool:
        """Is there anything in this network that the estimator works on?"""
        if isinstance(self.estimator, Match):
            return bool(analog_layers(self.skeleton))
        return bool(running_layers(self.skeleton))

    def clean_score(self) -> Result:
        """The network as it is, not recalibrated."""
        return self._scored(self.skeleton, self.state, self.batch_size)

    def score(self, state: State) -> Result:
        """The chip `state`, recalibrated if this job says so."""
        if self.calibration is None:
            return self.scored(state)[0]
        skeleton = self._biased if self._signature is not None else self.skeleton
        return self._scored(skeleton, self.recalibrated(state), self.batch_size)

    def scored(self, state: State) -> tuple[Result, State]:
        """The chip `state` as it is, and its state afterwards, which an estimator that follows the
        test batches has moved."""
        if not isinstance(self.estimator, Ema | Batch):
            return self._scored(self.skeleton, state, self.batch_size), state
        with following(self.skeleton, state, self.estimator) as live:
            return self._scored(self.skeleton, live, self.estimator.batch), live

    def recalibrated(self, state: State) -> State:
        """The chip `state` after an estimator with calibration images."""
        assert self.estimator is not None
        assert self.calibration is not None
        if self._signature is None:
            return calibrated(self.skeleton, state, self._calibration_inputs, self.estimator)
        return calibrated(
            self._biased,
            with_bias_zeros(state, self._biased),
            self._calibration_inputs,
            self.estimator,
            signature=self._signature,
        )

    def filled(self, row: Row, result: Result, started: float) -> Row:
        """`row` with its results; `started` is of `time.perf_counter`."""
        return replace(
            row,
            score=result.score,
            hits=b"" if result.hits is None else pack(result.hits),
            correct=None if result.hits is None else int(result.hits.sum()),
            nonfinite=result.nonfinite,
            classes=result.classes,
            details=json.dumps(dict(result.details)),
            seconds=time.perf_counter() - started,
        )

    def of_part(self, part: Split) -> "Job":
        """The same job on other test images."""
        return replace(self, test=part)

    def forward(self, skeleton: nn.Module, state: State, images: Tensor) -> Any:
        """What the network returns for `images` (n, C, H, W) as the data set holds them."""
        return outputs(skeleton, state, self.inputs(images.to(self.device)))

    def _scored(self, skeleton: nn.Module, state: State, batch_size: int) -> Result:
        if self.own_score is not None:
            return Result(score=float(self.own_score(with_state(skeleton, state), self.test)))
        return TASKS[self.test.task].evaluate(
            partial(self.forward, skeleton, state), self.test, batch_size
        )

    @cached_property
    def _calibration_inputs(self) -> Tensor:
        assert self.calibration is not None
        return self.inputs(self.calibration.to(self.device))

    @cached_property
    def _biased(self) -> nn.Module:
        return with_biases(self.skeleton)

    @cached_property
    def _signature(self) -> Signature | None:
        """Of the clean network, where the estimator needs it: taken once for all chips."""
        if not isinstance(self.estimator, Match):
            return None
        return signature_of(self.skeleton, self.state, self._calibration_inputs)


def open_job(
    model: nn.Module,
    test: object,
    *,
    estimator: Estimator | None,
    calibration: Tensor | None,
    score: Score | None,
    scale: PixelScale | None,
    batch_size: int | None,
    device: str | None,
    subject: Subject | None,
) -> Job:
    """A job, checked: `model` is copied, two of the test images have run through it.

    Raises:
        ValueError: where the network and the test images do not fit, or an estimator that follows
            the test batches meets a score of one's own, whose batches are not known.
    """
    skeleton = skeleton_of(model)
    if device is not None:
        skeleton = skeleton.to(pick_device(device))
    state = state_of(skeleton)
    scale = scale or UNSCALED
    data = test if score is not None or isinstance(test, Split) else _pair(test)
    if score is None:
        assert isinstance(data, Split)
        check_fits(skeleton, data, scale)
    elif estimator is not None and estimator.sees_test:
        raise ValueError(f"{estimator} needs the test batches, which a score of your own makes")
    subject = subject or Subject(checkpoint=state_sha256(state), model=type(model).__name__)
    pixels = isinstance(data, Split) and data.images.dtype == torch.uint8
    row = Row(
        checkpoint=subject.checkpoint,
        model=subject.model,
        norm=subject.norm,
        task=data.task if score is None and isinstance(data, Split) else subject.task,
        data=subject.data,
        data_sha256=data.sha256() if isinstance(data, Split) else "",
        scale=str(scale) if pixels else "as is",
        noise="none",
        targets="",
        recalibrate="off",
        calibration_sha256="",
        seed=0,
        chip=0,
        level=None,
        images=len(data) if hasattr(data, "__len__") else 0,
        classes=0,
        score=0.0,
        correct=None,
        nonfinite=0,
        hits=b"",
        seconds=0.0,
        device=device_name(device_of(state)),
        versions=f"noiseproof {noiseproof.__version__}, torch {torch.__version__}",
    )
    needed = 0 if estimator is None else estimator.calibration_images
    return Job(
        skeleton=skeleton,
        state=state,
        places=places(skeleton),
        inputs=partial(scaled, scale=scale),
        test=data,
        own_score=score,
        estimator=estimator,
        calibration=calibration[:needed] if calibration is not None and needed else None,
        calibration_source=subject.calibration,
        batch_size=batch_size or BATCH_SIZES.get(row.task, BATCH_SIZES["classify"]),
        clean_row=row,
    )


def _pair(test: object) -> Split:
    if not isinstance(test, tuple) or len(test) != 2:
        raise ValueError(
            f"test must be a Split, or a pair of images and labels, got {type(test).__name__}; "
            "other data needs a score of your own"
        )
    return Split(images=test[0], labels=test[1])


def state_sha256(state: State) -> str:
    """The fingerprint of a state: names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
