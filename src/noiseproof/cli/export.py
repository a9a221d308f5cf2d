"""The command that hands rows on."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.grouped import grouped
from noiseproof.cli.options import AsJson, Rows
from noiseproof.core.files import check_outputs


@grouped("noiseproof export results.db --out rows.csv")
def export(
    store: Rows,
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    as_json: AsJson = False,
) -> None:
    """Write the rows of a store as CSV or Parquet."""
    check_outputs({"--out": out}, inputs=[store])
    from noiseproof.cli.telling import run_export

    run_export(store, out=out, as_json=as_json)
