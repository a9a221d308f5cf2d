"""The command that shows why accuracy is lost."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.noise_options import NoiseOptions
from noiseproof.cli.options import (
    CHIPS,
    DataOptions,
    NetworkOptions,
    PageOptions,
    RecalibrationOptions,
    Seed,
    Task,
    Weights,
    network_request,
)
from noiseproof.cli.printing import check_figure, checkpoint_files
from noiseproof.core.files import check_outputs
from noiseproof.measuring import ExplainRequest, Measurement
from noiseproof.specs import parse_targets

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


@dataclass(kw_only=True, eq=False, repr=False)
class ExplainedOptions(PageOptions):
    """The same, with the table of all layers."""

    table: Annotated[
        bool, typer.Option("--table", help="Print every layer too; the page has them all.")
    ] = False


@grouped("noiseproof explain runs/net --recalibrate auto --out why.html")
def explain(
    weights: Weights,
    noise: NoiseOptions,
    network: NetworkOptions,
    data: FewOptions,
    chips: ChipOptions,
    recalibration: RecalibrationOptions,
    output: ExplainedOptions,
) -> None:
    """Show where along a network noise destroys the signal, and what recalibration repairs."""
    request = ExplainRequest(
        network=network_request(
            weights, network, data, images=data.images, task=data.task, noise=noise
        ),
        measurement=Measurement(
            specs=(noise.spec,),
            targets=parse_targets(noise.targets),
            chips=chips.chips,
            seed=chips.seed,
        ),
        calibration=recalibration.request(chips.seed, first=(None,), usual=noise.chip.compensate),
    )
    if output.figure is not None:
        check_figure(output.figure)
    made = {"--out": output.out, "--figure": output.figure}
    check_outputs(made, inputs=checkpoint_files(weights))
    from noiseproof.cli.running import run_explain

    run_explain(request, output, usual_images=IMAGES, table=output.table)
