"""What the README and the docstrings show runs as it stands."""

import doctest
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from typer.main import get_command

import noiseproof as npf
from noiseproof.cli import app
from noiseproof.core.rng import stream
from noiseproof.specs import designs, estimators
from noiseproof.specs import noise as spec

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in fences if name == language]


def test_the_python_blocks_run_in_order() -> None:
    with npf.rng.seeded(0, "readme"):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)
        )
    images = torch.randn(40, 3, 8, 8, generator=stream(0, "images"))
    scope: dict[str, object] = {
        "model": model.eval(),
        "test": (images, torch.arange(40) % 5),
        "calibration_images": images,
    }
    assert len(blocks("python")) >= 2
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), scope)
    curve = scope["curve"]
    assert isinstance(curve, npf.curves.Curve)
    assert curve.levels == (0.0, 0.05, 0.1, 0.2)
    assert isinstance(scope["chip"], nn.Sequential)
    assert isinstance(scope["fixed"], nn.Sequential)


@pytest.mark.parametrize(
    "line",
    [line for block in blocks("") for line in block.splitlines() if line.startswith("noiseproof ")],
)
def test_the_command_lines_parse(line: str) -> None:
    """Every option that the README writes exists, with a value of the right type."""
    words = shlex.split(line)[1:]
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


def test_every_estimator_is_shown_as_it_is_written() -> None:
    kinds = "|".join(estimators.ESTIMATORS)
    shown = re.findall(rf"`(({kinds})\([^`]*\))`", README)
    assert {kind for _, kind in shown} == set(estimators.ESTIMATORS)
    for text, kind in shown:
        values = re.sub(r"\b[NBP]\b", "10", text).replace("(M", "(0.1")
        assert str(estimators.parse_estimator(values)).startswith(kind)


@pytest.mark.parametrize(("module", "examples"), [(spec, 3), (estimators, 2), (designs, 2)])
def test_the_examples_in_docstrings_hold(module: ModuleType, examples: int) -> None:
    found = doctest.testmod(module)
    assert found.attempted >= examples
    assert found.failed == 0
