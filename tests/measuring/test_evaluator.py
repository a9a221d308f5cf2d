"""One network, its test set, its way to recalibrate, and the words that its rows carry."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.requests import Network, Subject
from noiseproof.measuring.setup import Setup
from noiseproof.network.chip import Chip
from noiseproof.network.state import network_sha256, state_of, state_sha256
from noiseproof.specs.estimators import Ema, Estimator, Match, Pooled
from tests.measuring.toys import network

IMAGES = torch.randn(20, 2, 5, 5, generator=stream(0, "test"))
TEST = Split(inputs=IMAGES, labels=torch.arange(20) % 4)


def evaluator(
    estimator: Estimator | None = None,
    *,
    calibration: Tensor | None = None,
    test: Split = TEST,
    **network_options: Any,
) -> Evaluator:
    setup = Setup(
        model=network(),
        test=test,
        calibration=IMAGES.flip(0) if calibration is None else calibration,
        network=Network(**network_options),
    )
    return open_evaluator(setup, estimator)


def test_the_fingerprint_of_a_state_sees_names_shapes_and_values() -> None:
    state = state_of(network())
    base = state_sha256(state)
    assert base == state_sha256({k: v.clone() for k, v in reversed(state.items())})
    changed = {**state, "4.bias": state["4.bias"] + 1e-6}
    renamed = {("x" if k == "4.bias" else k): v for k, v in state.items()}
    reshaped = {**state, "4.weight": state["4.weight"].reshape(54, 4)}
    assert len({state_sha256(one) for one in (state, changed, renamed, reshaped)}) == 4


def test_a_row_says_how_many_threads_compute_it() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            torch.set_num_threads(threads)
            assert evaluator().clean_row.threads == threads
    finally:
        torch.set_num_threads(before)


def test_a_subject_names_what_is_measured_and_the_rest_is_found_out() -> None:
    plain = evaluator().clean_row
    assert (plain.checkpoint, plain.model) == (
        network_sha256(network(), state_of(network())),
        "Sequential",
    )
    assert (plain.task, plain.data, plain.norm, plain.scale) == ("classify", "own", "own", "as is")
    named = evaluator(subject=Subject(checkpoint="c", model="m", norm="n", data="d")).clean_row
    assert (named.checkpoint, named.model, named.norm, named.data) == ("c", "m", "n", "d")
    assert named.task == "classify", "the labels say it"
    assert named.data_sha256 == plain.data_sha256 == TEST.sha256()


def test_a_chips_row_says_what_the_estimator_saw() -> None:
    subject = Subject(calibration="train augmented")
    pooled = evaluator(Pooled(images=7), subject=subject)
    assert pooled.chip_row.recalibrate == "pooled(7)"
    assert pooled.chip_row.calibration == "train augmented"
    assert pooled.chip_row.calibration_sha256 == state_sha256({"images": IMAGES.flip(0)[:7]})
    ema = evaluator(Ema(momentum=0.1), subject=subject).chip_row
    assert (ema.recalibrate, ema.calibration) == ("ema(0.1, batch=128)", "test")
    assert ema.calibration_sha256 == ""
    off = evaluator(subject=subject).chip_row
    assert (off.recalibrate, off.calibration, off.calibration_sha256) == ("off", "", "")


@pytest.mark.parametrize("estimator", [Pooled(images=7), Match(images=7)])
def test_only_the_first_images_are_used_and_only_they_are_named(estimator: Estimator) -> None:
    first = IMAGES.flip(0)[:7]
    whole, cut = evaluator(estimator), evaluator(estimator, calibration=first)
    assert whole.chip_row == cut.chip_row
    for name, tensor in whole.recalibrated(whole.clean).state.items():
        assert torch.equal(tensor, cut.recalibrated(cut.clean).state[name])


def test_extra_images_are_those_that_pass_the_network_for_one_chip() -> None:
    assert evaluator().extra_images == 0
    assert evaluator(Ema(momentum=0.1)).extra_images == 0
    assert evaluator(Pooled(images=7)).extra_images == 7
    assert evaluator(Pooled(images=7, batch=2)).extra_images == 7
    assert evaluator(Match(images=7)).extra_images == 7, "the clean pass serves all chips"


def test_the_clean_signature_is_taken_once_for_all_chips() -> None:
    passes: list[int] = []

    matching = evaluator(Match(images=7))
    count = matching.skeleton.register_forward_hook(lambda *_: passes.append(1))
    for level in (1.0, 2.0, 3.0):
        state = {**matching.state, "0.weight": matching.state["0.weight"] * level}
        matching.recalibrated(Chip(state))
    count.remove()
    assert len(passes) == 1 + 3, "one of the clean network, one of each chip"


def test_a_part_of_the_test_images_is_scored_with_the_same_evaluator() -> None:
    whole = evaluator()
    parts = [TEST.part(start, start + 5) for start in (0, 5, 10, 15)]
    scores = [whole.score(whole.clean, part).score for part in parts]
    assert sum(scores) / 4 == pytest.approx(whole.clean_score().score)
    assert whole.test is TEST


def test_a_filled_row_adds_up_and_is_recalibrated_in_words_too() -> None:
    pooled = evaluator(Pooled(images=7))
    state = {**pooled.state, "0.weight": pooled.state["0.weight"] * 2}
    row = pooled.filled(replace(pooled.chip_row, chip=3), pooled.score(Chip(state)), 0.0)
    assert row.correct == row.unpacked().sum() == row.score * 20
    assert (row.chip, row.extra_images, row.classes) == (3, 7, 4)
    clean = pooled.filled(pooled.clean_row, pooled.clean_score(), 0.0)
    assert clean.extra_images == 0


def test_pixels_reach_the_network_and_its_recalibration_in_the_same_scale() -> None:
    """Bytes and the floats that they stand for give the same chip."""
    pixels = torch.randint(0, 256, (20, 2, 5, 5), generator=stream(0, "pixels")).to(torch.uint8)
    scale = npf.catalog.PixelScale(mean=(0.4, 0.5), std=(0.2, 0.3))
    floats = npf.data.scaled(pixels, scale)
    fixed: list[dict[str, Tensor]] = []
    for images in (pixels, floats):
        split = Split(inputs=images, labels=TEST.labels)
        one = evaluator(Pooled(images=20), calibration=images, test=split, scale=scale)
        fixed.append(one.recalibrated(one.clean).state)
        assert one.clean_row.scale == (str(scale) if images is pixels else "as is")
    assert all(torch.equal(fixed[0][name], fixed[1][name]) for name in fixed[0])
