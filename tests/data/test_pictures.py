"""One image with its mask or boxes, fitted into one size: the geometry, in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from noiseproof.data.pictures import (
    Found,
    fit,
    fit_boxes,
    fit_mask,
    fitted_size,
    open_image,
    open_mask,
)

SIDES = st.integers(1, 60)
ASKED = st.integers(2, 60)
NUMBERS = {"cell": 1, "dot": 2}


def found(*corners: float, name: str = "cell") -> Found:
    x1, y1, x2, y2 = corners
    return Found(corners=(x1, y1, x2, y2), name=name)


@given(shape=st.tuples(SIDES, SIDES), size=st.tuples(ASKED, ASKED))
def test_a_fitted_image_fills_one_side_and_keeps_its_shape(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    height, width = fitted_size(shape, size)
    assert 1 <= height <= size[0]
    assert 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    factor = min(size[0] / shape[0], size[1] / shape[1])
    for side, before in ((height, shape[0]), (width, shape[1])):
        assert abs(side - before * factor) <= 0.5 or side == 1


@given(shape=st.tuples(SIDES, SIDES), size=st.tuples(ASKED, ASKED))
def test_image_and_mask_are_padded_below_and_to_the_right(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    height, width = fitted_size(shape, size)
    image = fit(torch.full((3, *shape), 200, dtype=torch.uint8), size)
    mask = fit_mask(torch.full(shape, 7, dtype=torch.uint8), size)
    inside = torch.zeros(size, dtype=torch.bool)
    inside[:height, :width] = True
    assert image.shape == (3, *size)
    assert (image[:, inside] == 200).all()
    assert (image[:, ~inside] == 0).all()
    assert mask.dtype == torch.uint8
    assert (mask[inside] == 7).all()
    assert (mask[~inside] == 255).all()


def test_an_image_of_the_asked_size_is_left_as_it_is() -> None:
    image = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    assert torch.equal(fit(image, (2, 4)), image)
    assert torch.equal(fit_mask(image[0], (2, 4)), image[0])


def test_a_mask_keeps_its_values_where_an_image_would_blend_them() -> None:
    mask = torch.tensor([[0, 10], [10, 0]], dtype=torch.uint8).repeat(8, 8)
    assert set(fit_mask(mask, (7, 7)).flatten().tolist()) == {0, 10}
    doubled = fit_mask(mask[:2, :2], (4, 6))
    assert doubled[:, :4].tolist() == [[0, 0, 10, 10]] * 2 + [[10, 10, 0, 0]] * 2
    assert (doubled[:, 4:] == 255).all()


@given(shape=st.tuples(SIDES, SIDES), size=st.tuples(ASKED, ASKED), data=st.data())
def test_a_box_keeps_its_relative_place_in_the_image(
    shape: tuple[int, int], size: tuple[int, int], data: st.DataObject
) -> None:
    unit = st.floats(0, 0.4)
    y1, x1 = data.draw(unit) * shape[0], data.draw(unit) * shape[1]
    y2, x2 = (1 - data.draw(unit)) * shape[0], (1 - data.draw(unit)) * shape[1]
    boxes = fit_boxes([found(x1, y1, x2, y2)], shape, size, NUMBERS)
    height, width = fitted_size(shape, size)
    got = boxes.corners[0] / torch.tensor([width, height] * 2)
    expected = [x1 / shape[1], y1 / shape[0], x2 / shape[1], y2 / shape[0]]
    assert got.tolist() == pytest.approx(expected, abs=1e-6)
    assert not boxes.outside(height, width).any()


@pytest.mark.parametrize("size", [(40, 80), (33, 100), (90, 61), (20, 40)])
def test_a_box_stays_on_the_object_that_it_surrounds(size: tuple[int, int]) -> None:
    """A white rectangle on black, found again in the pixels of the fitted image and mask."""
    image = torch.zeros(3, 40, 80, dtype=torch.uint8)
    image[:, 8:24, 20:60] = 255
    mask = (image[0] > 0).to(torch.uint8)
    (box,) = fit_boxes([found(20, 8, 60, 24)], (40, 80), size, NUMBERS).corners.tolist()
    for white in (fit(image, size)[0] > 127, fit_mask(mask, size) == 1):
        rows, columns = white.nonzero().unbind(1)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # An edge within a pixel is seen on one of the pixel's sides.
        assert [float(side) for side in seen] == pytest.approx(box, abs=1)


def test_boxes_without_area_are_left_out_and_classes_follow() -> None:
    boxes = fit_boxes(
        [found(1, 1, 1, 5), found(2, 2, 4, 4, name="dot"), found(3, 5, 9, 5)], (10, 10), (20, 20),
        NUMBERS,
    )  # fmt: skip
    assert boxes.corners.tolist() == [[4, 4, 8, 8]]
    assert boxes.classes.tolist() == [2]
    nothing = fit_boxes([], (10, 10), (20, 20), NUMBERS)
    assert (nothing.corners.shape, nothing.classes.tolist()) == ((0, 4), [])


def test_a_box_may_reach_out_by_a_rounded_pixel_and_is_cut() -> None:
    boxes = fit_boxes([found(-1, -0.5, 11, 10.2), found(10.1, 2, 11, 5)], (10, 10), (5, 8), NUMBERS)
    assert boxes.corners.tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize(
    "corners", [(0, 0, 11.1, 5), (0, 0, 5, 11.1), (-1.1, 0, 5, 5), (0, 0, float("nan"), 5)]
)
def test_a_box_outside_its_image_is_refused_though_the_padding_would_hold_it(
    corners: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match=r"a box must lie inside its image, got .* of 10x10 pixel"):
        fit_boxes([found(1, 1, 2, 2), found(*corners)], (10, 10), (50, 100), NUMBERS)


def test_a_class_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown class 'cat' of a box: expected one of cell, dot"):
        fit_boxes([found(0, 0, 1, 1, name="cat")], (9, 9), (9, 9), NUMBERS)


# --- files ----------------------------------------------------------------------------------------


def test_images_of_any_mode_become_three_channels(tmp_path: Path) -> None:
    for mode in ("L", "RGB", "RGBA", "P"):
        Image.new(mode, (4, 3), 9).save(tmp_path / f"{mode}.png")
        assert open_image(tmp_path / f"{mode}.png").shape == (3, 3, 4)


def test_mask_values_are_those_of_the_file_and_palette_indices(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [11, 254, 255]], dtype=np.uint8)
    for mode in ("L", "P"):
        image = Image.fromarray(values, mode="L")
        if mode == "P":
            image = image.copy()
            image.putpalette([255 - i for i in range(256) for _ in range(3)])
        image.save(tmp_path / f"{mode}.png")
        mask = open_mask(tmp_path / f"{mode}.png")
        assert mask.dtype == torch.uint8
        assert mask.tolist() == values.tolist()
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "I.png")
    assert open_mask(tmp_path / "I.png").tolist() == values.tolist()


def test_wrong_mask_files_are_one_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match=r"rgb.png must hold one class per pixel, got mode RGB"):
        open_mask(tmp_path / "rgb.png")
    Image.fromarray(np.full((2, 2), 300, dtype=np.uint16)).save(tmp_path / "high.png")
    with pytest.raises(ValueError, match=r"high.png must hold classes from 0 to 254, .* got 300"):
        open_mask(tmp_path / "high.png")


def test_a_file_that_is_no_image_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (64, 64), 7).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for name in ("text", "half"):
        for opened in (open_image, open_mask):
            with pytest.raises(ValueError, match=f"{name}.png is not a readable image"):
                opened(tmp_path / f"{name}.png")
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "none.png")
