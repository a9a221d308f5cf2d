"""Measuring into a store, and what is refused."""

import contextlib
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.device import pick_device
from noiseproof.data.splits import Split
from noiseproof.network.state import state_of
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.noise import parse
from tests.measuring.toys import GAUSSIAN, network, own_answers, results

# --- the store ------------------------------------------------------------------------------------


def test_a_second_run_measures_nothing_and_more_chips_measure_only_those(store: Store) -> None:
    seen: list[tuple[int, int]] = []

    def run(chips: int) -> npf.curves.Curve:
        return npf.measure(
            network(),
            own_answers(),
            GAUSSIAN.at([0.2, 0.5]),
            chips=chips,
            store=store,
            on_row=lambda row, done, total: seen.append((done, total)),
        )

    first = run(2)
    assert seen == [(i, 5) for i in range(1, 6)]  # the clean network and 2 x 2 chips
    seen.clear()
    assert results([r for p in run(2).points for r in p.rows]) == results(
        [r for p in first.points for r in p.rows]
    )
    assert not seen
    run(3)
    assert seen == [(1, 2), (2, 2)]


def test_a_run_stopped_at_any_row_ends_in_the_rows_of_a_whole_run(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def run(path: Path, stop_at: int = 0) -> set[tuple[object, ...]]:
        def stop(row: Row, done: int, total: int) -> None:
            if done == stop_at:
                raise StopError

        with Store(path) as opened:
            with contextlib.suppress(StopError):
                npf.measure(
                    network(),
                    own_answers(),
                    GAUSSIAN.at([0.0, 0.5]),
                    chips=3,
                    store=opened,
                    on_row=stop,
                )
            return results(opened.rows())

    whole = run(tmp_path / "whole.db")
    assert len(whole) == 7
    for stop_at in range(1, 5):
        path = tmp_path / f"stopped{stop_at}.db"
        assert run(path, stop_at) < whole
        assert run(path) == whole


def test_other_weights_images_targets_and_calibrations_are_other_rows(store: Store) -> None:
    other = network()
    nn.init.zeros_(other[4].bias)
    half = Split(inputs=own_answers().inputs[:30], labels=own_answers().labels[:30])
    runs = [
        {"model": network(), "test": own_answers()},
        {"model": other, "test": own_answers()},
        {"model": network(), "test": half},
        {"model": network(), "test": own_answers(), "targets": ("kernel", "bias")},
        {"model": network(), "test": own_answers(), "calibration": own_answers().inputs},
        {"model": network(), "test": own_answers(), "calibration": own_answers().inputs.flip(0)},
        {"model": network(), "test": own_answers(), "seed": 1},
    ]
    for noisy, run in enumerate(runs, start=1):
        model, test = run.pop("model"), run.pop("test")
        npf.measure(model, test, GAUSSIAN, chips=1, store=store, **run)  # type: ignore[arg-type]
        assert sum(row.noise != "none" for row in store.rows()) == noisy


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"chips": 0}, "chips must be >= 1, got 0"),
        ({"batch_size": 0}, "batch size must be >= 1, got 0"),
        ({"targets": ("weights",)}, "unknown target 'weights': expected one of kernel"),
        ({"targets": ()}, "targets must name at least one of"),
        ({"device": "tpu"}, "unknown device 'tpu': expected one of auto, cpu, cuda, mps"),
    ],
)
def test_values_out_of_range_are_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(network(), own_answers(), GAUSSIAN, **options)  # type: ignore[arg-type]


def test_two_kinds_of_noise_or_none_are_refused() -> None:
    with pytest.raises(ValueError, match="one kind of noise at a time, got 2"):
        npf.measure(network(), own_answers(), [GAUSSIAN, parse("lognormal(0.1)")])
    with pytest.raises(ValueError, match="nothing to measure without noise"):
        npf.measure(network(), own_answers(), parse("none"))


def test_a_model_that_returns_no_logits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a classifier must return logits \(N, C\)"):
        npf.measure(nn.Conv2d(2, 4, 3), own_answers(), GAUSSIAN)


def test_images_and_labels_that_do_not_fit_the_network_are_refused_first(store: Store) -> None:
    images, labels = own_answers().inputs, own_answers().labels
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(2, 1, 5, 5\)"):
        npf.measure(network(), (images[:, :1], labels), GAUSSIAN, store=store)
    with pytest.raises(ValueError, match="the labels go up to 4, the network knows 4 classes"):
        npf.measure(network(), (images, labels + 1), GAUSSIAN, store=store)
    assert not store.rows()


