"""The command that shows why accuracy is lost."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.options import (
    AsJson,
    AugmentCalibration,
    BatchSize,
    CalibrationSeed,
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
    Targets,
    Task,
    Weights,
    at_least,
    calibration_images,
    check_names,
    check_norm,
    check_seed,
    parse_ways,
    print_json,
)
from noiseproof.core.checks import check_device, one_of
from noiseproof.specs import catalog
from noiseproof.specs.noise import parse, parse_targets

IMAGES = 500
WIDTH_WITHOUT_TERMINAL = 120


def explain(
    weights: Weights,
    noise: Annotated[
        str, typer.Option(help="Noise spec (`noiseproof info noises`), its level included.")
    ] = "gaussian(0.1, reference=std)",
    targets: Targets = "kernel",
    recalibrate: Annotated[
        list[str],
        typer.Option(
            help="Also after recalibrating each chip: auto, N or pooled(N), layerwise(N), "
            "blend(N, prior=P), match(N). Repeat it to compare (`noiseproof info recalibrations`)."
        ),
    ] = ["off"],  # noqa: B006  # typer copies it
    augment_calibration: AugmentCalibration = False,
    calibration_seed: CalibrationSeed = None,
    chips: Annotated[int, typer.Option(help="Simulated chips.")] = 10,
    images: Annotated[
        int | None,
        typer.Option(help=f"First N test images. Default: {IMAGES}, or all where there are less."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("explain.html"),
    figure: Annotated[
        Path | None, typer.Option(help="Also a figure for a paper: .pdf, .svg or .png.")
    ] = None,
    task: Task = None,
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
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Show where along a network noise destroys the signal, and what recalibration repairs."""
    from noiseproof.report.paper import ENDINGS
    from noiseproof.results.activations import check_explained, findings

    request, roles = parse(noise), parse_targets(targets)
    check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(chips=chips, batch_size=batch_size, images=images, classes=classes)
    ways = parse_ways(["off", *recalibrate])
    check_explained(request, ways)
    if task is not None:
        one_of("task", task, catalog.TASKS)
    check_names(model=model, data=data, normalize=normalize)
    if figure is not None:
        one_of("ending of a figure", figure.suffix, ENDINGS)
    check_places(weights, out, figure)
    from rich.console import Console

    from noiseproof.cli.console import Bars
    from noiseproof.core.device import pick_device
    from noiseproof.measuring.activations import explain as explained
    from noiseproof.measuring.setup import open_setup
    from noiseproof.report.activations.figure import write_anatomy_figure
    from noiseproof.report.activations.page import write_anatomy
    from noiseproof.report.activations.table import anatomy_tables, score_lines

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
        task=task,
        images=images,
        calibration=calibration_images(ways, augment=augment_calibration),
        augment=augment_calibration,
        calibration_seed=seed if calibration_seed is None else calibration_seed,
    )
    pick_device(device)
    with Bars() as bars:
        activations = explained(
            setup.model,
            setup.test if images is not None else setup.test.first(min(IMAGES, len(setup.test))),
            request,
            recalibrate=ways,
            chips=chips,
            seed=seed,
            targets=roles,
            calibration=setup.calibration,
            scale=setup.scale,
            batch_size=batch_size,
            device=device,
            subject=setup.subject,
            on_pass=lambda way, done, total: bars.update("explaining", done, total, way),
        )
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    for table in anatomy_tables(activations):
        console.print(table)
    for line in (*score_lines(activations), *findings(activations)):
        print(line)
    if figure is not None:
        write_anatomy_figure(activations, figure)
        print(f"Figure: {figure}")
    write_anatomy(activations, out)
    print(f"Page: {out}")
    if as_json:
        print_json({"page": str(out), **activations.as_json()})


def check_places(weights: Path, out: Path, figure: Path | None) -> None:
    """Raise ValueError for files that could not be written, or that would overwrite each other or
    the checkpoint."""
    for option, path in (("--out", out), ("--figure", figure)):
        if path is None:
            continue
        if path.is_dir():
            raise ValueError(f"{option} {path} is a folder: name a file in it")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {path.parent}, make it first")
        its_own = [file for file in (weights, weights / "weights.safetensors") if file.exists()]
        if path.exists() and any(path.samefile(file) for file in its_own):
            raise ValueError(f"{option} {path} is the checkpoint itself: name another file")
    if figure is not None and out.absolute() == figure.absolute():
        raise ValueError(f"--out and --figure must differ, got {out} for both")
