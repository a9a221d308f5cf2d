"""Mean average precision against pycocotools, and the losses of detectors."""

import contextlib
import io
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from noiseproof.core.rng import stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.tasks.table import TASKS
from noiseproof.tasks.task import Result
from tests.tasks.toys import INF, NAN, Says, boxes, detection, numbered, replay


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


def test_the_loss_of_boxes_is_the_sum_of_what_the_detector_says() -> None:
    boxes = Boxes(corners=torch.tensor([[0, 0, 2, 2.0]]), classes=torch.tensor([2]))
    model = Says({"one": torch.tensor(1.5), "other": torch.tensor(2, dtype=torch.bfloat16)})
    loss, share = TASKS["detect"].loss(model, torch.zeros(2, 3, 4, 4), (boxes, boxes))
    assert float(loss) == 3.5
    assert math.isnan(share)
    images, truth = model.given
    assert [tuple(image.shape) for image in images] == [(3, 4, 4)] * 2
    assert [t["labels"].tolist() for t in truth] == [[2], [2]]
    assert truth[0]["boxes"].tolist() == [[0, 0, 2, 2]]


def test_a_detector_trains_on_one_tensor_of_images() -> None:
    pair = (torch.zeros(2, 3, 4, 4), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"one tensor of images, got tensors \(2, 3, 4, 4\) and"):
        TASKS["detect"].loss(Says({}), pair, ())
