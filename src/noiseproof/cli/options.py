"""Options that several commands share, in groups; each group says what it asks for."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.cli.noise_options import NoiseOptions
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.threads import parse_threads
from noiseproof.measuring import Calibration, Network
from noiseproof.specs import (
    Estimator,
    asked_cropping,
    parse_digital,
    parse_estimator,
    parse_pixel_scale,
)

NETWORK, DATA = "Network", "Data"
CHIPS, RECALIBRATION, OUTPUT = "How many chips", "Recalibration", "Output"

Weights = Annotated[Path, typer.Argument(help="Checkpoint file, or a training run's folder.")]
Rows = Annotated[Path, typer.Argument(help="SQLite file that `measure` or `track` wrote.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Its name (`noiseproof info models`). Default: the weights' card's.",
        autocompletion=completion.models,
    ),
]
Norm = Annotated[
    str | None,
    typer.Option(
        help="Normalisation (`noiseproof info norms`). Default: the card's, else the model's own.",
        autocompletion=completion.norms,
    ),
]
NormWhere = Annotated[
    str, typer.Option(help="Layers that get --norm: all, first:K, last:K, every:K, name:PATTERN.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets. Default: $NOISEPROOF_DATA, else ~/.cache/noiseproof."),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")]
Task = Annotated[
    str | None,
    typer.Option(
        help="classify, detect or segment. Default: what the data set's labels ask for.",
        autocompletion=completion.tasks,
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or mps.", autocompletion=completion.devices)
]
Threads = Annotated[
    str,
    typer.Option(
        help="A number, or auto: as many as cores are free.",
        autocompletion=completion.threads,
    ),
]
Images = Annotated[int | None, typer.Option(help="First N test images. Default: all of them.")]
Seed = Annotated[int, typer.Option(help="Names all random streams.")]
StoreFile = Annotated[
    Path, typer.Option(help="SQLite file of rows; what it holds is not measured again.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Measure all again; each new row replaces the old one.")
]
Figure = Annotated[Path | None, typer.Option(help="Also a figure for a paper: .pdf, .svg or .png.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON document, alone on stdout."),
]


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkOptions:
    """What is run, and how."""

    PANEL: ClassVar[str] = NETWORK
    model: Model = None
    norm: Norm = None
    norm_where: NormWhere = "all"
    classes: Annotated[
        int | None,
        typer.Option(help="Outputs, where the data set has fewer. Default: the card's, the data's"),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per pass. Default: 50 on a CPU, else 250; masks 16, boxes 8."),
    ] = None
    device: Device = "auto"
    threads: Threads = "auto"


@dataclass(kw_only=True, eq=False, repr=False)
class DataOptions:
    """What it is tested on."""

    PANEL: ClassVar[str] = DATA
    data: Annotated[
        str | None,
        typer.Option(
            help="Its name (`noiseproof info datasets`). Default: the card's.",
            autocompletion=completion.datasets,
        ),
    ] = None
    data_dir: DataDir = None
    download: Download = False
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Its classes in order, a line each, or JSON. Default: found by their names."
        ),
    ] = None
    resize: Annotated[
        int | None,
        typer.Option(help="folder:PATH: the shorter side. Default: 256."),
    ] = None
    crop: Annotated[int | None, typer.Option(help="folder:PATH: the square. Default: 224.")] = None
    normalize: Annotated[
        str | None,
        typer.Option(
            help="Pixel scale: imagenet, cifar10, half, none, or six numbers (means, standard "
            "deviations of pixel/255). Default: the card's, else the data set's."
        ),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class PartOptions(DataOptions):
    """The same, with the part that is used."""

    images: Images = None


@dataclass(kw_only=True, eq=False, repr=False)
class RecalibrationOptions:
    """The remedies to compare."""

    PANEL: ClassVar[str] = RECALIBRATION
    recalibrate: Annotated[
        list[str],
        typer.Option(
            help="off, auto, pooled(N), layerwise(N), blend(N, prior=P), match(N) on N training "
            "images; ema(M, batch=B), batch(B) on the test images. Repeat it to compare "
            "(`noiseproof info recalibrations`).",
            autocompletion=completion.ways,
        ),
    ] = field(default_factory=lambda: ["off"])
    calibration: Annotated[
        str | None,
        typer.Option(help="folder:PATH of images in place of training images."),
    ] = None
    augment_calibration: Annotated[
        bool,
        typer.Option(
            "--augment-calibration", help="Change these images at random, as in training."
        ),
    ] = False
    calibration_seed: Annotated[
        int | None, typer.Option(help="Names the draw of these images. Default: as --seed.")
    ] = None

    compensate: Annotated[
        list[str],
        typer.Option(
            help="Digital factors against drift: off, scalar, column. Repeat it to compare. "
            "Default: the hardware's, else off.",
            autocompletion=completion.compensations,
        ),
    ] = field(default_factory=list)

    def request(
        self,
        seed: int,
        *,
        first: tuple[Estimator | None, ...] = (),
        usual: str = "off",
        for_ranges: int = 0,
    ) -> Calibration:
        """`first`: ways that are there in any case. `usual`: the compensation of the hardware.
        `for_ranges`: images that converters need."""
        found = Calibration(
            compensate=tuple(self.compensate or [usual]),
            ways=(*first, *(parse_estimator(text) for text in self.recalibrate)),
            source=self.calibration,
            augment=self.augment_calibration,
            seed=seed if self.calibration_seed is None else self.calibration_seed,
        )
        idle = "--augment-calibration" if self.augment_calibration else "--calibration"
        is_idle = not found.needed and not for_ranges
        if (self.augment_calibration or self.calibration) and is_idle:
            warnings.warn(
                f"{idle} changes nothing: no calibration images are used",
                NoEffectWarning,
                stacklevel=2,
            )
        return found


@dataclass(kw_only=True, eq=False, repr=False)
class StoreOptions:
    """What is left behind."""

    PANEL: ClassVar[str] = OUTPUT
    store: StoreFile = Path("results.db")
    fresh: Fresh = False
    as_json: AsJson = False


@dataclass(kw_only=True, eq=False, repr=False)
class DrawnOptions(StoreOptions):
    """The same, with a figure."""

    figure: Figure = None


@dataclass(kw_only=True, eq=False, repr=False)
class ShowOptions:
    """What is shown of it, and how."""

    PANEL: ClassVar[str] = "Pictures"
    only: Annotated[
        list[str],
        typer.Option(
            help="Networks and curves by name: resnet14, 'pooled*', 'norm=batch*', the beginning "
            "of a hash. Repeat it: patterns of one field are alternatives."
        ),
    ] = field(default_factory=list)
    label: Annotated[
        list[str],
        typer.Option(help="NAME=TEXT: a name in legends and titles in words of your own."),
    ] = field(default_factory=list)
    title: Annotated[str, typer.Option(help="Above the page and the figure.")] = ""
    size: Annotated[str, typer.Option(help="Of the figure: 7x4in or 17x10cm.")] = ""


@dataclass(kw_only=True, eq=False, repr=False)
class PageOptions:
    """What is left behind."""

    PANEL: ClassVar[str] = OUTPUT
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("explain.html")
    figure: Figure = None
    as_json: AsJson = False


def network_request(
    weights: Path,
    network: NetworkOptions,
    data: DataOptions,
    *,
    noise: NoiseOptions | None = None,
    images: int | None = None,
    task: str | None = None,
    compiled: bool = False,
    dtype: str = "",
) -> Network:
    """The network that these options name."""
    asked = NoiseOptions() if noise is None else noise
    return Network(
        weights=weights,
        model=network.model,
        norm=network.norm,
        norm_where=network.norm_where,
        classes=network.classes,
        batch_size=network.batch_size,
        device=network.device,
        threads=parse_threads(network.threads),
        data=data.data,
        data_dir=data.data_dir,
        download=data.download,
        labels=data.labels,
        cropping=asked_cropping(data.resize, data.crop),
        scale=None if data.normalize is None else parse_pixel_scale(data.normalize),
        images=images,
        task=task,
        compiled=compiled,
        dtype=dtype,
        digital=parse_digital(asked.all_digital),
        stored=asked.stored,
        mvm=asked.products,
    )
