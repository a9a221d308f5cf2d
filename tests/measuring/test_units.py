"""Designs as they are measured: who sees what, and that all of them estimate the same thing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats as sps
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.curves import measure
from noiseproof.measuring.requests import Subject
from noiseproof.measuring.units import Ahead
from noiseproof.network.state import places, state_of
from noiseproof.noise.perturbation import Programme, perturb
from noiseproof.results.curves import Curve, curves_of, paired_difference
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.designs import parse_design
from noiseproof.specs.noise import parse
from noiseproof.stats.intervals import t_interval
from noiseproof.stats.stopping import FIRST, stein_interval

FALSE_FAIL = 1e-6
NOISE = parse("gaussian(0.6, reference=std)")
IMAGES = 400


def network(seed: int = 0) -> nn.Module:
    """A small classifier of two layers of convolutions, a normalisation and a linear layer."""
    with npf.rng.seeded(seed, "network"):
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3),
            nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 4),
        )  # fmt: skip
    return net.eval()


def pictures(n: int = IMAGES) -> Split:
    """Images and the labels that the clean network gives them."""
    x = torch.randn(n, 1, 6, 6, generator=stream(0, "pictures"))
    with torch.no_grad():
        return Split(inputs=x, labels=network()(x).argmax(1))


def run(**options: Any) -> Curve:
    return measure(network(), pictures(), NOISE, seed=3, **options)


# --- what a unit sees ----------------------------------------------------------------------------


def test_one_pass_of_per_image_chips_sees_every_image_once() -> None:
    point = run(design="per-image(30)").points[0]
    assert len(point.rows) == 14
    assert {row.images for row in point.rows} == {28, 29}
    assert (point.chips, point.images, point.image_passes) == (IMAGES, 1, IMAGES)
    assert point.score.mean == pytest.approx(sum(row.correct or 0 for row in point.rows) / IMAGES)


def test_every_nested_chip_draws_its_own_images() -> None:
    seen: list[Tensor] = []
    original = Split.take

    def watched(split: Split, chosen: Tensor) -> Split:
        seen.append(chosen)
        return original(split, chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Split, "take", watched)
        point = run(design="nested(25)", chips=6).points[0]
    assert [len(set(chosen.tolist())) for chosen in seen] == [25] * 6
    assert len({tuple(chosen.tolist()) for chosen in seen}) == 6
    assert (point.chips, point.images) == (6, 25)


def test_a_nested_chip_is_the_chip_of_that_number() -> None:
    net, test = network(), pictures()
    row = run(design="nested(25)", chips=4).points[0].rows[3]
    drawn = torch.randperm(IMAGES, generator=stream(3, "nested images", 3))[:25]
    chip = npf.manufacture(net, NOISE, seed=3, chip=3)
    with torch.no_grad():
        expected = chip(test.inputs[drawn]).argmax(1) == test.labels[drawn]
    assert row.unpacked().tolist() == expected.tolist()


@pytest.mark.parametrize("design", ["chips", "nested(50)", "per-image(20)"])
def test_the_batch_size_changes_no_hit(design: str) -> None:
    options: dict[str, Any] = {} if design.startswith("per") else {"chips": 3}
    one = run(design=design, batch_size=7, **options).points[0]
    other = run(design=design, batch_size=400, **options).points[0]
    assert [row.hits for row in one.rows] == [row.hits for row in other.rows]


def test_a_longer_measurement_begins_with_the_shorter_one() -> None:
    once, twice = (
        run(design="per-image(20)").points[0],
        run(design="per-image(20)", passes=2).points[0],
    )
    assert [row.hits for row in twice.rows[: len(once.rows)]] == [row.hits for row in once.rows]
    fresh = [row.hits for row in twice.rows[len(once.rows) :]]
    assert fresh != [row.hits for row in once.rows], "the second pass has noise of its own"


# --- what it estimates ---------------------------------------------------------------------------


@pytest.mark.parametrize("roles", [("kernel",), ("kernel", "bias", "norm_affine")])
@pytest.mark.parametrize(
    "noise", ["gaussian(0.6)", "quantize(bits=5) + uniform(0.5, scope=channel)"]
)
def test_all_designs_estimate_what_full_chips_do(noise: str, roles: tuple[str, ...]) -> None:
    """Each mean against that of many full chips, within what chance allows."""
    net, test, spec = network(), pictures(), parse(noise)
    state, where = state_of(net), places(net)
    truth = []
    for chip in range(600):
        noisy = perturb(state, where, spec, targets=roles, seed=99, chip=chip)
        with torch.no_grad():
            hits = torch.func.functional_call(net, noisy, (test.inputs,)).argmax(1) == test.labels
        truth.append(hits.double().mean().item())
    spread = np.std(truth, ddof=1) / math.sqrt(len(truth))
    assert 0.3 < np.mean(truth) < 0.9, "the noise must matter, and not be all"
    for design, options in {
        "per-image(20)": {"passes": 10},
        "nested(40)": {"chips": 300},
        "chips": {"chips": 60},
    }.items():
        curve = measure(net, test, spec, design=design, targets=roles, seed=5, **options)  # type: ignore[arg-type]
        found = curve.points[0]
        error = np.std(found.by_chip, ddof=1) / math.sqrt(len(found.rows))
        z = sps.norm.ppf(1 - FALSE_FAIL / 2)
        assert z * math.hypot(error, spread) < 0.12, "underpowered"
        assert abs(found.score.mean - np.mean(truth)) < z * math.hypot(error, spread), design


def test_nested_chips_tell_the_spread_of_full_ones() -> None:
    full = run(chips=200).points[0]
    nested = run(design="nested(40)", chips=400).points[0]
    assert full.spread is not None
    assert nested.spread is not None
    assert nested.sd < np.std(nested.by_chip, ddof=1), "the images' part is taken out"
    assert nested.spread.sd.low < full.sd < nested.spread.sd.high


def test_per_image_chips_tell_no_spread() -> None:
    point = run(design="per-image(20)").points[0]
    assert point.spread is None
    assert math.isnan(point.sd)
    assert math.isnan(point.worst)
    assert point.as_json()["worst"] is None
    assert point.as_json()["interval_for"] == "new chips and new images"


def test_a_second_pass_makes_the_interval_one_for_these_images() -> None:
    once = run(design="per-image(20)").points[0]
    twice = run(design="per-image(20)", passes=2).points[0]
    assert once.is_for_new_images
    assert not twice.is_for_new_images
    assert once.crossed == once.score
    width = twice.crossed.high - twice.crossed.low
    assert twice.score.high - twice.score.low < width


# --- how long ------------------------------------------------------------------------------------


PRECISIONS = {"chips": 0.03, "nested(50)": 0.02, "per-image(20)": 0.03}  # beyond the first units


@pytest.mark.parametrize("design", PRECISIONS)
def test_a_precision_is_reached_and_the_interval_says_so(design: str) -> None:
    point = run(design=design, precision=PRECISIONS[design]).points[0]
    assert (point.score.high - point.score.low) / 2 <= PRECISIONS[design]
    assert {row.pace for row in point.rows} == {f"precision({PRECISIONS[design]})"}
    kind = parse_design(design).kind
    stopped = stein_interval(point.by_chip, first=FIRST[kind])
    assert (point.score.low, point.score.high) == pytest.approx((stopped.low, stopped.high))
    usual = t_interval(point.by_chip)
    assert len(point.rows) > FIRST[kind]
    assert abs(stopped.low - usual.low) > 1e-6, "the usual interval is not valid here"


def test_chips_are_the_most_where_a_precision_is_out_of_reach() -> None:
    point = run(design="chips", precision=0.0001, chips=12).points[0]
    assert len(point.rows) == 12
    assert (point.score.high - point.score.low) / 2 > 0.0001


def test_a_budget_gives_every_level_an_interval() -> None:
    curve = measure(network(), pictures(), NOISE.at([0.2, 0.6]), design="per-image", budget=0.001)
    assert [len(point.rows) for point in curve.points] == [2, 2]
    assert all(math.isfinite(point.score.high) for point in curve.points)


def test_a_measurement_that_was_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    class Cut(Exception):  # noqa: N818
        pass

    def cut(row: Row, done: int, total: int) -> None:
        if done == 9:
            raise Cut

    options: dict[str, Any] = {"design": "per-image(20)", "passes": 2}
    whole = run(**options).points[0]
    subject = Subject(data="pictures")
    with Store(tmp_path / "rows.db") as store:
        with pytest.raises(Cut):
            run(store=store, subject=subject, on_row=cut, **options)
        new: list[Row] = []
        run(store=store, subject=subject, on_row=lambda row, *_: new.append(row), **options)
        assert len(new) == 1 + len(whole.rows) - 9
        (again,) = curves_of(store.rows())
    assert [r.hits for r in again.points[0].rows] == [r.hits for r in whole.rows]


def test_the_size_of_nested_samples_is_kept_once_it_is_chosen(tmp_path: Path) -> None:
    said: list[str] = []
    subject = Subject(data="pictures")
    with Store(tmp_path / "rows.db") as store:
        for _ in range(2):
            run(store=store, subject=subject, design="nested", chips=3, on_design=said.append)
        (curve,) = curves_of(store.rows())
    assert "making a chip takes the time of" in said[0]
    assert "as measured before" in said[1]
    assert len(curve.points[0].rows) == 3


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"design": "per-image", "chips": 5}, "per-image has no number of chips, got 5"),
        ({"design": "nested", "passes": 2}, "nested has no passes, got 2: give chips"),
        ({"design": "per-image", "passes": 0}, "passes must be >= 1, got 0"),
        ({"precision": 0.0}, "precision must be > 0 and finite, got 0"),
        ({"precision": math.nan}, "precision must be > 0 and finite, got nan"),
        ({"budget": -1.0}, "budget must be > 0"),
        ({"design": "nested(401)"}, "asks for more than the 400 test images"),
        ({"design": "per-image", "targets": ("kernel", "norm_stats")}, "noise on norm_stats"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_a_network_that_mixes_images_is_refused_and_auto_says_why() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(36, 4)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.head(x.flatten(1))
            return rows - rows.mean(0)

    said: list[str] = []
    test = pictures(60)
    with pytest.raises(ValueError, match="per-image chips do not hold for this network"):
        measure(Mixing(), test, NOISE, design="per-image")
    curve = measure(Mixing(), test, NOISE, design="auto", chips=2, on_design=said.append)
    assert curve.points[0].rows[0].design == "chips"
    assert "design chips: per-image chips do not hold" in said[0]


def test_points_of_two_designs_have_no_difference() -> None:
    a, b = run(chips=3).points[0], run(design="nested(40)", chips=3).points[0]
    assert math.isnan(paired_difference(a, b).mean)


def test_chips_that_are_made_ahead_are_the_same_chips() -> None:
    """What a GPU's chips come from, here without one; also where numbers are skipped."""
    net = network()
    programmes = [
        Programme(state=state_of(net), places=places(net), spec=spec)
        for spec in (NOISE, NOISE.at(0.2))
    ]
    ahead = Ahead()
    for which, chip in [(0, 0), (0, 1), (0, 2), (0, 5), (1, 6), (1, 7), (0, 6)]:
        made = ahead.chip(programmes[which], 3, chip)
        expected = programmes[which].chip(3, chip)
        assert all(torch.equal(made.state[name], w) for name, w in expected.state.items())
