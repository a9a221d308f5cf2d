"""Measuring: rows equal a literal loop, and the model is left as it is."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.specs.noise import parse
from tests.measuring.toys import GAUSSIAN, network, own_answers


def literal_hits(net: nn.Module, test: Split, level: float, chip: int) -> np.ndarray:
    """The plainest script: copy, add noise to the kernels, run, compare."""
    noisy = copy.deepcopy(net)
    with torch.no_grad():
        for name in ("0.weight", "4.weight"):
            w = noisy.get_parameter(name)
            z = torch.randn(w.shape, generator=stream(0, chip, name, "gaussian0"))
            w.add_(level * w.double().std(correction=0).float() * z)
        return (noisy(test.inputs).argmax(1) == test.labels).numpy()


def test_rows_hold_the_hits_of_a_literal_script() -> None:
    test = own_answers()
    curve = npf.measure(network(), test, GAUSSIAN.at([0.2, 1.0]), chips=4, seed=0)
    assert curve.clean.score == 1
    for point in curve.points:
        for row in point.rows:
            expected = literal_hits(network(), test, float(row.level or 0), row.chip)
            assert np.array_equal(row.unpacked(), expected)
            assert row.correct == expected.sum()
    assert curve.points[1].accuracy.mean < curve.points[0].accuracy.mean < 1


def test_level_zero_is_the_clean_network_on_every_chip() -> None:
    curve = npf.measure(network(), own_answers(), GAUSSIAN.at([0.0]), chips=3)
    assert [row.hits for row in curve.points[0].rows] == [curve.clean.hits] * 3
    assert [row.chip for row in curve.points[0].rows] == [0, 1, 2]


def test_more_chips_keep_the_first_ones_and_batches_change_nothing() -> None:
    few = npf.measure(network(), own_answers(), GAUSSIAN, chips=3)
    many = npf.measure(network(), own_answers(), GAUSSIAN, chips=6, batch_size=7)
    hits = [row.hits for row in many.points[0].rows]
    assert hits[:3] == [row.hits for row in few.points[0].rows]
    assert len(set(hits)) > 1


def test_the_model_is_left_as_it_is_even_in_training_mode() -> None:
    net = network().train()
    net[1].eval()
    before = copy.deepcopy(net.state_dict())
    curve = npf.measure(net, own_answers(), GAUSSIAN, chips=2, calibration=own_answers().inputs)
    assert [m.training for m in net.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    plain = npf.measure(
        network(), own_answers(), GAUSSIAN, chips=2, calibration=own_answers().inputs
    )
    assert [r.hits for r in curve.points[0].rows] == [r.hits for r in plain.points[0].rows]


def test_non_finite_outputs_are_counted_and_are_misses() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = torch.zeros(len(x), 3)
            logits[:, 0] = 1.0
            logits[::4] = float("nan")
            return logits

    net = nn.Sequential(nn.Linear(1, 1), Broken())
    test = Split(inputs=torch.zeros(20, 1), labels=torch.zeros(20, dtype=torch.int64))
    curve = npf.measure(net, test, GAUSSIAN.at(0), chips=2)
    assert curve.points[0].nonfinite == 2 * 5
    assert curve.clean.nonfinite == 5
    assert curve.clean.correct == 15, "nan reads as class 0, which is the label here"


def test_a_noisy_running_variance_shows_in_the_nonfinite_column() -> None:
    curve = npf.measure(
        network(),
        own_answers(),
        parse("gaussian(5.0, reference=max)"),
        targets=("norm_stats",),
        chips=5,
    )
    point = curve.points[0]
    negative = 0
    for row in point.rows:
        chip = npf.manufacture(
            network(), parse(point.noise), chip=row.chip, targets=("norm_stats",)
        )
        bad = bool((chip[1].running_var + chip[1].eps < 0).any())
        negative += bad
        assert (row.nonfinite > 0) == bad
    assert 0 < negative <= 5


def test_times_of_devices_that_do_not_age_are_warned_of() -> None:
    with pytest.warns(NoEffectWarning, match=r"the times change nothing: pcm_joshi has program"):
        npf.measure(network(), own_answers(), hardware="pcm_joshi", times="0s,1h", chips=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        npf.measure(network(), own_answers(), hardware="pcm", times="0s,1h", chips=2)
        npf.measure(network(), own_answers(), hardware="pcm_joshi", times="1h", chips=2)


def test_layers_that_stay_digital_need_no_room_in_a_tile() -> None:
    asked = {"hardware": "pcm", "times": "1h", "chips": 1, "mapping": "scale=tile, tile=8x8"}
    with pytest.raises(ValueError, match="a tile must hold at least one input channel, 9 rows"):
        npf.measure(network(), own_answers(), **asked)
    assert npf.measure(network(), own_answers(), digital="first", **asked).points[0].chips == 1
