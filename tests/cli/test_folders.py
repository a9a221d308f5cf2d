"""A network of one's own on images in folders, and calibrated with those of another."""

from pathlib import Path

import pytest
import torch

import noiseproof as npf
from noiseproof.core.rng import seeded
from noiseproof.data.datasets import open_dataset
from noiseproof.data.folders import unlabelled
from noiseproof.data.splits import Split
from noiseproof.models.building import build
from noiseproof.models.checkpoint import save_weights
from noiseproof.network.norms import norm_layers
from noiseproof.specs.cropping import Cropping
from tests.cli.program import Run, check_one_line, rows_in
from tests.data.test_folders import write

SMALL = ("--model", "resnet8", "--classes", 2, "--chips", 2, "--device", "cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    model = build("resnet8", classes=2, seed=1)
    with seeded(0, "statistics"):  # else all logits are alike
        for layer in norm_layers(model).values():
            layer.running_mean.normal_()  # type: ignore[union-attr, operator]
    save_weights(model, tmp_path / "net.safetensors", half=False)
    return tmp_path / "net.safetensors"


def test_folders_are_cropped_and_calibrated_with_as_in_memory(
    weights: Path, run: Run, tmp_path: Path
) -> None:
    write(tmp_path / "data", 12)
    write(tmp_path / "more", 8, size=(60, 70))
    more = f"folder:{tmp_path / 'more'}"
    code, _, err = run(
        *("measure", weights, *SMALL, "--data", f"folder:{tmp_path / 'data'}"),
        *("--resize", 40, "--crop", 32, "--levels", "0.3", "--store", tmp_path / "r.db"),
        *("--recalibrate", "pooled(8)", "--calibration", more),
    )
    assert code == 0, err
    source = open_dataset(f"folder:{tmp_path / 'data'}", cropping=Cropping(resize=40, crop=32))
    split = source.read("test")
    whole = Split(inputs=torch.as_tensor(split.inputs), labels=split.labels, scale=split.scale)
    model = build("resnet8", classes=2, seed=1)
    model.load_state_dict(npf.models.load_state(weights), strict=False)
    curve = npf.measure(
        *(model, whole, "gaussian(0.3)"),
        chips=2,
        recalibrate="pooled(8)",
        calibration=unlabelled(tmp_path / "more", source, split, 8),
    )
    rows = [row for row in rows_in(tmp_path / "r.db") if row.recalibrate != "off"]
    assert [row.hits for row in rows] == [row.hits for row in curve.points[0].rows]
    assert {row.calibration for row in rows} == {more}
    assert {row.data for row in rows} == {f"folder:{tmp_path / 'data'} (resize 40, crop 32)"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--crop", 300, "--resize", 256), r"crop must be between 1 and resize \(256 pixels\)"),
        (("--calibration", "holidays"), "must come from folder:PATH, got holidays$"),
        (("--calibration", "folder:"), "must come from folder:PATH, got no path$"),
        (
            ("--recalibrate", "pooled(8)", "--calibration", "folder:nowhere"),
            "calibration folder nowhere does not exist$",
        ),
        (
            ("--calibration", "folder:nowhere", "--augment-calibration"),
            "leave --augment-calibration out$",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    weights: Path, run: Run, tmp_path: Path, options: tuple[object, ...], sentence: str
) -> None:
    write(tmp_path / "data", 4)
    result = run(
        *("measure", weights, *SMALL, "--data", f"folder:{tmp_path / 'data'}", "--store"),
        *(tmp_path / "r.db", *options),
    )
    check_one_line(result, sentence)
    assert not (tmp_path / "r.db").exists()
