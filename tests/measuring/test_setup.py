"""From names to things: what is opened, and what the calibration images are made of."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from noiseproof.core.rng import seeded
from noiseproof.data.datasets import open_dataset
from noiseproof.data.splits import Boxes, Split
from noiseproof.measuring.setup import open_setup
from noiseproof.models import building as models
from noiseproof.models import checkpoint
from noiseproof.models.checkpoint import file_sha256
from noiseproof.specs.catalog import norm_text
from noiseproof.tasks.evaluation import check_classes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    with seeded(0, "net"):
        checkpoint.save_weights(models.build("resnet8", classes=10, channels=1), path)
    return path


BARE = {"model": "resnet8", "data": "digits"}


def fingerprints(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_calibration_images_are_training_images_and_never_test_images(weights: Path) -> None:
    setup = open_setup(weights, **BARE, calibration=200, calibration_seed=3)  # type: ignore[arg-type]
    source = open_dataset("digits")
    drawn = fingerprints(setup.calibration)
    train, test = (fingerprints(source.read(split).inputs) for split in ("train", "test"))
    assert set(drawn) <= set(train)
    assert not set(drawn) & (set(test) - set(train))
    places = source.read("train").drawn(200, seed=3)
    assert len(places.unique()) == 200, "drawn without replacement"
    assert torch.equal(setup.calibration, source.read("train").inputs[places])
    assert setup.subject.calibration == "train"


@pytest.mark.parametrize("augment", [False, True])
def test_fewer_calibration_images_are_the_first_of_more(weights: Path, augment: bool) -> None:
    few, many = (
        open_setup(weights, **BARE, calibration=n, augment=augment, calibration_seed=3).calibration  # type: ignore[arg-type]
        for n in (20, 50)
    )
    assert torch.equal(few, many[:20])
    other = open_setup(
        weights, **BARE, calibration=20, augment=augment, calibration_seed=4
    ).calibration  # type: ignore[arg-type]
    assert not torch.equal(few, other)


def test_augmented_images_are_training_images_moved_by_a_pixel(weights: Path) -> None:
    """The digits move by at most one pixel and are never mirrored."""
    setup = open_setup(weights, **BARE, calibration=30, augment=True)  # type: ignore[arg-type]
    plain = open_setup(weights, **BARE, calibration=30).calibration  # type: ignore[arg-type]
    assert setup.subject.calibration == "train augmented"
    assert setup.calibration.dtype == torch.uint8
    padded = nn.functional.pad(plain, (1, 1, 1, 1))
    shifts = []
    for image, source in zip(setup.calibration, padded, strict=True):
        height, width = image.shape[1:]
        found = [
            (top, left)
            for top in range(3)
            for left in range(3)
            if torch.equal(image, source[:, top : top + height, left : left + width])
        ]
        assert found
        shifts.append(found[0])
    assert len(set(shifts)) >= 5
    again = open_setup(weights, **BARE, calibration=30, augment=True).calibration  # type: ignore[arg-type]
    assert torch.equal(again, setup.calibration)


# --- data and scores of one's own -----------------------------------------------------------------

LOADERS = """
import torch
from noiseproof.data import Boxes, Dataset, Split
from noiseproof.specs import UNSCALED

pixels = torch.arange(6 * 3 * 8 * 8).remainder(251).view(6, 3, 8, 8).to(torch.uint8)
masks = Split(inputs=pixels, labels=torch.ones(6, 8, 8, dtype=torch.uint8), scale=UNSCALED)
boxes = Boxes(corners=torch.tensor([[1, 1, 6, 6]]), classes=torch.tensor([1]))

def segment():
    return Dataset(test=masks, train=masks, classes=2, flip=True)

def detect():
    split = Split(inputs=pixels, labels=(boxes,) * 6, scale=UNSCALED)
    return Dataset(test=split, train=split, classes=2)

def classify():
    split = Split(inputs=pixels, labels=torch.zeros(6, dtype=torch.int64))
    return Dataset(test=split, classes=2, scale=UNSCALED)

def score(model, test):
    return float(model(test.images)["out"].mean())

def net():
    return torch.nn.Conv2d(3, 2, 3, padding=1)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"bench_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(LOADERS)
    return name


def saved(tmp_path: Path, make: Callable[[], nn.Module]) -> Path:
    path = tmp_path / "net.safetensors"
    with seeded(0, "net"):
        checkpoint.save_weights(make(), path)
    return path


