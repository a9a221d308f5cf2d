"""The commands that compute: demo, train, measure."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof import catalog, spec
from noiseproof.cli.options import (
    AsJson,
    Data,
    DataDir,
    Device,
    Download,
    Model,
    Norm,
    NormWhere,
    Seed,
    Task,
    at_least,
    check_norm,
    check_seed,
    print_json,
)
from noiseproof.estimators import parse_estimator


def demo(
    out: Annotated[Path, typer.Option(help="Folder for weights, rows and report.")] = Path(
        "runs/demo"
    ),
    chips: Annotated[int, typer.Option(help="Simulated chips per noise level.")] = 20,
    epochs: Annotated[int, typer.Option(help="Training epochs per network.")] = 20,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train four small networks on handwritten digits, measure them on noisy chips, recalibrate,
    and write a report: the whole instrument in a minute or two, without a download."""
    catalog.check_device(device)
    check_seed(seed)
    at_least(chips=chips, epochs=epochs)
    import torch

    from noiseproof import demo as run
    from noiseproof.console import Bars, print_curves

    torch.set_num_threads(1)  # the networks are tiny: threads would only wait for each other
    with Bars() as bars:
        result = run.demo(
            out, chips=chips, epochs=epochs, seed=seed, device=device, progress=bars.update
        )
    print_curves(result.curves, title=run.TITLE)
    print(f"\nReport: {result.report.resolve()}")
    if as_json:
        from noiseproof.curves import as_json as document

        networks = {c.first.norm: c.clean for c in result.curves}
        print_json(
            {
                "report": str(result.report),
                "store": str(result.store),
                "networks": {
                    norm: document([c for c in result.curves if c.first.norm == norm])
                    for norm in networks
                },
            }
        )


def train(
    model: Annotated[str, typer.Option(help="Model name (`noiseproof info models`).")],
    out: Annotated[Path, typer.Option(help="Folder for the weights and their card.")],
    data: Annotated[str, typer.Option(help="Data set (`noiseproof info datasets`).")] = "cifar10",
    norm: Norm = None,
    norm_where: NormWhere = "all",
    task: Task = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images. Default: 30; scenes 120.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step. Default: 128; scenes 8.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate of the one-cycle schedule. Default: 0.1; boxes 0.02, masks "
            "0.05."
        ),
    ] = None,
    momentum: Annotated[float, typer.Option(help="Nesterov momentum.")] = 0.9,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="L2 penalty on all parameters. Default: 5e-4; boxes 1e-4."),
    ] = None,
    augment: Annotated[bool, typer.Option(help="Random shifts, and flips where they fit.")] = True,
    seed: Seed = 0,
    data_dir: DataDir = None,
    download: Download = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a network. Killed and started again, it goes on after the last whole epoch and ends
    in the same weights, bit for bit."""
    catalog.check_model(model)
    catalog.check_dataset(data)
    catalog.check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(epochs=epochs, batch_size=batch_size)
    from noiseproof import training
    from noiseproof.console import TrainingBar
    from noiseproof.data import open_dataset

    if task is not None:
        spec.one_of("task", task, catalog.TASKS)
    source = open_dataset(data, data_dir=data_dir, download=download)
    source.check_task(task)
    plan = training.Plan(
        model=model,
        norm=norm,
        norm_where=norm_where,
        seed=seed,
        recipe=training.Recipe.usual(
            source.task,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            augment=augment,
        ),
    )
    with TrainingBar(f"{model} {norm or ''}".strip()) as bar:
        card = training.train(plan, source, out, device=device, on_progress=bar.update)
    scores = ", ".join(f"{name} {100 * value:.2f} %" for name, value in card.clean_scores.items())
    print(
        f"{out / 'weights.safetensors'}: clean {scores} on {card.clean_images} test images, "
        f"sha256 {card.sha256[:12]}"
    )
    if as_json:
        print_json(card.model_dump())


def measure(
    weights: Annotated[Path, typer.Argument(help="Checkpoint file, or a training run's folder.")],
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
    targets: Annotated[
        str,
        typer.Option(help="Roles that get noise: kernel, bias, norm_affine, norm_stats, other."),
    ] = "kernel",
    chips: Annotated[int, typer.Option(help="Simulated chips per level.")] = 25,
    images: Annotated[
        int | None, typer.Option(help="First N test images. Default: all of them.")
    ] = None,
    recalibrate: Annotated[
        list[str],
        typer.Option(
            help="Recalibrate each chip on unlabelled training images: off, auto, N or "
            "pooled(N), layerwise(N), blend(N, prior=P), match(N); or while the test images pass: "
            "ema(M, batch=B), batch(B). Repeat it to compare."
        ),
    ] = ["off"],  # noqa: B006  # typer copies it
    augment_calibration: Annotated[
        bool, typer.Option(help="Change the calibration images at random, as in training.")
    ] = False,
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
    normalize: Annotated[
        str | None,
        typer.Option(
            help="Pixel scale of the weights: imagenet, cifar10, half, none, or six numbers "
            "(means, standard deviations of pixel/255). Default: the card's, else the data set's."
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            help="Outputs of the network, where the data set has fewer classes (1000 for ImageNet "
            "weights on a folder named by class indices). Default: the card's, else the data's."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per forward pass. Default: 250; masks 16, boxes 8.")
    ] = None,
    seed: Seed = 0,
    store: Annotated[
        Path, typer.Option(help="SQLite file of rows; rows that it holds are not measured again.")
    ] = Path("results.db"),
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
    estimators = list(dict.fromkeys(parse_estimator(text) for text in recalibrate))
    if task is not None and ":" not in task:
        spec.one_of("task", task, catalog.TASKS)
    for check, name in (
        (catalog.check_model, model),
        (catalog.check_dataset, data),
        (catalog.parse_pixel_scale, normalize),
    ):
        if name is not None:
            check(name)
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
        calibration=max(0 if one is None else one.calibration_images for one in estimators),
        augment=augment_calibration,
        seed=seed,
    )
    measuring.check_counts(specs, chips=chips)
    pick_device(device)
    found = []
    with Store(store) as rows, MeasuringBar() as bar:
        for estimator in estimators:
            found.append(
                measuring.measure(
                    bench.model,
                    bench.test,
                    specs,
                    chips=chips,
                    seed=seed,
                    targets=roles,
                    recalibrate=estimator or "off",
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
