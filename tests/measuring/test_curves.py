"""Measuring: rows equal a literal loop, resume exactly, and a chip costs one forward pass."""

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.device import pick_device
from noiseproof.core.rng import stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.measuring.evaluator import Subject, open_evaluator
from noiseproof.network.state import state_of
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.noise import parse
from noiseproof.tasks.evaluation import evaluate

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
        return Split(inputs=images, labels=network()(images).argmax(1))


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

CALIBRATION = torch.randn(40, 2, 5, 5, generator=stream(1, "calibration"))


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
        ((CALIBRATION, CALIBRATION), "calibration must be a tensor of images, got tuple"),
        (own_answers(), "calibration must be a tensor of images, got Split"),
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
            evaluator = open_evaluator(
                network(),
                split,
                estimator=estimator,
                calibration=CALIBRATION,
                score=None,
                scale=None,
                batch_size=None,
                device=None,
                subject=None,
            )
            state = npf.noise.perturb(evaluator.state, evaluator.places, GAUSSIAN, seed=0, chip=0)
            if evaluator.calibration is None:
                fixed.append(evaluator.scored(state)[1])
            else:
                fixed.append(evaluator.recalibrated(state))
        assert fixed[0].keys() == fixed[1].keys()
        assert all(torch.equal(fixed[0][name], fixed[1][name]) for name in fixed[0])
        assert any(not torch.equal(fixed[0][name], state[name]) for name in state)


# --- other tasks, and a score of one's own --------------------------------------------------------


class Segmenter(nn.Module):
    """Two classes: is a smoothed image bright? Noise moves the threshold."""

    def __init__(self) -> None:
        super().__init__()
        with npf.rng.seeded(0, "segmenter"):
            self.conv = nn.Conv2d(1, 2, 3, padding=1)
            self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.norm(self.conv(x))}


def masks() -> Split:
    images = torch.randn(12, 1, 8, 8, generator=stream(0, "scenes"))
    with torch.no_grad():
        masks = Segmenter().eval()(images)["out"].argmax(1)
    return Split(inputs=images, labels=masks.to(torch.uint8))


