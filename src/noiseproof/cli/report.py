"""The command that writes a report."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.options import AsJson, Figure, Rows
from noiseproof.cli.printing import check_not_itself


@grouped("noiseproof report results.db --out report.html --figure curves.pdf")
def report(
    store: Rows,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report of all that is in a store; needs no GPU, no network."""
    for made in (out, *([figure] if figure is not None else [])):
        check_not_itself(made, store)
    from noiseproof.cli.telling import run_report

    run_report(store, out=out, figure=figure, as_json=as_json)
