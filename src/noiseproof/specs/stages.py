"""The stages of a noise spec, as plain values. No torch here."""

import math
import numbers
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from noiseproof.core.checks import one_of
from noiseproof.specs.times import PROGRAMMED, parse_time, time_text

REFERENCES = ("absolute", "max", "range", "rms", "std")
SCOPES = ("channel", "global", "tensor")
STUCK_AT = ("gmax", "gmin", "max", "zero")


def number_of(name: str, value: object, *, at_most: float = math.inf) -> float:
    """`value`, named `name`, as a float >= 0; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not 0 <= number <= at_most or math.isinf(number):
        rule = f"between 0 and {at_most:g}" if math.isfinite(at_most) else "finite and >= 0"
        raise ValueError(f"{name} must be {rule}, got {number:g}")
    return number + 0.0  # -0.0 would print as another level than 0.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a spec. Its text form is `kind(first field, other=...)`, and `@first`,
    `@name:PATTERN` and the like behind it where it is on some layers alone (`where`)."""

    kind: ClassVar[str]
    swept: ClassVar[str | None] = None  # the field that a sweep of levels sets
    is_eta: ClassVar[bool] = False  # is that field a noise level (sigma / reference)?
    where: str = field(default="", metadata={"outside": True})

    @property
    def is_of_devices(self) -> bool:
        """Does it say something of the devices of the stage before it?"""
        return False

    @property
    def swept_value(self) -> float | None:
        """The value of the field that a sweep sets."""
        return None if self.swept is None else float(getattr(self, self.swept))

    @property
    def is_random(self) -> bool:
        """Can two chips differ?"""
        return bool(self.swept_value)

    def text(self, hide: str | None = None) -> str:
        """The stage's text form; the field `hide` is printed as the word `level`."""
        shown = (
            self._field_text(field, hide)
            for field in fields(self)
            if not field.metadata.get("outside")
        )
        return f"{self.kind}({', '.join(shown)}){self._behind}"

    @property
    def _behind(self) -> str:
        return f"@{self.where}" if self.where else ""

    def _field_text(self, field: Field[object], hide: str | None) -> str:
        value = getattr(self, field.name)
        text = repr(value) if isinstance(value, float) else str(value)
        if field.name == hide:
            text = "level"
        return text if field.name == self.swept else f"{field.name}={text}"


@dataclass(frozen=True, kw_only=True)
class Additive(Stage):
    """W + level * reference(W) * z, z of unit variance. `level` is dimensionless (sigma over the
    reference), or sigma itself for `reference="absolute"`."""

    swept: ClassVar[str | None] = "level"
    is_eta: ClassVar[bool] = True
    level: float
    reference: str = "std"
    scope: str = "tensor"

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", number_of("level", self.level))
        one_of("reference", self.reference, REFERENCES)
        one_of("scope", self.scope, SCOPES)


class Gaussian(Additive):
    """z is standard normal."""

    kind: ClassVar[str] = "gaussian"


class Laplace(Additive):
    """z is Laplace with unit variance (scale 1/sqrt 2)."""

    kind: ClassVar[str] = "laplace"


class Uniform(Additive):
    """z is uniform on [-sqrt 3, sqrt 3], of unit variance."""

    kind: ClassVar[str] = "uniform"


@dataclass(frozen=True, kw_only=True)
class Lognormal(Stage):
    """W exp(level * z), z standard normal, element by element; it needs no reference."""

    kind: ClassVar[str] = "lognormal"
    swept: ClassVar[str | None] = "level"
    is_eta: ClassVar[bool] = True
    level: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", number_of("level", self.level))


@dataclass(frozen=True, kw_only=True)
class Stuck(Stage):
    """Each element is stuck, independently, with probability `p`: at zero, or at the tensor's
    largest magnitude with the element's own sign (the device that carries it is fully on). At gmin
    or gmax it is each device, behind a stage on devices."""

    kind: ClassVar[str] = "stuck"
    swept: ClassVar[str | None] = "p"
    p: float
    at: str = "zero"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number_of("p", self.p, at_most=1))
        one_of("place to be stuck at", self.at, STUCK_AT)

    @property
    def is_of_devices(self) -> bool:
        """Is it the devices of weights that are stuck?"""
        return self.at in ("gmin", "gmax")


@dataclass(frozen=True, kw_only=True)
class Quantize(Stage):
    """Symmetric uniform quantisation to 2^bits - 1 values, the outermost at max|W| of the scope."""

    kind: ClassVar[str] = "quantize"
    bits: int
    scope: str = "tensor"

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int):
            raise ValueError(f"bits must be a whole number, got {self.bits!r}")
        if not 2 <= self.bits <= 24:
            raise ValueError(f"bits must be between 2 and 24, got {self.bits}")
        one_of("scope", self.scope, SCOPES)


