"""Measuring: rows equal a literal loop, resume exactly, and a chip costs one forward pass."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.accelerator import pick_device
from noiseproof.data import Split
from noiseproof.measuring import state_sha256
from noiseproof.network import state_of
from noiseproof.records import Row, Store
from noiseproof.rng import stream
from noiseproof.spec import NoEffectWarning, parse

GAUSSIAN = parse("gaussian(0.5, reference=std)")


def network() -> nn.Module:
    with npf.rng.seeded(0, "net"):
        net = nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4)
        )
        net(torch.randn(64, 2, 5, 5))  # sensible running statistics
    return net.eval()


def own_answers() -> Split:
    """Images whose labels are the clean network's own answers, so that it is always right."""
    images = torch.randn(60, 2, 5, 5, generator=stream(0, "test"))
    with torch.no_grad():
        return Split(images=images, labels=network()(images).argmax(1))


def literal_hits(net: nn.Module, test: Split, level: float, chip: int) -> np.ndarray:
    """The plainest script: copy, add noise to the kernels, run, compare."""
    noisy = copy.deepcopy(net)
    with torch.no_grad():
        for name in ("0.weight", "4.weight"):
            w = noisy.get_parameter(name)
            z = torch.randn(w.shape, generator=stream(0, chip, name, "gaussian0"))
            w.add_(level * w.double().std(correction=0).float() * z)
        return (noisy(test.images).argmax(1) == test.labels).numpy()


def test_rows_hold_the_hits_of_a_literal_script() -> None:
    test = own_answers()
    curve = npf.measure(network(), test, GAUSSIAN.at([0.2, 1.0]), chips=4, seed=0)
    assert curve.clean.accuracy == 1
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
    curve = npf.measure(net, own_answers(), GAUSSIAN, chips=2, calibration=own_answers().images)
    assert [m.training for m in net.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    plain = npf.measure(
        network(), own_answers(), GAUSSIAN, chips=2, calibration=own_answers().images
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
    test = Split(images=torch.zeros(20, 1), labels=torch.zeros(20, dtype=torch.int64))
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


def test_recalibrated_chips_equal_manufactured_and_recalibrated_modules() -> None:
    test = own_answers()
    calibration = torch.randn(40, 2, 5, 5, generator=stream(1, "calibration"))
    curve = npf.measure(network(), test, GAUSSIAN, chips=3, calibration=calibration)
    for row in curve.points[0].rows:
        chip = npf.manufacture(network(), GAUSSIAN, seed=0, chip=row.chip)
        fixed = npf.recalibrate(chip, calibration)
        expected = (fixed(test.images).argmax(1) == test.labels).numpy()
        assert np.array_equal(row.unpacked(), expected)
        assert row.recalibrate == 40


# --- the store ------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "rows.db") as opened:
        yield opened


def results(rows: list[Row]) -> set[tuple[object, ...]]:
    """All that a row says but how long it took."""
    return {(*npf.records.key_of(row), row.hits, row.correct, row.nonfinite) for row in rows}


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
    half = Split(images=own_answers().images[:30], labels=own_answers().labels[:30])
    runs = [
        {"model": network(), "test": own_answers()},
        {"model": other, "test": own_answers()},
        {"model": network(), "test": half},
        {"model": network(), "test": own_answers(), "targets": ("kernel", "bias")},
        {"model": network(), "test": own_answers(), "calibration": own_answers().images},
        {"model": network(), "test": own_answers(), "calibration": own_answers().images.flip(0)},
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
    images, labels = own_answers().images, own_answers().labels
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(2, 1, 5, 5\)"):
        npf.measure(network(), (images[:, :1], labels), GAUSSIAN, store=store)
    with pytest.raises(ValueError, match="the labels go up to 4, the network knows 4 classes"):
        npf.measure(network(), (images, labels + 1), GAUSSIAN, store=store)
    assert not store.rows()


def test_an_empty_split_is_refused() -> None:
    empty = Split(images=torch.zeros(0, 2, 5, 5), labels=torch.zeros(0, dtype=torch.int64))
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
    with pytest.warns(NoEffectWarning, match="no running statistics to recalibrate"):
        npf.measure(net, own_answers(), GAUSSIAN, chips=1, calibration=own_answers().images)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    if torch.cuda.is_available():
        assert pick_device("auto").type == "cuda"
    else:
        with pytest.raises(ValueError, match="device 'cuda' is not available here"):
            pick_device("cuda")
    assert pick_device("cpu").type == "cpu"


def test_the_fingerprint_of_a_state_sees_names_shapes_and_values() -> None:
    state = state_of(network())
    base = state_sha256(state)
    assert base == state_sha256({k: v.clone() for k, v in reversed(state.items())})
    changed = {**state, "4.bias": state["4.bias"] + 1e-6}
    renamed = {("x" if k == "4.bias" else k): v for k, v in state.items()}
    assert len({base, state_sha256(changed), state_sha256(renamed)}) == 3


def test_the_python_face_of_the_readme_stays_callable_in_any_order() -> None:
    import noiseproof.measuring
    import noiseproof.recalibration
    import noiseproof.training  # noqa: F401  # importing a module must not hide a function

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
        "gaussian(2.0, reference=rms, scope=global)": -6.0206,
        "gaussian(0.1, reference=std)": None,
        "gaussian(0.0, reference=rms)": None,
        "quantize(bits=4)": None,
    }
    for text, expected in decibels.items():
        found = parse(text).wnr_db
        assert found == (expected if expected is None else pytest.approx(expected, abs=1e-4))
