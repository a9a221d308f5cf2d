"""The command that measures chips."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.grouped import grouped
from noiseproof.cli.noise_options import NoiseOptions
from noiseproof.cli.options import (
    CHIPS,
    NetworkOptions,
    PartOptions,
    RecalibrationOptions,
    Seed,
    StoreOptions,
    Weights,
    network_request,
)
from noiseproof.cli.printing import checkpoint_files
from noiseproof.core.files import check_outputs
from noiseproof.measuring import Measurement, MeasureRequest
from noiseproof.specs import parse_design, parse_seconds, parse_targets


@dataclass(kw_only=True, eq=False, repr=False)
class LevelOptions(NoiseOptions):
    """The noise and its levels."""

    levels: Annotated[
        str | None,
        typer.Option(
            help="Of the last stage that has one (sigma / reference), as 0,0.05,0.1. "
            "Default: as --noise says."
        ),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class CompiledOptions(NetworkOptions):
    """How it is run."""

    compiled: Annotated[
        bool, typer.Option("--compile", help="By torch.compile, once; pays from minutes on.")
    ] = False
    dtype: Annotated[str, typer.Option(help="Of chips: bfloat16. Default: the network's own.")] = ""


@dataclass(kw_only=True, eq=False, repr=False)
class ScoreOptions(PartOptions):
    """What it is tested on, and by which score."""

    task: Annotated[
        str | None,
        typer.Option(
            help="classify, detect or segment (default: as the labels say), or a score of your "
            "own, package.module:function, called with (model, test images and labels).",
            autocompletion=completion.tasks,
        ),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class ChipOptions:
    """How long to measure."""

    PANEL: ClassVar[str] = CHIPS
    design: Annotated[
        str,
        typer.Option(
            help="Which images see which chips: chips, nested, nested(IMAGES), per-image, auto.",
            autocompletion=completion.designs,
        ),
    ] = "chips"
    chips: Annotated[
        int | None,
        typer.Option(help="Per level, or at most. Default: 25; nested 200."),
    ] = None
    passes: Annotated[
        int | None, typer.Option(help="per-image: passes over the test images (1).")
    ] = None
    precision: Annotated[
        float | None,
        typer.Option(help="95 % interval: plus or minus this (0.01: a point)."),
    ] = None
    budget: Annotated[str | None, typer.Option(help="For this time, as 60s, 5m or 1h.")] = None
    above: Annotated[
        float | None,
        typer.Option(help="Also the share of chips as good (0.9: 90 %)."),
    ] = None
    seed: Seed = 0


@grouped(
    "noiseproof measure runs/net --levels 0,0.05,0.1 --recalibrate off --recalibrate auto",
    "noiseproof measure runs/net --noise 'gaussian(0.05, reference=max)' --precision 0.005",
)
def measure(
    weights: Weights,
    noise: LevelOptions,
    network: CompiledOptions,
    data: ScoreOptions,
    chips: ChipOptions,
    recalibration: RecalibrationOptions,
    output: StoreOptions,
) -> None:
    """Measure what a network scores on simulated noisy chips, with intervals."""
    asked = network_request(
        weights,
        network,
        data,
        images=data.images,
        task=data.task,
        compiled=network.compiled,
        dtype=network.dtype,
        noise=noise,
    )
    request = MeasureRequest(
        network=asked,
        measurement=Measurement(
            specs=noise.specs(noise.levels),
            targets=parse_targets(noise.targets),
            design=parse_design(chips.design),
            chips=chips.chips,
            passes=chips.passes,
            precision=chips.precision,
            budget=None if chips.budget is None else parse_seconds(chips.budget),
            seed=chips.seed,
            above=chips.above,
        ),
        calibration=recalibration.request(
            chips.seed, usual=noise.chip.compensate, for_ranges=asked.mvm.images
        ),
    )
    check_outputs({"--store": output.store}, inputs=checkpoint_files(weights))
    from noiseproof.cli.running import run_measure

    run_measure(request, output)
