"""Public checkpoints on the real CIFAR-10 test set, against figures from elsewhere."""

import json
import os
import sys
from pathlib import Path

import pytest

from noiseproof import cli

CHECKPOINTS = os.environ.get("NOISEPROOF_CHECKPOINTS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHECKPOINTS and os.environ.get("NOISEPROOF_DATA")),
        reason="NOISEPROOF_DATA and NOISEPROOF_CHECKPOINTS name no folders",
    ),
]
RESNET20 = "resnet20-12fca82f.th"


def measure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *options: str,
) -> dict:
    weights = str(Path(str(CHECKPOINTS)) / RESNET20)
    fixed = ["--model", "resnet20", "--norm", "batch", "--data", "cifar10", "--json"]
    fixed += ["--normalize", "imagenet", "--store", str(tmp_path / "rows.db")]
    monkeypatch.setattr(sys, "argv", ["noiseproof", "measure", weights, *fixed, *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert ended.value.code in (0, None), captured.err
    return json.loads(captured.out.splitlines()[-1])


def test_the_clean_accuracy_is_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint's own repository states an error of 8.27 % on the 10,000 test images."""
    found = measure(
        tmp_path, monkeypatch, capsys, "--noise", "gaussian(0.0, reference=std)", "--chips", "2"
    )
    assert found["clean"] == {"accuracy": 0.9173, "images": 10_000}
    assert found["curves"][0]["accuracy"]["mean"] == 0.9173


def test_noisy_accuracy_agrees_with_an_independent_literal_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mean and standard error over 6 chips on the first 1,000 test images, from a script that
    shares no code with this package: level 0.2: .8848 (.0034), 0.3: .8097 (.0105)."""
    found = measure(
        tmp_path,
        monkeypatch,
        capsys,
        *("--noise", "gaussian(0.1, reference=std)", "--levels", "0.2,0.3"),
        *("--chips", "6", "--images", "1000"),
    )
    assert found["clean"]["accuracy"] == 0.915
    for point, (mean, error) in zip(
        found["curves"], ((0.8848, 0.0034), (0.8097, 0.0105)), strict=True
    ):
        ours = point["accuracy"]["sd"] / 6**0.5
        # two means of six: t with 10 degrees of freedom, two-sided, false-fail rate 1e-6
        bound = 10.5 * (error**2 + ours**2) ** 0.5
        assert abs(point["accuracy"]["mean"] - mean) < bound
        assert bound < 0.2, "underpowered: the next level could pass"


def test_recalibration_wins_back_most_of_what_a_strong_noise_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--noise", "gaussian(0.5, reference=std)", "--chips", "4", "--images", "500")
    before = measure(tmp_path, monkeypatch, capsys, *options)["curves"][0]["accuracy"]
    after = measure(tmp_path, monkeypatch, capsys, *options, "--recalibrate", "500")
    assert after["curves"][0]["recalibrate"] == 500
    assert after["curves"][0]["accuracy"]["low"] > before["mean"]
