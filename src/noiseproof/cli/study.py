"""The commands of a study: plan, run, status, report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof import catalog
from noiseproof.cli.options import DataDir, Device, say

if TYPE_CHECKING:
    from noiseproof.crew.driver import Places
    from noiseproof.study import Grid, Study

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
def run(
    file: File,
    profile: ProfileName = None,
    out: Out = None,
    weights: WeightsFolder = None,
    checkpoints: Checkpoints = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    own_code: OwnCode = False,
) -> None:
    """Train and measure what is missing. Killed and started again, it goes on."""
    study, grid, name = _open(file, profile)
    catalog.check_device(device)
    from noiseproof.accelerator import pick_device
    from noiseproof.console import StudyBar
    from noiseproof.crew import run_study
    from noiseproof.crew.driver import load_data, open_source
    from noiseproof.crew.local import LocalPool

    pick_device(device)
    places = _places(file, study, name, out, weights, checkpoints, data_dir)
    data = load_data(grid, open_source(grid, places, own_code=own_code))
    with StudyBar() as bar:
        pool = LocalPool(data, device=device, on_training=bar.training)
        failures = run_study(grid, data, places, pool, device=device, on_news=bar.update)
    for failure in failures:
        say(failure)
    print(f"Rows: {places.out / 'rows.db'}")


def _open(file: Path, profile: str | None) -> "tuple[Study, Grid, str]":
    from noiseproof.study import grid_of, read_study

    study = read_study(file)
    name = profile or next(iter(study.profiles))
    return study, grid_of(study, name), name


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

    folder = out or Path("runs") / f"{study.name}-{profile}"
    named = os.environ.get("NOISEPROOF_CHECKPOINTS")
    return Places(
        out=folder,
        weights=weights or folder / "weights",
        checkpoints=checkpoints or (Path(named) if named else None),
        beside=file.parent,
        data_dir=data_dir,
    )
