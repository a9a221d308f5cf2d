"""The command that shows why accuracy is lost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.options import (
    CHIPS,
    DataOptions,
    NetworkOptions,
    NoiseOptions,
    PageOptions,
    RecalibrationOptions,
    Seed,
    Task,
    Weights,
    network_request,
)
from noiseproof.cli.printing import check_figure
from noiseproof.measuring import ExplainRequest, Measurement
from noiseproof.specs import parse, parse_targets

IMAGES = 500


@dataclass(kw_only=True, eq=False, repr=False)
class FewOptions(DataOptions):
    """What is looked at."""

    images: Annotated[
        int | None,
        typer.Option(help=f"First N test images. Default: {IMAGES}, or all where there are less."),
    ] = None
    task: Task = None


@dataclass(kw_only=True, eq=False, repr=False)
class ChipOptions:
    """How many chips are looked at."""

    PANEL: ClassVar[str] = CHIPS
    chips: Annotated[int, typer.Option(help="Simulated chips.")] = 10
    seed: Seed = 0


@grouped("noiseproof explain runs/net --recalibrate auto --out why.html")
def explain(
    weights: Weights,
    noise: NoiseOptions,
    network: NetworkOptions,
    data: FewOptions,
    chips: ChipOptions,
    recalibration: RecalibrationOptions,
    output: PageOptions,
) -> None:
    """Show where along a network noise destroys the signal, and what recalibration repairs."""
    request = ExplainRequest(
        network=network_request(weights, network, data, images=data.images, task=data.task),
        measurement=Measurement(
            specs=(parse(noise.noise),),
            targets=parse_targets(noise.targets),
            chips=chips.chips,
            seed=chips.seed,
        ),
        calibration=recalibration.request(chips.seed, first=(None,)),
    )
    if output.figure is not None:
        check_figure(output.figure)
    check_places(weights, output.out, output.figure)
    from noiseproof.cli.running import run_explain

    run_explain(request, output, usual_images=IMAGES)


def check_places(weights: Path, out: Path, figure: Path | None) -> None:
    """Raise ValueError for files that could not be written, or that would overwrite each other or
    the checkpoint."""
    for option, path in (("--out", out), ("--figure", figure)):
        if path is None:
            continue
        if path.is_dir():
            raise ValueError(f"{option} {path} is a folder: name a file in it")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {path.parent}, make it first")
        its_own = [file for file in (weights, weights / "weights.safetensors") if file.exists()]
        if path.exists() and any(path.samefile(file) for file in its_own):
            raise ValueError(f"{option} {path} is the checkpoint itself: name another file")
    if figure is not None and out.absolute() == figure.absolute():
        raise ValueError(f"--out and --figure must differ, got {out} for both")
