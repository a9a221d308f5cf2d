"""The command that lists what there is."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.grouped import grouped
from noiseproof.cli.listings import LISTINGS, TOPICS
from noiseproof.cli.options import AsJson, Norm, NormWhere, Targets
from noiseproof.cli.printing import print_json
from noiseproof.core.checks import one_of
from noiseproof.specs import catalog, parse, parse_targets


@dataclass(kw_only=True, eq=False, repr=False)
class ModelOptions:
    """Of `info model`."""

    PANEL: ClassVar[str] = "With `info model NAME`"
    norm: Norm = None
    norm_where: NormWhere = "all"
    noise: Annotated[
        str | None,
        typer.Option(
            help="Show which tensors this spec touches.", autocompletion=completion.noises
        ),
    ] = None
    targets: Targets = "kernel"


@grouped("noiseproof info recalibrations", "noiseproof info model resnet20 --noise 'gaussian(0.1)'")
def info(
    what: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(LISTINGS)}, or model NAME.", autocompletion=completion.among(TOPICS)
        ),
    ],
    asked: ModelOptions,
    name: Annotated[
        str | None,
        typer.Argument(help="The model, for `info model NAME`.", autocompletion=completion.models),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what there is, or the tensors of one model with role, shape and whether noise touches
    them."""
    one_of("topic", what, TOPICS)
    if what != "model" and name is not None:
        raise ValueError(f"info {what} takes no name, got {name!r}")
    if what != "model":
        _print_listing(what, as_json)
        return
    if name is None:
        raise ValueError("info model needs a name, as in: noiseproof info model resnet20")
    noise = None if asked.noise is None else parse(asked.noise)
    roles = parse_targets(asked.targets)
    catalog.check_model(name)
    catalog.check_norm_where(asked.norm, asked.norm_where)
    from noiseproof.cli.console import print_inventory
    from noiseproof.measuring.inventory import inventory

    tensors = inventory(name, norm=asked.norm, where=asked.norm_where, noise=noise, targets=roles)
    print_inventory(name, tensors, noise, roles)
    if as_json:
        print_json({"model": name, "tensors": [tensor.as_json() for tensor in tensors]})


def _print_listing(what: str, as_json: bool) -> None:
    from noiseproof.cli.console import print_listing

    listing = LISTINGS[what]()
    print_listing(what, listing)
    if as_json:
        print_json(listing)
