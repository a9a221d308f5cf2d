"""The commands that make networks: demo, train."""

from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli.options import (
    AsJson,
    DataDir,
    Device,
    Download,
    Norm,
    NormWhere,
    Seed,
    Task,
    at_least,
    check_norm,
    check_seed,
    print_json,
)
from noiseproof.core.checks import check_device, one_of
from noiseproof.specs import catalog


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
    check_device(device)
    check_seed(seed)
    at_least(chips=chips, epochs=epochs)
    import torch

    from noiseproof.cli import demonstration as run
    from noiseproof.cli.console import Bars, print_curves

    torch.set_num_threads(1)  # the networks are tiny: threads would only wait for each other
    with Bars() as bars:
        result = run.demo(
            out, chips=chips, epochs=epochs, seed=seed, device=device, progress=bars.update
        )
    print_curves(result.curves, title=run.TITLE)
    print(f"\nReport: {result.report.resolve()}")
    if as_json:
        from noiseproof.results.curves import as_json as document

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
    bf16: Annotated[
        bool | None,
        typer.Option(
            help="Forward and backward in bfloat16. Default: on GPUs.", show_default=False
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Round the kernels to float16: half the file.")
    ] = False,
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
    check_device(device)
    check_norm(norm, norm_where)
    check_seed(seed)
    at_least(epochs=epochs, batch_size=batch_size)
    if task is not None:
        one_of("task", task, catalog.TASKS)
    from noiseproof.cli.console import TrainingBar
    from noiseproof.data.datasets import open_dataset
    from noiseproof.specs.recipes import Plan, Recipe
    from noiseproof.training import loop

    source = open_dataset(data, data_dir=data_dir, download=download)
    source.check_task(task)
    plan = Plan(
        model=model,
        norm=norm,
        norm_where=norm_where,
        seed=seed,
        recipe=Recipe.usual(
            source.task,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            augment=augment,
            bf16=bf16,
            half=half,
        ),
    )
    with TrainingBar(f"{model} {norm or ''}".strip()) as bar:
        card = loop.train(plan, source, out, device=device, on_progress=bar.update)
    scores = ", ".join(f"{name} {100 * value:.2f} %" for name, value in card.clean_scores.items())
    print(
        f"{out / 'weights.safetensors'}: clean {scores} on {card.clean_images} test images, "
        f"sha256 {card.sha256[:12]}"
    )
    if as_json:
        print_json(card.model_dump())
