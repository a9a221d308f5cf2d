"""The commands of a study: plan, run, status, report."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.grouped import epilog_of, grouped
from noiseproof.cli.once import OnceCommand
from noiseproof.cli.options import ShowOptions
from noiseproof.cli.printing import check_figure
from noiseproof.cli.study_options import (
    ClusterOptions,
    DocumentOptions,
    MachineOptions,
    NeedOptions,
    PlaceOptions,
    RowOptions,
    StudyFigureOptions,
)

app = typer.Typer(
    help="A claim, tested: plan, run, status, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(help="The study: a TOML file.")]


def _open(file: Path, place: PlaceOptions) -> None:
    """Refuse a study with mistakes before anything heavy is imported."""
    from noiseproof.study import open_study

    open_study(file, place.profile)


@grouped("noiseproof study plan studies/architectures/study.toml --profile quick")
def plan(
    file: File,
    place: PlaceOptions,
    needs: NeedOptions,
    machine: MachineOptions,
    output: DocumentOptions,
) -> None:
    """Print what a run would do, and how long it takes here, from a short calibration."""
    _open(file, place)
    from noiseproof.cli.studying import plan_study

    plan_study(file, place, needs, machine, as_json=output.as_json)


@grouped("noiseproof study run studies/architectures/study.toml --profile quick")
def run(
    file: File,
    place: PlaceOptions,
    needs: NeedOptions,
    machine: ClusterOptions,
    output: RowOptions,
) -> None:
    """Train and measure what is missing. Killed and started again, it goes on."""
    _open(file, place)
    from noiseproof.cli.studying import carry_on

    carry_on(file, place, needs, machine, fresh=output.fresh)


@grouped("noiseproof study status studies/architectures/study.toml")
def status(file: File, place: PlaceOptions, output: DocumentOptions) -> None:
    """Print how far a run is: needs no data, no torch, and may be asked while it runs."""
    from noiseproof.cli.study_pages import print_progress

    print_progress(file, place, as_json=output.as_json)


@grouped(
    "noiseproof study report studies/architectures/study.toml",
    "noiseproof study report studies/batchnorm/study.toml --figure curves.pdf --only resnet14",
)
def report(file: File, place: PlaceOptions, show: ShowOptions, output: StudyFigureOptions) -> None:
    """Write report.html, report.md and its picture: the claim, the verdict, what was measured."""
    if output.figure is not None:
        check_figure(output.figure)
    from noiseproof.cli.study_pages import write_pages

    write_pages(file, place, show, output)


for command in (plan, run, status, report):
    app.command(cls=OnceCommand, epilog=epilog_of(command))(command)
