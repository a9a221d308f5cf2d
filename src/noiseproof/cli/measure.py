"""The command that measures chips."""

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
    Weights,
    at_least,
    calibration_images,
    check_above,
    check_names,
    check_norm,
    check_seed,
    parse_ways,
    print_json,
    say,
)
from noiseproof.core.checks import check_device, one_of
from noiseproof.specs import catalog, designs
from noiseproof.specs.noise import parse, parse_levels, parse_targets


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
    design: Annotated[
        str,
        typer.Option(
            help="Which images see which chips: chips, nested or nested(IMAGES), per-image, auto "
            "(`noiseproof info designs`)."
        ),
    ] = "chips",
    chips: Annotated[
        int | None,
        typer.Option(
            help="Simulated chips per level, with --precision or --budget at most. Default: 25; "
            "nested 200."
        ),
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(help="per-image: how often each test image is measured. Default: once."),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Measure each level until the 95 % interval's half-width is this (0.01: one point "
            "of accuracy)."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Measure for this time, as 60s, 5m or 1h, where it tells the most."),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(help="Also the yield: the share of chips that score at least this (0.9)."),
    ] = None,
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
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile the network once (torch.compile); pays from minutes on."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what a network scores on simulated noisy chips, with intervals."""
    request = parse(noise)
    specs = [request] if levels is None else request.at(list(parse_levels(levels)))
    roles = parse_targets(targets)
    check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(chips=chips, passes=passes, batch_size=batch_size, images=images, classes=classes)
    ways = parse_ways(recalibrate)
    asked = designs.parse_design(design)
    from noiseproof.stats.pacing import Pace, parse_seconds

    pace = Pace(precision=precision, budget=None if budget is None else parse_seconds(budget))
    check_above(above, asked)
    own = task is not None and ":" in task
    for way in ways:
        designs.check_design(asked, specs, roles, estimator=way, has_hits=not own)
    for way in ways:
        if task is not None and ":" in task and way is not None and way.sees_test:
            raise ValueError(f"{way} needs the test batches, which the score {task} makes itself")
    if task is not None and ":" not in task:
        one_of("task", task, catalog.TASKS)
    check_names(model=model, data=data, normalize=normalize)
    from noiseproof.cli.console import MeasuringBar, print_coverage, print_curves
    from noiseproof.core.device import pick_device
    from noiseproof.measuring import curves as measuring
    from noiseproof.measuring.setup import open_setup
    from noiseproof.network.state import places, state_of
    from noiseproof.noise.perturbation import coverage
    from noiseproof.results import curves
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
        images=images,
        calibration=calibration_images(ways, augment=augment_calibration),
        augment=augment_calibration,
        calibration_seed=seed if calibration_seed is None else calibration_seed,
    )
    measuring.check_counts(specs, chips=chips)
    measuring.check_length(asked, chips=chips, passes=passes)
    if asked.needs_hits:
        designs.sized(asked, len(setup.test))
    pick_device(device)
    found = []
    with Store(store) as rows, MeasuringBar() as bar:
        for way in ways:
            found.append(
                measuring.measure(
                    setup.model,
                    setup.test,
                    specs,
                    design=asked,
                    chips=chips,
                    passes=passes,
                    precision=pace.precision,
                    budget=None if pace.budget is None else pace.budget / len(ways),
                    seed=seed,
                    targets=roles,
                    recalibrate=way or "off",
                    calibration=setup.calibration,
                    score=setup.score,
                    scale=setup.scale,
                    batch_size=batch_size,
                    device=device,
                    compiled=compiled,
                    store=rows,
                    subject=setup.subject,
                    on_row=bar.update,
                    on_design=say,
                )
            )
    print_curves(found, above=above)
    strongest = max(specs, key=lambda one: one.level or 0)
    state, where = state_of(setup.model), places(setup.model)
    print_coverage(strongest, roles, *coverage(state, where, strongest, roles))
    print(f"Rows: {store}")
    if as_json:
        print_json(curves.as_json(found, above=above))
