"""Boxes as files have them: Pascal VOC's XML and COCO's JSON."""

import math
from pathlib import Path
from xml.etree import ElementTree

from pydantic import BaseModel, ValidationError

from noiseproof.data.pictures import Found

SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(path: Path) -> list[Found]:
    """The boxes of a VOC annotation. Its pixels count from 1 and include the last one, ours from 0
    without it; a box whose corners are one pixel has no area there, and is left out.

    Raises:
        ValueError: for a file that is no VOC annotation; FileNotFoundError: for none.
    """
    try:
        boxes = [_box(entry) for entry in ElementTree.parse(path).iter("object")]
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an unknown encoding
        raise ValueError(f"{path} is not a VOC annotation: {error}") from None
    return [
        # Some files count from 0 already, and x1 - 1 would fall below it.
        Found(corners=(max(0.0, x1 - 1), max(0.0, y1 - 1), x2, y2), name=name)
        for name, (x1, y1, x2, y2) in boxes
        if x2 > x1 and y2 > y1
    ]


def _box(entry: ElementTree.Element) -> tuple[str, list[float]]:
    texts = {side: entry.findtext(f"bndbox/{side}") for side in SIDES}
    texts["name"] = entry.findtext("name")
    missing = next((name for name, text in texts.items() if not text), None)
    if missing is not None:
        raise ValueError(f"a box without {missing}")
    corners = [float(str(texts[side])) for side in SIDES]
    # float() reads "nan", and such a box would be left out by its caller without a word.
    if not all(map(math.isfinite, corners)):
        raise ValueError(f"a box at {corners}")
    return str(texts["name"]), corners


def voc_classes(root: Path) -> dict[str, int]:
    """The names of classes in all annotations, numbered from 1 in sorted order."""
    files = sorted((root / "Annotations").glob("*.xml"))
    # Sorted names, from all splits: a class has the same number in each of them.
    found = sorted({box.name for path in files for box in read_voc(path)})
    if not found:
        raise ValueError(f"{root / 'Annotations'} holds no boxes")
    return numbered(found)


def numbered(names: list[str] | tuple[str, ...]) -> dict[str, int]:
    """Each name's number, from 1: 0 is the background."""
    return {name: place + 1 for place, name in enumerate(names)}


class _Image(BaseModel):
    id: int
    file_name: str


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Category(BaseModel):
    id: int
    name: str = ""


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(path: Path) -> tuple[dict[str, list[Found]], dict[str, int]]:
    """The boxes of each image of a COCO file, by the image's file name and in the order of the
    images' numbers, crowds left out; and the number of each category under the name that its boxes
    have: its own, or its number where two have one name or none.

    Raises:
        ValueError: for a file that is no COCO annotation; FileNotFoundError: for none.
    """
    try:
        content = _Coco.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path} is not a COCO annotation file: {place}{': ' if place else ''}{first['msg']}"
        ) from None
    # By number, so that `the first n images` does not hang on how a file was written.
    names = {image.id: image.file_name for image in sorted(content.images, key=lambda i: i.id)}
    called = {category.id: category.name for category in content.categories}
    if len({name for name in called.values() if name}) < len(called):
        called = {number: str(number) for number in called}
    found: dict[str, list[Found]] = {name: [] for name in names.values()}
    for entry in content.annotations:
        if entry.image_id not in names:
            raise ValueError(f"{path} has a box in image {entry.image_id}, which it does not list")
        # A crowd is one box around many objects: a detector that finds
        # them one by one would lose by it.
        if not entry.iscrowd:
            # In COCO's files from the corner and by size, here from corner to corner.
            x, y, width, height = entry.bbox
            name = called.get(entry.category_id, str(entry.category_id))
            found[names[entry.image_id]].append(
                Found(corners=(x, y, x + width, y + height), name=name)
            )
    return found, {name: number for number, name in called.items()}
