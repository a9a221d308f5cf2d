"""What noise is (stages, specs) and what it acts on (roles), as plain values with one text form.

    >>> spec = parse("quantize(bits=6) + gaussian(0.05, reference=max)")
    >>> print(spec)
    quantize(bits=6, scope=tensor) + gaussian(0.05, reference=max, scope=tensor)
    >>> spec.at(0.1).level
    0.1
    >>> print(parse("gaussian(0.05)@name:layer3.*"))
    gaussian(0.05, reference=std, scope=tensor)@name:layer3.*

No torch here, so that a wrong spec is refused before anything heavy is imported.
"""

import math
import numbers
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self, overload

from noiseproof.core.checks import one_of
from noiseproof.core.notation import Notation, Term
from noiseproof.specs.layers import parse_layers
from noiseproof.specs.times import PROGRAMMED, parse_time, time_text

REFERENCES = ("absolute", "max", "range", "rms", "std")
SCOPES = ("channel", "global", "tensor")
STUCK_AT = ("max", "zero")
ROLES = ("kernel", "embedding", "bias", "norm_affine", "norm_stats", "other")
"""`kernel`: what a network multiplies with: conv, linear, attention, recurrent weights, and those
of layers of one's own. `embedding`: tables that are only looked up, which no array needs to hold.
`bias`: biases of these. `norm_affine`: gamma and beta. `norm_stats`: running mean and variance.
`other`: every parameter that belongs to none of these (a class token, a layer scale): a target only
when asked for."""
MAX_TEXT = 4_000


def _number(name: str, value: object, *, at_most: float = math.inf) -> float:
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
        object.__setattr__(self, "level", _number("level", self.level))
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
        object.__setattr__(self, "level", _number("level", self.level))


@dataclass(frozen=True, kw_only=True)
class Stuck(Stage):
    """Each element is stuck, independently, with probability `p`: at zero, or at the tensor's
    largest magnitude with the element's own sign (the device that carries it is fully on)."""

    kind: ClassVar[str] = "stuck"
    swept: ClassVar[str | None] = "p"
    p: float
    at: str = "zero"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", _number("p", self.p, at_most=1))
        one_of("place to be stuck at", self.at, STUCK_AT)


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
        object.__setattr__(self, "level", _number("level", self.level))
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
    """Weights as conductances of devices, programmed and read `time` after that: `device`, the name
    of one that comes with noiseproof or the file of another. How weights become conductances is
    the mapping's affair. `file`: what a file of one's own held when rows were made, which
    noiseproof fills in, beside its `path`."""

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
        name = self.device if re.fullmatch(r"[A-Za-z_]\w*", self.device) else f"'{self.device}'"
        time = "time" if hide == "time" else self.time
        file = f", file={self.file}" if self.file else ""
        return f"device({name}, time={time}{file}){self._behind}"


