"""Labels of any form end in the one that says their task."""

import pytest
import torch
from torch import Tensor

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.data import NO_TOKEN, VOID, Split
from noiseproof.specs import parse_pixel_scale

X = torch.zeros(3, 1, 2, 2)
CLASSES = torch.tensor([2, 0, 1])
ONE_HOT = torch.nn.functional.one_hot(CLASSES)


@pytest.mark.parametrize(
    "labels",
    [CLASSES, CLASSES[:, None], ONE_HOT, ONE_HOT.float(), ONE_HOT.double(), ONE_HOT.bool()],
)
def test_columns_and_one_hot_rows_are_classes(labels: Tensor) -> None:
    split = Split(inputs=X, labels=labels)
    assert split.task == "classify"
    assert torch.equal(torch.as_tensor(split.labels), CLASSES)


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (torch.tensor([0.5, 2.0, -1.0]), "regress"),
        (torch.rand(3, 1, 2, 2), "regress"),
        (torch.rand(3, 2).double(), "regress"),
        (torch.tensor([[4, 7], [1, NO_TOKEN], [0, 0]]), "tokens"),
        (torch.zeros(3, 2, 2, dtype=torch.bool), "segment"),
        (torch.zeros(3, 1, 2, 2, dtype=torch.int64), "segment"),
    ],
)
def test_the_form_of_labels_says_the_task(labels: Tensor, task: str) -> None:
    assert Split(inputs=X, labels=labels).task == task


def test_a_part_is_of_the_same_task_as_the_whole_whatever_its_labels_look_like() -> None:
    """The first two rows alone would be one-hot, the first two numbers alone classes of 0 and 1."""
    tokens = Split(inputs=X, labels=torch.tensor([[0, 1], [1, 0], [5, 5]]))
    real = Split(inputs=X, labels=torch.tensor([0.0, 1.0, 0.5]))
    for split in (tokens, real):
        assert split.part(0, 2).task == split.take(torch.tensor([1, 0])).task == split.task


def test_the_classes_that_occur_leave_void_out() -> None:
    masks = torch.tensor([VOID, 3, 3, 0], dtype=torch.uint8).view(1, 2, 2).expand(3, 2, 2)
    tokens = torch.tensor([[4, 7], [1, NO_TOKEN], [0, 0]])
    assert Split(inputs=X, labels=masks).classes_in().tolist() == [0, 3]
    assert Split(inputs=X, labels=tokens).classes_in().tolist() == [0, 1, 4, 7]
    assert Split(inputs=X, labels=torch.rand(3)).top_class == -1


# --- pixels and their scale ---

PIXELS = torch.randint(0, 256, (30, 1, 4, 4), generator=stream(0, "pixels")).to(torch.uint8)
HALF = parse_pixel_scale("half")


class Bright(torch.nn.Module):
    """Two classes: is the mean input negative, or not?"""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(16, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 16))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(x.flatten(1))
        return found


TRUTH = (PIXELS.float().mean((1, 2, 3)) > 255 / 2).long()
NOISE = npf.noise.parse("gaussian(0.1)")


def test_pixels_without_a_scale_are_refused_and_with_one_score_what_the_scale_says() -> None:
    bare = Split(inputs=PIXELS, labels=TRUTH)
    for data in (bare, (PIXELS, TRUTH)):
        with pytest.raises(ValueError, match="uint8 pixels must have a scale, .* got none: give"):
            npf.measure(Bright(), data, NOISE)
    carried = npf.measure(Bright(), bare.with_scale(HALF), NOISE, chips=1)
    given = npf.measure(Bright(), bare, NOISE, chips=1, scale=HALF)
    other = npf.measure(Bright(), bare.with_scale(HALF), NOISE, chips=1, scale=npf.specs.UNSCALED)
    assert carried.clean.score == given.clean.score == 1
    assert carried.clean.scale == given.clean.scale == "0.5,0.5"
    assert other.clean.score == float((TRUTH == 1).float().mean()), "what is given counts"


def test_a_split_keeps_its_scale_in_every_part() -> None:
    split = Split(inputs=PIXELS, labels=TRUTH, scale=HALF)
    parts = (split.part(1, 3), split.first(2), split.take(torch.tensor([2, 0])))
    assert all(part.scale == HALF for part in parts)
    assert npf.data.open_dataset("digits").read("test").scale is not None


def test_calibration_pixels_without_a_scale_are_refused() -> None:
    floats = (PIXELS.float() / 255 - 0.5, TRUTH)
    with pytest.raises(ValueError, match="uint8 pixels must have a scale"):
        npf.measure(Bright(), floats, NOISE, calibration=PIXELS)


@pytest.mark.parametrize("shape", [(30, 16), (30, 4, 4)])
def test_bytes_that_are_no_images_are_refused_with_what_to_do(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8 inputs must be images .*int64 \(x.long\(\)\)"):
        npf.measure(Bright(), (PIXELS.view(shape), TRUTH), NOISE, scale=HALF)


def test_inputs_alone_need_a_scale_too() -> None:
    with pytest.raises(ValueError, match="uint8 pixels must have a scale"):
        npf.explain(Bright(), PIXELS, NOISE)
    assert npf.explain(Bright(), PIXELS, NOISE, chips=1, scale=HALF).points
