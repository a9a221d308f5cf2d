"""How commands say things beside their tables, and what they must not overwrite."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from noiseproof.core.checks import one_of

if TYPE_CHECKING:
    from noiseproof.results import Tally


def say(text: str) -> None:
    """One line for the person, beside the results."""
    print(f"noiseproof: {text}", file=sys.stderr)


def say_rows(store: Path, tally: "Tally") -> None:
    """Where the rows are, and how many of them were there before."""
    reused = f"; {tally.text}" if tally.there else ""
    print(f"Rows: {store}{reused}")


_STDOUT: ContextVar[TextIO | None] = ContextVar("stdout", default=None)


@contextmanager
def stdout_for_the_document(wanted: bool) -> Iterator[None]:
    """Where a document is `wanted`, it has stdout to itself within the block: tables and all else
    that is printed go to stderr, so that another program can read the one and a person the other.
    """
    if not wanted:
        yield
        return
    before = _STDOUT.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _STDOUT.reset(before)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document, on one line of stdout, which has nothing else."""
    # Flushed: a reader that has gone is an error now, and not at the end of the program.
    print(json.dumps(document, allow_nan=False), file=_STDOUT.get(), flush=True)


def check_figure(path: Path) -> None:
    """Raise ValueError for a figure of no known kind."""
    from noiseproof.report import ENDINGS

    one_of("ending of a figure", path.suffix, ENDINGS)


def checkpoint_files(weights: Path) -> tuple[Path, ...]:
    """The files that a checkpoint, or a training run's folder, is read from."""
    folder = ("weights.safetensors", "weights.json")
    return (weights, weights.with_suffix(".json"), *(weights / name for name in folder))
