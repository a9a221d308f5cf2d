"""The commands that only read: report, export, info."""

from pathlib import Path
from typing import Annotated, Any

import typer

from noiseproof.cli.options import AsJson, Norm, NormWhere, check_norm, check_not_itself, print_json
from noiseproof.core.checks import one_of
from noiseproof.specs import catalog
from noiseproof.specs.noise import parse, parse_targets

Rows = Annotated[Path, typer.Argument(help="SQLite file that `measure` or `track` wrote.")]


def report(
    store: Rows,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    figure: Annotated[
        Path | None, typer.Option(help="Also a figure for a paper: .pdf, .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report of all that is in a store; needs no GPU, no network."""
    from noiseproof.report import write_figure, write_report
    from noiseproof.results.curves import as_json as document
    from noiseproof.results.curves import curves_of
    from noiseproof.results.rows import network_key
    from noiseproof.results.sensitivity import rankings_of
    from noiseproof.results.store import Store
    from noiseproof.results.streams import traces_of

    for made in (out, *([figure] if figure is not None else [])):
        check_not_itself(made, store)
    with Store(store, read_only=True) as rows:
        found = rows.rows()
    curves, traces, rankings = curves_of(found), traces_of(found), rankings_of(found)
    if not curves and not traces and not rankings:
        raise ValueError(f"store {store} holds no measured chips")
    if figure is not None:
        if not curves:
            raise ValueError(f"store {store} holds no levels, which --figure shows")
        write_figure(curves, figure)
        print(f"Figure: {figure}")
    write_report(curves, out, source=store.name, traces=traces, rankings=rankings)
    print(f"Report: {out}")
    if as_json:
        networks: dict[tuple[str, ...], list[Any]] = {}
        for curve in curves:
            networks.setdefault(network_key(curve.clean), []).append(curve)
        print_json(
            {
                "report": str(out),
                "networks": [document(v) for v in networks.values()],
                "traces": [trace.as_json() for trace in traces],
                "rankings": [ranking.as_json() for ranking in rankings],
            }
        )


def export(
    store: Rows,
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    as_json: AsJson = False,
) -> None:
    """Write the rows of a store as CSV or Parquet."""
    from noiseproof.results.store import Store
    from noiseproof.results.store import export as write

    check_not_itself(out, store)
    with Store(store, read_only=True) as rows:
        found = rows.rows()
    write(found, out)
    print(f"{len(found)} rows: {out}")
    if as_json:
        print_json({"export": str(out), "rows": len(found)})


INFO = ("models", "norms", "noises", "recalibrations", "designs", "datasets", "model")


def info(
    what: Annotated[
        str,
        typer.Argument(
            help="models, norms, noises, recalibrations, designs, datasets, or model NAME."
        ),
    ],
    name: Annotated[str | None, typer.Argument(help="The model, for `info model NAME`.")] = None,
    noise: Annotated[
        str | None, typer.Option(help="With `model`: show which tensors this spec touches.")
    ] = None,
    targets: Annotated[str, typer.Option(help="With --noise: roles that get noise.")] = "kernel",
    norm: Norm = None,
    norm_where: NormWhere = "all",
    as_json: AsJson = False,
) -> None:
    """List what there is, or the tensors of one model with role, shape and whether noise touches
    them."""
    one_of("topic", what, INFO)
    from noiseproof.cli import console

    if what != "model" and name is not None:
        raise ValueError(f"info {what} takes no name, got {name!r}")
    if what != "model":
        listing = console.LISTINGS[what]()
        console.print_listing(what, listing)
        if as_json:
            print_json(listing)
        return
    if name is None:
        raise ValueError("info model needs a name, as in: noiseproof info model resnet20")
    request = None if noise is None else parse(noise)
    roles = parse_targets(targets)
    catalog.check_model(name)
    check_norm(norm, norm_where)
    from noiseproof.measuring.inventory import inventory

    tensors = inventory(name, norm=norm, where=norm_where, noise=request, targets=roles)
    console.print_inventory(name, tensors, request, roles)
    if as_json:
        print_json({"model": name, "tensors": [tensor.as_json() for tensor in tensors]})
