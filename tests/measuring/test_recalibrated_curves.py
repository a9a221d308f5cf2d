"""Measuring with recalibration: the hits of chips that are fixed by hand."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.requests import Calibration, Network
from noiseproof.measuring.setup import held
from noiseproof.network.chip import Chip
from noiseproof.results.store import Store
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.noise import parse
from noiseproof.tasks.evaluation import evaluate
from tests.measuring.toys import CALIBRATION, GAUSSIAN, network, own_answers, results


def test_recalibrated_chips_equal_manufactured_and_recalibrated_modules() -> None:
    test = own_answers()
    calibration = torch.randn(40, 2, 5, 5, generator=stream(1, "calibration"))
    curve = npf.measure(network(), test, GAUSSIAN, chips=3, calibration=calibration)
    for row in curve.points[0].rows:
        chip = npf.manufacture(network(), GAUSSIAN, seed=0, chip=row.chip)
        fixed = npf.recalibrate(chip, calibration)
        expected = (fixed(test.inputs).argmax(1) == test.labels).numpy()
        assert np.array_equal(row.unpacked(), expected)
        assert (row.recalibrate, row.extra_images) == ("pooled(40)", 40)


# --- recalibration --------------------------------------------------------------------------------


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance per channel, in float64."""
    rows = x.double().movedim(1, 0).flatten(1)
    return rows.mean(1), rows.var(1, correction=0)


def set_statistics(chip: nn.Module, mean: Tensor, var: Tensor) -> None:
    chip[1].running_mean.copy_(mean)
    chip[1].running_var.copy_(var)


def pooled_by_hand(chip: nn.Module, clean: nn.Module, n: int) -> None:
    set_statistics(chip, *moments(chip[0](CALIBRATION[:n])))


def blended_by_hand(chip: nn.Module, clean: nn.Module, n: int, prior: int) -> None:
    (mean, var), share = moments(chip[0](CALIBRATION[:n])), n / (n + prior)
    old_mean, old_var = clean[1].running_mean.double(), clean[1].running_var.double()
    between = share * (1 - share) * (mean - old_mean).square()
    blended = (1 - share) * old_var + share * var + between
    set_statistics(chip, (1 - share) * old_mean + share * mean, blended)


