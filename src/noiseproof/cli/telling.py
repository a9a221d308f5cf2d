"""What `report` and `export` do with the rows of a store."""

from pathlib import Path
from typing import Any, TypedDict

from noiseproof.cli.options import PageOptions, ShowOptions
from noiseproof.cli.printing import print_json
from noiseproof.report import (
    chosen,
    parse_labels,
    write_figure,
    write_ranking_figure,
    write_report,
)
from noiseproof.results import (
    Curve,
    Ranking,
    Row,
    Trace,
    curves_of,
    network_key,
    rankings_of,
    traces_of,
)
from noiseproof.results import store as stores
from noiseproof.results.curves import as_json as document


class Look(TypedDict):
    """What pages and figures take alike."""

    labels: dict[str, str]
    title: str


def _rows(store: Path) -> list[Row]:
    with stores.Store(store, read_only=True) as rows:
        return rows.rows()


def run_report(store: Path, show: ShowOptions, output: PageOptions) -> None:
    """Write the page, and the figure where one is asked for."""
    out, figure = output.out, output.figure
    found = _rows(store)
    every: list[Curve | Trace | Ranking] = [
        *curves_of(found),
        *traces_of(found),
        *rankings_of(found),
    ]
    if not every:
        raise ValueError(f"store {store} holds no measured chips")
    shown, labels = chosen(every, show.only), parse_labels(show.label)
    curves = [one for one in shown if isinstance(one, Curve)]
    traces = [one for one in shown if isinstance(one, Trace)]
    rankings = [one for one in shown if isinstance(one, Ranking)]
    look: Look = {"labels": labels, "title": show.title}
    if figure is None and show.size:
        raise ValueError("--size is the figure's: name its file by --figure")
    if figure is not None and not curves and not traces:
        if show.size or show.title or labels:
            raise ValueError("--size, --title and --label are not for the figure of a ranking")
        print(f"Caption: {write_ranking_figure(rankings[0], figure)}")
    elif figure is not None:
        caption = write_figure(curves, figure, traces=traces, size=show.size, **look)
        print(f"Caption: {caption}")
    if figure is not None:
        print(f"Figure: {figure}")
    write_report(curves, out, source=store.name, traces=traces, rankings=rankings, **look)
    print(f"Report: {out}")
    if output.as_json:
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
