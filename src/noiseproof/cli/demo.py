"""The command that shows the whole instrument."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.options import CHIPS, NETWORK, OUTPUT, AsJson, Device, Seed, Threads
from noiseproof.core.checks import at_least, at_most, check_device, check_seed
from noiseproof.core.threads import parse_threads
from noiseproof.measuring.requests import MOST_CHIPS, TOO_MANY


@dataclass(kw_only=True, eq=False, repr=False)
class FourOptions:
    """The networks."""

    PANEL: ClassVar[str] = NETWORK
    epochs: Annotated[int, typer.Option(help="Training epochs of each network.")] = 20
    device: Device = "cpu"
    threads: Threads = "1"  # the networks are tiny: threads would only wait for each other


@dataclass(kw_only=True, eq=False, repr=False)
class ChipOptions:
    """How many chips are measured."""

    PANEL: ClassVar[str] = CHIPS
    chips: Annotated[int, typer.Option(help="Simulated chips per noise level.")] = 20
    seed: Seed = 0


@dataclass(kw_only=True, eq=False, repr=False)
class FolderOptions:
    """What is left behind."""

    PANEL: ClassVar[str] = OUTPUT
    out: Annotated[Path, typer.Option(help="Folder for weights, rows and report.")] = Path(
        "runs/demo"
    )
    as_json: AsJson = False


@grouped("noiseproof demo", "noiseproof demo --chips 5 --epochs 10 --out runs/short")
def demo(networks: FourOptions, chips: ChipOptions, output: FolderOptions) -> None:
    """Train four small networks on handwritten digits, measure them on noisy chips, recalibrate,
    and write a report: the whole instrument in a minute or two, without a download."""
    check_device(networks.device)
    threads = parse_threads(networks.threads)
    check_seed(chips.seed)
    at_least(chips=chips.chips, epochs=networks.epochs)
    at_most(MOST_CHIPS, TOO_MANY, chips=chips.chips)
    from noiseproof.cli.demonstration import Asked, run_demo

    run_demo(
        output.out,
        Asked(
            chips=chips.chips,
            epochs=networks.epochs,
            seed=chips.seed,
            device=networks.device,
            threads=threads,
        ),
        as_json=output.as_json,
    )
