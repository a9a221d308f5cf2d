"""Images with classes, masks or boxes: what is held, and what is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from noiseproof.core.rng import stream
from noiseproof.data import Boxes, Dataset, Source, Split
from noiseproof.specs.catalog import UNSCALED

PIXELS = torch.zeros(2, 3, 10, 20, dtype=torch.uint8)


def boxes(*corners: tuple[float, ...], classes: list[int] | None = None) -> Boxes:
    return Boxes(corners=torch.tensor(corners), classes=torch.tensor(classes or [1] * len(corners)))


def three() -> dict[str, Split]:
    """Five images of each task."""
    images = torch.randint(0, 256, (5, 3, 10, 20), generator=stream(0, "x")).to(torch.uint8)
    labels: dict[str, Tensor | tuple[Boxes, ...]] = {
        "classify": torch.arange(5),
        "segment": torch.arange(5)[:, None, None].expand(5, 10, 20),
        "detect": tuple(boxes((0, 0, 1 + i, 2), classes=[i + 1]) for i in range(5)),
    }
    return {task: Split(inputs=images, labels=of) for task, of in labels.items()}


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_the_labels_say_the_task(task: str) -> None:
    split = three()[task]
    assert split.task == task
    assert split.top_class == (5 if task == "detect" else 4)
    assert len(split) == 5


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_a_part_and_a_choice_keep_images_and_labels_together(task: str) -> None:
    split = three()[task]
    for chosen, places in (
        (split.part(1, 3), [1, 2]),
        (split.first(2), [0, 1]),
        (split.take(torch.tensor([4, 0])), [4, 0]),
    ):
        assert torch.equal(chosen.inputs, split.inputs[places])
        for label, place in zip(chosen.labels, places, strict=True):
            if isinstance(label, Boxes):
                assert label is split.labels[place]
            else:
                assert torch.equal(label, split.labels[place])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int16])
def test_masks_are_bytes_whatever_they_were(dtype: torch.dtype) -> None:
    masks = torch.tensor([[[0, 3]], [[255, 254]]]).to(torch.int64)
    masks = masks.to(dtype)
    split = Split(inputs=torch.zeros(2, 3, 1, 2), labels=masks)
    assert isinstance(split.labels, Tensor)
    assert split.labels.dtype == torch.uint8
    assert split.labels.flatten().tolist() == [0, 3, 255, 254]
    assert split.top_class == 254


def test_void_is_no_class_and_images_may_be_without_boxes() -> None:
    void = torch.full((2, 10, 20), 255)
    assert Split(inputs=PIXELS, labels=void).top_class == -1
    assert Split(inputs=PIXELS, labels=(boxes(), boxes())).top_class == -1


def test_the_fingerprint_sees_masks_boxes_and_whose_boxes_they_are() -> None:
    one, other = boxes((0, 0, 2, 2)), boxes((0, 0, 2, 2), classes=[2])
    moved = boxes((0, 0, 2, 3))
    mask = torch.zeros(2, 10, 20, dtype=torch.uint8)
    changed = mask.clone()
    changed[1, 9, 19] = 1
    labels = [(one, boxes()), (boxes(), one), (other, boxes()), (moved, boxes()), mask, changed]
    splits = [Split(inputs=PIXELS, labels=of) for of in labels]
    assert len({split.sha256() for split in splits}) == len(labels)
    assert splits[4].sha256() == Split(inputs=PIXELS, labels=mask.long()).sha256()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: boxes((0, 0, 0, 5)), r"x1 < x2 and y1 < y2, got \[0.0, 0.0, 0.0, 5.0\]"),
        (lambda: boxes((0, 5, 5, 3)), r"x1 < x2 and y1 < y2, got \[0.0, 5.0, 5.0, 3.0\]"),
        (lambda: boxes((0, 0, float("nan"), 5)), "x1 < x2 and y1 < y2, got"),
        (lambda: boxes((0, 0, float("inf"), 5)), "x1 < x2 and y1 < y2, got"),
        (lambda: boxes((0, 0, 1, 1), classes=[0]), "classes of boxes must be >= 1, got 0"),
        (lambda: boxes((0, 0, 1, 1), classes=[1, 2]), r"equally many, got 1 and \(2,\)"),
        (
            lambda: Boxes(corners=torch.zeros(2, 6), classes=torch.ones(3, dtype=torch.int64)),
            r"corners of boxes must be \(K, 4\), got \(2, 6\)",
        ),
        (
            lambda: Boxes(corners=torch.tensor([[0, 0, 1, 1.0]]), classes=torch.tensor([1.5])),
            "classes of boxes must be whole numbers, got torch.float32",
        ),
        (
            lambda: Boxes(corners=[[0, 0, 1, 1]], classes=torch.tensor([1])),  # type: ignore[arg-type]
            "corners of boxes must be a tensor, got list",
        ),
        (
            lambda: Boxes(corners=torch.ones(1, 4), classes=[1]),  # type: ignore[arg-type]
            "classes of boxes must be a tensor, got list",
        ),
    ],
)
def test_wrong_boxes_are_one_sentence(make: Callable[[], Boxes], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("corners", "inside"),
    [
        ((0, 0, 20, 10), True),
        ((0, 0, 20.1, 10), False),
        ((0, 0, 10, 20), False),  # height and width taken for each other
        ((-0.1, 0, 20, 10), False),
        ((0, -0.1, 20, 10), False),
    ],
)
def test_a_box_lies_inside_its_image(corners: tuple[float, ...], inside: bool) -> None:
    labels = (boxes(), boxes(corners))
    if inside:
        Split(inputs=PIXELS, labels=labels)
    else:
        with pytest.raises(ValueError, match=r"inside its image, got .* in image 1 of 10x20 pixel"):
            Split(inputs=PIXELS, labels=labels)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (torch.zeros(2, 5, 20, dtype=torch.int64), r"as large as their images, got \(5, 20\) and"),
        (torch.full((2, 10, 20), 256), "classes of masks must be < 255, and 255 for void, got 256"),
        (torch.full((2, 10, 20), -1), "labels must be >= 0, got -1"),
        (torch.zeros(2, dtype=torch.bool), "labels must be whole numbers"),
        (torch.zeros(3, 10, 20, dtype=torch.uint8), "equally many, got 2 and 3"),
        ((boxes(),), "equally many, got 2 and 1"),
        ("classes", "labels must be a tensor or a Boxes per image, got str"),
        (None, "labels must be a tensor or a Boxes per image, got NoneType"),
        ([1, 2], "labels must be a tensor or a Boxes per image, got one int"),
        (({"boxes": 1}, {}), "labels must be a tensor or a Boxes per image, got one dict"),
        (np.zeros((2, 10, 20)), "labels must be a tensor or a Boxes per image, got one ndarray"),
    ],
)
def test_wrong_labels_are_one_sentence(labels: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Split(inputs=PIXELS, labels=labels)  # type: ignore[arg-type]


def test_scenes_need_images_of_height_and_width() -> None:
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\), got \(2, 10, 20\)"):
        Split(inputs=torch.zeros(2, 10, 20), labels=(boxes(), boxes()))
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\), got \(2,\)"):
        Split(inputs=torch.zeros(2), labels=torch.zeros(2, dtype=torch.int64))


def test_a_data_set_of_ones_own_is_checked_when_it_is_made() -> None:
    splits = three()
    with pytest.raises(ValueError, match="test and train must be a Split, got tuple"):
        Dataset(test=(PIXELS, PIXELS))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="test and train must be a Split, got int"):
        Dataset(test=splits["detect"], train=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be for one task, got segment and detect"):
        Dataset(test=splits["detect"], train=splits["segment"])


def test_a_task_that_the_labels_do_not_fit_is_refused() -> None:
    source = Source(
        name="bccd",
        classes=4,
        channels=3,
        scale=UNSCALED,
        shift=0,
        flip=True,
        read=lambda split: three()["detect"],
        task="detect",
    )
    source.check_task("detect")
    source.check_task(None)
    for task in ("classify", "boxes"):
        with pytest.raises(ValueError, match=f"task {task} does not fit bccd: its labels say det"):
            source.check_task(task)
