"""The commands of devices: what there is, one in words, one of your own from its readings."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.device_options import FitOutput, LawOptions
from noiseproof.cli.grouped import epilog_of, grouped
from noiseproof.cli.once import OnceCommand
from noiseproof.cli.options import AsJson
from noiseproof.cli.printing import check_figure, print_json, say
from noiseproof.core.files import check_outputs, replacing

app = typer.Typer(
    help="Devices that hold weights: list, show, and fit your own to its readings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@grouped("noiseproof device list")
def list_(as_json: AsJson = False) -> None:
    """List the devices that come with noiseproof."""
    from noiseproof.cli.console import print_listing
    from noiseproof.hardware import device_names, find_device

    listing = {name: find_device(name).about for name in device_names()}
    print_listing("devices", listing)
    if as_json:
        print_json(dict(listing))


@grouped(
    "noiseproof device show pcm",
    "noiseproof device show pcm --out mine.toml",
    "noiseproof device show mine.toml",
)
def show(
    device: Annotated[str, typer.Argument(help="A name of `device list`, or a file NAME.toml.")],
    out: Annotated[
        Path | None, typer.Option(help="Write its file too, to start one of your own from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a device in words: its range, its laws, its source, what that leaves out."""
    from noiseproof.hardware import device_lines, device_toml, find_device

    if out is not None:
        _check_out(out, inputs=[Path(device)])
    found = find_device(device)
    for line in device_lines(found):
        print(line)
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(device_toml(found), encoding="utf-8")
        say(f"written: {out}")
    if as_json:
        print_json(found.model_dump(mode="json") | {"digest": found.digest})


@grouped("noiseproof device fit readings.csv --out mine.toml --figure mine.png")
def fit(
    readings: Annotated[
        Path,
        typer.Argument(
            help="CSV with columns target, read, time (seconds since programming, or programmed), "
            "and perhaps device, polarity."
        ),
    ],
    law: LawOptions,
    output: FitOutput,
) -> None:
    """Fit a device to its readings: the curves of its law with standard errors, and what the
    readings are too few for."""
    _check_out(output.out, inputs=[readings], figure=output.figure)
    from noiseproof.cli.fitting import run_fit

    run_fit(readings, law, output)


def _check_out(out: Path, *, inputs: list[Path], figure: Path | None = None) -> None:
    if out.suffix != ".toml":
        raise ValueError(f"--out must end in .toml, by which a device file is known, got {out}")
    if figure is not None:
        check_figure(figure)
    check_outputs({"--out": out, "--figure": figure}, inputs=inputs)


for command, name in ((list_, "list"), (show, "show"), (fit, "fit")):
    app.command(name, cls=OnceCommand, epilog=epilog_of(command))(command)
