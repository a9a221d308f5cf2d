"""The commands of a study: plan, run, status, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.options import AsJson, DataDir, Device, Download, print_json, say
from noiseproof.core.checks import check_device

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
    download: Download = False,
    device: Device = "auto",
    own_code: OwnCode = False,
    as_json: AsJson = False,
) -> None:
    """Print what a run would do, and how long it takes here, from a short calibration."""
    from noiseproof.study.folder import open_study

    study, name, grid = open_study(file, profile)
    check_device(device)
    from noiseproof.cli.console import print_plan
    from noiseproof.study.run.estimate import estimate
    from noiseproof.study.run.run import open_run

    opened = open_run(
        file,
        name,
        out=out,
        weights=weights,
        checkpoints=checkpoints,
        data_dir=data_dir,
        download=download,
        device=device,
        own_code=own_code,
    )
    lines = estimate(opened.grid, opened.data, opened.places, device=device, on_step=say)
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
    download: Download = False,
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
    from noiseproof.study.folder import STORE, open_study, out_folder

    study, name, _ = open_study(file, profile)
    check_device(device)
    from noiseproof.cli.console import StudyBar
    from noiseproof.study.run import run_study

    with StudyBar() as bar:
        failures = run_study(
            file,
            name,
            out=out,
            weights=weights,
            checkpoints=checkpoints,
            data_dir=data_dir,
            download=download,
            device=device,
            ray=ray,
            own_code=own_code,
            on_news=bar.update,
            on_training=bar.training,
        )
    print(f"Rows: {out_folder(study, name, out) / STORE}")
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
    from noiseproof.cli.console import print_status
    from noiseproof.study.folder import open_study, out_folder, results_of
    from noiseproof.study.progress import progress_of

    study, name, grid = open_study(file, profile)

    facts, rows = results_of(out_folder(study, name, out))
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
    from noiseproof.study.folder import open_study, out_folder, results_of
    from noiseproof.study.report import document_of, report_of, write_study_report

    study, name, grid = open_study(file, profile)

    folder = out_folder(study, name, out)
    facts, rows = results_of(folder)
    if not rows:
        raise ValueError(f"{folder} holds no rows: run `noiseproof study run {file}` first")
    command = f"noiseproof study run {file} --profile {name}"
    found = report_of(study, name, grid, facts, rows, command=command)
    for path in write_study_report(found, folder):
        print(f"Report: {path}")
    if as_json:
        print_json(document_of(found))
