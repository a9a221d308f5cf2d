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
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self, overload

from noiseproof.core.checks import one_of
from noiseproof.core.notation import Notation, Term
from noiseproof.specs.layers import parse_layers
from noiseproof.specs.stages import REFERENCES as REFERENCES
from noiseproof.specs.stages import SCOPES as SCOPES
from noiseproof.specs.stages import STAGES as STAGES
from noiseproof.specs.stages import STUCK_AT as STUCK_AT
from noiseproof.specs.stages import Additive as Additive
from noiseproof.specs.stages import DeadColumn as DeadColumn
from noiseproof.specs.stages import DeadRow as DeadRow
from noiseproof.specs.stages import Gaussian as Gaussian
from noiseproof.specs.stages import Laplace as Laplace
from noiseproof.specs.stages import Lognormal as Lognormal
from noiseproof.specs.stages import OnDevices as OnDevices
from noiseproof.specs.stages import Own as Own
from noiseproof.specs.stages import Quantize as Quantize
from noiseproof.specs.stages import Stage as Stage
from noiseproof.specs.stages import Stuck as Stuck
from noiseproof.specs.stages import Uniform as Uniform
from noiseproof.specs.stages import Verify as Verify
from noiseproof.specs.stages import number_of
from noiseproof.specs.times import time_text

ROLES = ("kernel", "embedding", "bias", "norm_affine", "norm_stats", "other")
"""`kernel`: what a network multiplies with: conv, linear, attention, recurrent weights, and those
of layers of one's own. `embedding`: tables that are only looked up, which no array needs to hold.
`bias`: biases of these. `norm_affine`: gamma and beta. `norm_stats`: running mean and variance.
`other`: every parameter that belongs to none of these (a class token, a layer scale): a target only
when asked for."""
MAX_TEXT = 4_000


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Stages applied left to right; no stage at all is the clean network and prints as `none`."""

    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        before: Stage | None = None
        for stage in self.stages:
            if stage.is_of_devices and not (
                isinstance(before, OnDevices) or (before is not None and before.is_of_devices)
            ):
                raise ValueError(
                    f"{stage.text()} is of devices, and must come right behind them, as in "
                    f"device(pcm, time=1d) + {stage.text()}; device(ideal) has no noise of its own"
                )
            before = stage

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
        levels.add(number_of("level", level))
    return tuple(sorted(levels))
