"""Measuring other tasks, and by a score of one's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.measuring.requests import Subject
from noiseproof.results.store import Store
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.noise import parse
from noiseproof.tasks.evaluation import evaluate
from tests.measuring.toys import CALIBRATION, GAUSSIAN, network, own_answers


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


def lost(model: nn.Module, test: Split) -> float:
    """The share of misses, of which lower is better."""
    return 1 - evaluate(model, test, scale=UNSCALED, batch_size=60).score


def test_an_error_ranks_its_chips_the_other_way_round() -> None:
    test = own_answers()
    errors = npf.Score(lost, better="lower", chance=0.75)
    error = npf.measure(network(), test, GAUSSIAN, chips=5, score=errors).points[0]
    score = npf.measure(network(), test, GAUSSIAN, chips=5).points[0]
    assert error.by_chip == pytest.approx([1 - value for value in score.by_chip])
    assert error.worst == pytest.approx(1 - score.worst)
    assert error.metric == "lost"
    assert {row.score_is for row in error.rows} == {errors.facts.text()}


def test_rows_of_a_score_that_is_read_otherwise_now_are_said_to_be_so(store: Store) -> None:
    options = {"chips": 2, "store": store, "subject": Subject(task="lost", data="answers")}
    npf.measure(network(), own_answers(), GAUSSIAN, score=lost, **options)
    with pytest.warns(NoEffectWarning, match="rows of lost say otherwise which way it is better"):
        curve = npf.measure(
            network(), own_answers(), GAUSSIAN, score=npf.Score(lost, better="lower"), **options
        )
    assert len(store.rows()) == 3, "nothing is measured again"
    assert curve.points[0].worst == max(curve.points[0].by_chip)


def test_a_yield_and_a_precision_in_percent_are_refused() -> None:
    options: dict[str, Any] = {"chips": 2}
    with pytest.raises(ValueError, match=r"precision must be below 0\.5, got 2: it is in units of"):
        npf.measure(network(), own_answers(), GAUSSIAN, precision=2, **options)
    percent = npf.Score(lost, better="lower", unit="%")
    with pytest.raises(ValueError, match="precision must be below"):
        npf.measure(network(), own_answers(), GAUSSIAN, precision=2, score=percent, **options)
