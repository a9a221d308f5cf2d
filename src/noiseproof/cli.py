"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

import json
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

import noiseproof
from noiseproof import catalog, spec

app = typer.Typer(
    name="noiseproof",
    help="How a trained neural network behaves on noisy analog hardware, why, and what helps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str | None,
    typer.Option(help="Model name (`noiseproof info models`). Default: the weights' card's."),
]
Norm = Annotated[
    str | None,
    typer.Option(help="Normalisation (`noiseproof info norms`). Default: the card's, else own."),
]
NormWhere = Annotated[
    str,
    typer.Option(help="The layers that get --norm: all, first:K, last:K, every:K or name:PATTERN."),
]
Data = Annotated[
    str | None,
    typer.Option(help="Data set (`noiseproof info datasets`). Default: the card's."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets. Default: $NOISEPROOF_DATA, else ~/.cache/noiseproof."),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Seed = Annotated[int, typer.Option(help="Names all random streams.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document as the last line of stdout.")
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """The options of the program itself."""
    if version:
        print(f"noiseproof {noiseproof.__version__}")
        raise typer.Exit


@app.command()
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


@app.command()
def train(
    model: Annotated[str, typer.Option(help="Model name (`noiseproof info models`).")],
    out: Annotated[Path, typer.Option(help="Folder for the weights and their card.")],
    data: Annotated[str, typer.Option(help="Data set (`noiseproof info datasets`).")] = "cifar10",
    norm: Norm = None,
    norm_where: NormWhere = "all",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the one-cycle schedule.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="Nesterov momentum.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty on all parameters.")] = 5e-4,
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
    if norm is not None:
        catalog.check_norm(norm)
    at_least(epochs=epochs, batch_size=batch_size)
    from noiseproof import training
    from noiseproof.console import TrainingBar
    from noiseproof.data import open_dataset

    plan = training.Plan(
        model=model,
        norm=norm,
        norm_where=norm_where,
        seed=seed,
        recipe=training.Recipe(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            augment=augment,
        ),
    )
    source = open_dataset(data, data_dir=data_dir, download=download)
    with TrainingBar(f"{model} {norm or ''}".strip()) as bar:
        card = training.train(plan, source, out, device=device, on_progress=bar.update)
    print(
        f"{out / 'weights.safetensors'}: clean accuracy {100 * card.clean_accuracy:.2f} % on "
        f"{card.clean_images} test images, sha256 {card.sha256[:12]}"
    )
    if as_json:
        print_json(card.model_dump())


@app.command()
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
        int,
        typer.Option(
            help="Recalibrate the normalisation of each chip on N unlabelled training images; "
            "0 is off."
        ),
    ] = 0,
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
    batch_size: Annotated[int, typer.Option(help="Images per forward pass.")] = 250,
    seed: Seed = 0,
    store: Annotated[
        Path, typer.Option(help="SQLite file of rows; rows that it holds are not measured again.")
    ] = Path("results.db"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a network's accuracy on simulated noisy chips, with intervals."""
    request = spec.parse(noise)
    specs = [request] if levels is None else request.at(list(spec.parse_levels(levels)))
    roles = spec.parse_targets(targets)
    catalog.check_device(device)
    at_least(chips=chips, batch_size=batch_size, images=1 if images is None else images)
    if not recalibrate >= 0:
        raise ValueError(f"recalibrate must be >= 0, got {recalibrate}")
    for check, name in (
        (catalog.check_model, model),
        (catalog.check_norm, norm),
        (catalog.check_dataset, data),
        (catalog.parse_pixel_scale, normalize),
    ):
        if name is not None:
            check(name)
    from noiseproof import curves, measuring
    from noiseproof.bench import open_bench
    from noiseproof.console import MeasuringBar, print_curves
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
        images=images,
        recalibrate=recalibrate,
        seed=seed,
    )
    measuring.check_counts(specs, chips=chips, batch_size=batch_size)
    measuring.pick_device(device)
    with Store(store) as rows, MeasuringBar() as bar:
        curve = measuring.measure(
            bench.model,
            bench.test,
            specs,
            chips=chips,
            seed=seed,
            targets=roles,
            calibration=bench.calibration,
            scale=bench.scale,
            batch_size=batch_size,
            device=device,
            store=rows,
            subject=bench.subject,
            on_row=bar.update,
        )
    print_curves([curve])
    print(f"Rows: {store}")
    if as_json:
        print_json(curves.as_json([curve]))