class Detector(nn.Module):
    """One box an image, moved by the sum of its weights, which is zero without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2, bias=False)
        self.conv.weight.data.copy_(torch.tensor([1.0, -1, 1, -1]).view(1, 1, 2, 2))

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        shift = self.conv(torch.ones(1, 1, 2, 2)).flatten()  # (2,)
        box = torch.tensor([4.0, 4, 12, 12]) + shift.repeat(2)
        return [
            {"boxes": box[None], "labels": torch.tensor([1]), "scores": image.mean()[None]}
            for image in x
        ]


def boxes() -> Split:
    images = torch.rand(6, 1, 16, 16, generator=stream(0, "scenes"))
    box = Boxes(corners=torch.tensor([[4, 4, 12, 12]]), classes=torch.tensor([1]))
    return Split(inputs=images, labels=(box,) * 6)


SCENES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Split], str]] = {
    "detect": (Detector, boxes, "mAP@.5"),
    "segment": (Segmenter, masks, "pixel accuracy"),
}


@pytest.mark.parametrize("task", SCENES)
def test_scenes_are_measured_by_the_score_of_their_labels(task: str, store: Store) -> None:
    make, scenes, figure = SCENES[task]
    model, test = make(), scenes()
    curve = npf.measure(model, test, GAUSSIAN.at([0, 0.2, 0.4]), chips=4, store=store, batch_size=5)
    assert curve.clean.score == pytest.approx(1)
    assert curve.points[0].by_chip == (curve.clean.score,) * 4
    assert curve.points[2].score.mean < curve.points[1].score.mean < 1
    for row in (row for point in curve.points for row in point.rows):
        chip = npf.manufacture(model, parse(row.noise), chip=row.chip)
        literal = evaluate(chip, test, scale=UNSCALED, batch_size=2)
        assert row.score == pytest.approx(literal.score)
        assert row.figures == pytest.approx(dict(literal.details))
        assert (row.task, row.hits, row.correct, list(row.figures)) == (task, b"", None, [figure])
    assert len(store.rows()) == 13
    again = npf.measure(model, test, GAUSSIAN.at([0, 0.2, 0.4]), chips=4, store=store)
    assert again.points[2].by_chip == curve.points[2].by_chip


def test_a_segmenter_is_recalibrated_like_a_classifier() -> None:
    test = masks()
    off = npf.measure(Segmenter(), test, GAUSSIAN, chips=8)
    for text in ("pooled(12)", "match(12)", "batch(6)"):
        images = None if text == "batch(6)" else test.inputs
        fixed = npf.measure(
            Segmenter(), test, GAUSSIAN, chips=8, recalibrate=text, calibration=images
        )
        assert fixed.points[0].by_chip != off.points[0].by_chip
    assert fixed.points[0].score.low >= 0


def total_weight(model: nn.Module, data: dict[str, Tensor]) -> float:
    """A score far outside 0 to 1, of a model that returns no logits."""
    assert not model.training
    with torch.no_grad():
        return 1000 * float(model(data["x"]).sum())


def test_a_score_of_ones_own_takes_any_data_and_has_no_bounds() -> None:
    net, data = nn.Conv2d(2, 3, 3), {"x": own_answers().inputs, "y": "anything"}
    curve = npf.measure(net, data, GAUSSIAN, chips=5, score=total_weight)
    for row in curve.points[0].rows:
        assert row.score == total_weight(npf.manufacture(net, GAUSSIAN, chip=row.chip).eval(), data)
        assert (row.hits, row.correct, row.images, row.task, row.data) == (
            b"",
            None,
            0,
            "own",
            "own",
        )
    assert curve.clean.score == total_weight(net.eval(), data)
    mean = np.mean(curve.points[0].by_chip)
    assert curve.points[0].score.mean == pytest.approx(mean)
    assert abs(mean) > 10
    assert curve.points[0].score.high - curve.points[0].score.low > 1


def test_a_data_loader_is_data_as_any_other_and_its_images_are_counted() -> None:
    test = own_answers()
    dataset = torch.utils.data.TensorDataset(test.inputs, test.labels)
    loader = torch.utils.data.DataLoader(dataset, batch_size=13)

    def top_1(model: nn.Module, batches: torch.utils.data.DataLoader) -> Tensor:
        hits = [(model(x).argmax(1) == y).double() for x, y in batches]
        return torch.cat(hits).mean()

    options = {"chips": 3, "calibration": CALIBRATION}
    for text in ("off", "pooled(30)", "match(30)"):
        own = npf.measure(network(), loader, GAUSSIAN, score=top_1, recalibrate=text, **options)
        plain = npf.measure(network(), test, GAUSSIAN, recalibrate=text, **options)
        assert own.points[0].by_chip == pytest.approx(plain.points[0].by_chip)
    assert own.clean.images == 60


@pytest.mark.parametrize("text", ["ema(0.1)", "batch(10)"])
def test_an_estimator_that_needs_the_test_batches_is_refused_with_a_score_of_ones_own(
    text: str,
) -> None:
    with pytest.raises(ValueError, match="needs the test batches, which a score of your own makes"):
        npf.measure(network(), {}, GAUSSIAN, recalibrate=text, score=lambda model, data: 1.0)


def test_a_score_of_ones_own_that_fails_or_is_no_number_is_one_sentence() -> None:
    def broken(model: nn.Module, data: object) -> float:
        raise KeyError("x")

    with pytest.raises(ValueError, match="the score broken failed: KeyError: 'x'"):
        npf.measure(network(), {}, GAUSSIAN, score=broken)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"must be finite, got {value}: return a number"):
            npf.measure(network(), {}, GAUSSIAN, score=lambda model, data, v=value: v)
    with pytest.raises(ValueError, match="failed: TypeError: .*NoneType"):
        npf.measure(network(), {}, GAUSSIAN, score=lambda model, data: None)  # type: ignore[arg-type,return-value]


def test_rows_of_a_score_of_ones_own_need_names_in_a_store(store: Store) -> None:
    options = {"chips": 1, "store": store, "score": lambda model, data: 1.0}
    for test, subject in (
        ({}, None),
        (own_answers(), None),
        ({}, Subject(task="one")),
        (own_answers(), Subject(data="answers")),
    ):
        with pytest.raises(ValueError, match="a store needs names for a score and data of your"):
            npf.measure(network(), test, GAUSSIAN, subject=subject, **options)  # type: ignore[arg-type]
    assert not store.rows()
    for test, subject in (
        ({}, Subject(task="one", data="nothing")),
        ({}, Subject(task="other", data="nothing")),
        ({}, Subject(task="one", data="more")),
        (own_answers(), Subject(task="one")),
    ):
        npf.measure(network(), test, GAUSSIAN, subject=subject, **options)  # type: ignore[arg-type]
    assert len(store.rows()) == 4 * 2
    assert {row.model for row in store.rows()} == {"Sequential"}


def test_data_that_is_no_split_needs_a_score() -> None:
    with pytest.raises(ValueError, match="got dict; other data needs a score of your own"):
        npf.measure(network(), {"x": 1}, GAUSSIAN)


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
        "gaussian(2.0, reference=rms, scope=global)": -6.0206,
        "gaussian(0.1, reference=std)": None,
        "gaussian(0.0, reference=rms)": None,
        "quantize(bits=4)": None,
    }
    for text, expected in decibels.items():
        found = parse(text).wnr_db
        assert found == (expected if expected is None else pytest.approx(expected, abs=1e-4))


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
