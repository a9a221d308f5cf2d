"""Scene data sets, read through `open_dataset` from small folders written here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from noiseproof.data import datasets as data
from noiseproof.data import scenes
from noiseproof.specs import catalog
from noiseproof.specs.catalog import VOC_CLASSES


def write_image(path: Path, *, height: int = 10, width: int = 20, value: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, value, value)).save(path)


def write_mask(path: Path, values: Any, *, height: int = 10, width: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.broadcast_to(np.asarray(values, dtype=np.uint8), (height, width))
    Image.fromarray(np.ascontiguousarray(array), mode="L").save(path)


def write_masks(root: Path, split: str = "test", n: int = 6) -> None:
    """Image i is of colour i and of class i."""
    for i in range(n):
        write_image(root / split / f"{i}.png", value=i)
        write_mask(root / f"{split}annot" / f"{i}.png", i)


def write_voc(root: Path, split: str, notes: dict[str, list[tuple[str, tuple[Any, ...]]]]) -> None:
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(notes))
    (root / "Annotations").mkdir(exist_ok=True)
    for name, boxes in notes.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        objects = [
            f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, (x1, y1, x2, y2) in boxes
        ]
        (root / "Annotations" / f"{name}.xml").write_text(f"<a>{''.join(objects)}</a>")


def test_every_named_data_set_has_one_reader() -> None:
    of_scenes = {name for name, facts in catalog.DATASETS.items() if facts.task != "classify"}
    assert set(scenes.SCENE_READERS) == of_scenes


# --- segmentation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        "{0} {0}annot",
        "images/{0} masks/{0}",
        "images/{0} labels/{0}",
        "images/{0} annotations/{0}",
    ],
)
def test_masks_stand_beside_their_images_in_either_layout(tmp_path: Path, layout: str) -> None:
    for split, n in (("train", 4), ("test", 5)):
        images, masks = layout.format(split).split()
        for i in range(n):
            write_image(tmp_path / images / f"{i}.png", value=i)
            write_mask(tmp_path / masks / f"{i}.png", i)
    source = data.open_dataset(f"masks:{tmp_path}")
    assert (source.task, source.classes, source.channels) == ("segment", 5, 3)
    test = source.read("test")
    assert isinstance(test.labels, Tensor)
    assert (test.inputs.shape, test.labels.shape) == ((5, 3, 10, 20), (5, 10, 20))
    assert test.labels.dtype == torch.uint8
    assert torch.equal(test.inputs[:, 0], test.labels), "image and mask must stay together"
    assert test.labels[:, 0, 0].tolist() != sorted(test.labels[:, 0, 0].tolist())
    assert test.sha256() == source.read("test").sha256()
    assert len(source.read("train")) == 4


def test_void_is_255_and_no_class(tmp_path: Path) -> None:
    write_image(tmp_path / "test" / "a.png")
    write_mask(tmp_path / "testannot" / "a.png", [[0, 2, 255, 255] * 5])
    source = data.open_dataset(f"masks:{tmp_path}")
    assert source.classes == 3
    assert source.read("test").labels[0, 0, :4].tolist() == [0, 2, 255, 255]


def test_scenes_are_fitted_into_the_size_of_their_name(tmp_path: Path) -> None:
    write_masks(tmp_path)
    test = data.open_dataset(f"masks:{tmp_path}@8x10").read("test")
    assert test.inputs.shape == (6, 3, 8, 10)
    assert (test.inputs[:, :, :5] == test.labels[:, None, :5]).all()
    assert (test.inputs[:, :, 5:] == 0).all()
    assert (test.labels[:, 5:] == 255).all()


def test_the_classes_of_a_folder_are_those_of_both_splits(tmp_path: Path) -> None:
    write_masks(tmp_path, "train", 2)
    write_masks(tmp_path, "test", 7)
    assert data.open_dataset(f"masks:{tmp_path}").classes == 7


def test_camvids_void_is_class_11(tmp_path: Path) -> None:
    write_image(tmp_path / "camvid" / "test" / "a.png")
    write_mask(tmp_path / "camvid" / "testannot" / "a.png", [[0, 10, 11, 11] * 5])
    source = data.open_dataset("camvid", data_dir=tmp_path)
    assert (source.classes, source.task, source.name) == (11, "segment", "camvid")
    assert source.read("test").labels[0, 0, :4].tolist() == [0, 10, 255, 255]
    with pytest.raises(ValueError, match=r"camvid \(train\) is not in .*camvid/train is missing"):
        source.read("train")


def test_vocs_masks_are_palette_indices_fitted_with_void_around(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    write_image(root / "JPEGImages" / "a.jpg")
    values = np.full((10, 20), 20, dtype=np.uint8)
    values[0] = 255
    mask = Image.fromarray(values, mode="L").copy()
    mask.putpalette([i % 256 for i in range(768)])
    (root / "SegmentationClass").mkdir()
    mask.save(root / "SegmentationClass" / "a.png")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    test = data.open_dataset("voc_segment@20x20", data_dir=tmp_path).read("test")
    assert test.labels[0, :, 0].tolist() == [255] + [20] * 9 + [255] * 10
    assert data.open_dataset("voc_segment").classes == 21


def _without_mask(root: Path) -> None:
    write_masks(root)
    (root / "testannot" / "3.png").unlink()


def _other_size(root: Path) -> None:
    write_masks(root)
    write_mask(root / "testannot" / "3.png", 1, height=9)


def _in_colour(root: Path) -> None:
    write_masks(root)
    write_image(root / "testannot" / "3.png")


def _no_image(root: Path) -> None:
    write_masks(root)
    (root / "test" / "3.png").write_text("no image")


def _sizes(root: Path) -> None:
    write_masks(root)
    write_image(root / "test" / "3.png", height=11)
    write_mask(root / "testannot" / "3.png", 1, height=11)


def _no_images(root: Path) -> None:
    for part in ("test", "testannot"):
        (root / part).mkdir()


def _void_only(root: Path) -> None:
    write_image(root / "test" / "a.png")
    write_mask(root / "testannot" / "a.png", 255)


def _images_only(root: Path) -> None:
    write_image(root / "test" / "a.png")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_without_mask, r"image .*test/3.png has no mask .*testannot/3.png"),
        (_other_size, r"mask .*3.png must be as large as its image, got \(9, 20\) and \(10, 20\)"),
        (_in_colour, "mask .*3.png must hold one class per pixel, got mode RGB"),
        (_no_image, "3.png is not a readable image"),
        (_sizes, r"the images in .* differ in size: name one, as in NAME@240x320"),
        (_no_images, "test holds no images"),
        (_void_only, "hold no class: all their pixels are 255, void"),
        (_images_only, "holds no masks: expected test and testannot in it, or images/test and mas"),
        (lambda root: None, "holds no masks"),
        (lambda root: root.rmdir(), "folder of masks .* does not exist"),
        (lambda root: write_masks(root, "train"), "test does not exist"),
    ],
)
def test_a_wrong_folder_of_masks_is_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    (tmp_path / "root").mkdir()
    spoil(tmp_path / "root")
    with pytest.raises(ValueError, match=sentence) as raised:
        data.open_dataset(f"masks:{tmp_path / 'root'}").read("test")
    assert "\n" not in str(raised.value)


def test_images_of_different_sizes_are_read_at_one(tmp_path: Path) -> None:
    _sizes(tmp_path)
    assert data.open_dataset(f"masks:{tmp_path}@10x10").read("test").inputs.shape == (6, 3, 10, 10)


# --- detection ------------------------------------------------------------------------------------


def test_a_folder_in_vocs_layout_is_read(tmp_path: Path) -> None:
    write_voc(
        tmp_path,
        "test",
        {"b": [("wolf", (1, 1, 20, 10)), ("cat", (3, 3, 6, 6))], "a": [("cat", (2, 2, 2, 9))]},
    )
    write_voc(tmp_path, "train", {"c": []})
    source = data.open_dataset(f"voc:{tmp_path}@20x20")
    assert (source.task, source.classes, str(source.scale)) == ("detect", 3, "0.0,1.0")
    b, a = source.read("test").labels
    assert (b.corners.tolist(), b.classes.tolist()) == ([[0, 0, 20, 10], [2, 2, 6, 6]], [2, 1])
    assert a.corners.shape == (0, 4)
    assert source.read("train").labels[0].corners.shape == (0, 4)
    half = data.open_dataset(f"voc:{tmp_path}@10x10").read("test")
    assert half.inputs.shape == (2, 3, 10, 10)
    assert half.labels[0].corners.tolist() == [[0, 0, 10, 5], [1, 1, 3, 3]]


def test_bccds_classes_have_fixed_numbers(tmp_path: Path) -> None:
    write_voc(
        tmp_path / "bccd", "test", {"a": [("Platelets", (1, 1, 5, 5)), ("RBC", (1, 1, 5, 5))]}
    )
    source = data.open_dataset("bccd", data_dir=tmp_path)
    assert (source.task, source.classes) == ("detect", 4)
    assert source.read("test").labels[0].classes.tolist() == [3, 1]
    with pytest.raises(ValueError, match=r"bccd \(train\) is not in .*train.txt is missing; name"):
        source.read("train")


def test_vocs_own_boxes_are_read_through_torchvision(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    write_voc(root, "val", {"a": [("tvmonitor", (1, 1, 20, 10)), ("aeroplane", (1, 1, 5, 5))]})
    test = data.open_dataset("voc_detect@10x20", data_dir=tmp_path).read("test")
    assert test.labels[0].classes.tolist() == [len(VOC_CLASSES), 1]
    assert test.labels[0].corners[0].tolist() == [0, 0, 20, 10]


def write_coco(root: Path, category: int = 90) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_image(root / "coco" / "val2017" / name)
    notes = {
        "images": [{"id": 2, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 2, "category_id": category, "bbox": [4, 2, 16, 8]}],
        "categories": [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}],
    }
    file = root / "coco" / "annotations" / "instances_val2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(notes))


def test_coco_keeps_its_category_numbers_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coco(tmp_path)
    source = data.open_dataset("coco@40x40", data_dir=tmp_path)
    b, a = source.read("test").labels
    assert (source.task, source.classes) == ("detect", 91)
    assert (a.corners.tolist(), a.classes.tolist()) == ([[8, 4, 40, 20]], [90])
    assert b.corners.shape == (0, 4)
    assert capsys.readouterr().out == ""
    assert data.open_dataset("coco", data_dir=tmp_path).read("test").inputs.shape[2:] == (480, 480)


def test_missing_scenes_are_one_line_that_says_how_to_get_them(tmp_path: Path) -> None:
    for name in scenes.SCENE_READERS:
        for split in ("train", "test"):
            source = data.open_dataset(f"{name}@40x40", data_dir=tmp_path)
            fetch = "" if name in data.WITHOUT_DOWNLOAD else "add --download, or "
            sentence = f"{name} .{split}. is not in .* is missing; {fetch}name the folder"
            with pytest.raises(ValueError, match=sentence):
                source.read(split)


@pytest.mark.parametrize("name", data.WITHOUT_DOWNLOAD)
def test_what_cannot_be_downloaded_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{name} cannot be downloaded: leave --download out"):
        data.open_dataset(name, data_dir=tmp_path, download=True)


def test_wrong_boxes_of_coco_are_one_sentence(tmp_path: Path) -> None:
    write_coco(tmp_path, category=7)
    source = data.open_dataset("coco@40x40", data_dir=tmp_path)
    with pytest.raises(
        ValueError, match="a.jpg: unknown class '7' of a box: expected one of person"
    ):
        source.read("test")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text("{")
    with pytest.raises(ValueError, match="instances_val2017.json is not a COCO annotation file"):
        source.read("test")


def _outside(root: Path) -> None:
    write_voc(root, "test", {"a": [("cat", (1, 1, 30, 9))]})


def _broken(root: Path) -> None:
    write_voc(root, "test", {"a": [("cat", (1, 1, 20, 9))]})
    (root / "Annotations" / "a.xml").write_text("<a>")


def _nameless(root: Path) -> None:
    write_voc(root, "test", {"a": [("cat", (1, 1, 20, 9))]})
    (root / "ImageSets" / "Main" / "test.txt").write_text("\n")


def _imageless(root: Path) -> None:
    write_voc(root, "test", {"a": [("cat", (1, 1, 20, 9))]})
    (root / "JPEGImages" / "a.jpg").unlink()


def _unlike(root: Path) -> None:
    write_voc(root, "test", {"a": [("cat", (1, 1, 20, 9))], "b": []})
    write_image(root / "JPEGImages" / "b.jpg", height=12)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_outside, r"a.jpg: a box must lie inside its image, got \[0.0, 0.0, 30.0, 9.0\] in one"),
        (_broken, "a.xml is not a VOC annotation: no element found"),
        (_nameless, "test.txt names no images"),
        (_imageless, "JPEGImages/a.jpg does not exist"),
        (_unlike, "differ in size: name one, as in NAME@240x320"),
        (lambda root: None, "Annotations holds no boxes"),
        (lambda root: root.rmdir(), "VOC folder .* does not exist"),
    ],
)
def test_a_wrong_folder_of_boxes_is_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    (tmp_path / "root").mkdir()
    spoil(tmp_path / "root")
    with pytest.raises(ValueError, match=sentence) as raised:
        data.open_dataset(f"voc:{tmp_path / 'root'}").read("test")
    assert "\n" not in str(raised.value)


def test_a_class_that_bccd_does_not_have_is_one_sentence(tmp_path: Path) -> None:
    write_voc(tmp_path / "bccd", "test", {"a": [("cat", (1, 1, 5, 5))]})
    with pytest.raises(ValueError, match="a.jpg: unknown class 'cat' of a box: expected one of Pl"):
        data.open_dataset("bccd", data_dir=tmp_path).read("test")
