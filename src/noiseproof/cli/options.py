"""Options that several commands share, and how commands print and refuse."""

import json
import math
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from noiseproof.core.checks import NoEffectWarning
from noiseproof.specs import catalog
from noiseproof.specs.designs import Auto, Design, PerImage
from noiseproof.specs.estimators import Estimator, parse_estimator

Weights = Annotated[Path, typer.Argument(help="Checkpoint file, or a training run's folder.")]
Targets = Annotated[
    str, typer.Option(help="Roles that get noise: kernel, bias, norm_affine, norm_stats, other.")
]
AugmentCalibration = Annotated[
    bool, typer.Option(help="Change the calibration images at random, as in training.")
]
Normalize = Annotated[
    str | None,
    typer.Option(
        help="Pixel scale of the weights: imagenet, cifar10, half, none, or six numbers "
        "(means, standard deviations of pixel/255). Default: the card's, else the data set's."
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(
        help="Outputs of the network, where the data set has fewer classes (1000 for ImageNet "
        "weights on a folder named by class indices). Default: the card's, else the data's."
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help="Images per forward pass. Default: 50 on a CPU, else 250; masks 16, boxes 8."
    ),
]
StoreFile = Annotated[
    Path, typer.Option(help="SQLite file of rows; rows that it holds are not measured again.")
]
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
    typer.Option(
        help="The layers that get --norm: all, first:K, last:K (3, 1/3), every:K or name:PATTERN."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(help="Data set (`noiseproof info datasets`). Default: the card's."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets. Default: $NOISEPROOF_DATA, else ~/.cache/noiseproof."),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="classify, detect or segment; what the data set's labels ask for is the default."
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Seed = Annotated[int, typer.Option(help="Names all random streams.")]
CalibrationSeed = Annotated[
    int | None,
    typer.Option(help="Names the draw of the calibration images. Default: that of --seed."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document as the last line of stdout.")
]


def at_least(**counts: int | None) -> None:
    """Raise ValueError for the first count below 1; None is one that was not given."""
    for name, value in counts.items():
        if value is not None and not value >= 1:
            raise ValueError(f"{name.replace('_', ' ')} must be >= 1, got {value}")


def check_seed(seed: int) -> int:
    """`seed`, if rows can hold it; raises ValueError otherwise."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be between 0 and 2^63 - 1, got {seed}")
    return seed


def check_above(above: float | None, design: Design) -> None:
    """Raise ValueError for a yield that cannot be told."""
    if above is None:
        return
    if not math.isfinite(above):
        raise ValueError(f"above must be a finite score, got {above:g}")
    if isinstance(design, PerImage | Auto):
        raise ValueError(
            f"design {design.kind} does not tell chips apart, so there is no yield above {above:g}:"
            " use --design chips or nested"
        )


def say(text: str) -> None:
    """One line for the person, beside the results."""
    print(f"noiseproof: {text}", file=sys.stderr)


def check_names(*, model: str | None, data: str | None, normalize: str | None) -> None:
    """Raise ValueError for the first name that there is not; None is one that was not given."""
    for check, name in (
        (catalog.check_model, model),
        (catalog.check_dataset, data),
        (catalog.parse_pixel_scale, normalize),
    ):
        if name is not None:
            check(name)


def parse_ways(texts: list[str]) -> list[Estimator | None]:
    """The ways to recalibrate, each once; None is `off`."""
    return list(dict.fromkeys(parse_estimator(text) for text in texts))


def calibration_images(ways: list[Estimator | None], *, augment: bool) -> int:
    """The most images that any of `ways` asks for, and a warning where changing them has no
    effect."""
    most = max(0 if way is None else way.calibration_images for way in ways)
    if augment and not most:
        warnings.warn(
            "--augment-calibration changes nothing: no calibration images are used",
            NoEffectWarning,
            stacklevel=2,
        )
    return most


def check_norm(norm: str | None, where: str) -> None:
    """Raise ValueError for an unknown normalisation, or a part of the layers without one."""
    if norm is not None:
        catalog.check_norm(norm)
    elif where != "all":
        raise ValueError(f"--norm-where {where} needs --norm, which says what goes there")


def check_not_itself(out: Path, store: Path) -> None:
    """Raise ValueError where `out` would overwrite the store that it is made from."""
    if out.exists() and store.exists() and out.samefile(store):
        raise ValueError(f"--out {out} is the store itself: name another file")


def print_json(document: dict[str, Any]) -> None:
    """One JSON document, on one line."""
    sys.stdout.flush()
    print(json.dumps(document, allow_nan=False))
