"""Chips with converters and noise at every product, measured."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.network.state import skeleton_of
from noiseproof.results import Curve, Row, Store

IMAGES = torch.randn(130, 2, 5, 5, generator=stream(0, "test"))
MVM = "dac(5) + read(0.05, law=device) + output(0.1) + adc(5, range=fixed(4))"


EX: dict[str, Any] = {"calibrate": 40, "chips": 3}
BARE: dict[str, Any] = {"calibrate": None, "calibration": None, "chips": 4}


def network() -> nn.Module:
    with npf.rng.seeded(0, "net"):
        return nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4)
        ).eval()


with torch.no_grad():
    TEST = Split(inputs=IMAGES, labels=network()(IMAGES).argmax(1))


def measured(noise: str = "gaussian(0.05)", **options: Any) -> Curve:
    given: dict[str, Any] = {"mvm": MVM, "calibration": IMAGES, "calibrate": 40, "chips": 3}
    return npf.measure(network(), TEST, noise, **given | options)


def hits(curve: Curve) -> list[bytes]:
    return [row.hits for row in noisy(curve)]


def noisy(curve: Curve) -> list[Row]:
    return [row for point in curve.points for row in point.rows]


def score(curve: Curve) -> float:
    """The mean over the chips of the first point."""
    return float(np.mean([row.score for row in curve.points[0].rows]))


def test_rows_say_what_happens_at_products_and_how_weights_lie() -> None:
    curve = measured()
    for row in noisy(curve):
        assert row.mvm == (
            "dac(5, range=static(99.9), images=40) + read(0.05, law=device) + output(0.1) + "
            "adc(5, range=fixed(4))"
        )
        assert row.mapping == "scale=channel, cells=pair"
        assert row.recalibrate == "off"
        assert row.calibration_sha256
    assert (curve.clean.mvm, curve.clean.mapping, curve.clean.score) == ("", "", 1)


def test_products_alone_are_something_to_measure_and_chips_differ_by_them() -> None:
    curve = measured("none")
    assert len(set(hits(curve))) == 3
    assert [row.noise for row in noisy(curve)] == ["none"] * 3
    assert score(curve) < 1


def test_converters_alone_make_every_chip_the_same() -> None:
    curve = measured("none", mvm="dac(3) + adc(3)", chips=4)
    assert len(set(hits(curve))) == 1
    assert score(curve) < 1


def test_exact_products_are_those_of_before() -> None:
    plain = npf.measure(network(), TEST, "gaussian(0.3)", chips=3)
    for exact in ("", "exact"):
        again = npf.measure(network(), TEST, "gaussian(0.3)", chips=3, mvm=exact)
        assert hits(again) == hits(plain)
        assert noisy(again)[0].mvm == ""
        assert noisy(again)[0].mapping == ""


@pytest.mark.parametrize("batch_size", [1, 7, 50, 64])
def test_hits_do_not_depend_on_the_batch(batch_size: int) -> None:
    assert hits(measured(batch_size=batch_size)) == hits(measured(batch_size=130))


def test_a_chip_has_the_same_dice_whatever_was_measured_before_it(tmp_path: Path) -> None:
    subject = npf.measuring.Subject(task="own", data="dice")
    few = measured(chips=4)
    with Store(tmp_path / "rows.db") as store:
        measured(chips=2, store=store, subject=subject)
        again = measured(chips=4, store=store, subject=subject)
    assert hits(again) == hits(few)


def test_levels_of_noise_are_paired_by_their_products() -> None:
    """Without noise on weights the two levels are one condition: the same dice at products."""
    curve = npf.measure(
        network(), TEST, npf.specs.parse("gaussian(0.1)").at([0, 1e-9]), mvm="output(0.3)", chips=3
    )
    first, second = curve.points
    assert [row.hits for row in first.rows] == [row.hits for row in second.rows]
    assert len({row.hits for row in first.rows}) == 3


@pytest.mark.parametrize("way", ["match(60)", "pooled(60)", "ema(0.1, batch=32)", "batch(32)"])
def test_chips_with_products_are_recalibrated(way: str) -> None:
    curve = measured("gaussian(0.4)", recalibrate=way, chips=6)
    bare = measured("gaussian(0.4)", chips=6)
    assert hits(curve) != hits(bare)
    assert noisy(curve)[0].mvm == noisy(bare)[0].mvm
    assert hits(curve) == hits(measured("gaussian(0.4)", recalibrate=way, chips=6))


def test_nested_chips_have_products_too() -> None:
    curve = measured(design="nested(20)", chips=5)
    assert [row.images for row in noisy(curve)] == [20] * 5
    assert hits(curve) == hits(measured(design="nested(20)", chips=5, batch_size=3))


def test_auto_is_chips_that_see_all_images() -> None:
    told: list[str] = []
    curve = measured(design="auto", on_design=told.append)
    assert noisy(curve)[0].design == "chips"
    assert told == ["design chips: per-image chips do not hold for what happens at products"]


def test_a_score_of_ones_own_sees_products() -> None:
    def share(model: nn.Module, test: Split) -> float:
        with torch.no_grad():
            return float((model(test.inputs).argmax(1) == test.labels).float().mean())

    own = measured("none", score=share, chips=3)
    usual = measured("none", chips=3)
    assert 0.2 < score(own) < 1
    assert abs(score(own) - score(usual)) < 0.2
    assert [r.score for r in noisy(own)] == [
        r.score for r in noisy(measured("none", score=share, chips=3))
    ]


def test_layers_kept_digital_multiply_exactly() -> None:
    loud = {"mvm": "output(0.3)", "calibrate": None, "calibration": None, "chips": 2}
    assert score(measured("none", digital="last", **loud)) < 1
    with pytest.warns(NoEffectWarning, match=r"output\(0.3\) changes nothing: this model has no"):
        assert score(measured("none", digital="first,last", **loud)) == 1


def test_a_compensated_chip_of_devices_has_its_gain_behind_the_converters() -> None:
    """After a year weights are small. With the gain in front of the adc it would clip."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at = {"mvm": "dac(8) + adc(8, range=static(100))", "chips": 4}
        both = measured("device(pcm, time=1y)", compensate="scalar", **at)
        off = measured("device(pcm, time=1y)", compensate="off", **at)
    exact = measured("device(pcm, time=1y)", compensate="scalar", mvm="", **BARE)
    assert noisy(both)[0].compensate == "scalar"
    assert abs(score(both) - score(exact)) < 0.1
    assert hits(both) != hits(off)