def test_an_empty_split_is_refused() -> None:
    empty = Split(inputs=torch.zeros(0, 2, 5, 5), labels=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="images must be >= 1, got 0"):
        npf.measure(network(), empty, GAUSSIAN)


def test_a_level_given_twice_is_measured_once() -> None:
    curve = npf.measure(network(), own_answers(), GAUSSIAN.at([0.2, 0.2]), chips=2)
    assert [point.chips for point in curve.points] == [2]


def test_the_share_of_a_network_that_noise_touches_is_counted() -> None:
    net = network()
    shares = {
        targets: npf.noise.coverage(state_of(net), npf.network.places(net), GAUSSIAN, targets)
        for targets in (("kernel",), ("kernel", "bias"), ("norm_affine",), ("norm_stats",))
    }
    kernels, biases, statistics = 2 * 6 * 9 + 54 * 4, 6 + 4, 2 * 6
    total = kernels + biases + 2 * 6 + statistics
    assert shares == {
        ("kernel",): (kernels, total),
        ("kernel", "bias"): (kernels + biases, total),
        ("norm_affine",): (0, total),  # gamma is 1 and beta 0 everywhere, so their std is zero
        ("norm_stats",): (statistics, total),
    }


def test_noise_that_reaches_nothing_is_said() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(50, 4, bias=False))
    with pytest.warns(NoEffectWarning, match="on bias changes no tensor of this model"):
        npf.measure(net, own_answers(), GAUSSIAN, chips=1, targets=("bias",))


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    if torch.cuda.is_available():
        assert pick_device("auto").type == "cuda"
    else:
        with pytest.raises(ValueError, match="device 'cuda' is not available here"):
            pick_device("cuda")
    assert pick_device("cpu").type == "cpu"


def test_the_python_face_of_the_readme_stays_callable_in_any_order() -> None:
    import noiseproof.measuring.curves
    import noiseproof.recalibration.statistics
    import noiseproof.training.loop  # noqa: F401  # importing a module must not hide a function

    assert all(callable(getattr(npf, n)) for n in ("measure", "recalibrate", "train"))


def test_curves_of_different_test_images_are_not_compared() -> None:
    test = own_answers()
    one = npf.measure(network(), test, GAUSSIAN, chips=2)
    other = npf.measure(network(), test.first(30), GAUSSIAN, chips=2)
    assert set(one.difference(one)) == {0.5}
    with pytest.raises(ValueError, match="the two curves are of different test images"):
        one.difference(other)


@pytest.mark.parametrize("tool", ["weight_norm", "spectral_norm", "orthogonal"])
def test_a_weight_that_is_computed_from_others_is_refused(tool: str) -> None:
    net = network()
    getattr(nn.utils.parametrizations, tool)(net[4])
    with pytest.raises(ValueError, match="the weight of layer '4' is computed from other tensors"):
        npf.measure(net, own_answers(), GAUSSIAN)


def test_the_weight_to_noise_ratio_belongs_to_the_rms_reference() -> None:
    decibels = {
        "gaussian(0.1, reference=rms)": 20.0,
        "gaussian(2.0, reference=rms, scope=global)": -20 * math.log10(2),
        "gaussian(0.1, reference=std)": None,
        "gaussian(0.0, reference=rms)": None,
        "quantize(bits=4)": None,
    }
    for text, expected in decibels.items():
        found = parse(text).wnr_db
        assert found == (expected if expected is None else pytest.approx(expected))


def test_networks_that_share_their_tensors_do_not_share_rows(tmp_path: Path) -> None:
    """Top-k and L-inf normalisation: equal weights, other layers."""
    scores = []
    with Store(tmp_path / "r.db") as store:
        for kind in ("batch", "batch_linf", "batch_range"):
            net = npf.replace_norms(network(), kind)
            images = own_answers().inputs
            stored, fresh = (
                npf.measure(net, own_answers(), GAUSSIAN, chips=3, calibration=images, store=where)
                for where in (store, None)
            )
            assert [r.score for r in stored.points[0].rows] == [
                r.score for r in fresh.points[0].rows
            ]
            scores.append(stored.points[0].by_chip)
    assert len(set(scores)) > 1
