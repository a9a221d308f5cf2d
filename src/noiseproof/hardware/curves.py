"""What a device's law says of each conductance, as data: a few forms of curves over it.

x is g / g_max, or g itself where the file says `of = "g"`, in the file's unit. numpy and torch
share the names of the functions that curves need, so that one formula serves both (`xp`), and
reading a file needs no torch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Finite = Annotated[float, Field(allow_inf_nan=False)]
Array = Any  # a numpy array or a tensor


def as_tuple(value: Any) -> Any:
    """TOML has lists."""
    return tuple(value) if isinstance(value, list) else value


class Part(BaseModel):
    """Every table of a device file: no unknown keys, no silent conversions, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Form(Part):
    """A curve; `low` and `high` clip what it says."""

    of: Literal["r", "g"] = "r"
    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must be <= high, got {self.low:g} and {self.high:g}")
        return self

    def values(self, g: Array, g_max: float, xp: Any = np) -> Array:
        """The curve at each of `g` (same shape, a new array)."""
        found = self._values(g / g_max if self.of == "r" else g, xp)
        if self.low is None and self.high is None:
            return found
        return xp.clip(found, self.low, self.high)

    def _values(self, x: Array, xp: Any) -> Array:
        raise NotImplementedError


class Polynomial(Form):
    """c0 + c1 x + c2 x^2 + ..."""

    form: Literal["polynomial"]
    coefficients: Annotated[
        tuple[Finite, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=12)
    ]

    def _values(self, x: Array, xp: Any) -> Array:
        found = x * 0 + self.coefficients[-1]
        for coefficient in self.coefficients[-2::-1]:
            found = found * x + coefficient
        return found

    def text(self) -> str:
        x = _name(self)
        powers = ["", f" {x}", *(f" {x}^{k}" for k in range(2, len(self.coefficients)))]
        terms = [f"{c:+.5g}{p}" for c, p in zip(self.coefficients, powers, strict=False) if c]
        return _clipped(self, " ".join(terms).removeprefix("+") or "0")


class ClippedLog(Form):
    """a ln x + b, which needs a clip on the side where x = 0 lies."""

    form: Literal["clipped_log"]
    a: Finite
    b: Finite

    @model_validator(mode="after")
    def _finite(self) -> Self:
        side = "low" if self.a > 0 else "high"
        if getattr(self, side) is None:
            raise ValueError(f"a clipped_log needs {side}, since a ln x + b has no end at x = 0")
        return self

    def _values(self, x: Array, xp: Any) -> Array:
        # As aihwkit: the logarithm of nothing is never taken, and the clip decides there.
        return xp.log(xp.clip(x, 1e-7, None)) * self.a + self.b

    def text(self) -> str:
        return _clipped(self, f"{self.a:.5g} ln {_name(self)} {self.b:+.5g}")


class Power(Form):
    """a x^exponent; where the exponent is negative it needs `high`."""

    form: Literal["power"]
    a: Finite
    exponent: Finite

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if self.exponent < 0 and self.high is None:
            raise ValueError("a power with a negative exponent needs high, since it has no end")
        return self

    def _values(self, x: Array, xp: Any) -> Array:
        # exp of a log is several times faster than a power.
        return xp.exp(xp.log(xp.clip(x, 1e-30, None)) * self.exponent) * self.a

    def text(self) -> str:
        return _clipped(self, f"{self.a:.5g} {_name(self)}^{self.exponent:.5g}")


class Saturating(Form):
    """a (1 - exp(-x / b))."""

    form: Literal["saturating"]
    a: Finite
    b: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def _values(self, x: Array, xp: Any) -> Array:
        return (1 - xp.exp(x / -self.b)) * self.a

    def text(self) -> str:
        return _clipped(self, f"{self.a:.5g} (1 - exp(-{_name(self)}/{self.b:.5g}))")


class Table(Form):
    """Points [x, value], ascending in x: linear between them, and constant beyond the outermost."""

    form: Literal["table"]
    points: Annotated[
        tuple[Annotated[tuple[Finite, Finite], BeforeValidator(as_tuple)], ...],
        BeforeValidator(as_tuple),
        Field(min_length=1, max_length=500),
    ]

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        for (before, _), (after, _) in pairwise(self.points):
            if not before < after:
                raise ValueError(
                    f"the points of a table must be ascending, got {before:g} before {after:g}"
                )
        return self

    def _values(self, x: Array, xp: Any) -> Array:
        found = x * 0 + self.points[0][1]
        for (left, low), (right, high) in pairwise(self.points):
            # Each piece adds its own rise, none before it and all of it behind it.
            rise = (high - low) / (right - left)
            found = found + (xp.clip(x, left, right) - left) * rise
        return found

    def text(self) -> str:
        (first, low), (last, high) = self.points[0], self.points[-1]
        return (
            f"{len(self.points)} points over {_name(self)}, from {low:.4g} at {first:.4g} "
            f"to {high:.4g} at {last:.4g}"
        )


Simple = Annotated[
    Polynomial | ClippedLog | Power | Saturating | Table, Field(discriminator="form")
]


class Piecewise(Form):
    """The first of `pieces` below the first of `edges`, and so on: one piece more than edges."""

    form: Literal["piecewise"]
    edges: Annotated[tuple[Finite, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    pieces: Annotated[tuple[Simple, ...], BeforeValidator(as_tuple), Field(max_length=50)]

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if len(self.pieces) != len(self.edges) + 1:
            raise ValueError(
                f"a piecewise curve needs one piece more than edges, got {len(self.pieces)} "
                f"and {len(self.edges)}"
            )
        if sorted(set(self.edges)) != list(self.edges):
            raise ValueError(f"edges must be ascending, got {list(self.edges)}")
        if any(piece.of != self.of for piece in self.pieces):
            raise ValueError(f"the pieces must be of what the edges are of, {self.of!r}")
        return self

    def _values(self, x: Array, xp: Any) -> Array:
        found = self.pieces[-1].values(x, 1.0, xp)
        for edge, piece in zip(self.edges[::-1], self.pieces[-2::-1], strict=True):
            found = xp.where(x < edge, piece.values(x, 1.0, xp), found)
        return found

    def text(self) -> str:
        x = _name(self)
        parts = [
            f"{piece.text()} below {x} = {edge:g}"
            for edge, piece in zip(self.edges, self.pieces[:-1], strict=True)
        ]
        return "; ".join([*parts, f"{self.pieces[-1].text()} above"])


def _as_form(value: Any) -> Any:
    """A number alone is a constant."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"form": "polynomial", "coefficients": (value,)} if is_number else value


Curve = Annotated[
    Polynomial | ClippedLog | Power | Saturating | Table | Piecewise,
    Field(discriminator="form"),
    BeforeValidator(_as_form),
]


def grid_of(g_min: float, g_max: float, edges: Sequence[float] = ()) -> Array:
    """Conductances to look at a curve with."""
    return np.unique(np.concatenate([np.linspace(g_min, g_max, 1001), np.asarray(edges)]))


def _name(curve: Form) -> str:
    return curve.of


def _clipped(curve: Form, text: str) -> str:
    if curve.low is None and curve.high is None:
        return text
    low = "-inf" if curve.low is None else f"{curve.low:g}"
    high = "inf" if curve.high is None else f"{curve.high:g}"
    return f"clip({text}, {low}, {high})"
