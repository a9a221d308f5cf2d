"""Scores against slow, obvious references: torchmetrics', pycocotools' and loops written here."""

import contextlib
import io
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from noiseproof.core.rng import stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.specs import catalog
from noiseproof.tasks.segment import pixel_logits
from noiseproof.tasks.table import TASKS
from noiseproof.tasks.task import Result

NAN, INF = float("nan"), float("inf")


def test_every_task_of_the_catalog_can_be_evaluated() -> None:
    assert set(TASKS) == set(catalog.TASKS)
    assert all(task.name == name for name, task in TASKS.items())


def replay(outputs: Any) -> Callable[[Tensor], Any]:
    """A network that returns `outputs` (one per image) for images whose pixels name them."""

    def forward(images: Tensor) -> Any:
        places = images[:, 0, 0, 0].long()
        if isinstance(outputs, Tensor):
            return outputs[places]
        return [outputs[place] for place in places.tolist()]

    return forward


def numbered(n: int, height: int = 1, width: int = 1) -> Tensor:
    return torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, height, width)


# --- classification -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_hit_is_the_largest_logit_and_finite(batch_size: int) -> None:
    logits = torch.tensor([[1, 0.0], [0, 1], [0, 1], [NAN, NAN], [INF, 0]])
    test = Split(inputs=numbered(5), labels=torch.tensor([0, 1, 0, 0, 0]))
    found = TASKS["classify"].evaluate(replay(logits), test, batch_size)
    assert found.hits is not None
    assert found.hits.tolist() == [True, True, False, False, False]
    assert (found.score, found.classes, found.nonfinite) == (0.4, 2, 2)


# --- segmentation ---------------------------------------------------------------------------------


def segmented(logits: Tensor, masks: Tensor, batch_size: int = 3) -> Result:
    test = Split(inputs=numbered(len(masks), *masks.shape[1:]), labels=masks)
    return TASKS["segment"].evaluate(replay(logits), test, batch_size)


def literal_miou(predicted: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """Class by class over the pixels that count; classes that never occur are left out."""
    counted = truth != 255
    overlaps = []
    for c in range(classes):
        is_true, is_said = (truth == c) & counted, (predicted == c) & counted
        if is_true.any():
            overlaps.append((is_true & is_said).sum() / (is_true | is_said).sum())
    return float(np.mean(overlaps)) if overlaps else 0.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [2, 5, 19])
def test_miou_is_the_literal_one_and_torchmetrics(seed: int, classes: int) -> None:
    """With void pixels, with the upper half of the classes absent (odd seeds) or in all images."""
    dice = stream(seed, "miou", classes)
    logits = torch.randn(4, classes, 6, 7, generator=dice)
    present = (classes + 1) // 2 if seed % 2 else classes
    masks = torch.randint(0, present, (4, 6, 7), generator=dice)
    if seed % 2:
        logits[:, present:] -= 100
    logits += 2 * torch.nn.functional.one_hot(masks, classes).permute(0, 3, 1, 2)
    masks[torch.rand(masks.shape, generator=dice) < 0.2] = 255
    found = segmented(logits, masks)
    predicted = logits.argmax(1)
    literal = literal_miou(predicted.numpy(), masks.numpy(), classes)
    metric = MulticlassJaccardIndex(classes, average="macro", ignore_index=255)
    assert found.score == pytest.approx(literal, abs=1e-12)
    assert found.score == pytest.approx(float(metric(predicted, masks)), abs=1e-6)
    counted = masks != 255
    right = float((predicted == masks)[counted].double().mean())
    assert found.details == {"pixel accuracy": pytest.approx(right)}
    assert (found.classes, found.nonfinite, found.hits) == (classes, 0, None)


def test_miou_is_of_all_pixels_together_whatever_the_batches() -> None:
    dice = stream(0, "batches")
    logits = torch.randn(5, 3, 4, 4, generator=dice)
    masks = torch.randint(0, 3, (5, 4, 4), generator=dice)
    scores = {segmented(logits, masks, batch_size).score for batch_size in (1, 2, 5, 9)}
    assert len(scores) == 1


def test_miou_of_two_classes_by_hand() -> None:
    """Class 0: 2 of 3 pixels; class 1: 1 of 2; class 2 is said once and never true."""
    masks = torch.tensor([[[0, 0, 1, 1, 255]]])
    said = torch.tensor([[[0, 0, 1, 2, 1]]])
    logits = torch.nn.functional.one_hot(said, 4).permute(0, 3, 1, 2).float()
    assert segmented(logits, masks).score == pytest.approx((1 + 1 / 2) / 2)
    said[0, 0, 3] = 0
    logits = torch.nn.functional.one_hot(said, 4).permute(0, 3, 1, 2).float()
    assert segmented(logits, masks).score == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_pixel_that_is_not_finite_is_wrong_and_its_image_is_counted() -> None:
    masks = torch.zeros(3, 2, 2, dtype=torch.uint8)
    masks[2] = 1
    logits = torch.zeros(3, 2, 2, 2)
    logits[:2, 0], logits[2, 1] = 1, 1
    assert segmented(logits, masks).score == 1
    logits[0, 1, 0, 0] = NAN
    logits[0, 0, 0, 1] = INF
    found = segmented(logits, masks)
    assert found.nonfinite == 1
    assert found.score == pytest.approx((6 / 8 + 1) / 2)
    assert found.details["pixel accuracy"] == pytest.approx(10 / 12)
    whole = segmented(torch.full_like(logits, NAN), masks)
    assert (whole.score, whole.nonfinite) == (0, 3)


