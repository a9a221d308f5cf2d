"""Boxes as files have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from noiseproof.data.annotations import read_coco, read_voc, voc_classes


def write_voc(path: Path, *boxes: tuple[str, tuple[Any, ...]]) -> Path:
    objects = [
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in boxes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{''.join(objects)}</annotation>")
    return path


def test_vocs_pixels_count_from_one_and_include_the_last(tmp_path: Path) -> None:
    """The whole of a 20 x 10 image is 1, 1, 20, 10 there and 0, 0, 20, 10 here."""
    file = write_voc(tmp_path / "a.xml", ("cat", (1, 1, 20, 10)), ("dog", (0, 3, 5.5, 7)))
    whole, other = read_voc(file)
    assert (whole.name, whole.corners) == ("cat", (0, 0, 20, 10))
    assert (other.name, other.corners) == ("dog", (0, 2, 5.5, 7))


def test_vocs_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    file = write_voc(tmp_path / "a.xml", ("cat", (5, 1, 5, 10)), ("dog", (1, 4, 9, 4)))
    assert read_voc(file) == []
    assert read_voc(write_voc(tmp_path / "b.xml")) == []


def test_classes_of_a_folder_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    write_voc(tmp_path / "Annotations" / "1.xml", ("wolf", (1, 1, 5, 5)))
    write_voc(tmp_path / "Annotations" / "2.xml", ("cat", (1, 1, 5, 5)), ("wolf", (1, 1, 9, 9)))
    assert voc_classes(tmp_path) == {"cat": 1, "wolf": 2}
    with pytest.raises(ValueError, match="Annotations holds no boxes"):
        voc_classes(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "no element found"),
        ("no xml", "syntax error"),
        ("<a><object><name>x</name></object></a>", "a box without xmin"),
        ("<a><object><bndbox><xmin>1</xmin></bndbox></object></a>", "a box without ymin"),
    ],
)
def test_a_broken_voc_annotation_is_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=f"a.xml is not a VOC annotation: {reason}"):
        read_voc(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("name", "corner", "reason"),
    [
        ("cat", "far", "could not convert string to float: 'far'"),
        ("cat", "nan", "a box at"),
        ("", "5", "a box without name"),
    ],
)
def test_wrong_entries_of_a_voc_annotation_are_one_sentence(
    tmp_path: Path, name: str, corner: str, reason: str
) -> None:
    file = write_voc(tmp_path / "a.xml", (name, (1, 1, corner, 9)))
    with pytest.raises(ValueError, match=f"a.xml is not a VOC annotation: {reason}"):
        read_voc(file)


def coco() -> dict[str, Any]:
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 9, "file_name": "b.jpg", "width": 20, "height": 10},
            {"id": 4, "file_name": "a.jpg", "width": 20, "height": 10},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 90, "bbox": [0, 0, 9.5, 1], "area": 9.5},
            {"id": 3, "image_id": 9, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 90, "name": "wolf"}],
    }


def test_cocos_boxes_are_corner_and_extent_and_crowds_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco()))
    found, numbers = read_coco(tmp_path / "a.json")
    assert list(found) == ["a.jpg", "b.jpg"]
    assert found["a.jpg"] == []
    assert [(box.name, box.corners) for box in found["b.jpg"]] == [
        ("cat", (1, 2, 4, 6)),
        ("wolf", (0, 0, 9.5, 1)),
    ]
    assert numbers == {"cat": 7, "wolf": 90}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("[1, 2]", "a.json is not a COCO annotation file: Input should be an object"),
        ("{", "a.json is not a COCO annotation file: Invalid JSON: EOF"),
        ('{"images": []}', "a.json is not a COCO annotation file: annotations: Field required"),
        ({"annotations": [{"image_id": 9, "category_id": 7}]}, "annotations.0.bbox: Field requ"),
        (
            {"annotations": [{"image_id": 9, "category_id": 7, "bbox": [1, 2, 3]}]},
            "annotations.0.bbox.3: Field required",
        ),
        (
            {"annotations": [{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4]}]},
            "a.json has a box in image 5, which it does not list",
        ),
    ],
)
def test_a_broken_coco_file_is_one_sentence(
    tmp_path: Path, change: str | dict[str, Any], reason: str
) -> None:
    text = change if isinstance(change, str) else json.dumps({**coco(), **change})
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_coco(tmp_path / "a.json")
