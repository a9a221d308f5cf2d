"""The options of `train`, in groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.options import (
    DATA,
    NETWORK,
    OUTPUT,
    AsJson,
    DataDir,
    Device,
    Download,
    Norm,
    NormWhere,
    Seed,
    Task,
    Threads,
)


@dataclass(kw_only=True, eq=False, repr=False)
class NewOptions:
    """The network, and where it is trained."""

    PANEL: ClassVar[str] = NETWORK
    model: Annotated[
        str,
        typer.Option(help="Its name (`noiseproof info models`).", autocompletion=completion.models),
    ]
    norm: Norm = None
    norm_where: NormWhere = "all"
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = "auto"


@dataclass(kw_only=True, eq=False, repr=False)
class TrainedOnOptions:
    """What it learns."""

    PANEL: ClassVar[str] = DATA
    data: Annotated[
        str,
        typer.Option(
            help="Its name (`noiseproof info datasets`).", autocompletion=completion.datasets
        ),
    ] = "cifar10"
    data_dir: DataDir = None
    download: Download = False
    task: Task = None


@dataclass(kw_only=True, eq=False, repr=False)
class RecipeOptions:
    """How it learns."""

    PANEL: ClassVar[str] = "Training"
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images. Default: 30; scenes 120.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step. Default: 128; scenes 8.")
    ] = None
    lr: Annotated[
        float | None,
        typer.Option(help="Peak of the one-cycle schedule. Default: 0.1; boxes 0.02, masks 0.05."),
    ] = None
    momentum: Annotated[float, typer.Option(help="Nesterov momentum.")] = 0.9
    weight_decay: Annotated[
        float | None,
        typer.Option(help="L2 penalty on all parameters. Default: 5e-4; boxes 1e-4."),
    ] = None
    augment: Annotated[
        bool,
        typer.Option("--augment/--no-augment", help="Random shifts, and flips where they fit."),
    ] = True
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16",
            help="Forward and backward in bfloat16. Default: on GPUs.",
            show_default=False,
        ),
    ] = None
    half: Annotated[
        bool, typer.Option("--half", help="Round the kernels to float16: half the file.")
    ] = False
    clip_gradient: Annotated[
        float | None,
        typer.Option(help="Longest gradient of a step; lets networks without norms train."),
    ] = None
    compiled: Annotated[
        bool, typer.Option("--compile", help="By torch.compile: faster, after half a minute.")
    ] = False


@dataclass(kw_only=True, eq=False, repr=False)
class WeightsOptions:
    """What is left behind."""

    PANEL: ClassVar[str] = OUTPUT
    out: Annotated[Path, typer.Option(help="Folder for the weights and their card.")]
    as_json: AsJson = False