@dataclass(frozen=True, kw_only=True)
class Own(Stage):
    """A function of one's own, `function(w, generator, level) -> w`, of each tensor w: given, or
    named `package.module:function`. `code`: what it computed when rows were made, which
    noiseproof fills in."""

    kind: ClassVar[str] = "own"
    swept: ClassVar[str | None] = "level"
    is_eta: ClassVar[bool] = True
    function: str
    level: float
    code: str = ""
    call: Callable[..., Any] | None = field(default=None, repr=False, metadata={"outside": True})

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", number_of("level", self.level))
        if callable(self.function):
            # As a text can write it: `<locals>` and `<lambda>` are no words.
            home = getattr(self.function, "__module__", None) or "__main__"  # typed at a prompt
            name = f"{home}:{getattr(self.function, '__qualname__', 'call')}"
            object.__setattr__(self, "call", self.function)
            object.__setattr__(self, "function", re.sub(r"[^\w.:]", "_", name))
        if not isinstance(self.function, str) or not re.fullmatch(_FUNCTION, self.function):
            raise ValueError(
                "a noise of your own must be package.module:function, as in "
                f"own(my_package.noise:drift, level=0.1), got {self.function!r}"
            )

    @property
    def is_random(self) -> bool:
        """Nobody knows what it does at level 0."""
        return True

    def text(self, hide: str | None = None) -> str:
        """The stage's text form; the field `hide` is printed as the word `level`."""
        level = "level" if hide == "level" else repr(self.level)
        code = f", code={self.code}" if self.code else ""
        return f"own({self.function}, level={level}{code}){self._behind}"


@dataclass(frozen=True, kw_only=True)
class OnDevices(Stage):
    """Weights as conductances of devices, programmed and read `time` after that. How weights become
    conductances is the mapping's affair.

    `device`: the name of one that comes with noiseproof, the file of another, or a function of
    one's own, `package.module:function`, called with (w in units of its scale, generator, seconds
    or None). `file`: what a file or function of one's own was when rows were made, which noiseproof
    fills in, beside the file's `path`."""

    kind: ClassVar[str] = "device"
    swept: ClassVar[str | None] = "time"
    device: str
    time: str = PROGRAMMED
    file: str = ""
    path: str = field(default="", compare=False, repr=False, metadata={"outside": True})

    def __post_init__(self) -> None:
        if not isinstance(self.device, str) or not re.fullmatch(_DEVICE, self.device):
            raise ValueError(
                "a device must be a name (`noiseproof device list`) or the path of a device file "
                f"in quotes, as in device('mine.toml', time=1d), got {self.device!r}"
            )
        # One text for each time, so that 24h and 1d are the same rows.
        object.__setattr__(self, "time", time_text(parse_time(self.time)))

    @property
    def is_function(self) -> bool:
        """Is it a law of the user's own, `package.module:function`?"""
        return re.fullmatch(_FUNCTION, self.device) is not None

    @property
    def seconds(self) -> float | None:
        """Since programming; None: programming alone."""
        return parse_time(self.time)

    @property
    def swept_value(self) -> float | None:
        """The seconds."""
        return self.seconds

    @property
    def is_random(self) -> bool:
        """Nothing is known of a device by its name."""
        return True

    def text(self, hide: str | None = None) -> str:
        """The stage's text form; the field `hide` is printed as its own name."""
        bare = self.is_function or re.fullmatch(r"[A-Za-z_]\w*", self.device)
        name = self.device if bare else f"'{self.device}'"
        time = "time" if hide == "time" else self.time
        file = f", file={self.file}" if self.file else ""
        return f"device({name}, time={time}{file}){self._behind}"


@dataclass(frozen=True, kw_only=True)
class DeadLine(Stage):
    """Each line of the arrays of the stage on devices before it carries no current, independently,
    with probability `p`."""

    swept: ClassVar[str | None] = "p"
    p: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number_of("p", self.p, at_most=1))

    @property
    def is_of_devices(self) -> bool:
        """It is."""
        return True


class DeadRow(DeadLine):
    """A row is an input, with all its devices."""

    kind: ClassVar[str] = "dead_row"


class DeadColumn(DeadLine):
    """A column is an output, those of positive and negative parts on their own."""

    kind: ClassVar[str] = "dead_column"


@dataclass(frozen=True, kw_only=True)
class Verify(Stage):
    """Devices of the stage before it that are programmed further than `tolerance`, a share of
    g_max - g_min, from their target are programmed again, up to `rounds` times."""

    kind: ClassVar[str] = "verify"
    rounds: int
    tolerance: float

    def __post_init__(self) -> None:
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int):
            raise ValueError(f"rounds must be a whole number, got {self.rounds!r}")
        if not 1 <= self.rounds <= 1000:
            raise ValueError(f"rounds must be between 1 and 1000, got {self.rounds}")
        tolerance = number_of("tolerance", self.tolerance, at_most=1)
        object.__setattr__(self, "tolerance", tolerance)

    @property
    def is_of_devices(self) -> bool:
        """It is."""
        return True


_DEVICE = r"[^'\"\\\n\x00-\x1f]{1,500}"
_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
STAGES: dict[str, type[Stage]] = {
    "dead_column": DeadColumn,
    "dead_row": DeadRow,
    "device": OnDevices,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "lognormal": Lognormal,
    "own": Own,
    "quantize": Quantize,
    "stuck": Stuck,
    "uniform": Uniform,
    "verify": Verify,
}
