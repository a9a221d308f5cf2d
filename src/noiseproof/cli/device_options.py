"""The options of `device fit`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli.options import AsJson


@dataclass(kw_only=True, eq=False, repr=False)
class LawOptions:
    """What readings do not say."""

    PANEL: ClassVar[str] = "What the readings do not say"
    name: Annotated[
        str | None, typer.Option(help="Name of the device; default: that of the file written.")
    ] = None
    g_min: Annotated[
        float | None, typer.Option(help="Conductance of a weight of 0; default: lowest target.")
    ] = None
    g_max: Annotated[
        float | None,
        typer.Option(help="Conductance of the largest weight; default: highest target."),
    ] = None
    t0: Annotated[
        float | None,
        typer.Option("--t0", help="Seconds of the first read, which drift counts from; fitted."),
    ] = None
    t_read: Annotated[
        float, typer.Option(help="Seconds that one read takes, where 1/f noise begins.")
    ] = 250e-9


@dataclass(kw_only=True, eq=False, repr=False)
class FitOutput:
    """What is left behind."""

    PANEL: ClassVar[str] = "Output"
    out: Annotated[Path, typer.Option(help="The device file to write, NAME.toml.")]
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the readings and the law over them: .pdf, .png or .svg."),
    ] = None
    as_json: AsJson = False