def test_scenes_are_opened_with_calibration_images_of_the_same_size(
    own: str, tmp_path: Path
) -> None:
    file = saved(tmp_path, lambda: nn.Conv2d(3, 2, 3, padding=1))
    options = {"model": f"{own}:net", "data": f"{own}:segment"}
    setup = open_setup(file, **options, calibration=4, augment=True)  # type: ignore[arg-type]
    assert setup.test.task == setup.subject.task == "segment"
    assert setup.calibration.shape == (4, 3, 8, 8)
    assert setup.score is None
    with pytest.raises(ValueError, match="task detect does not fit .*: its labels say segment"):
        open_setup(file, **options, task="detect")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="calibration images must be between 1 and 6, got 7"):
        open_setup(file, **options, calibration=7)  # type: ignore[arg-type]


def test_data_without_a_training_split_is_opened_unless_calibration_images_are_asked(
    own: str, tmp_path: Path
) -> None:
    file = saved(tmp_path, lambda: models.build("resnet8", classes=2))
    options = {"model": "resnet8", "data": f"{own}:classify"}
    assert open_setup(file, **options).calibration is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no train split"):
        open_setup(file, **options, calibration=3)  # type: ignore[arg-type]


def test_a_score_of_ones_own_gets_images_as_the_network_takes_them_and_no_check_of_labels(
    own: str, tmp_path: Path
) -> None:
    """The network returns pixels for data with classes, which only the score can judge."""
    file = saved(tmp_path, lambda: nn.Conv2d(3, 2, 3, padding=1))
    options = {"model": f"{own}:net", "data": f"{own}:classify", "normalize": "half"}
    with pytest.raises(ValueError, match="a classifier must return logits"):
        open_setup(file, **options)  # type: ignore[arg-type]
    setup = open_setup(file, **options, task=f"{own}:score")  # type: ignore[arg-type]
    assert setup.score is not None
    assert setup.subject.task == f"{own}:score"
    assert setup.test.inputs.dtype == torch.float32
    assert float(setup.test.inputs.min()) == -1
    with pytest.raises(ValueError, match="has no function 'missing'"):
        open_setup(tmp_path / "net.safetensors", **options, task=f"{own}:missing")  # type: ignore[arg-type]


def test_a_normalisation_is_called_by_its_name_and_part() -> None:
    assert norm_text(None, "all") == "own"
    assert norm_text("batch", "all") == "batch"
    assert norm_text("none", "last:3") == "none (last:3)"


@pytest.mark.parametrize(("field", "option"), [("model", "--model"), ("data", "--data")])
def test_a_card_never_names_code_that_runs(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, option: str
) -> None:
    """A folder that someone sends: weights, a card, and a module that the card names."""
    (tmp_path / "boom.py").write_text("raise SystemExit('the code ran')\n")
    monkeypatch.chdir(tmp_path)
    card = {
        "model": "resnet8",
        "norm": None,
        "norm_where": "all",
        "data": "digits",
        "scale": "0,1",
        "classes": 10,
        "channels": 1,
        "recipe": {},
        "seed": 0,
        "epochs_done": 1,
        "seconds": 1.0,
        "clean_images": 1,
        "device": "",
        "versions": "",
        "sha256": file_sha256(weights),
    }
    weights.with_suffix(".json").write_text(json.dumps({**card, field: "boom:build"}))
    with pytest.raises(ValueError, match=f"names code of its own, boom:build: add {option} boom"):
        open_setup(weights)


def test_a_detector_is_not_measured_on_classes_it_does_not_know() -> None:
    boxes = Boxes(corners=torch.tensor([[0.0, 0, 4, 4]]), classes=torch.tensor([7]))
    split = Split(inputs=torch.zeros(1, 3, 8, 8), labels=(boxes,))
    check_classes(split, 8)
    with pytest.raises(ValueError, match="the labels go up to 7, the network knows 7 classes"):
        check_classes(split, 7)


def test_pictures_are_as_public_weights_had_them_unless_said_otherwise(tmp_path: Path) -> None:
    weights = tmp_path / "mobilenet_v2-7ebf99e0.pth"  # of the second training: 232 pixels
    torch.save(torchvision.models.mobilenet_v2(num_classes=3).state_dict(), weights)
    for number in range(3):
        folder = tmp_path / "pictures" / str(number)
        folder.mkdir(parents=True)
        Image.new("RGB", (260, 300), (80 * number, 10, 20)).save(folder / "a.png")
    named = {"model": "torchvision:mobilenet_v2", "data": f"folder:{tmp_path / 'pictures'}"}
    own = open_setup(weights, **named)  # type: ignore[arg-type]
    assert own.subject.data.endswith("(resize 232, crop 224)")
    asked = open_setup(weights, **named, resize=64, normalize="half")  # type: ignore[arg-type]
    assert asked.subject.data.endswith("(resize 64, crop 56)")
    assert str(asked.scale) == "0.5,0.5"
    renamed = weights.rename(tmp_path / "mine.pth")
    assert open_setup(renamed, **named).subject.data.endswith("pictures")  # type: ignore[arg-type]
