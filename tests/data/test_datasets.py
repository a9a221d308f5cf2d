"""Data sets as tensors: what is read, what is refused, what reaches the network."""

import hashlib
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noiseproof.data import datasets as data
from noiseproof.specs import catalog
from noiseproof.specs.catalog import parse_pixel_scale

REAL = os.environ.get("NOISEPROOF_DATA")
needs_real = pytest.mark.skipif(REAL is None, reason="NOISEPROOF_DATA names no data folder")


def test_every_data_set_of_the_catalog_has_a_reader() -> None:
    assert {*data.READERS, *data.SCENE_READERS} == set(catalog.DATASETS)


def test_the_digits_are_split_once_and_for_all() -> None:
    source = data.open_dataset("digits")
    train, test = source.read("train"), source.read("test")
    assert (len(train), len(test)) == (1297, 500)
    assert train.inputs.shape[1:] == (1, 8, 8)
    assert test.sha256() == source.read("test").sha256()
    assert sorted(set(test.labels.tolist())) == list(range(10))


def test_the_pixel_scale_of_the_digits_is_that_of_their_training_images() -> None:
    source = data.open_dataset("digits")
    x = data.scaled(source.read("train").inputs, source.scale)
    # The scale is written with four decimals, and the pixels' standard deviation is about 0.38.
    assert float(x.mean()) == pytest.approx(0, abs=1e-3)
    assert float(x.std()) == pytest.approx(1, abs=1e-3)


def test_pixels_are_scaled_by_channel_and_floats_pass_unchanged() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    x = data.scaled(pixels, parse_pixel_scale("0.1,0.2,0.3,0.5,0.25,0.125"))
    assert x.flatten().tolist() == pytest.approx([-0.2, 0.0, 5.6])
    floats = torch.rand(2, 3, 1, 1)
    assert data.scaled(floats, parse_pixel_scale("half")) is floats


def test_a_pixel_scale_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 channels, the images 1: choose another"):
        data.scaled(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), parse_pixel_scale("imagenet"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("imagenets", "unknown normalisation of pixels 'imagenets': expected one of imagenet"),
        ("0.5,0.5,0.5", "or six numbers"),
        ("0,0,0,1,1,0", "std must be > 0, got 0"),
        ("0,0,nan,1,1,1", "mean and std must be finite, got nan"),
    ],
)
def test_a_wrong_pixel_scale_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_pixel_scale(text)


def test_a_pixel_scale_prints_what_it_parses() -> None:
    four = catalog.PixelScale(mean=(0.1, 0.2, 0.3, 1 / 3), std=(1.0, 2.0, 3.0, 1 / 7))
    for scale in (*map(parse_pixel_scale, catalog.PIXEL_SCALES), four):
        assert parse_pixel_scale(str(scale)) == scale


def test_calibration_images_come_from_one_split_without_repeats() -> None:
    train = data.open_dataset("digits").read("train")
    drawn = train.sample(300, seed=1)
    known = {image.numpy().tobytes() for image in train.inputs}
    assert all(image.numpy().tobytes() in known for image in drawn)
    assert torch.equal(drawn, train.sample(300, seed=1))
    assert not torch.equal(drawn, train.sample(300, seed=2))
    assert len(train.sample(len(train), seed=0)) == len(train)
    with pytest.raises(ValueError, match="between 1 and 1297, got 1298"):
        train.sample(1298, seed=0)


def test_training_and_test_images_are_disjoint() -> None:
    source = data.open_dataset("digits")
    train = {image.numpy().tobytes() for image in source.read("train").inputs}
    assert not train & {image.numpy().tobytes() for image in source.read("test").inputs}


def test_the_first_images_are_the_first_and_out_of_range_is_refused() -> None:
    test = data.open_dataset("digits").read("test")
    assert torch.equal(test.first(3).inputs, test.inputs[:3])
    for n in (0, 501):
        with pytest.raises(ValueError, match=f"images must be between 1 and 500, got {n}"):
            test.first(n)