_DEVICE = r"[^'\"\\\n\x00-\x1f]{1,500}"
_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
STAGES: dict[str, type[Stage]] = {
    "device": OnDevices,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "lognormal": Lognormal,
    "own": Own,
    "quantize": Quantize,
    "stuck": Stuck,
    "uniform": Uniform,
}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Stages applied left to right; no stage at all is the clean network and prints as `none`."""

    stages: tuple[Stage, ...] = ()

    def __str__(self) -> str:
        return " + ".join(stage.text() for stage in self.stages) or "none"

    def __add__(self, other: "Spec") -> "Spec":
        return Spec(stages=self.stages + other.stages)

    @property
    def _swept(self) -> int | None:
        """The stage that a sweep acts on: the last on devices, else the last with a noise level,
        else the last `stuck`."""
        places = [i for i, stage in enumerate(self.stages) if stage.swept]
        aged = [i for i in places if isinstance(self.stages[i], OnDevices)]
        etas = [i for i in places if self.stages[i].is_eta]
        return (aged or etas or places)[-1] if places else None

    @property
    def sweeps(self) -> str:
        """What a sweep sets: the `time` of devices, where there are some, else the `level`."""
        return "time" if any(isinstance(s, OnDevices) for s in self.stages) else "level"

    @property
    def level(self) -> float | None:
        """The value that a sweep would set, the level (dimensionless) or the time (s); None where
        no stage has one, and for devices that are programmed and not read."""
        return None if self._swept is None else self.stages[self._swept].swept_value

    @property
    def wnr_db(self) -> float | None:
        """Weight-to-noise ratio in decibels, -20 log10(level), where the swept level is relative
        to the rms; else None."""
        stage = None if self._swept is None else self.stages[self._swept]
        if not isinstance(stage, Additive) or stage.reference != "rms" or not stage.level:
            return None
        return -20 * math.log10(stage.level)

    @property
    def family(self) -> str:
        """The text form with the swept level left open: equal for all points of one curve."""
        texts = [
            stage.text(
                # A time is all devices' own, that of each layer's.
                hide=stage.swept if place == self._swept or isinstance(stage, OnDevices) else None
            )
            for place, stage in enumerate(self.stages)
        ]
        return " + ".join(texts) or "none"

    @property
    def is_random(self) -> bool:
        """False where every chip comes out the same: all levels 0, or only quantisation."""
        return any(stage.is_random for stage in self.stages)

    @overload
    def at(self, level: float) -> Self: ...
    @overload
    def at(self, level: Iterable[float]) -> "list[Self]": ...
    def at(self, level: float | Iterable[float]) -> "Self | list[Self]":
        """This spec at another level, or one spec for each of several levels.

        Raises:
            ValueError: where no stage has a level, or the level is negative or not finite.
        """
        if isinstance(level, Iterable) and not isinstance(level, str):
            return [self.at(one) for one in level]
        if self._swept is None:
            raise ValueError(f"{self} has no level to sweep: leave the levels out")
        if self.sweeps == "time":
            raise ValueError(
                f"{self} is swept by times, as 0s,1h,1d: write the levels of its stages into the "
                "text and leave the levels out"
            )
        stages = list(self.stages)
        stage = stages[self._swept]
        field_of_level: dict[str, Any] = {str(stage.swept): level}
        stages[self._swept] = replace(stage, **field_of_level)
        return replace(self, stages=tuple(stages))

    def at_times(self, times: Iterable[float | None]) -> "list[Spec]":
        """This spec with its devices read at each of `times`, in seconds after programming; None
        is programming alone.

        Raises:
            ValueError: where no stage is on devices.
        """
        if self.sweeps != "time":
            raise ValueError(
                f"{self} has no devices that age: give --hardware, or noise as "
                "device(pcm, time=1d), or leave the times out"
            )
        return [
            replace(
                self,
                stages=tuple(
                    replace(s, time=time_text(time)) if isinstance(s, OnDevices) else s
                    for s in self.stages
                ),
            )
            for time in times
        ]


def parse(text: str) -> Spec:
    """The spec that `text` writes. `parse(str(spec)) == spec`; nothing in `text` is ever executed.

    Raises:
        ValueError: naming the part that is not understood.
    """
    if text.strip() == "none":
        return Spec()
    return Spec(stages=tuple(_stage(term) for term in _NOTATION.terms(text)))


def _stage(term: Term) -> Stage:
    *rest, last = term.tokens
    if last.group != "behind":
        return _NOTATION.read(term, STAGES)
    stage = _NOTATION.read(Term(rest, term.source), STAGES)
    return replace(stage, where=str(parse_layers(last.text[1:])))


_NOTATION = Notation(
    kind="noise",
    whole="noise spec",
    form="stages joined by '+', for example gaussian(0.1, reference=std)",
    value="number or word",
    longest=MAX_TEXT,
)


def parse_targets(text: str) -> tuple[str, ...]:
    """The roles in a comma-separated list, in the order of `ROLES`, each once.

    Raises:
        ValueError: for an unknown role or an empty list.
    """
    return ordered_targets(part.strip() for part in text.split(","))


def ordered_targets(roles: Iterable[str]) -> tuple[str, ...]:
    """`roles` checked, in the order of `ROLES`, each once.

    Raises:
        ValueError: for an unknown role or an empty list.
    """
    wanted = {one_of("target", role, ROLES) for role in roles}
    if not wanted:
        raise ValueError(f"targets must name at least one of {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in wanted)


def parse_levels(text: str) -> tuple[float, ...]:
    """Comma-separated levels, ascending, each once.

    Raises:
        ValueError: for anything that is not a finite number >= 0.
    """
    levels = set()
    for part in text.split(","):
        try:
            level = float(part)
        except ValueError:
            raise ValueError(f"level must be a number, got {part.strip()!r}") from None
        levels.add(_number("level", level))
    return tuple(sorted(levels))
