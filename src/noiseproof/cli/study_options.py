"""The options of a study's commands, in groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.options import (
    DATA,
    OUTPUT,
    AsJson,
    DataDir,
    Device,
    Download,
    Figure,
    Fresh,
    Threads,
)
from noiseproof.core.checks import check_device
from noiseproof.core.threads import parse_threads

Ray = Annotated[
    str | None,
    typer.Option(
        help="Send the work to a Ray cluster: auto (the running one), local (this machine's "
        "cores), or HOST:PORT."
    ),
]


@dataclass(kw_only=True, eq=False, repr=False)
class PlaceOptions:
    """Which profile, and where its rows are."""

    PANEL: ClassVar[str] = "Study"
    profile: Annotated[
        str | None, typer.Option(help="Which profile of the study. Default: its first.")
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for rows and report. Default: runs/STUDY-PROFILE."),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class NeedOptions:
    """What its networks are made of."""

    PANEL: ClassVar[str] = DATA
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Folder of trained networks. Default: OUT/weights."),
    ] = None
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Folder of ready weights. Default: $NOISEPROOF_CHECKPOINTS, beside the study."
        ),
    ] = None
    data_dir: DataDir = None
    download: Download = False
    own_code: Annotated[
        bool,
        typer.Option("--own-code", help="Run models and data that are code of your own."),
    ] = False


@dataclass(kw_only=True, eq=False, repr=False)
class MachineOptions:
    """Where it is computed."""

    PANEL: ClassVar[str] = "Machine"
    device: Device = "auto"
    threads: Threads = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)
        parse_threads(self.threads)


@dataclass(kw_only=True, eq=False, repr=False)
class ClusterOptions(MachineOptions):
    """Where it is computed, a cluster too."""

    ray: Ray = None


@dataclass(kw_only=True, eq=False, repr=False)
class RowOptions:
    """What becomes of rows that are there."""

    PANEL: ClassVar[str] = OUTPUT
    fresh: Fresh = False


@dataclass(kw_only=True, eq=False, repr=False)
class DocumentOptions:
    """What is printed."""

    PANEL: ClassVar[str] = OUTPUT
    as_json: AsJson = False


@dataclass(kw_only=True, eq=False, repr=False)
class StudyFigureOptions(DocumentOptions):
    """The same, with a figure."""

    figure: Figure = None
