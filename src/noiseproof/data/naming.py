"""Which of a network's classes a name means: a wnid, a category of ImageNet, a line of a file."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights

from noiseproof.data.splits import Split

LABEL_FILES = ("labels.json", "classes.txt")  # looked for beside class folders
SHOWN = 3  # names in a message


def class_numbers(names: Sequence[str], classes: int) -> Tensor:
    """The number that a network of `classes` classes has for each of `names` (K,), "" for what has
    no name: as they are where there are as many; ImageNet's where the names are its wnids or
    categories and the network has 1000 classes, or 1001 with the background as number 0; counted
    without gaps where that makes as many (COCO's 80 of 90 numbers, behind a background).

    Raises:
        ValueError: for names of which none of that can be said.
    """
    offset = classes - 1000
    if offset in (0, 1) and len(names) <= 1000:
        # Before anything else: 1000 categories in sorted order are not in ImageNet's.
        found = [_imagenet().get(name, _imagenet().get(_plain(name))) for name in names]
        if None not in found:
            return torch.tensor([number + offset for number in found if number is not None])
    if len(names) == classes:
        return torch.arange(classes)
    named = [place for place, name in enumerate(names) if name]
    if len(named) + 1 == classes < len(names):
        numbers = torch.zeros(len(names), dtype=torch.int64)
        numbers[torch.tensor(named)] = torch.arange(1, classes)
        return numbers
    shown = ", ".join([names[place] for place in named][:SHOWN])
    raise ValueError(
        f"the data have {len(named)} classes ({shown}{', ...' if len(named) > SHOWN else ''}), the "
        f"network {classes}, and their names do not say which of them: name folders by wnid "
        "(n01440764), category (tench) or number (0), or give --labels FILE, the network's classes "
        "in order"
    )


def fitted_to(split: Split, classes: int | None) -> Split:
    """The split with the numbers that a network of `classes` classes has for its classes; None: not
    known, and they stay.

    Raises:
        ValueError: as `class_numbers`.
    """
    if not split.names or classes is None:
        return split
    return split.renumbered(class_numbers(split.names, classes))


def named_by(split: Split, known: Mapping[str, int], where: str) -> Split:
    """The split with the numbers that `known` has for its classes, from `where`.

    Raises:
        ValueError: for a class that it does not know, and for a split without names.
    """
    if not split.names:
        raise ValueError(f"labels from {where} need classes with names, and these have numbers")
    present = split.classes_in().tolist()
    missing = [split.names[c] for c in present if _plain(split.names[c]) not in known]
    if missing:
        raise ValueError(f"{where} has no class {missing[0]!r}, which occurs in the data")
    return split.renumbered(torch.tensor([known.get(_plain(name), 0) for name in split.names]))


def read_labels(path: Path) -> dict[str, int]:
    """The number of each class by its name: from a text with a class on each line, from 0 on; or
    from JSON, a list of names, {name: number} or {number: name or names}.

    Raises:
        ValueError: for a file that is none of these, or has one name twice.
    """
    try:
        text = path.read_text()
        content = json.loads(text) if path.suffix == ".json" else text.rstrip().splitlines()
        pairs = _pairs(content)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no labels: expected a class on each line, or JSON, a list of names or "
            f"{{name: number}}: {str(error).splitlines()[0]}"
        ) from None
    found: dict[str, int] = {}
    for name, number in pairs:
        if found.setdefault(_plain(name), number) != number:
            raise ValueError(f"{path} has {name!r} twice, as {found[_plain(name)]} and {number}")
    if not found:
        raise ValueError(f"{path} holds no labels")
    return found


def numbers_of(names: Sequence[str]) -> dict[str, int]:
    """The place of each name, as `named_by` looks it up."""
    return {_plain(name): place for place, name in enumerate(names) if name}


def _pairs(content: object) -> list[tuple[str, int]]:
    if isinstance(content, list):
        return [(str(name), place) for place, name in enumerate(content)]
    if not isinstance(content, dict):
        raise TypeError(f"got {type(content).__name__}")
    pairs = []
    for key, value in content.items():
        if isinstance(value, int):
            pairs.append((key, value))
        else:  # Keras's class index: {"0": ["n01440764", "tench"]}; or {"0": "tench"}
            pairs += [
                (str(name), int(key)) for name in ([value] if isinstance(value, str) else value)
            ]
    if any(number < 0 for _, number in pairs):
        raise ValueError("numbers must be >= 0")
    return pairs


def label_file(root: Path) -> Path | None:
    """The file beside class folders that says which class they are; None: there is none."""
    return next((root / name for name in LABEL_FILES if (root / name).is_file()), None)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


@cache
def _imagenet() -> dict[str, int]:
    """ImageNet's 1000 classes by wnid, and by torchvision's names of them."""
    # The wnids' own order is that of the classes; timm has the list too, torchvision only names.
    wnids = files("noiseproof.data").joinpath("imagenet_wnids.txt").read_text().split()
    categories = ResNet18_Weights.DEFAULT.meta["categories"]
    # As they stand before any other spelling: Cardigan is a dog, cardigan is not.
    plain = [_plain(name) for name in categories]
    loose = {name: n for n, name in enumerate(plain) if plain.count(name) == 1}
    exact = {name: n for n, name in enumerate(categories)}
    return {**loose, **exact, **{wnid: n for n, wnid in enumerate(wnids)}}
