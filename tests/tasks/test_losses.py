"""Losses of a batch in closed form, and what a network may return in training."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Boxes, Source, Split
from noiseproof.specs import catalog
from noiseproof.tasks.table import TASKS

LOGITS = torch.randn(3, 4, generator=stream(0, "logits"))
PIXELS = torch.randn(2, 4, 3, 5, generator=stream(0, "pixels"))
MASKS = torch.randint(0, 4, (2, 3, 5), generator=stream(0, "masks"))
MASKS[0, 0], MASKS[1, 2, 1:] = 255, 255


class Says(nn.Module):
    """Returns what it is given, whatever the input; keeps what it was called with."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *given: Any) -> Any:
        self.given = given
        return self.output


class Fails(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, *given: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "wrap",
    [
        lambda main, other: main,
        lambda main, other: (main, other, None),
        lambda main, other: {"logits": main, "aux": other},
    ],
)
def test_the_loss_of_classes_weighs_auxiliary_heads_with_03(
    wrap: Callable[[Tensor, Tensor], Any],
) -> None:
    truth = torch.tensor([0, 3, 1])
    output = wrap(LOGITS, 2 * LOGITS)
    loss, share = TASKS["classify"].loss(Says(output), torch.zeros(3, 1), truth)

    def literal(logits: Tensor) -> float:
        chosen = [logits[i].log_softmax(0)[t] for i, t in enumerate(truth)]
        return -float(sum(chosen)) / 3

    expected = literal(LOGITS) + (0 if output is LOGITS else 0.3 * literal(2 * LOGITS))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(float((LOGITS.argmax(1) == truth).float().mean()))


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


@pytest.mark.parametrize(
    ("task", "model", "labels", "sentence"),
    [
        ("detect", Says([]), (), "a detector must return its losses in training, as torchvision"),
        ("segment", Says(LOGITS), MASKS, "a segmenter must return logits"),
        ("classify", Fails(RuntimeError("odd\nline")), MASKS[:, 0, 0], r"cannot train on .*: odd$"),
        ("segment", Fails(AssertionError()), MASKS, "cannot train on .*: AssertionError$"),
        ("detect", Fails(IndexError("out of range")), (), r"shape \(2, 3, 3, 5\): out of range"),
        ("detect", Fails(TypeError("takes 1")), (), "cannot train on inputs .*: takes 1"),
    ],
)
def test_a_network_that_cannot_be_taught_is_one_sentence(
    task: str, model: nn.Module, labels: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        TASKS[task].loss(model, torch.zeros(2, 3, 3, 5), labels)


@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_is_mirrored_where_the_data_set_says_so(flip: bool) -> None:
    ramp = (9 * torch.arange(24)).to(torch.uint8).expand(12, 3, 24, 24)
    source = Source(
        name="own", classes=2, channels=3, scale=catalog.UNSCALED, shift=0, flip=flip,
        read=lambda split: batch,
    )  # fmt: skip
    for labels in (torch.zeros(12, dtype=torch.int64), torch.zeros(12, 24, 24, dtype=torch.uint8)):
        batch = Split(inputs=ramp, labels=labels)
        with seeded(0, "dice"):
            got = TASKS[batch.task].change(batch, source, stream(0, "dice"))
        falls = (got.inputs.float().diff(dim=3) < 0).float().mean((1, 2, 3)) > 0.5
        assert bool(falls.any()) == flip
