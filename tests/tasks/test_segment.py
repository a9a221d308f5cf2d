"""Mean intersection over union against loops and torchmetrics, and the loss of pixels."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.tasks.segment import pixel_logits
from noiseproof.tasks.table import TASKS
from noiseproof.tasks.task import Result
from tests.tasks.toys import INF, NAN, Says, numbered, replay

PIXELS = torch.randn(2, 4, 3, 5, generator=stream(0, "pixels"))
MASKS = torch.randint(0, 4, (2, 3, 5), generator=stream(0, "masks"))
MASKS[0, 0], MASKS[1, 2, 1:] = 255, 255


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
    assert pixel_logits((logits, torch.zeros(1)), 4, 6) is logits
    for output in (torch.zeros(2, 5), {"aux": logits}, (), None, [None]):
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


# --- the loss ---


def literal_pixels(logits: Tensor) -> tuple[float, float]:
    total, right, n = 0.0, 0, 0
    for i, row, column in (MASKS != 255).nonzero().tolist():
        at = logits[i, :, row, column]
        total -= float(at.log_softmax(0)[MASKS[i, row, column]])
        right += int(at.argmax() == MASKS[i, row, column])
        n += 1
    return total / n, right / n


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize(
    ("output", "has_auxiliary"),
    [
        (PIXELS, False),
        ({"out": PIXELS}, False),
        (SimpleNamespace(logits=PIXELS), False),
        ({"out": PIXELS, "aux": 2 * PIXELS}, True),
        ((PIXELS, 2 * PIXELS, None), True),
    ],
)
def test_the_loss_of_masks_leaves_void_out_and_weighs_auxiliary_heads_with_05(
    output: Any, has_auxiliary: bool, dtype: torch.dtype
) -> None:
    x = torch.zeros(2, 3, 3, 5)
    loss, share = TASKS["segment"].loss(Says(output), x, MASKS.to(dtype))
    main, right = literal_pixels(PIXELS)
    expected = main + 0.5 * literal_pixels(2 * PIXELS)[0] * has_auxiliary
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(right)


def test_coarse_logits_learn_from_whole_masks() -> None:
    coarse = torch.randn(2, 4, 2, 2, generator=stream(0, "coarse"), requires_grad=True)
    loss, _ = TASKS["segment"].loss(Says({"out": coarse}), torch.zeros(2, 3, 3, 5), MASKS)
    large = F.interpolate(coarse, size=(3, 5), mode="bilinear", align_corners=False)
    assert float(loss.detach()) == pytest.approx(literal_pixels(large.detach())[0], rel=1e-5)


def test_a_batch_of_nothing_but_void_teaches_nothing() -> None:
    logits = PIXELS.clone().requires_grad_()
    loss, share = TASKS["segment"].loss(
        Says(logits), torch.zeros(2, 3, 3, 5), torch.full((2, 3, 5), 255, dtype=torch.uint8)
    )
    loss.backward()
    assert (float(loss.detach()), share) == (0, 0)
    assert not logits.grad.any()