def test_void_counts_nowhere_not_even_where_all_is_void() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=stream(0, "x"))
    found = segmented(logits, torch.full((2, 4, 4), 255))
    assert (found.score, found.details["pixel accuracy"]) == (0, 0)


def test_logits_are_found_in_what_segmenters_return() -> None:
    logits = torch.randn(2, 5, 4, 6, generator=stream(0, "x"))
    for output in (
        logits,
        {"out": logits, "aux": torch.zeros(1)},
        {"logits": logits},
        SimpleNamespace(logits=logits),
    ):
        assert pixel_logits(output, 4, 6) is logits
    for output in (torch.zeros(2, 5), {"aux": logits}, (logits,), None, [logits]):
        with pytest.raises(ValueError, match=r"a segmenter must return logits \(N, C, H, W\)"):
            pixel_logits(output, 4, 6)


def test_coarse_logits_are_enlarged_to_the_masks() -> None:
    coarse = torch.tensor([[[[0.0, 4.0]]]])
    assert pixel_logits(coarse, 1, 4).flatten().tolist() == [0, 1, 3, 4]
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    masks[0, 2:] = 1
    logits = torch.tensor([[[[1.0], [0]], [[0.0], [1]]]])
    test = Split(inputs=numbered(1, 4, 4), labels=masks)
    assert TASKS["segment"].evaluate(replay(logits), test, 1).score == 1


# --- detection ------------------------------------------------------------------------------------


def boxes(*corners: tuple[float, ...], classes: list[int] | None = None) -> Boxes:
    return Boxes(corners=torch.tensor(corners), classes=torch.tensor(classes or [1] * len(corners)))


def detection(truth: Boxes, scores: list[float] | None = None) -> dict[str, Tensor]:
    n = len(truth.classes)
    return {
        "boxes": truth.corners.clone(),
        "labels": truth.classes.clone(),
        "scores": torch.tensor(scores or [0.9] * n),
    }


def detected(said: list[Any], truth: list[Boxes], batch_size: int = 2) -> Result:
    test = Split(inputs=numbered(len(truth), 200, 200), labels=tuple(truth))
    return TASKS["detect"].evaluate(replay(said), test, batch_size)


TRUTH = [
    boxes((0, 0, 100, 100), (100, 100, 150, 200), classes=[1, 2]),
    boxes((20, 20, 60, 90)),
    boxes(),
]
NOTHING = detection(boxes())


def test_perfect_detections_score_1_and_none_score_0() -> None:
    perfect = detected([detection(one) for one in TRUTH], TRUTH)
    assert (perfect.score, perfect.details) == (1, {"mAP@.5": 1})
    assert (perfect.hits, perfect.nonfinite, perfect.classes) == (None, 0, 3)
    none = detected([NOTHING] * 3, TRUTH)
    assert (none.score, none.details) == (0, {"mAP@.5": 0})
    nowhere = detected([NOTHING], [boxes()])
    assert (nowhere.score, nowhere.details) == (0, {"mAP@.5": 0})


def test_the_wrong_class_is_no_detection() -> None:
    other = [detection(Boxes(corners=one.corners, classes=one.classes + 1)) for one in TRUTH]
    assert detected(other, TRUTH).score == 0


def test_an_overlap_of_072_counts_at_five_of_the_ten_thresholds() -> None:
    found = detected([detection(boxes((0, 0, 100, 72)))], [boxes((0, 0, 100, 100))])
    assert found.score == pytest.approx(0.5)
    assert found.details["mAP@.5"] == pytest.approx(1)


def test_one_false_box_between_two_true_ones_by_hand() -> None:
    """Precision is 1 up to a recall of 1/2 and 2/3 beyond; COCO reads it at 0, .01, ... 1."""
    truth = boxes((0, 0, 50, 50), (100, 100, 150, 150))
    said = boxes((0, 0, 50, 50), (0, 150, 50, 200), (100, 100, 150, 150))
    found = detected([detection(said, [0.9, 0.8, 0.7])], [truth])
    assert found.score == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_classes_that_do_not_occur_count_nowhere() -> None:
    said = [detection(boxes((0, 0, 50, 50), (60, 60, 90, 90), classes=[1, 7]))]
    assert detected(said, [boxes((0, 0, 50, 50))]).score == 1


