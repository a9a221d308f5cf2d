"""A small study and its runs."""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noiseproof import cli
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.study import Grid, grid_of, read_study
from noiseproof.study.run.driver import News, drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.training import loop as training
from noiseproof.training.resume import WEIGHTS

HEAD = """
name = "toy"
title = "Toy"
data = "digits"
claim = { text = "It holds.", source = "A paper" }

[profiles.quick]
about = "seconds"
images = 100

[[profiles.quick.comparisons]] # what is compared does not matter here
question = "q"
order = [
  { noise = "gaussian(level, reference=std, scope=tensor)" },
  { noise = "gaussian(level, reference=std, scope=tensor)", seed = 3 },
]
by = ["network", "targets", "stats_as", "fold_norm", "digital", "recalibrate", "design"]
"""
TRAININGS = """
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 2
lr = 0.05
batch_size = 64
seed = 3
"""
MEASUREMENTS = """
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
recalibrate = ["off", "match(20)"]
augment_calibration = true
digital = ["", "first,name:layer3.*"]
design = "nested(50)"
chips = 6

[[profiles.quick.measurements]]
levels = 0.2
targets = "kernel,bias"
design = "per-image"

[[profiles.quick.measurements]]
levels = 0.2
only = { norm = "batch" }
targets = ["kernel,norm_stats", "bias"]
stats_as = ["deviation", "own"]
fold_norm = [false, true]
design = "nested(50)"
chips = 2

[[profiles.quick.measurements]]
levels = 0.2
only = { norm = "batch" }
targets = "kernel,norm_affine"
design = "chips"
precision = 0.05

[[profiles.quick.measurements]]
hardware = ["pcm", "hermes1"]
times = ["0s", "1h"]
compensate = ["off", "column"]
mvm = ["", "read(0.02) + adc(6, range=fixed(4))"]
only = { norm = "batch" }
design = "nested(50)"
chips = 2
"""


STUDY = HEAD + TRAININGS + MEASUREMENTS
LITTLE = '[[profiles.quick.measurements]]\nlevels = 0.2\ndesign = "chips"\nchips = 2\n'


def study_in(folder: Path, text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.toml"
    file.write_text(text)
    return file


def places_in(folder: Path, **options: Any) -> Places:
    usual = {"out": folder / "out", "weights": folder / "out" / "weights", "beside": folder}
    return Places(**usual | options)


class Ran:
    """What a run in this process has left and said."""

    def __init__(self, file: Path, **options: Any) -> None:
        self.places = places_in(file.parent, **options)
        self.grid: Grid = grid_of(read_study(file), "quick")
        self.news: list[News] = []
        self.steps: list[tuple[str, training.Progress]] = []
        data = load_data(self.grid, open_source(self.grid, self.places, own_code=False))
        pool = LocalPool(
            data, device="cpu", on_training=lambda name, state: self.steps.append((name, state))
        )
        with closing(pool):
            self.failures = drive(
                self.grid, data, self.places, pool, device="cpu", on_news=self.news.append
            )

    @property
    def rows(self) -> list[Row]:
        return rows_in(self.places.out)

    def weights(self, network: int = 0) -> Path:
        return self.places.weights / self.grid.networks[network].name / WEIGHTS


def rows_in(out: Path) -> list[Row]:
    """All rows of a run, without the time that they took."""
    with Store(out / "rows.db", read_only=True) as store:
        found = [replace(row, seconds=0.0) for row in store.rows()]
    return sorted(found, key=lambda row: (key_of(row)[0], str(key_of(row)), row.chip))


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `noiseproof study run`."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        words = ["noiseproof", "study", "run", *map(str, arguments), "--device", "cpu"]
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            cli.main()
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code or 0, *capsys.readouterr()


def last_line(found: tuple[int, str, str]) -> str:
    """The one line of a run that was refused or stopped."""
    code, _, err = found
    assert code == 2, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("noiseproof: ")]
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    return lines[0]
