"""What happens at every matrix-vector product of an analog layer, as values with one text form.

    >>> mvm = parse_mvm("dac(8) + read(0.0175, law=device) + adc(8, range=fixed(10))")
    >>> mvm.needs_images
    True
    >>> print(parse_mvm("output(0.04)"))
    output(0.04)

Stages stand in physical order, `ORDER`, each at most once; no stage at all is an exact product and
prints as the empty text. All levels and bounds are in units in which weights and inputs reach from
-1 to 1: a kernel is divided by its scale, inputs by their range. No torch here.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self, TypeVar

from noiseproof.core.checks import one_of
from noiseproof.core.notation import Notation

ORDER = ("dac", "read", "wires", "output", "adc")
"""The stages as a signal meets them."""
MOST_BITS = 24
CODES = {
    "odd": "2^bits - 1 codes, with zero among them",
    "all": "2^bits codes, none of them zero",
}
LAWS = {
    "additive": "the same for every device: sd = level sqrt(sum_j x_j^2)",
    "device": "a device's variance as its weight: sd = level sqrt(sum_j |w_ij| x_j^2)",
    "proportional": "a device's deviation as its weight: sd = level sqrt(sum_j w_ij^2 x_j^2)",
}
INPUT_RANGES = {
    "static": "a percentile of |x| over calibration images, one number for a layer",
    "image": "the largest |x| of the layer's whole input, for every sample anew",
    "vector": "the largest |x| of every input vector",
}
OUTPUT_RANGES = {
    "fixed": "a bound in units of the product",
    "static": "a percentile of |y| over calibration images",
}
WIRE_METHODS = {
    "exact": "the whole circuit is solved",
    "fast": "each wire's drop as if the other wire had none, multiplied",
}
WIRE_CELLS = {
    "separate": "a pair of devices for each weight, g+ and g- in two arrays",
    "interleaved": "a pair in one array, g+ and g- neighbours along a column, at +x and -x",
    "offset": "one device around the middle of its range, which is subtracted digitally",
}
PER = ("column", "layer")
USUAL_PERCENTILE = 99.9
_RANGE = re.compile(r"([a-z]+)(?:\((.*)\))?")


@dataclass(frozen=True, kw_only=True)
class MvmStage:
    """One step of a product. Its text form is `kind(first field, other=...)`; of what is at its
    default only the range and the law are said."""

    kind: ClassVar[str]

    def __str__(self) -> str:
        first, *others = fields(self)
        shown = [_text(getattr(self, first.name))]
        for one in others:
            value = getattr(self, one.name)
            if value != one.default or one.name in ("range", "law"):
                shown.append(f"{one.name}={_text(value)}")
        return f"{self.kind}({', '.join(shown)})"

    @property
    def is_random(self) -> bool:
        """Does it draw anything?"""
        return False

    @property
    def needs_images(self) -> bool:
        """Has it a range that calibration images decide?"""
        return False


@dataclass(frozen=True, kw_only=True)
class Dac(MvmStage):
    """Inputs are divided by their range, clipped to [-1, 1] and rounded half to even to the `codes`
    of so many `bits`. `range`: static(PERCENTILE), image or vector, see `INPUT_RANGES`. `images`:
    how many calibration images decide a static one."""

    kind: ClassVar[str] = "dac"
    bits: int
    range: str = f"static({USUAL_PERCENTILE})"
    codes: str = "odd"
    images: int = 0

    def __post_init__(self) -> None:
        _check_bits(self)
        object.__setattr__(self, "range", _range("dac", self.range, INPUT_RANGES))
        one_of("codes of a dac", self.codes, CODES)
        _check_images(self)

    @property
    def scheme(self) -> str:
        """A key of `INPUT_RANGES`."""
        return self.range.partition("(")[0]

    @property
    def percentile(self) -> float | None:
        """Of a static range."""
        return _number_in(self.range)

    @property
    def needs_images(self) -> bool:
        return self.scheme == "static"


@dataclass(frozen=True, kw_only=True)
class Read(MvmStage):
    """Fresh Gaussian noise of every device at every product, by a law of `LAWS`."""

    kind: ClassVar[str] = "read"
    level: float
    law: str = "additive"

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", _amount("read", "level", self.level))
        one_of("law of read noise", self.law, LAWS)

    @property
    def is_random(self) -> bool:
        return self.level > 0


@dataclass(frozen=True, kw_only=True)
class Wires(MvmStage):
    """Voltage drops along the wires of an array, for a segment between two cells of resistance `r`
    times g_max. `method`: of `WIRE_METHODS`; `cells`: of `WIRE_CELLS`; `g_min`: over g_max, of the
    device of a pair that carries nothing."""

    kind: ClassVar[str] = "wires"
    r: float
    method: str = "exact"
    cells: str = "separate"
    g_min: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "r", _amount("wires", "r", self.r))
        one_of("method of wires", self.method, WIRE_METHODS)
        one_of("cells of wires", self.cells, WIRE_CELLS)
        object.__setattr__(self, "g_min", _amount("wires", "g_min", self.g_min))
        if not self.g_min < 1:
            raise ValueError(f"g_min of wires is over g_max and below 1, got {self.g_min:g}")


@dataclass(frozen=True, kw_only=True)
class Output(MvmStage):
    """Gaussian noise of deviation `level` on every output of every product."""

    kind: ClassVar[str] = "output"
    level: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", _amount("output", "level", self.level))

    @property
    def is_random(self) -> bool:
        return self.level > 0


@dataclass(frozen=True, kw_only=True)
class Adc(MvmStage):
    """Outputs are clipped to plus or minus their range and rounded half to even to 2^bits - 1
    values. `range`: fixed(BOUND) or static(PERCENTILE), see `OUTPUT_RANGES`; `per`: one range for a
    layer, or one for each column. `gain_sd`, `offset_sd`: a chip's columns each have a converter
    of their own that reads v as (1 + gain_sd z) v + offset_sd z' range. `images`: how many
    calibration images decide a static range."""

    kind: ClassVar[str] = "adc"
    bits: int
    range: str = f"static({USUAL_PERCENTILE})"
    per: str = "layer"
    gain_sd: float = 0.0
    offset_sd: float = 0.0
    images: int = 0

    def __post_init__(self) -> None:
        _check_bits(self)
        object.__setattr__(self, "range", _range("adc", self.range, OUTPUT_RANGES))
        one_of("reach of an adc's range", self.per, PER)
        if self.scheme == "fixed" and self.per == "column":
            raise ValueError(
                "an adc's fixed range is the same for all columns: leave per=column out, or give "
                "range=static"
            )
        for name in ("gain_sd", "offset_sd"):
            object.__setattr__(self, name, _amount("adc", name, getattr(self, name)))
        _check_images(self)

    @property
    def scheme(self) -> str:
        """A key of `OUTPUT_RANGES`."""
        return self.range.partition("(")[0]

    @property
    def bound(self) -> float | None:
        """Of a fixed range."""
        return _number_in(self.range) if self.scheme == "fixed" else None

    @property
    def percentile(self) -> float | None:
        """Of a static range."""
        return _number_in(self.range) if self.scheme == "static" else None

    @property
    def needs_images(self) -> bool:
        return self.scheme == "static"

    @property
    def is_random(self) -> bool:
        return self.gain_sd > 0 or self.offset_sd > 0


STAGES: dict[str, type[MvmStage]] = {
    "dac": Dac,
    "read": Read,
    "wires": Wires,
    "output": Output,
    "adc": Adc,
}
S = TypeVar("S", bound=MvmStage)


@dataclass(frozen=True, kw_only=True)
class Mvm:
    """The stages of a product, in physical order.

    Raises:
        ValueError: for stages in another order, and one that is there twice.
    """

    stages: tuple[MvmStage, ...] = ()

    def __post_init__(self) -> None:
        kinds = [stage.kind for stage in self.stages]
        for before, kind in itertools.pairwise(kinds):
            if before == kind:
                raise ValueError(f"a product has one {kind} at most: leave the second one out")
            if ORDER.index(before) > ORDER.index(kind):
                raise ValueError(
                    f"the stages of a product must be in physical order, {', '.join(ORDER)}, got "
                    f"{kind} behind {before}"
                )

    def __str__(self) -> str:
        return " + ".join(map(str, self.stages))

    def __bool__(self) -> bool:
        return bool(self.stages)

    def get(self, kind: type[S]) -> S | None:
        """The stage of that kind; None where there is none."""
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)

    @property
    def is_random(self) -> bool:
        """Can two chips differ by it?"""
        return any(stage.is_random for stage in self.stages)

    @property
    def needs_images(self) -> bool:
        """Is there a range that calibration images decide?"""
        return any(stage.needs_images for stage in self.stages)

    @property
    def images(self) -> int:
        """The most calibration images that a range asks for."""
        return max((getattr(stage, "images", 0) for stage in self.stages), default=0)

    def calibrated(self, images: int | None) -> Self:
        """The same, its static ranges decided by so many images where they do not say it.

        Raises:
            ValueError: where nobody says it, and for images that decide nothing.
        """
        if images is not None:
            if not images >= 1:
                raise ValueError(f"calibrate must be >= 1, got {images}")
            if not self.needs_images:
                raise ValueError(
                    f"calibrate {images} decides static ranges, and {str(self) or 'exact products'}"
                    " has none: leave it out, or give range=static"
                )
        open_ones = [s for s in self.stages if isinstance(s, Dac | Adc) and _is_open(s)]
        if open_ones and images is None:
            raise ValueError(
                f"{open_ones[0]} needs calibration images for its range: give --calibrate 100 "
                "(calibrate=100), or another range"
            )
        filled = (
            replace(s, images=images or 0) if isinstance(s, Dac | Adc) and _is_open(s) else s
            for s in self.stages
        )
        return replace(self, stages=tuple(filled))


def _is_open(stage: Dac | Adc) -> bool:
    return stage.needs_images and not stage.images


EXACT = Mvm()
"""Products without any error."""


def parse_mvm(text: str) -> Mvm:
    """What `text` writes; the empty text and `exact` are exact products. `parse_mvm(str(mvm)) ==
    mvm`.

    Raises:
        ValueError: naming the part that is not understood.
    """
    if text.strip() in ("", "exact"):
        return EXACT
    return Mvm(stages=tuple(_NOTATION.read(term, STAGES) for term in _NOTATION.terms(text)))


_NOTATION = Notation(
    kind="stage of a product",
    whole="text of --mvm",
    form="stages joined by '+', for example dac(8) + adc(8, range=fixed(10))",
    value="number or word",
    longest=500,
    nested=True,
)


def _check_bits(stage: Dac | Adc) -> None:
    bits = stage.bits
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise ValueError(f"{stage.kind} bits must be a whole number, got {bits!r}")
    if not 2 <= bits <= MOST_BITS:
        raise ValueError(f"{stage.kind} bits must be between 2 and {MOST_BITS}, got {bits}")


def _check_images(stage: Dac | Adc) -> None:
    images = stage.images
    if isinstance(images, bool) or not isinstance(images, int) or not images >= 0:
        raise ValueError(f"images of {stage.kind} must be a whole number >= 1, got {images!r}")
    if images and not stage.needs_images:
        raise ValueError(f"images decide a static range of {stage.kind}, got {stage.range}")


def _amount(stage: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} of {stage} must be a number, got {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} of {stage} must be finite and >= 0, got {value:g}")
    return float(value) + 0.0  # -0.0 would print as another level than 0.0


def _range(stage: str, text: object, schemes: Sequence[str] | dict[str, str]) -> str:
    """A range in its one text form: `static` is `static(99.9)`."""
    found = _RANGE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(
            f"range of {stage} must be one of {', '.join(schemes)}, as in range=static(99.9), "
            f"got {text!r}"
        )
    scheme, inside = one_of(f"range of {stage}", found[1], schemes), found[2]
    if scheme in ("image", "vector"):
        if inside is not None:
            raise ValueError(f"range={scheme} takes no number, got {text}")
        return scheme
    if inside is None and scheme == "fixed":
        raise ValueError(f"a fixed range of {stage} needs its bound, as in range=fixed(10)")
    number = _positive(str(text), USUAL_PERCENTILE if inside is None else inside)
    if scheme == "static" and not number <= 100:
        raise ValueError(f"a percentile must be above 0 and at most 100, got {text}")
    return f"{scheme}({_text(number)})"


def _positive(range_: str, inside: str | float) -> float:
    try:
        number = float(inside)
    except ValueError:
        raise ValueError(f"a range must have a number in its brackets, got {range_}") from None
    if not 0 < number < math.inf:
        raise ValueError(f"a range must be finite and above 0, got {range_}")
    return number


def _number_in(range_: str) -> float | None:
    inside = range_.partition("(")[2].removesuffix(")")
    return float(inside) if inside else None


def _text(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
