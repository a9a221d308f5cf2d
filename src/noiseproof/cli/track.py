"""The command that follows chips whose noise changes with time."""

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
    StoreFile,
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
from noiseproof.specs.streams import Stream, check_followed, check_lengths


def track(
    weights: Weights,
    noise: Annotated[
        str, typer.Option(help="Noise spec (`noiseproof info noises`), its level included.")
    ] = "gaussian(0.1, reference=std)",
    targets: Targets = "kernel",
    every: Annotated[int, typer.Option(help="The noise changes every N images.")] = 1000,
    wander: Annotated[
        float | None,
        typer.Option(
            help="At a change the dice stay, and the logarithm of the level takes a normal step "
            "of this standard deviation, between half and twice the first level. Default: the "
            "noise is drawn anew."
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            help="Length of the stream: the test images in a random order, again and again. "
            "Default: ten changes."
        ),
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Images of one score. Default: as --every.")
    ] = None,
    period: Annotated[
        int | None,
        typer.Option(
            help="pooled, layerwise and blend run again after every N images. Default: as --every."
        ),
    ] = None,
    recalibrate: Annotated[
        list[str],
        typer.Option(
            help="off, pooled(N), layerwise(N) or blend(N, prior=P), again every --period images; "
            "or with each batch of test images: ema(M, batch=B), batch(B). Repeat it to compare."
        ),
    ] = ["off"],  # noqa: B006  # typer copies it
    augment_calibration: AugmentCalibration = False,
    calibration_seed: CalibrationSeed = None,
    chips: Annotated[int, typer.Option(help="Simulated chips, each followed to the end.")] = 10,
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
    store: StoreFile = Path("results.db"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Follow a network along a stream of test images while the noise of its chip changes."""
    request, roles = parse(noise), parse_targets(targets)
    check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(chips=chips, batch_size=batch_size, classes=classes)
    changes = Stream(every=every, wander=wander)
    length = 10 * every if images is None else images
    steps = every if window is None else window
    pace = every if period is None else period
    check_lengths(changes, images=length, window=steps, period=pace)
    ways = parse_ways(recalibrate)
    check_followed(request, changes, roles, ways)
    if task is not None:
        one_of("task", task, catalog.TASKS)
    check_names(model=model, data=data, normalize=normalize)
    from noiseproof import stats
    from noiseproof.cli.console import Bars, print_traces
    from noiseproof.core.device import pick_device
    from noiseproof.measuring import streams as tracking
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
        task=task,
        calibration=calibration_images(ways, augment=augment_calibration),
        augment=augment_calibration,
        calibration_seed=seed if calibration_seed is None else calibration_seed,
    )
    pick_device(device)
    with Store(store) as rows, Bars() as bars:

        def show(row: Row, done: int, total: int) -> None:
            text = f"{row.recalibrate}, chip {row.chip}, images {row.seen:,} on: "
            bars.update("tracking", done, total, f"{text}{100 * row.score:.1f} %")

        traces = tracking.track(
            setup.model,
            setup.test,
            request,
            changes,
            recalibrate=ways,
            calibration=setup.calibration,
            images=length,
            window=steps,
            period=pace,
            chips=chips,
            seed=seed,
            targets=roles,
            scale=setup.scale,
            batch_size=batch_size,
            device=device,
            store=rows,
            subject=setup.subject,
            on_row=show,
        )
    print_traces(traces)
    print(f"Rows: {store}")
    if as_json:
        named = ("checkpoint", "model", "norm", "task", "data", "data_sha256", "scale", "versions")
        first = traces[0].first
        provenance = {name: getattr(first, name) for name in (*named, "device", "seed")}
        provenance |= {"interval": stats.CONFIDENCE, "unit of replication": "chip"}
        print_json({"traces": [trace.as_json() for trace in traces], "provenance": provenance})
