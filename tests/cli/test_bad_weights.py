"""Weights that cannot be used: one line, and no code of theirs is run."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from noiseproof.models import building as models
from noiseproof.models import checkpoint
from tests.cli.program import Run, check_one_line, state, whole


class Evil:
    """Whoever unpickles it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def evil_zip(path: Path) -> None:
    torch.save({"conv1.weight": Evil()}, path)


def evil_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))


def cut(part: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        torch.save(state(), path)
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

    return make


def cut_safetensors(path: Path) -> None:
    net = models.build("resnet8", norm="batch_l1", classes=10, channels=1)
    checkpoint.save_weights(net, path)
    path.write_bytes(path.read_bytes()[:-100])


def other_network(path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), path)


def other_classes(path: Path) -> None:
    torch.save(models.build("resnet8", norm="batch_l1", classes=7, channels=1).state_dict(), path)


BARE = ("--model", "resnet8", "--data", "digits", "--norm", "batch_l1")
DAMAGED = (
    r"^noiseproof: .*w\.pt is not a readable checkpoint: it is cut short, damaged, or no torch"
)
REFUSED = r"^noiseproof: .*w\.pt is refused: it needs code to load"
BAD_FILES: dict[str, tuple[str, Callable[[Path], Any], tuple[object, ...], str]] = {
    "code in a torch file": ("w.pt", evil_zip, BARE, REFUSED),
    "code in a pickle": ("w.pt", evil_pickle, BARE, REFUSED),
    "empty": ("w.pt", Path.touch, BARE, DAMAGED),
    "cut early": ("w.pt", cut(0.01), BARE, DAMAGED),
    "cut in half": ("w.pt", cut(0.5), BARE, DAMAGED),
    "cut late": ("w.pt", cut(0.99), BARE, DAMAGED),
    "text": ("w.pt", lambda path: path.write_text("hello\n" * 99), BARE, DAMAGED),
    "short safetensors": (
        "w.safetensors",
        cut_safetensors,
        BARE,
        r"^noiseproof: .*w\.safetensors is not a readable safetensors file: ",
    ),
    "no state dict": (
        "w.pt",
        lambda path: torch.save([1, 2], path),
        BARE,
        r"^noiseproof: .*w\.pt holds no state dict$",
    ),
    "no tensors": (
        "w.pt",
        lambda path: torch.save({"epoch": 3}, path),
        BARE,
        r"^noiseproof: .*w\.pt holds no tensors: expected a state dict$",
    ),
    "another network": (
        "w.pt",
        other_network,
        BARE,
        r"^noiseproof: weights do not fit resnet8 with norm batch_l1: \d+ missing \(conv1\.weight, "
        r".*, and \d+ more\); 2 unknown \(weight, bias\)$",
    ),
    "other classes": (
        "w.pt",
        other_classes,
        BARE,
        r"linear\.weight has shape \(7, 64\), the model \(10, 64\)",
    ),
    "no card, no model": (
        "w.pt",
        whole,
        ("--data", "digits"),
        r"^noiseproof: .*w\.pt has no card, so --model must say what it is$",
    ),
    "no card, no data": (
        "w.pt",
        whole,
        ("--model", "resnet8"),
        r"^noiseproof: .*w\.pt has no card, so --data must say what it is$",
    ),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # torch's; the program hides it
@pytest.mark.parametrize("kind", BAD_FILES)
def test_weights_that_cannot_be_used_are_refused_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name, make, options, sentence = BAD_FILES[kind]
    make(tmp_path / name)
    check_one_line(run("measure", name, *options, "--images", 50), sentence)
    assert [path.name for path in tmp_path.iterdir()] == [name], "code has run, or a store is made"
