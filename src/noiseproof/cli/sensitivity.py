"""The command that says which layers lose the score."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.grouped import grouped
from noiseproof.cli.noise_options import NoiseOptions
from noiseproof.cli.options import (
    DrawnOptions,
    NetworkOptions,
    PartOptions,
    Seed,
    Weights,
    network_request,
)
from noiseproof.cli.printing import check_figure, checkpoint_files
from noiseproof.core.files import check_outputs
from noiseproof.measuring import Calibration, Measurement, RankRequest
from noiseproof.specs import parse_design, parse_steps, parse_targets


@dataclass(kw_only=True, eq=False, repr=False)
class RankingOptions:
    """What is ranked."""

    PANEL: ClassVar[str] = "Ranking"
    by: Annotated[
        str,
        typer.Option(
            help="layer, block (of layers) or role (of tensors).",
            autocompletion=completion.groupings,
        ),
    ] = "layer"
    keep: Annotated[
        str | None,
        typer.Option(
            help="Also the score with the K most sensitive digital: comma-separated numbers. "
            "Default: 0,1,2,3,5,8,13 and so on."
        ),
    ] = None
    design: Annotated[
        str,
        typer.Option(
            help="auto, per-image (every image on a chip of its own) or chips (whole ones, for "
            "every noise, network and score).",
            autocompletion=completion.designs,
        ),
    ] = "auto"
    compensate: Annotated[
        str | None,
        typer.Option(
            help="Digital factors against drift: off, scalar, column. Default: the hardware's.",
            autocompletion=completion.compensations,
        ),
    ] = None
    chips: Annotated[
        int | None,
        typer.Option(help="Whole chips for each layer, and so `--design chips`. Default: 10."),
    ] = None
    seed: Seed = 0


@grouped("noiseproof sensitivity runs/net --images 2000 --keep 1,2,4 --figure layers.pdf")
def sensitivity(
    weights: Weights,
    noise: NoiseOptions,
    network: NetworkOptions,
    data: PartOptions,
    ranking: RankingOptions,
    output: DrawnOptions,
) -> None:
    """Rank layers by the score that noise in one of them alone takes."""
    request = RankRequest(
        network=network_request(weights, network, data, images=data.images, noise=noise),
        measurement=Measurement(
            specs=(noise.spec,),
            targets=parse_targets(noise.targets),
            design=parse_design(ranking.design),
            chips=ranking.chips,
            seed=ranking.seed,
        ),
        calibration=Calibration(
            compensate=(ranking.compensate or noise.chip.compensate,), seed=ranking.seed
        ),
        by=ranking.by,
        keep=() if ranking.keep is None else parse_steps(ranking.keep),
    )
    if output.figure is not None:
        check_figure(output.figure)
    made = {"--store": output.store, "--figure": output.figure}
    check_outputs(made, inputs=checkpoint_files(weights))
    from noiseproof.cli.running import run_ranking

    run_ranking(request, output)