def literal_coco(said: list[Mapping[str, Tensor]], truth: list[Boxes]) -> tuple[float, float]:
    """mAP@[.5:.95] and mAP@.5 from pycocotools itself."""

    def entries(i: int, corners: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        return [
            {
                "image_id": i,
                "category_id": int(label),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            for (x1, y1, x2, y2), label in zip(corners.tolist(), labels, strict=True)
        ]

    notes = [e for i, one in enumerate(truth) for e in entries(i, one.corners, one.classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truth))],
            "annotations": [{**e, "id": i + 1} for i, e in enumerate(notes)],
            "categories": [{"id": int(c)} for c in torch.cat([b.classes for b in truth]).unique()],
        }
        known.createIndex()
        results = []
        for i, one in enumerate(said):
            found = entries(i, one["boxes"], one["labels"])
            for e, score in zip(found, one["scores"].tolist(), strict=True):
                results.append({**e, "score": score})
        run = COCOeval(known, known.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0]), float(run.stats[1])


@pytest.mark.parametrize("seed", range(4))
def test_map_is_that_of_pycocotools(seed: int) -> None:
    dice = stream(seed, "map")

    def some(n: int) -> Boxes:
        corner = torch.rand(n, 2, generator=dice) * 100
        extent = 5 + torch.rand(n, 2, generator=dice) * 90
        classes = torch.randint(1, 4, (n,), generator=dice)
        return Boxes(corners=torch.cat([corner, corner + extent], 1), classes=classes)

    truth = [some(n) for n in (4, 1, 0, 6, 3)]
    said: list[Mapping[str, Tensor]] = []
    for one in truth:
        near, more = one.corners + 6 * torch.randn(one.corners.shape, generator=dice), some(3)
        said.append(
            {
                "boxes": torch.cat([near, more.corners]),
                "labels": torch.cat([one.classes, more.classes]),
                "scores": torch.rand(len(near) + 3, generator=dice),
            }
        )
    found = detected(list(said), truth)
    overall, at_half = literal_coco(said, truth)
    assert 0.01 < overall < at_half < 0.99, "the case should tell scores apart"
    assert found.score == pytest.approx(overall, abs=1e-6)
    assert found.details["mAP@.5"] == pytest.approx(at_half, abs=1e-6)
    assert detected(list(said), truth, batch_size=5).score == found.score


def test_boxes_that_are_not_finite_are_left_out_and_their_images_counted() -> None:
    broken = [detection(one) for one in TRUTH]
    broken[0]["boxes"][1, 2] = NAN
    broken[1]["scores"][0] = INF
    found = detected(broken, TRUTH)
    assert found.nonfinite == 2
    assert found.score == pytest.approx(0.5 * 51 / 101, abs=1e-6)  # half the boxes of class 1


# --- what does not fit ----------------------------------------------------------------------------

CLASSES = Split(inputs=numbered(2), labels=torch.tensor([0, 4]))
MASKS = Split(inputs=numbered(2, 2, 2), labels=torch.tensor([[[0, 255], [4, 0]]] * 2))
BOXES = Split(inputs=numbered(2, 9, 9), labels=(boxes((0, 0, 5, 5), classes=[4]), boxes()))
NO_DETECTION = r"a detector must return a dictionary of boxes \(K, 4\), labels \(K,\) and scores"


@pytest.mark.parametrize(
    ("test", "output"),
    [
        (CLASSES, torch.zeros(2, 5)),
        (MASKS, torch.zeros(2, 5, 2, 2)),
        (MASKS, {"out": torch.zeros(2, 5, 1, 1)}),
        (BOXES, [NOTHING, detection(boxes((0, 0, 5, 5)))]),
        (BOXES, (NOTHING, NOTHING)),
    ],
)
def test_an_output_that_fits_is_let_through(test: Split, output: Any) -> None:
    TASKS[test.task].check(output, test)


@pytest.mark.parametrize(
    ("test", "output", "sentence"),
    [
        (CLASSES, torch.zeros(2, 4), "the labels go up to 4, the network knows 4 classes"),
        (CLASSES, torch.zeros(2, 5, 2, 2), r"a classifier must return logits \(N, C\)"),
        (CLASSES, {"out": torch.zeros(2, 5)}, r"a classifier must return logits \(N, C\)"),
        (CLASSES, [NOTHING] * 2, r"a classifier must return logits \(N, C\)"),
        (MASKS, torch.zeros(2, 4, 2, 2), "the labels go up to 4, the network knows 4 classes"),
        (MASKS, torch.zeros(2, 5), r"a segmenter must return logits \(N, C, H, W\)"),
        (MASKS, [NOTHING] * 2, r"a segmenter must return logits \(N, C, H, W\)"),
        (BOXES, torch.zeros(2, 5), NO_DETECTION),
        (BOXES, {"out": torch.zeros(2, 5, 2, 2)}, NO_DETECTION),
        (BOXES, [{"boxes": torch.zeros(0, 4)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "boxes": torch.zeros(0, 5)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "scores": torch.zeros(3)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "labels": [1]}], NO_DETECTION),
    ],
)
def test_an_output_that_does_not_fit_the_labels_is_one_sentence(
    test: Split, output: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        TASKS[test.task].check(output, test)
