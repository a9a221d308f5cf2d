"""A network by what it is measured on: the model is copied, looked at, and checked once."""

from collections.abc import Sized

import torch
from torch import nn

from noiseproof.core.device import device_name, device_of, pick_device
from noiseproof.core.inputs import Inputs, count, rows
from noiseproof.core.plugins import code_of
from noiseproof.core.version import __version__
from noiseproof.data import Split
from noiseproof.hardware import Products, products_at
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.identity import (
    USUAL_ROUNDING,
    Look,
    Randomness,
    look_at,
    structure_of,
)
from noiseproof.measuring.setup import Setup
from noiseproof.measuring.watching import Analog, analog_of, example_of
from noiseproof.network import (
    Chip,
    State,
    network_sha256,
    outputs,
    set_eps_,
    skeleton_of,
    state_of,
)
from noiseproof.results import Computes, Row
from noiseproof.specs import UNSCALED, Estimator, digital_text
from noiseproof.tasks import (
    TASKS,
    Score,
    ScoreFunction,
    check_fits,
    facts_of_score,
    own,
    taken,
)

SEEN = 3
"""Test inputs that show where samples lie in what layers return."""


def open_evaluator(setup: Setup, estimator: Estimator | None, compensate: str = "off") -> Evaluator:
    """An evaluator, checked: the model is copied, two of the test images have run through it.

    Raises:
        ValueError: where the network and the test or calibration images do not fit.
    """
    network, data, calibration = setup.network, setup.test, setup.calibration
    score, scale, subject = setup.score, setup.scale or UNSCALED, setup.subject
    skeleton = skeleton_of(setup.model)
    if network.device is not None:
        skeleton = skeleton.to(pick_device(network.device))
    set_eps_(skeleton, network.stored)
    state = state_of(skeleton)
    usual = own.BATCH_SIZE
    if score is None:
        data = check_fits(skeleton, data, scale)
        usual = TASKS[data.task].batch_size
    example = example_of(data, state, scale)
    needed = 0 if estimator is None else estimator.calibration_images
    used = rows(calibration, slice(0, needed)) if calibration is not None and needed else None
    assert needed == (0 if used is None else count(used)), "whoever made the setup has counted"
    if used is not None:  # refused now, not after the first chips
        outputs(skeleton, Chip(state), taken(rows(used, slice(0, 2)), state, scale))
    # Only pixels pass through the scale: rows of float inputs must
    # not differ by one that had no part.
    pixels = isinstance(data, Split) and data.has_pixels
    # Before anything is folded, which computes the same, but for rounding.
    sha256 = subject.checkpoint or network_sha256(skeleton, state)
    look = _looked(score, skeleton, state, example)
    analog = analog_of(skeleton, network, example)
    range_images = _range_images(setup)
    products = _products_of(setup, analog, data, range_images)
    row = Row(
        checkpoint=sha256,
        model=subject.model or type(setup.model).__name__,
        norm=network.stored.norm_text(subject.norm),
        task=data.task if score is None and isinstance(data, Split) else subject.task,
        score_is="" if score is None else facts_of_score(score).text(),
        data=subject.data,
        data_sha256=data.sha256() if isinstance(data, Split) else "",
        scale=str(scale) if pixels else "as is",
        computes=str(look.computes),
        noise="none",
        targets="",
        recalibrate="off",
        calibration_sha256="",
        seed=0,
        chip=0,
        level=None,
        images=_count(data),
        classes=0,
        score=0.0,
        correct=None,
        nonfinite=0,
        hits=b"",
        seconds=0.0,
        device=device_name(device_of(state)),
        versions=f"noiseproof {__version__}, torch {torch.__version__}",
        threads=torch.get_num_threads(),
    )
    return Evaluator(
        skeleton=analog.skeleton,
        state=analog.state,
        places=analog.places,
        scale=scale,
        test=data,
        own_score=score,
        estimator=estimator,
        calibration=used,
        calibration_source=subject.calibration,
        compiled=network.compiled,
        work=analog.work,
        digital=digital_text(network.digital),
        stored=network.stored,
        compensate=compensate,
        dtype=network.dtype,
        has_own_maps=analog.has_own_maps,
        batch_size=network.batch_size or usual.on(device_of(state)),
        clean_row=row,
        randomness=look.randomness,
        products=products,
        range_images=range_images,
    )


def _range_images(setup: Setup) -> Inputs | None:
    """The calibration images that decide the ranges of converters.

    Raises:
        ValueError: where there are not as many as asked for.
    """
    mvm, there = setup.network.mvm, setup.calibration
    if not mvm.images:
        return None
    found = 0 if there is None else count(there)
    if there is None or found < mvm.images:
        raise ValueError(
            f"{mvm} needs {mvm.images} calibration images for its ranges, got {found}: give them "
            "as calibration=images"
        )
    return rows(there, slice(0, mvm.images))


def _products_of(
    setup: Setup, analog: Analog, test: object, images: Inputs | None
) -> Products | None:
    """What happens at products, measured on the clean network; None for nothing."""
    network, scale = setup.network, setup.scale or UNSCALED
    if not network.mvm:
        return None
    if not isinstance(test, Split) or not len(test):
        raise ValueError(
            f"{network.mvm} needs test inputs of a known form, to see where samples lie: give "
            "a Split(inputs=..., labels=...)"
        )
    kernels = [name for name, place in analog.places.items() if place.role == "kernel"]
    return products_at(
        analog.skeleton,
        analog.state,
        network.mvm,
        analog=kernels,
        example=taken(test.part(0, min(SEEN, len(test))).inputs, analog.state, scale),
        images=None if images is None else taken(images, analog.state, scale),
        mapping=network.stored.array,
    )


def _looked(
    score: ScoreFunction | None, skeleton: nn.Module, state: State, example: Inputs | None
) -> Look:
    """A look at the first test inputs. Of data of an unknown form there are none: then its clean
    score says what a network computes, once that is measured."""
    # How a score is read is no part of what is computed.
    function = score.function if isinstance(score, Score) else score
    code = () if function is None else (code_of(function),)
    structure = structure_of(skeleton, *code)
    computes = Computes(structure=structure, tolerance=USUAL_ROUNDING, figures=())
    unknown = Look(computes=computes, randomness=Randomness.NONE)
    if example is None:
        return unknown
    try:
        return look_at(skeleton, state, example, *code)
    except ValueError:
        if score is None:
            raise
        return unknown  # a score of one's own may give the network something else


def _count(data: object) -> int:
    """The number of test samples; 0 where it is not known, as in data of the user's own form."""
    images = data if isinstance(data, Split) else getattr(data, "dataset", None)
    return len(images) if isinstance(images, Sized) else 0
