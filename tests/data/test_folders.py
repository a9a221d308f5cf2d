"""Images in folders: read when they are needed, cropped as torchvision does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from noiseproof.data.datasets import open_dataset
from noiseproof.data.folders import unlabelled
from noiseproof.data.pictures import cropped, open_image
from noiseproof.data.splits import Split
from noiseproof.specs.cropping import Cropping, asked_cropping


def write(root: Path, n: int = 6, *, size: tuple[int, int] = (50, 40)) -> None:
    """n images of two classes, in dice's own colours."""
    dice = np.random.default_rng(n)
    for place in range(n):
        path = root / ("cat", "dog")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = dice.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def test_a_folder_is_the_split_that_its_images_make_in_memory(tmp_path: Path) -> None:
    write(tmp_path)
    split = open_dataset(f"folder:{tmp_path}").read("test")
    whole = Split(inputs=torch.as_tensor(split.inputs), labels=split.labels)
    assert split.sha256() == whole.sha256()
    places = torch.tensor([5, 0, 3])
    assert torch.equal(torch.as_tensor(split.take(places).inputs), whole.take(places).inputs)
    assert torch.equal(torch.as_tensor(split.part(1, 3).inputs), whole.part(1, 3).inputs)


def test_an_image_is_read_when_it_is_needed_and_no_earlier(tmp_path: Path) -> None:
    write(tmp_path)
    split = open_dataset(f"folder:{tmp_path}").read("test")
    _ = split.part(0, 2).inputs
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    assert len(torch.as_tensor(split.part(0, 2).inputs)) == 2, "they are kept"
    with pytest.raises(FileNotFoundError):
        _ = split.part(2, 3).inputs


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (40, 32), (33, 33)])
def test_images_are_cropped_as_torchvision_does(tmp_path: Path, resize: int, crop: int) -> None:
    write(tmp_path, 1)
    path = tmp_path / "cat" / "0.png"
    plain = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(crop)])
    assert torch.equal(cropped(path, Cropping(resize=resize, crop=crop)), plain(open_image(path)))


def test_a_cropped_image_holds_on_to_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1)
    image = cropped(tmp_path / "cat" / "0.png", Cropping(resize=40, crop=20))
    assert image.untyped_storage().nbytes() == image.nbytes


def test_a_cropping_is_a_part_of_the_name(tmp_path: Path) -> None:
    write(tmp_path)
    usual = open_dataset(f"folder:{tmp_path}", cropping=Cropping())
    other = open_dataset(f"folder:{tmp_path}", cropping=Cropping(resize=40, crop=32))
    assert usual.name == f"folder:{tmp_path}"
    assert other.name == f"folder:{tmp_path} (resize 40, crop 32)"
    assert other.read("test").part(0, 1).inputs.shape == (1, 3, 32, 32)
    assert other.shift == 4
    with pytest.raises(ValueError, match="resize and crop are for folder:PATH, got digits"):
        open_dataset("digits", cropping=Cropping())


@pytest.mark.parametrize(
    ("resize", "crop", "wanted"),
    [
        (None, None, None),
        (256, None, Cropping(resize=256, crop=224)),
        (None, 299, Cropping(resize=342, crop=299)),
        (32, 32, Cropping(resize=32, crop=32)),
    ],
)
def test_one_of_the_two_numbers_is_enough(
    resize: int | None, crop: int | None, wanted: Cropping | None
) -> None:
    assert asked_cropping(resize, crop) == wanted


@pytest.mark.parametrize(("resize", "crop"), [(10, 11), (10, 0), (0, None), (None, -1)])
def test_a_crop_that_is_none_is_refused(resize: int | None, crop: int | None) -> None:
    with pytest.raises(ValueError, match="crop must be between 1 and resize"):
        asked_cropping(resize, crop)


# --- images to calibrate with ---------------------------------------------------------------------


def test_calibration_images_are_those_of_any_folders_at_the_test_images_size(
    tmp_path: Path,
) -> None:
    write(tmp_path / "data")
    write(tmp_path / "deep" / "deeper", 5, size=(64, 48))
    source = open_dataset(f"folder:{tmp_path / 'data'}", cropping=Cropping(resize=20, crop=16))
    found = unlabelled(tmp_path / "deep", source, source.read("test"), 5)
    files = sorted((tmp_path / "deep").rglob("*.png"))
    by_hand = [cropped(path, Cropping(resize=20, crop=16)) for path in files]
    assert found.shape == (5, 3, 16, 16)
    assert sorted(t.tolist() for t in found) == sorted(t.tolist() for t in by_hand)
    few = unlabelled(tmp_path / "deep", source, source.read("test"), 2)
    assert torch.equal(few, found[:2])


def test_a_folder_that_cannot_calibrate_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path)
    source = open_dataset(f"folder:{tmp_path}")
    test = source.read("test")
    with pytest.raises(ValueError, match="calibration folder .*nowhere does not exist"):
        unlabelled(tmp_path / "nowhere", source, test, 2)
    with pytest.raises(ValueError, match="holds 6 images, and 7 are needed to calibrate"):
        unlabelled(tmp_path, source, test, 7)
    floats = Split(inputs=torch.zeros(3, 4), labels=torch.zeros(3).long())
    with pytest.raises(ValueError, match="holds images, and .* has none"):
        unlabelled(tmp_path, source, floats, 2)