def test_the_network_is_left_as_it_is() -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    npf.measure(model, TEST, "none", mvm="output(0.3)", chips=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any("forward" in vars(m) for m in skeleton_of(model).modules())


def test_layers_are_ranked_by_what_happens_at_their_products_alone() -> None:
    options: dict[str, Any] = {"calibration": IMAGES, "calibrate": 40, "chips": 3}
    rows: list[Row] = []
    options["on_row"] = lambda row, done, total: rows.append(row)
    found = npf.rank_layers(network(), TEST, "none", mvm=MVM, **options)
    assert {group.name for group in found.groups} == {"0", "4"}
    first = [row for row in rows if row.part == "only:layer:0"]
    only = measured("none", digital="last", chips=3)  # noise in layer 0 alone
    assert [row.hits for row in first] == hits(only)
    assert first[0].mvm == noisy(only)[0].mvm


def test_chips_that_are_followed_have_fresh_dice_in_every_window() -> None:
    (trace,) = npf.track(
        network(),
        TEST,
        "gaussian(1e-9)",
        npf.specs.parse_stream("redraw(every=130)"),
        mvm="output(0.3)",
        images=260,
        window=130,
        chips=2,
    )
    rows = [row for row in trace.rows if row.stream]
    assert len({row.hits for row in rows}) == len(rows) == 4
    assert {row.mvm for row in rows} == {"output(0.3)"}


def test_activations_are_explained_at_products() -> None:
    found = npf.explain(network(), TEST, "none", mvm="dac(4) + adc(4)", calibration=IMAGES, **EX)
    louder = npf.explain(network(), TEST, "none", mvm="dac(2) + adc(2)", calibration=IMAGES, **EX)
    for fine, coarse in zip(
        found.ways[0].values["snr_db"], louder.ways[0].values["snr_db"], strict=True
    ):
        assert (fine > coarse).all()
    with_noise = npf.explain(network(), TEST, "none", mvm=MVM, calibration=IMAGES, **EX)
    snr = with_noise.ways[0].values["snr_db"]
    assert len({tuple(chip) for chip in snr.tolist()}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrate": None}, r"^dac\(5.* needs calibration images .*: give --calibrate 100"),
        ({"calibrate": 131}, "needs 131 calibration images for its ranges, got 130: give them"),
        ({"calibration": None}, "needs 40 calibration images for its ranges, got 0: give them"),
        ({"calibrate": 0}, "^calibrate must be >= 1, got 0$"),
        ({"mvm": "output(1)"}, r"^calibrate 40 decides static ranges, and output\(1\) has none"),
        ({"mvm": "adc(8) + dac(8)"}, "^the stages of a product must be in physical order"),
        ({"design": "per-image", "chips": None}, "^per-image chips hold for exact products alone"),
        ({"mvm": ""}, "^calibrate 40 decides static ranges, and exact products has none"),
    ],
)
def test_what_cannot_be_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measured(**options)
    assert "\n" not in str(caught.value)


def test_compiling_is_said_to_change_nothing() -> None:
    with pytest.warns(NoEffectWarning, match="^compile changes nothing for chips with something"):
        npf.measuring.MeasureRequest(
            network=npf.measuring.Network(compiled=True, mvm=npf.specs.parse_mvm("output(0.1)")),
            measurement=npf.measuring.Measurement(specs=(npf.specs.parse("gaussian(0.1)"),)),
        )


def test_without_noise_and_products_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="there is nothing to measure without noise"):
        npf.measure(network(), TEST, "none", chips=1)
