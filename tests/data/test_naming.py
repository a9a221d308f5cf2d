"""Class folders and a network's classes: matched by name, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.data import Boxes, Split, open_dataset
from noiseproof.data.naming import class_numbers, fitted_to, read_labels

WNIDS = ("n01440764", "n02102040", "n03888257")
NUMBERS = [0, 217, 701]
NOISE = npf.noise.parse("gaussian(0.1)")


def write_folder(root: Path, classes: tuple[str, ...]) -> None:
    """Two images of each class, whose red value is 10 times its place."""
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((30, 30, 3), (10 * place, i, 0), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


class Knows(nn.Module):
    """Says class `numbers[red / 10]` of `classes`, from pixels without a scale."""

    def __init__(self, numbers: list[int], classes: int) -> None:
        super().__init__()
        self.numbers, self.head = torch.tensor(numbers), nn.Linear(2, 1)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        places = (x[:, 0, 0, 0] * 25.5).round().long()
        said = nn.functional.one_hot(self.numbers[places], self.classes)
        return said + 0 * self.head(x[:, 0, 0, :2])


@pytest.mark.parametrize(
    ("names", "numbers", "classes"),
    [
        (WNIDS, NUMBERS, 1000),
        (WNIDS, [n + 1 for n in NUMBERS], 1001),
        (WNIDS, [0, 1, 2], 3),
        (("parachute", "tench", "English_springer"), [217, 701, 0], 1000),
        (("0", "2", "10"), [0, 10, 2], 1000),
    ],
)
def test_folders_are_scored_by_the_networks_own_numbers(
    tmp_path: Path, names: tuple[str, ...], numbers: list[int], classes: int
) -> None:
    write_folder(tmp_path, tuple(sorted(names)))
    split = open_dataset(f"folder:{tmp_path}").read("test")
    options = {"chips": 1, "scale": npf.specs.UNSCALED}
    curve = npf.measure(Knows(numbers, classes), split, NOISE, **options)
    assert curve.clean.score == 1
    assert sorted(npf.tasks.check_fits(Knows(numbers, classes), split, npf.specs.UNSCALED)
                  .classes_in().tolist()) == sorted(numbers)  # fmt: skip


@pytest.mark.parametrize("classes", [4, 1000])
def test_folders_that_say_nothing_to_the_network_are_refused(tmp_path: Path, classes: int) -> None:
    write_folder(tmp_path, ("cat", "dog", "emu"))
    split = open_dataset(f"folder:{tmp_path}").read("test")
    sentence = rf"the data have 3 classes \(cat, dog, emu\), the network {classes}, .*--labels FILE"
    with pytest.raises(ValueError, match=sentence):
        npf.measure(Knows([0, 1, 2], classes), split, NOISE, scale=npf.specs.UNSCALED)


def test_a_thousand_categories_in_sorted_order_are_numbered_as_imagenets() -> None:
    from torchvision.models import ResNet18_Weights

    categories = ResNet18_Weights.DEFAULT.meta["categories"]
    numbers = class_numbers(sorted(categories), 1000)
    assert [sorted(categories)[place] for place in numbers.argsort().tolist()] == categories


def test_wnids_are_those_of_imagenets_thousand_classes() -> None:
    timm = pytest.importorskip("timm.data")
    info = timm.ImageNetInfo("imagenet-1k")
    assert class_numbers(info.label_names(), 1000).tolist() == list(range(1000))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classes.txt", "emu\nno such\ncat\ndog\n"),
        ("labels.json", json.dumps(["emu", "no such", "cat", "dog"])),
        ("labels.json", json.dumps({"cat": 2, "dog": 3, "emu": 0})),
        ("labels.json", json.dumps({"0": ["n1", "Emu"], "2": ["n2", "Cat"], "3": ["n3", "Dog"]})),
        ("labels.json", json.dumps({"0": "emu", "2": "cat", "3": "dog"})),
    ],
)
def test_a_file_says_which_classes_folders_are(tmp_path: Path, file: str, content: str) -> None:
    write_folder(tmp_path, ("cat", "dog", "emu"))
    (tmp_path / file).write_text(content)
    for labels in ((), tmp_path / file):
        source = open_dataset(f"folder:{tmp_path}", labels=labels)
        split = source.read("test")
        assert source.classes == 4
        assert split.classes_in().tolist() == [0, 2, 3]
        curve = npf.measure(Knows([2, 3, 0], 4), split, NOISE, chips=1, scale=npf.specs.UNSCALED)
        assert curve.clean.score == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("cat\ndog\n", "has no class 'emu', which occurs in the data"),
        ("cat\ndog\ncat\nemu", "has 'cat' twice, as 0 and 2"),
        ("", "holds no labels"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    write_folder(tmp_path / "images", ("cat", "dog", "emu"))
    (tmp_path / "other.txt").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        open_dataset(f"folder:{tmp_path / 'images'}", labels=tmp_path / "other.txt").read("test")
    for bad in ("3", '{"cat": -1}', '{"cat": {}}', "no json"):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(ValueError, match=r"bad.json holds no labels"):
            read_labels(tmp_path / "bad.json")


def test_a_networks_card_says_which_classes_folders_are(tmp_path: Path) -> None:
    """A network trained on cats, dogs and emus meets a folder of emus and dogs alone."""
    write_folder(tmp_path, ("dog", "emu"))
    split = open_dataset(f"folder:{tmp_path}", labels=("cat", "dog", "emu")).read("test")
    assert split.classes_in().tolist() == [1, 2]


def test_cocos_numbers_are_counted_without_gaps_for_a_network_of_as_many_classes() -> None:
    names = ("", "person", "", "car", "")
    boxes = Boxes(corners=torch.tensor([[0.0, 0, 4, 4]]), classes=torch.tensor([3]))
    split = Split(inputs=torch.zeros(1, 3, 8, 8), labels=(boxes,), names=names)
    assert fitted_to(split, 5).top_class == 3
    assert fitted_to(split, 3).top_class == 2
    with pytest.raises(ValueError, match=r"the data have 2 classes \(person, car\), the network 4"):
        fitted_to(split, 4)


def test_labels_counted_from_one_are_refused_with_what_to_do() -> None:
    data = (torch.zeros(3, 3, 2, 2), torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="go up to 3, .* 3 classes, counted from 0: subtract 1"):
        npf.measure(Knows([0, 1, 2], 3), data, NOISE)
