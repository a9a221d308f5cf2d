"""What the commands that measure do once their request is whole: open, compute, print."""

import warnings
from dataclasses import replace

from noiseproof import stats
from noiseproof.cli.bars import Bars, MeasuringBar
from noiseproof.cli.console import (
    console,
    print_coverage,
    print_curves,
    print_ranking,
    print_traces,
)
from noiseproof.cli.options import DrawnOptions, PageOptions, StoreOptions
from noiseproof.cli.printing import print_json, say, say_rows
from noiseproof.core.checks import NoEffectWarning
from noiseproof.measuring import (
    Calibration,
    ExplainRequest,
    MeasureRequest,
    Network,
    RankRequest,
    TrackRequest,
    analog_places,
    check_in_units,
    explain_setup,
    fitted_request,
    inspect_setup,
    measure_setup,
    opened,
    rank_setup,
    track_setup,
)
from noiseproof.noise import coverage
from noiseproof.report import (
    anatomy_tables,
    score_lines,
    write_anatomy,
    write_anatomy_figure,
    write_figure,
    write_ranking_figure,
)
from noiseproof.results import Row, Store, Tally, as_json, findings, where_of
from noiseproof.specs import sized

WIDTH_OF_PAGE = 120  # of explain's tables, without a terminal
PROVENANCE = (
    *("checkpoint", "model", "norm", "task", "data", "data_sha256", "scale"),
    *("versions", "device"),
)


def run_measure(request: MeasureRequest, output: StoreOptions) -> None:
    """Measure curves, print them, and say what the noise reached."""
    setup = opened(request.network, request.calibration)
    request = fitted_request(setup, request)
    asked = request.measurement
    check_in_units(setup, asked)  # before a store is made
    if asked.design.needs_hits:
        sized(asked.design, len(setup.test))
    tally = Tally()
    with Store(output.store) as store, MeasuringBar() as bar:
        curves = measure_setup(
            setup,
            request,
            store=store,
            on_row=bar.update,
            on_design=say,
            fresh=output.fresh,
            tally=tally,
        )
    print_curves(curves, above=asked.above)
    strongest = max(asked.specs, key=lambda one: one.level or 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # of the network: said when it was opened
        state, where = analog_places(setup)
    if strongest.stages:  # else all that happens, happens at products
        share = coverage(state, where, strongest, asked.targets)
        print_coverage(strongest, where_of(curves[0].first), *share)
    say_rows(output.store, tally)
    if output.as_json:
        print_json(as_json(curves, above=asked.above))


def run_track(request: TrackRequest, output: DrawnOptions) -> None:
    """Follow chips along a stream, print the traces, and draw where a figure is asked for."""
    setup = opened(request.network, request.calibration)
    request = fitted_request(setup, request)
    tally = Tally()
    with Store(output.store) as store, Bars() as bars:

        def show(row: Row, done: int, total: int) -> None:
            text = f"{row.recalibrate}, chip {row.chip}, images {row.seen:,} on: "
            bars.update(
                "tracking", done, total, f"{text}{row.unit.value(row.score)}{row.unit.sign}"
            )

        traces = track_setup(
            setup, request, store=store, on_row=show, fresh=output.fresh, tally=tally
        )
    print_traces(traces)
    if output.figure is not None:
        print(f"Caption: {write_figure([], output.figure, traces=traces)}")
        print(f"Figure: {output.figure}")
    say_rows(output.store, tally)
    if output.as_json:
        provenance = _provenance(traces[0].first, "chip") | {"seed": traces[0].first.seed}
        print_json({"traces": [trace.as_json() for trace in traces], "provenance": provenance})


def run_ranking(request: RankRequest, output: DrawnOptions) -> None:
    """Rank layers, and print, and draw where a figure is asked for."""
    setup = opened(request.network, request.calibration)
    request = fitted_request(setup, request)
    tally = Tally()
    with Store(output.store) as store, Bars() as bars:

        def show(row: Row, done: int, total: int) -> None:
            step, text = _ranking_step(row)
            bars.update(step, done, total, text)

        ranking = rank_setup(
            setup,
            request,
            store=store,
            on_row=show,
            on_design=say,
            fresh=output.fresh,
            tally=tally,
        )
    print_ranking(ranking)
    if output.figure is not None:
        print(f"Caption: {write_ranking_figure(ranking, output.figure)}")
        print(f"Figure: {output.figure}")
    say_rows(output.store, tally)
    if output.as_json:
        replicate = "block of images" if ranking.is_per_image else "chip"
        provenance = _provenance(ranking.first, replicate)
        print_json(ranking.as_json() | {"provenance": provenance})


def run_inspection(network: Network, *, as_json: bool) -> None:
    """Look at a network, and say what was found."""
    found = inspect_setup(opened(network, Calibration()))
    print(found.summary().text())
    if as_json:
        print_json(found.as_json())


def run_explain(
    request: ExplainRequest, output: PageOptions, *, usual_images: int, table: bool
) -> None:
    """Explain, print the findings first, and write the page. `usual_images`: how many, where no
    number is given; `table`: print every layer too."""
    setup = opened(request.network, request.calibration)
    request = fitted_request(setup, request)
    if request.network.images is None:
        few = setup.test.first(min(usual_images, len(setup.test)))
        setup = replace(setup, test=few)
    with Bars() as bars:
        found = explain_setup(
            setup,
            request,
            on_pass=lambda way, done, total: bars.update("explaining", done, total, way),
        )
    for line in (*findings(found), *score_lines(found)):
        print(line)
    for layers in anatomy_tables(found) if table else ():
        console(width=WIDTH_OF_PAGE).print(layers)
    if output.figure is not None:
        print(f"Caption: {write_anatomy_figure(found, output.figure)}")
        print(f"Figure: {output.figure}")
    write_anatomy(found, output.out)
    print(f"Page: {output.out}")
    if output.as_json:
        print_json({"page": str(output.out), **found.as_json()})


def _provenance(first: Row, replicate: str) -> dict[str, object]:
    """Where the numbers come from; `replicate`: the unit of replication."""
    named: dict[str, object] = {name: getattr(first, name) for name in PROVENANCE}
    return named | {"interval": stats.CONFIDENCE, "unit of replication": replicate}


def _ranking_step(row: Row) -> tuple[str, str]:
    """The step of the work that a row belongs to, and what it says."""
    kind, _, rest = row.part.partition(":")
    by, _, names = rest.partition(":")
    value = f"{row.unit.value(row.score)}{row.unit.sign}"
    score = f"{'chip' if row.design == 'chips' else 'block'} {row.chip}: {value}"
    if row.part == "all":
        return "noise in one alone", f"clean, {value}"
    if kind == "but":
        return (
            "most sensitive kept digital",
            f"{len(names.split(',')) * bool(names)} {by}s, {score}",
        )
    return "noise in one alone", f"{names or 'clean'}, {score}"
