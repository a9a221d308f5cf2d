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


def check_not_itself(out: Path, store: Path) -> None:
    """Raise ValueError where `out` would overwrite the store that it is made from."""
    if out.exists() and store.exists() and out.samefile(store):
        raise ValueError(f"--out {out} is the store itself: name another file")
