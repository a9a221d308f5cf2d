"""Options that say what the noise is, and on what hardware."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from noiseproof.cli import completion
from noiseproof.specs import (
    Mvm,
    Spec,
    Stored,
    parse,
    parse_levels,
    parse_mapping,
    parse_mvm,
    parse_times,
)

if TYPE_CHECKING:
    from noiseproof.specs import Hardware

NOISE = "Noise and hardware"
USUAL = "gaussian(0.1, reference=std)"

Noise = Annotated[
    str | None,
    typer.Option(
        help="Stages joined by '+' (`noiseproof info noises`). Default: the hardware's, else "
        f"{USUAL}.",
        autocompletion=completion.noises,
    ),
]
HardwareName = Annotated[
    str | None,
    typer.Option(
        "--hardware",
        help="A chip by name (`noiseproof info hardware`) or file: noise, mapping, compensation.",
        autocompletion=completion.hardware,
    ),
]
Times = Annotated[
    str | None,
    typer.Option(help="Of devices since programming, as programmed,0s,1h,1d,30d,1y."),
]
Mapping = Annotated[
    str | None,
    typer.Option(help="Of weights to devices: scale=channel, cells=pair, tile=512x512."),
]
AtProducts = Annotated[
    str | None,
    typer.Option(
        "--mvm",
        help="At every product, as dac(8) + adc(8) (`noiseproof info mvm`), or exact. Default: the "
        "hardware's.",
        show_default=False,
        autocompletion=completion.products,
    ),
]
Calibrate = Annotated[
    int | None,
    typer.Option(help="Training images that decide static ranges of --mvm."),
]
Targets = Annotated[
    str,
    typer.Option(
        help="Roles that get noise: kernel, embedding, bias, norm_affine, norm_stats, other.",
        autocompletion=completion.targets,
    ),
]
Digital = Annotated[
    str,
    typer.Option(
        help="Layers kept digital: first, last, first:K, last:K, name:PATTERN, kind:KIND."
    ),
]
StatsAs = Annotated[
    str,
    typer.Option(
        "--stats-as",
        help="What noise on norm_stats is on: variance (default), deviation, inverse, own.",
        show_default=False,
        autocompletion=completion.forms,
    ),
]
FoldNorm = Annotated[
    bool,
    typer.Option("--fold-norm", help="First fold normalisation into kernels."),
]
Eps = Annotated[
    float | None,
    typer.Option(help="Of BatchNorm, in place of its own (Keras: 1e-3)."),
]


@dataclass(kw_only=True, eq=False, repr=False)
class NoiseOptions:
    """The noise, and the hardware that it is of."""

    PANEL: ClassVar[str] = NOISE
    noise: Noise = None
    hardware: HardwareName = None
    times: Times = None
    mapping: Mapping = None
    targets: Targets = "kernel"
    digital: Digital = ""
    stats_as: StatsAs = "variance"
    fold_norm: FoldNorm = False
    eps: Eps = None
    mvm: AtProducts = None
    calibrate: Calibrate = None

    @property
    def chip(self) -> "Hardware":
        """The hardware that is named; the empty one without."""
        from noiseproof.specs.hardware import Hardware, find_hardware

        return Hardware() if self.hardware is None else find_hardware(self.hardware)

    def specs(self, levels: str | None = None) -> tuple[Spec, ...]:
        """The noise at each level or time that is asked for.

        Raises:
            ValueError: for both, and for one that the noise does not have.
        """
        spec = parse(self.noise or self.chip.noise or USUAL)
        if levels is not None and self.times is not None:
            raise ValueError("noise is swept by levels or by times: leave one of them out")
        if self.times is not None:
            return tuple(spec.at_times(parse_times(self.times)))
        return (spec,) if levels is None else tuple(spec.at(list(parse_levels(levels))))

    @property
    def spec(self) -> Spec:
        """The noise, of a command that takes one level and one time of it."""
        found = self.specs()
        if len(found) > 1:
            raise ValueError(f"this command takes one time, got {self.times}: leave the others out")
        return found[0]

    @property
    def products(self) -> Mvm:
        """What happens at every product."""
        text = self.chip.mvm if self.mvm is None else self.mvm
        return parse_mvm(text).calibrated(self.calibrate)

    @property
    def stored(self) -> Stored:
        """How the network lies on the chip."""
        chip = self.chip
        array, fold = parse_mapping(chip.mapping if self.mapping is None else self.mapping)
        return Stored(
            stats_as=self.stats_as,
            fold_norm=self.fold_norm or bool(fold),
            eps=self.eps,
            array=array,
            hardware=chip.name,
        )

    @property
    def all_digital(self) -> str:
        """The layers that are kept digital, by the options or the hardware."""
        return ",".join(filter(None, (self.digital, self.chip.digital)))
