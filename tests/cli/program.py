"""The program, called within this process or as one of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from noiseproof import cli
from noiseproof.models import building as models
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs import catalog
from noiseproof.specs import noise as spec
from noiseproof.specs.designs import DESIGNS
from noiseproof.specs.estimators import ESTIMATORS

PROGRAM = (sys.executable, "-m", "noiseproof.cli")

Run = Callable[..., tuple[int, str, str]]


def run_main(*arguments: object) -> int:
    """The program's own entry point, in this process; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["noiseproof", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, **options
    )


DIES = """
import os, signal, sys
from noiseproof import cli
from noiseproof.results.store import Store
add, left = Store.add, {rows}
def add_or_die(store, row, **how):
    global left
    add(store, row, **how)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
Store.add = add_or_die
sys.argv = ["noiseproof", *{words!r}]
cli.main()
"""


def killed_after(rows: int, *arguments: object) -> None:
    """Runs the program in a process that is killed when it has stored so many rows."""
    code = DIES.format(rows=rows, words=[*map(str, arguments)])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


MEASURE = ("--chips", 3, "--images", 100, "--levels", "0.2,0.1", "--device", "cpu", "--seed", 5)


def rows_in(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return store.rows()


def timeless(rows: list[Row]) -> list[Row]:
    return sorted(
        (replace(row, seconds=0.0) for row in rows),
        key=lambda r: (r.noise, r.recalibrate, r.chip, r.seen),
    )


def state() -> dict[str, torch.Tensor]:
    return models.build("resnet8", norm="batch_l1", classes=10, channels=1).state_dict()


def whole(path: Path) -> None:
    torch.save(state(), path)


def check_one_line(result: tuple[int, str, str], sentence: str) -> None:
    code, out, err = result
    assert re.search(sentence, err.removesuffix("\n")), err
    assert err.startswith("noiseproof: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert (code, out) == (2, "")


LISTED = {
    "models": [*catalog.MODELS, *catalog.OUTSIDE_MODELS],
    "norms": list(catalog.NORMS),
    "noises": [f"{name}(" for name in spec.STAGES],
    "recalibrations": ["off", "auto", *(f"{name}(" for name in ESTIMATORS)],
    "designs": list(DESIGNS),
    "datasets": [*catalog.DATASETS, *catalog.OUTSIDE_DATASETS],
}