def test_missing_files_are_one_line_that_says_how_to_get_them(tmp_path: Path) -> None:
    for name in ("cifar10", "cifar100", "mnist", "fashion_mnist"):
        source = data.open_dataset(name, data_dir=tmp_path)
        with pytest.raises(ValueError, match=f"{name} .test. is not in .* add --download"):
            source.read("test")


def test_the_data_folder_is_the_argument_else_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISEPROOF_DATA", str(tmp_path / "variable"))
    with pytest.raises(ValueError, match="/variable: "):
        data.open_dataset("cifar10").read("test")
    with pytest.raises(ValueError, match="/argument: "):
        data.open_dataset("cifar10", data_dir=tmp_path / "argument").read("test")


def test_a_cifar_file_with_another_md5_is_not_even_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="test_batch is damaged: its md5 is not"):
        data.open_dataset("cifar10", data_dir=tmp_path).read("test")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_mnist_files_are_read_and_padded(tmp_path: Path, name: str, folder: str) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 3), ("t10k", 2)):
        pixels = np.arange(n * 784, dtype=np.uint32).astype(np.uint8).reshape(n, 28, 28)
        header = np.array([0x803, n, 28, 28], dtype=">u4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = np.array([0x801, n], dtype=">u4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(range(n)))
    source = data.open_dataset(name, data_dir=tmp_path)
    test = source.read("test")
    assert test.inputs.shape == (2, 1, 32, 32)
    assert test.labels.tolist() == [0, 1]
    assert int(test.inputs[0, 0, 2, 3]) == 1
    assert not test.inputs[:, :, :2].any()
    assert len(source.read("train")) == 3


def write_folder(root: Path, classes: tuple[str, ...], each: int = 3) -> None:
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = np.full((40, 60, 3), 20 * place + i, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


def test_an_image_folder_is_read_in_a_fixed_random_order(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("cat", "dog"))
    write_folder(tmp_path / "val", ("cat", "dog", "emu"))
    source = data.open_dataset(f"folder:{tmp_path}")
    test = source.read("test")
    assert source.classes == 3
    assert test.inputs.shape == (9, 3, 224, 224)
    assert torch.equal(test.inputs[:, 0, 0, 0] // 20, test.labels)
    assert test.labels.tolist() != sorted(test.labels.tolist())
    assert test.sha256() == source.read("test").sha256()
    assert len(source.read("train")) == 6


def test_folders_named_by_numbers_are_their_own_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, ("217", "571"), each=1)
    source = data.open_dataset(f"folder:{tmp_path}")
    assert sorted(source.read("test").labels.tolist()) == [217, 571]
    with pytest.raises(ValueError, match="train does not exist"):
        source.read("train")


def test_wrong_image_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image folder .*nowhere does not exist"):
        data.open_dataset(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="holds no class folders"):
        data.open_dataset(f"folder:{tmp_path}")
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        data.open_dataset(f"folder:{tmp_path}").read("test")
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="0.png is not a readable image"):
        data.open_dataset(f"folder:{tmp_path}").read("test")


def test_a_data_set_of_ones_own_comes_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_data.py").write_text(
        "import torch\nfrom noiseproof.data import Dataset, Split\n\n\n"
        "def blobs():\n"
        "    test = Split(inputs=torch.rand(6, 2, 4, 4), labels=torch.arange(6) % 3)\n"
        "    return Dataset(test=test, classes=3)\n\n\n"
        "def wrong():\n    return 3\n\n\n"
        "def rubbish():\n    Split(inputs=torch.rand(6, 2, 4, 4), labels=['cat'] * 6)\n\n\n"
        "def mixed():\n    return Dataset(test=3)\n\n\n"
        "def fails():\n    return {}['x']\n"
    )
    (tmp_path / "my_typo.py").write_text("def blobs(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ValueError, match="my_data:fails failed: KeyError: 'x'"):
        data.open_dataset("my_data:fails")
    with pytest.raises(ValueError, match="my_data:rubbish failed: .* got one str"):
        data.open_dataset("my_data:rubbish")
    with pytest.raises(ValueError, match="my_data:mixed failed: .*must be a Split, got int"):
        data.open_dataset("my_data:mixed")
    with pytest.raises(ValueError, match="cannot import 'my_typo' for 'my_typo:blobs': invalid"):
        data.open_dataset("my_typo:blobs")
    source = data.open_dataset("my_data:blobs")
    assert (source.classes, source.channels, len(source.read("test"))) == (3, 2, 6)
    with pytest.raises(ValueError, match="my_data:blobs has no train split"):
        source.read("train")
    with pytest.raises(ValueError, match="my_data:wrong must return a noiseproof.data.Dataset"):
        data.open_dataset("my_data:wrong")


def test_an_unknown_data_set_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="unknown data set 'cifar11': expected one of .*cifar10"):
        data.open_dataset("cifar11")


