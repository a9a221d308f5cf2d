"""A device as a file of data: how it is programmed, how it ages, how it is read. No torch here.

Conductances are in the file's unit (uS), times in seconds since programming ended. What each table
of the file does to a conductance is in `noiseproof.hardware.aging`.
"""

import hashlib
import json
import os
import warnings
from contextlib import suppress
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from noiseproof.core.checks import DoubtWarning, one_of
from noiseproof.core.documents import parse_document, read_document
from noiseproof.hardware.curves import Curve, Finite, Part, Piecewise, as_tuple, grid_of
from noiseproof.specs.cells import Cells, Offset, parse_cells
from noiseproof.specs.times import check_time, time_text

Text = Annotated[str, Field(min_length=1, max_length=4000)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Programmed(Part):
    """What stands when programming ends, or has become of that at a later `time`:
    max(h + sd xi_1, 0) with h = g + shift(g), g the target; sd of h, or of g (`sd_of`)."""

    time: NotNegative = 0.0
    sd: Curve
    shift: Curve | None = None
    sd_of: Literal["moved", "target"] = "moved"


class Later(Programmed):
    """As `Programmed`, at a time that is said."""

    time: Positive


class Drift(Part):
    """g_p (T / t0)^-nu, T = time + t0, nu = |mean(g) + sd(g) xi_2|, g the target."""

    t0: Positive
    mean: Curve
    sd: Curve


class Relax(Part):
    """All devices move by shift ln t, each by (spread + spread_rise ln t) xi_2 more; t is the time
    in seconds, at least 1, and nothing has moved at time 0."""

    shift: Finite
    spread: NotNegative
    spread_rise: NotNegative


class Read(Part):
    """Read noise of standard deviation Q sqrt(ln((T + t_read) / (2 t_read))): 1/f noise gathered
    since programming. `law`: `share`, Q(g_p) times the conductance that is read, g_p the programmed
    one; or `absolute`, Q of the conductance that is read, in the file's unit. `clip`: the ends of
    what a read can give (default: 0 and no other)."""

    t_read: Positive
    q: Curve
    law: Literal["share", "absolute"] = "share"
    clip: Annotated[tuple[Finite, Finite], BeforeValidator(as_tuple)] | None = None


class Device(Part):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]
    about: Text
    source: Text
    leaves_out: Annotated[tuple[Text, ...], BeforeValidator(as_tuple)] = ()
    unit: Literal["uS", "nA"] = "uS"
    g_min: NotNegative
    g_max: Positive
    cells: Annotated[str, AfterValidator(lambda text: str(parse_cells(text)))] = "pair"
    law_of: Literal["device", "weight"] = "device"
    zero_below: NotNegative = 0.0
    last_time: NotNegative | None = None
    program: Programmed
    later: Annotated[tuple[Later, ...], BeforeValidator(as_tuple)] = ()
    between: Literal["log time", "time"] = "log time"
    drift: Drift | None = None
    relax: Relax | None = None
    read: Read | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.g_min < self.g_max:
            raise ValueError(f"g_min must be < g_max, got {self.g_min:g} and {self.g_max:g}")
        times = [self.program.time, *(one.time for one in self.later)]
        for before, after in pairwise(times):
            if not before < after:
                raise ValueError(
                    f"the times of later must be ascending, and after program.time, "
                    f"got {before:g} before {after:g}"
                )
        if self.later and self.between == "log time" and not times[0]:
            raise ValueError(
                "there is no logarithm of program.time = 0: give it, or write between = 'time'"
            )
        if self.law_of == "weight" and (self.later or self.drift or self.relax or self.read):
            raise ValueError("a law of whole weights (law_of) has programming alone")
        return self

    @model_validator(mode="after")
    def _positive(self) -> Self:
        """Standard deviations and drift are not negative anywhere between g_min and g_max."""
        for name, curve in self.curves().items():
            grid = grid_of(self.g_min, self.g_max, _edges(curve, self.g_max))
            with np.errstate(over="ignore", invalid="ignore"):
                found = np.asarray(curve.values(grid, self.g_max))
            wrong = ~np.isfinite(found) if name.endswith("shift") else ~(found >= 0)
            wrong |= np.isinf(found)
            if wrong.any():
                at = int(wrong.argmax())
                rule = "finite" if name.endswith("shift") else "finite and >= 0"
                raise ValueError(
                    f"{name} must be {rule} from g_min to g_max, "
                    f"got {found[at]:.4g} at {grid[at]:.4g} {self.unit}"
                )
        return self

    def curves(self) -> dict[str, Any]:
        """The curves of the file by their keys."""
        found: dict[str, Any] = {}
        named: list[tuple[str, Programmed]] = [("program", self.program)]
        named += [(f"later[{place}]", one) for place, one in enumerate(self.later)]
        for key, one in named:
            found[f"{key}.sd"] = one.sd
            if one.shift is not None:
                found[f"{key}.shift"] = one.shift
        if self.drift is not None:
            found |= {"drift.mean": self.drift.mean, "drift.sd": self.drift.sd}
        if self.read is not None:
            found["read.q"] = self.read.q
        return found

    @property
    def t0(self) -> float:
        """Seconds from programming to the first read, which times count from."""
        return 0.0 if self.drift is None else self.drift.t0

    @property
    def ages(self) -> bool:
        """Does time change anything?"""
        return bool(self.later or self.drift or self.relax or self.read)

    @property
    def is_steep(self) -> bool:
        """Is there a polynomial whose terms cancel by more digits than float32 has to spare?"""
        return any(len(getattr(c, "coefficients", ())) > 6 for c in self.curves().values())

    @property
    def digest(self) -> str:
        """What the file says of conductances, as 8 hexadecimal digits: neither its layout nor its
        words count, nor what it leaves at its default."""
        words = {"name", "about", "source", "leaves_out"}
        said = self.model_dump(exclude=words, exclude_defaults=True)
        content = json.dumps(said, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def check_cells(self, cells: Cells) -> None:
        """Raise ValueError for cells that the device cannot be.

        Warns:
            DoubtWarning: where its source has one device for each weight, and these have pairs.
        """
        if self.law_of == "weight" and isinstance(cells, Offset):
            raise ValueError(
                f"device {self.name} is a law of whole weights: it has no cells=offset"
            )
        if self.cells != "pair" and self.cells != str(cells):
            warnings.warn(
                DoubtWarning(
                    f"the source of device {self.name} has cells={self.cells}, and these are "
                    f"cells={cells}: to measure it as it is, give --mapping cells={self.cells}"
                ),
                stacklevel=2,
            )

    def check_time(self, time: float | None) -> None:
        """Raise ValueError for a time (in seconds; None is programming alone) that no device can
        have, or that lies beyond what was measured of this one."""
        if time is None:
            return
        check_time(time)
        last = self.last_time
        if last is None and self.later:
            last = self.later[-1].time
        if last is not None and time > last:
            raise ValueError(
                f"device {self.name} was measured up to {time_text(last)} after programming, got "
                f"{time_text(time)}: take an earlier time"
            )


def device_names() -> tuple[str, ...]:
    """The devices that come with noiseproof."""
    found = (file.name for file in files("noiseproof.hardware").joinpath("device_files").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def find_device(name: str | Path) -> Device:
    """The device that comes with noiseproof under this name, or the one in a file `NAME.toml`.

    Raises:
        ValueError: in one line: an unknown name, or the first mistake of the file.
    """
    if str(name).endswith(".toml"):
        path = os.path.abspath(name)
        with suppress(OSError):  # what is wrong with it is said when it is read
            found = os.stat(path)
            return _own(str(name), path, found.st_mtime_ns, found.st_size)
        return read_document(name, "device file", Device)
    return _shipped(one_of("device (or file NAME.toml)", str(name), device_names()))


@lru_cache(maxsize=32)
def _own(name: str, path: str, changed: int, size: int) -> Device:
    """Every layer of every chip asks for it: it is read again where it has changed."""
    return read_document(name, "device file", Device)


@cache
def _shipped(name: str) -> Device:
    file = files("noiseproof.hardware").joinpath("device_files", f"{name}.toml")
    device = parse_document(file.read_text("utf-8"), "device file", file.name, Device)
    assert device.name == name
    return device


def _edges(curve: Any, g_max: float) -> list[float]:
    """Conductances at which the curve may jump."""
    if not isinstance(curve, Piecewise):
        return []
    scale = g_max if curve.of == "r" else 1.0
    return [edge * scale for edge in curve.edges]
