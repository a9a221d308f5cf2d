"""The command that writes a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.options import PageOptions, Rows, ShowOptions
from noiseproof.cli.printing import check_figure
from noiseproof.core.files import check_outputs


@dataclass(kw_only=True, eq=False, repr=False)
class ReportOptions(PageOptions):
    """What is left behind."""

    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html")


@grouped(
    "noiseproof report results.db --out report.html --figure curves.pdf",
    "noiseproof report results.db --figure two.pdf --only resnet8 --only resnet14 "
    "--label 'batch=with BN' --size 7x3in",
)
def report(store: Rows, show: ShowOptions, output: ReportOptions) -> None:
    """Write a self-contained HTML report of what is in a store; needs no GPU, no network."""
    if output.figure is not None:
        check_figure(output.figure)
    check_outputs({"--out": output.out, "--figure": output.figure}, inputs=[store])
    from noiseproof.cli.telling import run_report

    run_report(store, show, output)
