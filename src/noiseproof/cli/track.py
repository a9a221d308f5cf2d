"""The command that follows chips whose noise changes with time."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.noise_options import NoiseOptions
from noiseproof.cli.options import (
    CHIPS,
    DataOptions,
    DrawnOptions,
    NetworkOptions,
    RecalibrationOptions,
    Seed,
    Task,
    Weights,
    network_request,
)
from noiseproof.cli.printing import check_figure, checkpoint_files
from noiseproof.core.files import check_outputs
from noiseproof.measuring import Measurement, TrackRequest
from noiseproof.specs import Course, Stream, parse_targets


@dataclass(kw_only=True, eq=False, repr=False)
class ChangingOptions(NoiseOptions):
    """The noise, and how it changes."""

    every: Annotated[int, typer.Option(help="The noise changes every N images.")] = 1000
    wander: Annotated[
        float | None,
        typer.Option(
            help="At a change the dice stay, and the logarithm of the level takes a normal step of "
            "this standard deviation, between half and twice the first level. Default: the noise "
            "is drawn anew."
        ),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class StreamOptions(DataOptions):
    """The stream of test images."""

    images: Annotated[
        int | None,
        typer.Option(help="Test images in a random order, again and again. Default: ten changes."),
    ] = None
    window: Annotated[
        int | None, typer.Option(help="Images of one score. Default: as --every.")
    ] = None
    task: Task = None


@dataclass(kw_only=True, eq=False, repr=False)
class ChipOptions:
    """How many chips are followed."""

    PANEL: ClassVar[str] = CHIPS
    chips: Annotated[int, typer.Option(help="Each is followed to the end.")] = 10
    seed: Seed = 0


@dataclass(kw_only=True, eq=False, repr=False)
class AgainOptions(RecalibrationOptions):
    """The remedies to compare, and how often they are taken."""

    period: Annotated[
        int | None,
        typer.Option(
            help="pooled, layerwise, blend run again after every N images. Default: as --every."
        ),
    ] = None


@grouped(
    "noiseproof track runs/net --every 500 --recalibrate off --recalibrate 'ema(0.1)'",
    "noiseproof track runs/net --every 500 --figure stream.pdf",
)
def track(
    weights: Weights,
    noise: ChangingOptions,
    network: NetworkOptions,
    data: StreamOptions,
    chips: ChipOptions,
    recalibration: AgainOptions,
    output: DrawnOptions,
) -> None:
    """Follow a network along a stream of test images while the noise of its chip changes."""
    request = TrackRequest(
        network=network_request(weights, network, data, task=data.task, noise=noise),
        measurement=Measurement(
            specs=(noise.spec,),
            targets=parse_targets(noise.targets),
            chips=chips.chips,
            seed=chips.seed,
        ),
        calibration=recalibration.request(chips.seed, usual=noise.chip.compensate),
        course=Course(
            changes=Stream(every=noise.every, wander=noise.wander),
            images=data.images,
            window=data.window,
            period=recalibration.period,
        ),
    )
    if output.figure is not None:
        check_figure(output.figure)
    made = {"--store": output.store, "--figure": output.figure}
    check_outputs(made, inputs=checkpoint_files(weights))
    from noiseproof.cli.running import run_track

    run_track(request, output)
