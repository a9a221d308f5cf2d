"""The command that says which layers lose the accuracy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.cli.options import (
    AsJson,
    BatchSize,
    Classes,
    Data,
    DataDir,
    Device,
    Download,
    Model,
    Norm,
    Normalize,
    NormWhere,
    Seed,
    StoreFile,
    Targets,
    Weights,
    at_least,
    check_names,
    check_norm,
    check_not_itself,
    check_seed,
    print_json,
)
from noiseproof.core.checks import check_device, one_of
from noiseproof.specs.noise import parse, parse_targets
from noiseproof.specs.selection import GROUPINGS, check_ranked, parse_steps

if TYPE_CHECKING:
    from noiseproof.results.rows import Row
    from noiseproof.results.sensitivity import Ranking


def sensitivity(
    weights: Weights,
    noise: Annotated[
        str, typer.Option(help="Noise spec (`noiseproof info noises`), its level included.")
    ] = "gaussian(0.1, reference=std)",
    by: Annotated[
        str, typer.Option(help="What is ranked: layer, block (of layers) or role (of tensors).")
    ] = "layer",
    targets: Targets = "kernel",
    keep: Annotated[
        str | None,
        typer.Option(
            help="Also the accuracy with the K most sensitive layers digital: comma-separated "
            "numbers. Default: 0,1,2,3,5,8,13 and so on."
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="First N test images. Default: all of them.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also a figure for a paper: .pdf, .svg or .png.")
    ] = None,
    model: Model = None,
    norm: Norm = None,
    norm_where: NormWhere = "all",
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    normalize: Normalize = None,
    classes: Classes = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    store: StoreFile = Path("results.db"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Rank a classifier's layers by the accuracy that noise in one of them alone takes."""
    request, roles = parse(noise), parse_targets(targets)
    one_of("grouping", by, GROUPINGS)
    check_ranked(request, roles)
    steps = () if keep is None else parse_steps(keep)
    check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(batch_size=batch_size, images=images, classes=classes)
    check_names(model=model, data=data, normalize=normalize)
    if figure is not None:
        from noiseproof.report.paper import ENDINGS

        one_of("ending of a figure", figure.suffix, ENDINGS)
        check_not_itself(figure, store)
    from noiseproof import stats
    from noiseproof.cli.console import Bars
    from noiseproof.core.device import pick_device
    from noiseproof.measuring.sensitivity import rank_layers
    from noiseproof.measuring.setup import open_setup
    from noiseproof.results.rows import Row
    from noiseproof.results.store import Store

    setup = open_setup(
        weights,
        model=model,
        norm=norm,
        norm_where=norm_where,
        data=data,
        data_dir=data_dir,
        download=download,
        normalize=normalize,
        classes=classes,
        images=images,
    )
    pick_device(device)
    with Store(store) as rows, Bars() as bars:

        def show(row: Row, done: int, total: int) -> None:
            step, text = progress_texts(row)
            bars.update(step, done, total, text)

        ranking = rank_layers(
            setup.model,
            setup.test,
            request,
            by=by,
            keep=steps,
            targets=roles,
            seed=seed,
            scale=setup.scale,
            batch_size=batch_size,
            device=device,
            store=rows,
            subject=setup.subject,
            on_row=show,
        )
    print_ranking(ranking)
    if figure is not None:
        from noiseproof.report.sensitivity.figures import write_ranking_figure

        write_ranking_figure(ranking, figure)
        print(f"Figure: {figure}")
    print(f"Rows: {store}")
    if as_json:
        named = ("checkpoint", "model", "norm", "task", "data", "data_sha256", "scale", "versions")
        provenance = {name: getattr(ranking.first, name) for name in (*named, "device")}
        provenance |= {"interval": stats.CONFIDENCE, "unit of replication": "block of images"}
        print_json(ranking.as_json() | {"provenance": provenance})


def progress_texts(row: "Row") -> tuple[str, str]:
    """The step of the work that a row belongs to, and what it says."""
    kind, _, rest = row.part.partition(":")
    by, _, names = rest.partition(":")
    score = f"block {row.chip}: {100 * row.score:.1f} %"
    if kind == "but":
        return (
            "most sensitive kept digital",
            f"{len(names.split(',')) * bool(names)} {by}s, {score}",
        )
    return "noise in one alone", f"{names or 'clean'}, {score}"


def print_ranking(ranking: "Ranking") -> None:
    """Both tables, and what their intervals support."""
    from rich.console import Console

    from noiseproof.cli.console import WIDTH_WITHOUT_TERMINAL
    from noiseproof.report.sensitivity.tables import finding_text, terminal_tables

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    for table in terminal_tables(ranking):
        console.print(table)
    if text := finding_text(ranking):
        print(text)
