"""A study file and the places of its things -> a run."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from noiseproof.core.device import pick_device, using_threads
from noiseproof.core.files import not_empty
from noiseproof.measuring import check_keywords, with_keywords
from noiseproof.study.folder import open_study, out_folder
from noiseproof.study.run.driver import OnNews, drive
from noiseproof.study.run.loading import Places, load_data, open_source
from noiseproof.study.run.local import LocalPool
from noiseproof.study.run.pieces import Data
from noiseproof.study.run.ray_connection import open_cluster
from noiseproof.study.run.ray_pool import RayPool
from noiseproof.study.wanted import Grid
from noiseproof.training import Progress


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A study that is ready to run: nothing of it is missing."""

    grid: Grid
    places: Places
    data: Data


class Where(TypedDict, total=False):
    """The places of a study's things, as in `run_study`."""

    out: str | Path | None
    weights: str | Path | None
    checkpoints: str | Path | None
    data_dir: str | Path | None
    download: bool
    device: str
    own_code: bool


USUAL: Where = {"download": False, "device": "auto", "own_code": False}


@with_keywords(Where, **USUAL)
def open_run(file: str | Path, profile: str | None = None, **where: Unpack[Where]) -> Opened:
    """Everything that a run or its plan needs; the keywords are those of `run_study`."""
    check_keywords("open_run", where, Where)
    study, name, grid = open_study(file, profile)
    pick_device(where.get("device", USUAL["device"]))
    folder = out_folder(study, name, where.get("out"))
    weights, data_dir, ready = (
        _place(where, name) for name in ("weights", "data_dir", "checkpoints")
    )
    if ready is None and (usual := os.environ.get("NOISEPROOF_CHECKPOINTS")):
        ready = Path(usual)
    places = Places(
        out=folder,
        weights=folder / "weights" if weights is None else weights,
        checkpoints=ready,
        beside=Path(file).parent,
        data_dir=data_dir,
        download=where.get("download", USUAL["download"]),
    )
    own_code = where.get("own_code", USUAL["own_code"])
    data = load_data(grid, open_source(grid, places, own_code=own_code))
    return Opened(grid=grid, places=places, data=data)


def _place(where: Where, name: Literal["weights", "data_dir", "checkpoints"]) -> Path | None:
    found = where.get(name)
    return None if found is None else not_empty(name, found)


@with_keywords(Where, **USUAL)
def run_study(
    file: str | Path,
    profile: str | None = None,
    *,
    threads: int | str | None = None,
    ray: str | None = None,
    on_news: OnNews | None = None,
    on_training: Callable[[str, Progress], None] | None = None,
    fresh: bool = False,
    **where: Unpack[Where],
) -> list[str]:
    """Train and measure what is missing of a study; returns what failed, a line each.

    - `file`: the study, TOML.
    - `profile`: None is the file's first.
    - `out`: folder of rows and facts; None: runs/STUDY-PROFILE.
    - `weights`: folder of the trained networks; None: OUT/weights.
    - `checkpoints`: folder of ready weights; None: $NOISEPROOF_CHECKPOINTS, or beside the file.
    - `data_dir`: folder of data sets; None: $NOISEPROOF_DATA, else ~/.cache/noiseproof.
    - `download`: fetch a data set that is missing.
    - `device`: auto, cpu, cuda or mps; a cluster has its own.
    - `threads`: of the CPU: a number, or auto: as many as there are free cores; None: torch's own
      number. A cluster's workers have their own.
    - `ray`: send the work to a Ray cluster: `auto`, `local` or HOST:PORT.
    - `own_code`: allow models and data that are code of one's own.
    - `fresh`: measure all again; each new row takes the place of the old one. Weights stay.
    - `on_news`: hears where the run stands.
    - `on_training`: called as `on_training(name, progress)` at each step of a training in this
      process.

    Raises:
        ValueError: for a study, device, data, weights or cluster that is wrong or missing, files
            that cannot be written, or another run in `out`. Run again, it goes on from there.
    """
    check_keywords("run_study", where, Where)
    device = where.get("device", USUAL["device"])
    here: Where = {**where, "device": device if ray is None else "auto"}  # a cluster has its own
    opened = open_run(file, profile, **here)
    grid, data, places = opened.grid, opened.data, opened.places
    if ray is None:
        local = LocalPool(data, device=device, on_training=on_training)
        with using_threads(threads):
            return drive(grid, data, places, local, device=device, on_news=on_news, fresh=fresh)

    with closing(RayPool(open_cluster(ray), data, device=device)) as pool:
        return drive(grid, data, places, pool, device="cpu", on_news=on_news, fresh=fresh)