def test_images_and_labels_must_match() -> None:
    with pytest.raises(ValueError, match="equally many, got 3 and 2"):
        data.Split(inputs=torch.zeros(3, 1, 2, 2), labels=torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (torch.zeros(3, 1, 1, 1, 1).long(), r"labels must be whole numbers \(N,\), or masks"),
        (1 - torch.eye(3), r"labels \(N, C\) of 0 and 1 must have one 1 in each row"),
        (torch.tensor([0.0, 1.0, 1.0]), "of 0 and 1 alone must be whole numbers"),
        (torch.tensor([0.0, float("nan"), 1.0]), "must be finite, got nan or inf"),
        (torch.tensor([0, -1, 2]), "labels must be >= 0, got -1"),
        (np.zeros(3), "labels must be a tensor or a Boxes per image, got one float64"),
    ],
)
def test_labels_that_would_be_compared_wrongly_are_refused(labels: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        data.Split(inputs=torch.zeros(3, 1, 2, 2), labels=labels)  # type: ignore[arg-type]


def test_labels_of_any_whole_type_become_int64() -> None:
    split = data.Split(inputs=torch.zeros(2, 1), labels=torch.tensor([1, 0], dtype=torch.uint8))
    assert split.labels.dtype == torch.int64


def test_the_fingerprint_sees_every_pixel_and_label() -> None:
    base = data.Split(inputs=torch.zeros(3, 1, 2, 2), labels=torch.zeros(3, dtype=torch.int64))
    pixels = base.inputs.clone()
    pixels[2, 0, 1, 1] = 1e-7
    labels = base.labels.clone()
    labels[0] = 1
    shapes = base.inputs.view(3, 1, 4, 1)
    others = [
        data.Split(inputs=pixels, labels=base.labels),
        data.Split(inputs=base.inputs, labels=labels),
        data.Split(inputs=shapes, labels=base.labels),
    ]
    assert len({split.sha256() for split in (base, *others)}) == 4


@pytest.mark.real
@needs_real
def test_cifar10_is_the_published_data_set() -> None:
    source = data.open_dataset("cifar10")
    train, test = source.read("train"), source.read("test")
    assert (tuple(train.inputs.shape), tuple(test.inputs.shape)) == (
        (50000, 3, 32, 32),
        (10000, 3, 32, 32),
    )
    assert torch.bincount(train.labels).tolist() == [5000] * 10
    assert torch.bincount(test.labels).tolist() == [1000] * 10
    # the first test image is the cat of the CIFAR-10 page: label 3, these bytes
    assert int(test.labels[0]) == 3
    raw = pickle.loads(
        (Path(str(REAL)) / "cifar-10-batches-py" / "test_batch").read_bytes(), encoding="latin1"
    )
    expected = hashlib.md5(raw["data"][0].tobytes()).hexdigest()
    assert hashlib.md5(test.inputs[0].numpy().tobytes()).hexdigest() == expected
    for channel in range(3):
        values = train.inputs[:, channel].double() / 255
        assert float(values.mean()) == pytest.approx(source.scale.mean[channel], abs=1e-4)
        assert float(values.std()) == pytest.approx(source.scale.std[channel], abs=1e-4)