@app.command()
def report(
    store: Annotated[Path, typer.Argument(help="SQLite file that `measure` wrote.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    figure: Annotated[
        Path | None, typer.Option(help="Also a figure for a paper: .pdf, .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report of all that is in a store; needs no GPU, no network."""
    from noiseproof.curves import as_json as document
    from noiseproof.curves import curves_of, network_key
    from noiseproof.records import Store
    from noiseproof.report import write_figure, write_report

    with Store(store, read_only=True) as rows:
        curves = curves_of(rows.rows())
    if not curves:
        raise ValueError(f"store {store} holds no measured chips")
    if figure is not None:
        write_figure(curves, figure)
        print(f"Figure: {figure}")
    write_report(curves, out, source=store.name)
    print(f"Report: {out}")
    if as_json:
        networks: dict[tuple[str, ...], list[Any]] = {}
        for curve in curves:
            networks.setdefault(network_key(curve.clean), []).append(curve)
        print_json({"report": str(out), "networks": [document(v) for v in networks.values()]})


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="SQLite file that `measure` wrote.")],
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
) -> None:
    """Write the rows of a store as CSV or Parquet."""
    from noiseproof.records import Store
    from noiseproof.records import export as write

    with Store(store, read_only=True) as rows:
        found = rows.rows()
    write(found, out)
    print(f"{len(found)} rows: {out}")


INFO = ("models", "norms", "noises", "datasets", "model")


@app.command()
def info(
    what: Annotated[str, typer.Argument(help="models, norms, noises, datasets, or model NAME.")],
    name: Annotated[str | None, typer.Argument(help="The model, for `info model NAME`.")] = None,
    noise: Annotated[
        str | None, typer.Option(help="With `model`: show which tensors this spec touches.")
    ] = None,
    targets: Annotated[str, typer.Option(help="With --noise: roles that get noise.")] = "kernel",
    norm: Norm = None,
    norm_where: NormWhere = "all",
    as_json: AsJson = False,
) -> None:
    """List what there is, or the tensors of one model with role, shape and whether noise touches
    them."""
    spec.one_of("topic", what, INFO)
    from noiseproof import console

    if what != "model":
        listing = console.LISTINGS[what]()
        console.print_listing(what, listing)
        if as_json:
            print_json(listing)
        return
    if name is None:
        raise ValueError("info model needs a name, as in: noiseproof info model resnet20")
    request = None if noise is None else spec.parse(noise)
    roles = spec.parse_targets(targets)
    catalog.check_model(name)
    if norm is not None:
        catalog.check_norm(norm)
    from noiseproof.inventory import inventory

    tensors = inventory(name, norm=norm, where=norm_where, noise=request, targets=roles)
    console.print_inventory(name, tensors, request, roles)
    if as_json:
        print_json({"model": name, "tensors": [tensor.as_json() for tensor in tensors]})


def at_least(**counts: int) -> None:
    """Raise ValueError for the first count below 1."""
    for name, value in counts.items():
        if not value >= 1:
            raise ValueError(f"{name.replace('_', ' ')} must be >= 1, got {value}")


def print_json(document: dict[str, Any]) -> None:
    """One JSON document, on one line."""
    sys.stdout.flush()
    print(json.dumps(document, allow_nan=False))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Mistakes of the user end in one line on stderr and exit code 2; warnings are a line each."""
    warnings.showwarning = _one_line_warning
    try:
        yield
    except (ValueError, OSError, sqlite3.Error) as error:
        text = " ".join(str(error).split())
        print(f"noiseproof: {text}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("noiseproof: stopped; run the same command to go on", file=sys.stderr)
        sys.exit(130)


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, spec.NoEffectWarning):
        print(f"noiseproof: warning: {message}", file=sys.stderr)


def main() -> None:
    """The entry point of the program."""
    with one_line_errors():
        app()


if __name__ == "__main__":
    main()