def matched_by_hand(chip: nn.Module, clean: nn.Module, n: int) -> None:
    """Layer after layer, each on what the corrected layers before it make."""
    for place in (0, 4):
        (mean, var), (clean_mean, clean_var) = (
            moments(net[: place + 1](CALIBRATION[:n])) for net in (chip, clean)
        )
        gain = (clean_var / var).sqrt().float()
        layer = chip[place]
        layer.weight.mul_(gain.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.mul_(gain).add_(clean_mean.float() - gain * mean.float())


BY_HAND: dict[str, Callable[[nn.Module, nn.Module], None]] = {
    "pooled(40)": lambda chip, clean: pooled_by_hand(chip, clean, 40),
    "pooled(17)": lambda chip, clean: pooled_by_hand(chip, clean, 17),
    "layerwise(30)": lambda chip, clean: pooled_by_hand(chip, clean, 30),  # one layer: the same
    "blend(20, prior=35)": lambda chip, clean: blended_by_hand(chip, clean, 20, 35),
    "match(25)": lambda chip, clean: matched_by_hand(chip, clean, 25),
}


@pytest.mark.parametrize("text", BY_HAND)
def test_each_estimator_gives_the_hits_of_a_chip_that_is_fixed_by_hand(text: str) -> None:
    test, clean = own_answers(), network()
    curve = npf.measure(
        clean, test, GAUSSIAN.at([0.5, 1.0]), chips=3, recalibrate=text, calibration=CALIBRATION
    )
    different = 0
    for point in curve.points:
        for row in point.rows:
            chip = npf.manufacture(clean, parse(row.noise), seed=0, chip=row.chip)
            with torch.no_grad():
                plain = chip(test.inputs).argmax(1) == test.labels
                BY_HAND[text](chip, clean)
            expected = evaluate(chip, test, scale=UNSCALED, batch_size=60).hits
            assert np.array_equal(row.unpacked(), expected)
            n = npf.estimators.parse_estimator(text).calibration_images
            assert (row.recalibrate, row.extra_images) == (text, n)
            different += not np.array_equal(expected, plain.numpy())
    assert different >= 3, "it makes a difference"


@pytest.mark.parametrize(("text", "momentum"), [("ema(0.3, batch=16)", 0.3), ("batch(25)", 1.0)])
def test_statistics_that_follow_the_test_batches_are_those_of_a_literal_loop(
    text: str, momentum: float
) -> None:
    test, size = own_answers(), int(text.replace("batch=", "")[:-1].split("(")[1].split(",")[-1])
    curve = npf.measure(network(), test, GAUSSIAN, chips=3, recalibrate=text, batch_size=7)
    for row in curve.points[0].rows:
        chip = npf.manufacture(network(), GAUSSIAN, seed=0, chip=row.chip)
        hits = []
        with torch.no_grad():
            for part, labels in zip(test.inputs.split(size), test.labels.split(size), strict=True):
                mean, var = moments(chip[0](part))
                old = (chip[1].running_mean.double(), chip[1].running_var.double())
                set_statistics(
                    chip,
                    (1 - momentum) * old[0] + momentum * mean,
                    (1 - momentum) * old[1] + momentum * var,
                )
                hits += (chip(part).argmax(1) == labels).tolist()
        assert row.unpacked().tolist() == hits
        assert (row.calibration, row.calibration_sha256, row.extra_images) == ("test", "", 0)


def test_match_works_on_a_network_without_any_normalisation() -> None:
    with npf.rng.seeded(0, "bare"):
        net = nn.Sequential(
            nn.Conv2d(2, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4, bias=False)
        ).eval()
    images = own_answers().inputs
    with torch.no_grad():
        test = Split(inputs=images, labels=net(images).argmax(1))
    off = npf.measure(net, test, GAUSSIAN, chips=12)
    fixed = npf.measure(
        net, test, GAUSSIAN, chips=12, recalibrate="match(40)", calibration=CALIBRATION
    )
    assert fixed.points[0].by_chip != off.points[0].by_chip
    for row in fixed.points[0].rows:
        chip = npf.manufacture(net, GAUSSIAN, seed=0, chip=row.chip)
        by_module = npf.recalibrate(chip, CALIBRATION, estimator="match(40)", clean=net)
        assert row.score == evaluate(by_module, test, scale=UNSCALED, batch_size=60).score


@pytest.mark.parametrize("text", BY_HAND)
def test_level_zero_is_the_clean_network_recalibrated(text: str) -> None:
    test, chip = own_answers(), network()
    options = {"recalibrate": text, "calibration": CALIBRATION}
    curve = npf.measure(network(), test, GAUSSIAN.at([0.0]), chips=3, **options)
    with torch.no_grad():
        BY_HAND[text](chip, network())
    expected = evaluate(chip, test, scale=UNSCALED, batch_size=60)
    assert [row.score for row in curve.points[0].rows] == [expected.score] * 3
    assert curve.clean.score == 1, "the clean row is never recalibrated"
    if text.startswith("match"):
        assert expected.score == 1


def test_more_images_than_there_are_or_no_images_are_refused() -> None:
    for text, found in (("pooled(41)", 40), ("match(100)", 40), ("41", 40)):
        with pytest.raises(ValueError, match=rf"needs \d+ calibration images, got {found}$"):
            npf.measure(
                network(), own_answers(), GAUSSIAN, recalibrate=text, calibration=CALIBRATION
            )
    with pytest.raises(ValueError, match=r"layerwise\(3\) needs 3 calibration images, got 0$"):
        npf.measure(network(), own_answers(), GAUSSIAN, recalibrate="layerwise(3)")


def test_calibration_images_that_do_not_fit_are_refused_before_any_chip(store: Store) -> None:
    for wrong, sentence in (
        (CALIBRATION[:, :1], r"fails on inputs of shape \(2, 1, 5, 5\)"),
        ((CALIBRATION, CALIBRATION), r"forward\(\) takes 2 positional arguments but 3 were given"),
        (CALIBRATION[:0], "images must be >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            npf.measure(network(), own_answers(), GAUSSIAN, calibration=wrong, store=store)  # type: ignore[arg-type]
    assert not store.rows()


EVERY_WAY = ("off", *BY_HAND, "ema(0.1, batch=16)", "batch(20)")


def calibrated_by(text: str) -> dict[str, object]:
    needs = text not in ("off", "ema(0.1, batch=16)", "batch(20)")
    return {"recalibrate": text, "calibration": CALIBRATION if needs else None}


def test_several_estimators_share_one_store_and_each_resumes(tmp_path: Path) -> None:
    def run(path: Path, chips: int) -> None:
        with Store(path) as opened:
            for text in EVERY_WAY:
                npf.measure(
                    network(),
                    own_answers(),
                    GAUSSIAN,
                    chips=chips,
                    store=opened,
                    **calibrated_by(text),  # type: ignore[arg-type]
                )

    run(tmp_path / "whole.db", 3)
    run(tmp_path / "grown.db", 1)
    run(tmp_path / "grown.db", 3)
    with Store(tmp_path / "whole.db") as whole, Store(tmp_path / "grown.db") as grown:
        assert results(whole.rows()) == results(grown.rows())
        assert len(whole.rows()) == 1 + 3 * len(EVERY_WAY)
        curves = npf.curves.curves_of(whole.rows())
    assert [curve.first.recalibrate for curve in curves] == list(EVERY_WAY)


@pytest.mark.parametrize("text", EVERY_WAY)
def test_nothing_of_the_users_model_changes(text: str) -> None:
    with npf.rng.seeded(0, "net"):
        net = nn.Sequential(
            nn.Conv2d(2, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(54, 4, bias=False),
        )
    net.train()
    net[1].eval()
    modes = [module.training for module in net.modules()]
    before = copy.deepcopy(net.state_dict())
    curve = npf.measure(net, own_answers(), GAUSSIAN, chips=2, **calibrated_by(text))  # type: ignore[arg-type]
    assert [module.training for module in net.modules()] == modes
    assert list(net.state_dict()) == list(before), "no bias has come"
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    still = npf.measure(net.eval(), own_answers(), GAUSSIAN, chips=2, **calibrated_by(text))  # type: ignore[arg-type]
    assert [r.hits for r in curve.points[0].rows] == [r.hits for r in still.points[0].rows], (
        "dropout is off while measuring"
    )


@pytest.mark.parametrize("text", [text for text in EVERY_WAY if text[:3] not in ("off", "mat")])
def test_recalibration_without_anything_to_recalibrate_is_said(text: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(50, 4))
    plain = npf.measure(net, own_answers(), GAUSSIAN, chips=2)
    sentence = rf"has nothing that {re.escape(text)} could recalibrate"
    with pytest.warns(NoEffectWarning, match=sentence) as caught:
        curve = npf.measure(net, own_answers(), GAUSSIAN, chips=2, **calibrated_by(text))  # type: ignore[arg-type]
    assert caught[0].filename == __file__, "the warning points at the caller"
    assert curve.points[0].by_chip == plain.points[0].by_chip


def test_labels_never_reach_a_recalibration() -> None:
    """With the labels shuffled the fixed states are the same; only what counts as right changes."""
    test = own_answers()
    shuffled = Split(inputs=test.inputs, labels=test.labels.flip(0))
    for text in EVERY_WAY[1:]:
        estimator = npf.estimators.parse_estimator(text)
        fixed = []
        for split in (test, shuffled):
            setup = held(network(), split, Network(), Calibration(images=CALIBRATION))
            evaluator = open_evaluator(setup, estimator)
            state = npf.noise.perturb(evaluator.state, evaluator.places, GAUSSIAN, seed=0, chip=0)
            if evaluator.calibration is None:
                fixed.append(evaluator.scored(Chip(state))[1].state)
            else:
                fixed.append(evaluator.recalibrated(Chip(state)).state)
        assert fixed[0].keys() == fixed[1].keys()
        assert all(torch.equal(fixed[0][name], fixed[1][name]) for name in fixed[0])
        assert any(not torch.equal(fixed[0][name], state[name]) for name in state)
