"""What `report` and `export` do with the rows of a store."""

from pathlib import Path
from typing import Any

from noiseproof.cli.printing import print_json
from noiseproof.report import write_figure, write_report
from noiseproof.results import Row, curves_of, network_key, rankings_of, traces_of
from noiseproof.results import store as stores
from noiseproof.results.curves import as_json as document


def _rows(store: Path) -> list[Row]:
    with stores.Store(store, read_only=True) as rows:
        return rows.rows()


def run_report(store: Path, *, out: Path, figure: Path | None, as_json: bool) -> None:
    """Write the page, and the figure where one is asked for."""
    found = _rows(store)
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


def run_export(store: Path, *, out: Path, as_json: bool) -> None:
    """Write the rows."""
    found = _rows(store)
    stores.export(found, out)
    print(f"{len(found)} rows: {out}")
    if as_json:
        print_json({"export": str(out), "rows": len(found)})
