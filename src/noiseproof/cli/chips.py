"""The command that measures chips."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof import catalog, spec
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
    StoreFile,
    Targets,
    Weights,
    at_least,
    calibration_images,
    check_names,
    check_norm,
    check_seed,
    parse_ways,
    print_json,
)


def measure(
    weights: Weights,
    noise: Annotated[
        str, typer.Option(help="Noise spec (`noiseproof info noises`), stages joined by '+'.")
    ] = "gaussian(0.1, reference=std)",
    levels: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated levels (sigma / reference, dimensionless) for the last stage "
            "that has one. Default: the spec as it is."
        ),
    ] = None,
    targets: Targets = "kernel",
    chips: Annotated[int, typer.Option(help="Simulated chips per level.")] = 25,
    images: Annotated[
        int | None, typer.Option(help="First N test images. Default: all of them.")
    ] = None,
    recalibrate: Annotated[
        list[str],
        typer.Option(
            help="Recalibrate each chip on unlabelled training images: off, auto, N or "
            "pooled(N), layerwise(N), blend(N, prior=P), match(N); or while the test images pass: "
            "ema(M, batch=B), batch(B). Repeat it to compare (`noiseproof info recalibrations`)."
        ),
    ] = ["off"],  # noqa: B006  # typer copies it
    augment_calibration: AugmentCalibration = False,
    calibration_seed: CalibrationSeed = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="classify, detect or segment (the data set says which), or a score of your own, "
            "package.module:function, called with (model, test images and labels)."
        ),
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
    """Measure what a network scores on simulated noisy chips, with intervals."""
    request = spec.parse(noise)
    specs = [request] if levels is None else request.at(list(spec.parse_levels(levels)))
    roles = spec.parse_targets(targets)
    catalog.check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(chips=chips, batch_size=batch_size, images=images, classes=classes)
    ways = parse_ways(recalibrate)
    for way in ways:
        if task is not None and ":" in task and way is not None and way.sees_test:
            raise ValueError(f"{way} needs the test batches, which the score {task} makes itself")
    if task is not None and ":" not in task:
        spec.one_of("task", task, catalog.TASKS)
    check_names(model=model, data=data, normalize=normalize)
    from noiseproof import curves, measuring
    from noiseproof.accelerator import pick_device
    from noiseproof.bench import open_bench
    from noiseproof.console import MeasuringBar, print_coverage, print_curves
    from noiseproof.network import places, state_of
    from noiseproof.noise import coverage
    from noiseproof.records import Store

    bench = open_bench(
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
    measuring.check_counts(specs, chips=chips)
    pick_device(device)
    found = []
    with Store(store) as rows, MeasuringBar() as bar:
        for way in ways:
            found.append(
                measuring.measure(
                    bench.model,
                    bench.test,
                    specs,
                    chips=chips,
                    seed=seed,
                    targets=roles,
                    recalibrate=way or "off",
                    calibration=bench.calibration,
                    score=bench.score,
                    scale=bench.scale,
                    batch_size=batch_size,
                    device=device,
                    store=rows,
                    subject=bench.subject,
                    on_row=bar.update,
                )
            )
    print_curves(found)
    strongest = max(specs, key=lambda one: one.level or 0)
    state, where = state_of(bench.model), places(bench.model)
    print_coverage(strongest, roles, *coverage(state, where, strongest, roles))
    print(f"Rows: {store}")
    if as_json:
        print_json(curves.as_json(found))
