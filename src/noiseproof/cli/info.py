"""The command that lists what there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.grouped import grouped
from noiseproof.cli.listings import LISTINGS, TOPICS
from noiseproof.cli.noise_options import Digital, Targets
from noiseproof.cli.options import (
    AsJson,
    NetworkOptions,
    PartOptions,
    Task,
    network_request,
)
from noiseproof.cli.printing import print_json
from noiseproof.core.checks import one_of
from noiseproof.specs import (
    catalog,
    parse,
    parse_digital,
    parse_mapping,
    parse_mvm,
    parse_targets,
)


@dataclass(kw_only=True, eq=False, repr=False)
class ModelOptions:
    """Of `info model`."""

    PANEL: ClassVar[str] = "With `info model NAME`"
    noise: Annotated[
        str | None,
        typer.Option(
            help="Show which tensors this spec touches.", autocompletion=completion.noises
        ),
    ] = None
    targets: Targets = "kernel"
    digital: Digital = ""


@dataclass(kw_only=True, eq=False, repr=False)
class LookedOptions(PartOptions):
    """Of `info network`."""

    PANEL: ClassVar[str] = "With `info network WEIGHTS`"
    task: Task = None


@grouped(
    "noiseproof info recalibrations",
    "noiseproof info hardware pcm",
    "noiseproof info model resnet20 --noise 'gaussian(0.1)'",
    "noiseproof info network runs/net --images 500",
)
def info(
    what: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(LISTINGS)}; hardware NAME; model NAME; network WEIGHTS.",
            autocompletion=completion.among(TOPICS),
        ),
    ],
    asked: ModelOptions,
    network: NetworkOptions,
    data: LookedOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            help="The chip, the model, or the checkpoint or run's folder.",
            autocompletion=completion.models,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what there is, or the tensors of one model with role, shape and whether noise touches
    them; or look at a network before it is measured: what noise reaches, its clean score, labels,
    and what each design would cost here."""
    one_of("topic", what, TOPICS)
    if what == "network":
        _print_network(name, network, data, as_json)
    elif what == "model":
        _print_model(name, asked, network, as_json)
    elif what == "hardware" and name is not None:
        _print_hardware(name, as_json)
    elif name is not None:
        raise ValueError(f"info {what} takes no name, got {name!r}")
    else:
        _print_listing(what, as_json)


def _print_network(
    weights: str | None, network: NetworkOptions, data: LookedOptions, as_json: bool
) -> None:
    if weights is None:
        raise ValueError("info network needs weights, as in: noiseproof info network runs/net")
    request = network_request(Path(weights), network, data, images=data.images, task=data.task)
    from noiseproof.cli.running import run_inspection

    run_inspection(request, as_json=as_json)


def _print_model(
    name: str | None, asked: ModelOptions, network: NetworkOptions, as_json: bool
) -> None:
    if name is None:
        raise ValueError("info model needs a name, as in: noiseproof info model resnet20")
    noise = None if asked.noise is None else parse(asked.noise)
    roles, digital = parse_targets(asked.targets), parse_digital(asked.digital)
    catalog.check_model(name)
    catalog.check_norm_where(network.norm, network.norm_where)
    from noiseproof.cli.console import print_inventory
    from noiseproof.measuring.inventory import inventory

    tensors = inventory(
        name,
        norm=network.norm,
        where=network.norm_where,
        noise=noise,
        targets=roles,
        digital=digital,
    )
    print_inventory(name, tensors, noise, roles)
    if as_json:
        print_json({"model": name, "tensors": [tensor.as_json() for tensor in tensors]})


def _print_hardware(name: str, as_json: bool) -> None:
    from noiseproof.cli.console import print_listing
    from noiseproof.hardware import statements
    from noiseproof.specs.hardware import find_hardware

    chip = find_hardware(name)
    mapping, folds = parse_mapping(chip.mapping)
    texts = {
        "noise": chip.noise or "none",
        "mapping": f"{mapping}{', fold_norm=yes' if folds else ''}",
        "at products": str(parse_mvm(chip.mvm)) or "exact",
        "compensate": chip.compensate,
        "digital": chip.digital or "no layer",
        "source": chip.source or "-",
        "leaves out": chip.leaves_out or "-",
    }
    stated = statements(
        parse(chip.noise or "none"),
        mapping,
        mvm=chip.mvm,
        compensate=chip.compensate,
        digital=chip.digital,
    )
    print_listing(f"hardware {chip.name}: {chip.about}", texts)
    print_listing("what its numbers mean", stated)
    if as_json:
        print_json(chip.model_dump() | {"statements": stated})


def _print_listing(what: str, as_json: bool) -> None:
    from noiseproof.cli.console import print_listing

    listing = LISTINGS[what]()
    print_listing(what, listing)
    if as_json:
        print_json(listing)
