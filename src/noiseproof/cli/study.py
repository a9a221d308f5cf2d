"""The commands of a study: plan, run, status, report."""

import os
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof import catalog
from noiseproof.cli.options import AsJson, DataDir, Device, print_json, say

if TYPE_CHECKING:
    from noiseproof.crew.driver import Places
    from noiseproof.records import Row
    from noiseproof.study import Grid, Study
    from noiseproof.study.facts import Facts

app = typer.Typer(
    help="A claim, tested: plan, run, status, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(help="The study: a TOML file.")]
ProfileName = Annotated[
    str | None, typer.Option(help="Which profile of the study. Default: its first.")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for rows and report. Default: runs/STUDY-PROFILE."),
]
WeightsFolder = Annotated[
    Path | None,
    typer.Option("--weights", help="Folder of trained networks. Default: OUT/weights."),
]
Checkpoints = Annotated[
    Path | None,
    typer.Option(
        help="Folder of ready weights. Default: $NOISEPROOF_CHECKPOINTS, beside the study."
    ),
]
OwnCode = Annotated[
    bool, typer.Option("--own-code", help="Run models and data that are code of your own.")
]


@app.command()
def plan(
    file: File,
    profile: ProfileName = None,
    out: Out = None,
    weights: WeightsFolder = None,
    checkpoints: Checkpoints = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    own_code: OwnCode = False,
    as_json: AsJson = False,
) -> None:
    """Print what a run would do, and how long it takes here, from a short calibration."""
    study, grid, name = _open(file, profile)
    catalog.check_device(device)
    from noiseproof.accelerator import pick_device
    from noiseproof.console import print_plan
    from noiseproof.crew.driver import load_data, open_source
    from noiseproof.crew.estimate import estimate

    pick_device(device)
    places = _places(file, study, name, out, weights, checkpoints, data_dir)
    data = load_data(grid, open_source(grid, places, own_code=own_code))
    lines = estimate(grid, data, places, device=device, on_step=say)
    print_plan(f"{study.name} ({name}: {study.profiles[name].about})", lines)
    if as_json:
        print_json(
            {
                "study": study.name,
                "profile": name,
                "networks": len(grid.networks),
                "curves": len(grid.tasks),
                "seconds": sum(line.seconds for line in lines),
                "work": [asdict(line) | {"seconds": line.seconds} for line in lines],
            }
        )


@app.command()
def run(
    file: File,
    profile: ProfileName = None,
    out: Out = None,
    weights: WeightsFolder = None,
    checkpoints: Checkpoints = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            help="Send the work to a Ray cluster: auto (the running one), local (this machine's "
            "cores), or HOST:PORT."
        ),
    ] = None,
    own_code: OwnCode = False,
) -> None:
    """Train and measure what is missing. Killed and started again, it goes on."""
    study, grid, name = _open(file, profile)
    catalog.check_device(device)
    from noiseproof.accelerator import pick_device
    from noiseproof.console import StudyBar
    from noiseproof.crew import run_study
    from noiseproof.crew.driver import STORE, load_data, open_source
    from noiseproof.crew.local import LocalPool
    from noiseproof.crew.pieces import Pool

    pick_device(device)
    places = _places(file, study, name, out, weights, checkpoints, data_dir)
    data = load_data(grid, open_source(grid, places, own_code=own_code))
    with StudyBar() as bar:
        pool: Pool = LocalPool(data, device=device, on_training=bar.training)
        if ray is not None:
            from noiseproof.crew.cluster import RayPool, open_cluster

            pool = RayPool(open_cluster(ray), data, device=device)
        with closing(pool):
            failures = run_study(grid, data, places, pool, device=device, on_news=bar.update)
    print(f"Rows: {places.out / STORE}")
    for failure in failures:
        say(failure)
    if failures:
        say(f"{len(failures)} of the pieces failed; all others are done")
        raise typer.Exit(1)


@app.command()
def status(
    file: File,
    profile: ProfileName = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Print how far a run is: needs no data, no torch, and may be asked while it runs."""
    study, grid, name = _open(file, profile)
    from noiseproof.console import print_status
    from noiseproof.study.progress import progress_of

    facts, rows = _results(_folder(study, name, out))
    states = progress_of(grid, facts, rows)
    print_status(f"{study.name} ({name})", states)
    if as_json:
        print_json({"study": study.name, "profile": name, "networks": [asdict(s) for s in states]})


@app.command()
def report(
    file: File,
    profile: ProfileName = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html and report.md: the claim, published beside measured, the verdict."""
    study, grid, name = _open(file, profile)
    from noiseproof.study.report import report_of, write_study_report

    folder = _folder(study, name, out)
    facts, rows = _results(folder)
    if not rows:
        raise ValueError(f"{folder} holds no rows: run `noiseproof study run {file}` first")
    command = f"noiseproof study run {file} --profile {name}"
    found = report_of(study, name, grid, facts, rows, command=command)
    for path in write_study_report(found, folder):
        print(f"Report: {path}")
    if as_json:
        print_json(found.as_json())


def _results(folder: Path) -> "tuple[Facts, list[Row]]":
    """What a run has left in its folder: its store, or the Parquet file exported from it."""
    from noiseproof.records import Store, exported
    from noiseproof.study.facts import read_facts

    facts = read_facts(folder / "networks.json")
    if (folder / "rows.db").is_file():
        with Store(folder / "rows.db", read_only=True) as store:
            return facts, store.rows()
    parquet = folder / "rows.parquet"
    return facts, exported(parquet) if parquet.is_file() else []


def _open(file: Path, profile: str | None) -> "tuple[Study, Grid, str]":
    from noiseproof.study import grid_of, read_study

    study = read_study(file)
    name = next(iter(study.profiles)) if profile is None else profile
    try:
        return study, grid_of(study, name), name
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _places(
    file: Path,
    study: "Study",
    profile: str,
    out: Path | None,
    weights: Path | None,
    checkpoints: Path | None,
    data_dir: Path | None,
) -> "Places":
    from noiseproof.crew.driver import Places

    folder = _folder(study, profile, out)
    named = os.environ.get("NOISEPROOF_CHECKPOINTS")
    return Places(
        out=folder,
        weights=weights or folder / "weights",
        checkpoints=checkpoints or (Path(named) if named else None),
        beside=file.parent,
        data_dir=data_dir,
    )


def _folder(study: "Study", profile: str, out: Path | None) -> Path:
    return out or Path("runs") / f"{study.name}-{profile}"
