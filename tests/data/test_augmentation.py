"""What training does to its images, and to what is known about them."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.rng import seeded, stream
from noiseproof.data.augmentation import SMALLEST_BOX, augmented, augmented_scenes
from noiseproof.data.splits import Boxes, Split

HEIGHT, WIDTH = 48, 64

# --- classification -------------------------------------------------------------------------------


def test_augmentation_is_the_literal_pad_crop_and_mirror() -> None:
    images = torch.randint(0, 256, (20, 3, 6, 5), generator=stream(0, "x")).to(torch.uint8)
    got = augmented(images, shift=2, flip=True, generator=stream(0, "dice"))
    dice = stream(0, "dice")
    tops, lefts = torch.randint(0, 5, (2, 20), generator=dice)
    mirrored = torch.rand(20, generator=dice) < 0.5
    for i, image in enumerate(images):
        padded = nn.functional.pad(image, (2, 2, 2, 2))
        crop = padded[:, tops[i] : tops[i] + 6, lefts[i] : lefts[i] + 5]
        assert torch.equal(got[i], crop.flip(2) if mirrored[i] else crop)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_augmentation_chooses_the_same_on_a_gpu() -> None:
    images = torch.randint(0, 256, (20, 3, 6, 5), generator=stream(0, "x")).to(torch.uint8)
    here, there = (
        augmented(found, shift=2, flip=True, generator=stream(0, "dice"))
        for found in (images, images.cuda())
    )
    assert there.is_cuda
    assert torch.equal(here, there.cpu())


def test_augmentation_without_shift_and_flip_is_the_identity() -> None:
    images = torch.rand(5, 1, 4, 4, generator=stream(0, "x"))
    assert torch.equal(augmented(images, shift=0, flip=False, generator=stream(0, "dice")), images)


# --- scenes ---------------------------------------------------------------------------------------


def painted(n: int) -> tuple[Tensor, Tensor, tuple[Boxes, ...]]:
    """Black images with one bright rectangle each: images, its mask, its box."""
    images = torch.zeros(n, 3, HEIGHT, WIDTH)
    masks = torch.zeros(n, HEIGHT, WIDTH, dtype=torch.uint8)
    boxes = []
    dice = stream(0, "painted")
    for i in range(n):
        left, top = torch.randint(0, HEIGHT - 24, (2,), generator=dice).tolist()
        wide, high = torch.randint(8, 24, (2,), generator=dice).tolist()
        images[i, :, top : top + high, left : left + wide] = 200
        masks[i, top : top + high, left : left + wide] = 1
        corners = torch.tensor([[left, top, left + wide, top + high]])
        boxes.append(Boxes(corners=corners, classes=torch.tensor([3])))
    return images.to(torch.uint8), masks, tuple(boxes)


SCALES = {"detect": (0.75, 1.5), "segment": (0.75, 2.0)}


def changed(split: Split, *, seed: int = 0, **options: Any) -> Split:
    with seeded(seed, "test"):
        return augmented_scenes(split, scales=SCALES[split.task], **options)


def bright(image: Tensor) -> Tensor:
    """Where (H, W) the rectangle is; the distortion of colours keeps it the brighter part."""
    lightness = image.float().sum(0)
    return lightness > lightness.max() / 2


def test_boxes_move_with_their_images() -> None:
    images, _, boxes = painted(80)
    got = changed(Split(inputs=images, labels=boxes))
    kept = 0
    for image, found in zip(got.inputs, got.labels, strict=True):
        assert isinstance(found, Boxes)
        rows, columns = bright(image).nonzero().unbind(1)
        if not len(found.classes):  # cropped away, or nearly
            wide = columns.max() - columns.min() + 1
            high = rows.max() - rows.min() + 1
            assert min(wide, high) <= SMALLEST_BOX + 1 or int(image.max()) == 0
            continue
        kept += 1
        assert found.classes.tolist() == [3]
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # A pixel counts from half its brightness on, and resampling spreads an edge over two.
        assert found.corners[0].tolist() == pytest.approx([float(s) for s in seen], abs=1.5)
        x1, y1, x2, y2 = found.corners[0].tolist()
        assert min(x2 - x1, y2 - y1) >= SMALLEST_BOX
    assert kept > 50
    before = torch.stack([b.corners[0] for b in boxes])
    moved = sum(
        not torch.allclose(b.corners[0], old, atol=1)
        for b, old in zip(got.labels, before, strict=True)
        if isinstance(b, Boxes) and len(b.classes)
    )
    assert moved > 40, "nothing was tested"


def test_objects_of_a_few_pixels_are_dropped() -> None:
    """2 pixels are at most 3 after scaling, 8 at least 6."""
    corners = torch.tensor([[20, 20, 22, 40], [20, 20, 40, 22], [30, 20, 38, 28]])
    boxes = Boxes(corners=corners, classes=torch.tensor([1, 2, 3]))
    got = changed(Split(inputs=painted(20)[0], labels=(boxes,) * 20))
    kept = [b.classes.tolist() for b in got.labels if isinstance(b, Boxes)]
    assert all(classes in ([], [3]) for classes in kept)
    assert [3] in kept


def test_masks_move_with_their_images_and_void_comes_in_with_the_black() -> None:
    images, masks, _ = painted(40)
    got = changed(Split(inputs=images, labels=masks))
    assert isinstance(got.labels, Tensor)
    assert got.labels.dtype == torch.uint8
    assert (got.labels == 255).any(), "no image was made smaller"
    for image, mask in zip(got.inputs, got.labels, strict=True):
        assert set(mask.unique().tolist()) <= {0, 1, 255}
        assert not image[:, mask == 255].any()
        if (mask == 1).sum() > 30:
            apart = bright(image) != (mask == 1)
            edge = nn.functional.max_pool2d((mask == 1).float()[None], 5, 1, 2)[0]
            edge += nn.functional.max_pool2d((mask != 1).float()[None], 5, 1, 2)[0]
            assert not (apart & (edge < 2)).any()


def test_scenes_keep_their_size_and_the_originals_are_left_alone() -> None:
    images, masks, boxes = painted(6)
    for labels in (masks, boxes):
        split = Split(inputs=images, labels=labels)
        before = split.sha256()
        got = changed(split)
        assert (got.inputs.shape, got.inputs.dtype) == (images.shape, images.dtype)
        assert type(got.inputs) is Tensor
        assert len(got) == 6
        assert got.sha256() != before
        assert split.sha256() == before


def test_the_seed_alone_decides_and_no_other_generator_is_touched() -> None:
    images, masks, boxes = painted(12)
    for labels in (masks, boxes):
        split = Split(inputs=images, labels=labels)
        outside = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
        one = changed(split, seed=1)
        assert random.getstate() == outside[0]
        assert np.random.get_state()[1].tobytes() == outside[1]
        assert torch.equal(torch.get_rng_state(), outside[2])
        torch.rand(7)
        np.random.rand(7)
        random.random()
        assert changed(split, seed=1).sha256() == one.sha256()
        assert changed(split, seed=2).sha256() != one.sha256()


def test_scenes_are_mirrored_only_where_that_is_wanted() -> None:
    """Brightness grows to the right, and still does after scaling, cropping and recolouring."""
    ramp = (50 + 2 * torch.arange(WIDTH)).to(torch.uint8).expand(40, 3, HEIGHT, WIDTH)
    split = Split(inputs=ramp, labels=torch.zeros(40, HEIGHT, WIDTH, dtype=torch.uint8))

    def rising(got: Split) -> int:
        assert isinstance(got.labels, Tensor)
        n = 0
        for image, mask in zip(got.inputs, got.labels, strict=True):
            columns = (mask == 0).any(0).nonzero()[:, 0]
            line = image[:, mask.ne(255).any(1)].float().mean((0, 1))
            n += int(line[columns[-1]] > line[columns[0]])
        return n

    assert rising(changed(split, flip=False)) == 40
    assert 4 <= rising(changed(split, flip=True)) <= 36  # outside once in 10 million seeds


def test_floats_are_no_colours_and_keep_their_values() -> None:
    images = torch.full((10, 3, HEIGHT, WIDTH), -5.0)
    got = changed(Split(inputs=images, labels=painted(10)[2]))
    near = torch.isclose(got.inputs, torch.tensor(-5.0), atol=1e-4)
    assert (near | (got.inputs == 0)).all()
    assert near.flatten(1).any(1).all(), "colours would be cut to 0 ... 1"


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_scenes_of_other_channels_are_augmented_too(channels: int) -> None:
    images = torch.full((4, channels, HEIGHT, WIDTH), 9, dtype=torch.uint8)
    got = changed(Split(inputs=images, labels=painted(4)[1]))
    assert set(got.inputs.unique().tolist()) <= {0, 9}


def test_an_image_without_boxes_stays_one() -> None:
    nothing = Boxes(corners=torch.zeros(0, 4), classes=torch.zeros(0, dtype=torch.int64))
    images = painted(4)[0]
    got = changed(Split(inputs=images, labels=(nothing,) * 4))
    assert all(isinstance(b, Boxes) and b.corners.shape == (0, 4) for b in got.labels)
