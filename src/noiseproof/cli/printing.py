"""How commands say things beside their tables, and what they must not overwrite."""

import json
import sys
from pathlib import Path
from typing import Any

from noiseproof.core.checks import one_of


def say(text: str) -> None:
    """One line for the person, beside the results."""
    print(f"noiseproof: {text}", file=sys.stderr)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document, on one line."""
    sys.stdout.flush()
    print(json.dumps(document, allow_nan=False))


def check_figure(path: Path) -> None:
    """Raise ValueError for a figure of no known kind."""
    from noiseproof.report import ENDINGS

    one_of("ending of a figure", path.suffix, ENDINGS)


def checkpoint_files(weights: Path) -> tuple[Path, ...]:
    """The files that a checkpoint, or a training run's folder, is read from."""
    folder = ("weights.safetensors", "weights.json")
    return (weights, weights.with_suffix(".json"), *(weights / name for name in folder))
