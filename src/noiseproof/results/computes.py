"""What a network computes, as the text that names its rows: `STRUCTURE TOLERANCE FIGURES`.

The structure is a hash; the figures come from its outputs for the first test inputs. Two texts are
of one network where the structures are the same and the figures agree but for rounding: no text is
made of rounded figures, since two machines would round to either side of an edge. No torch here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from noiseproof.results.axes import Role
from noiseproof.results.rows import Row, key_of

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A few numbers that stand for a tensor of outputs, and the scale on which they would have to
    differ to be those of another one."""

    scale: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.scale:.5g}:" + ",".join(f"{value:.5g}" for value in self.values)

    def agrees(self, other: "Figures", tolerance: float) -> bool:
        """Are they of one tensor but for rounding of `tolerance` times their scale?"""
        room = tolerance * max(self.scale, other.scale)
        return len(self.values) == len(other.values) and all(
            # Infinite or no numbers have to be the same.
            abs(a - b) <= room or a == b or (math.isnan(a) and math.isnan(b))
            for a, b in zip((self.scale, *self.values), (other.scale, *other.values), strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Computes:
    """What a text says. `tolerance`: of the figures, relative to their scale."""

    structure: str
    tolerance: float
    figures: tuple[Figures, ...]

    def __str__(self) -> str:
        return " ".join([self.structure, f"{self.tolerance:g}", *map(str, self.figures)])

    def agrees(self, other: "Computes") -> bool:
        """Are the two of one network?"""
        room = max(self.tolerance, other.tolerance)
        return (
            self.structure == other.structure
            and len(self.figures) == len(other.figures)
            and all(a.agrees(b, room) for a, b in zip(self.figures, other.figures, strict=True))
        )


@cache
def parse_computes(text: str) -> Computes | None:
    """What the text says; None where it is no such text, as in older rows."""
    try:
        structure, tolerance, *rest = text.split(" ")
        return Computes(
            structure=structure, tolerance=float(tolerance), figures=tuple(map(_figures, rest))
        )
    except ValueError:
        return None


def _figures(text: str) -> Figures:
    scale, _, values = text.partition(":")
    return Figures(scale=float(scale), values=tuple(float(one) for one in values.split(",") if one))


@cache
def agree(a: str, b: str) -> bool:
    """Are these the texts of one network? Nothing is known of a network without one."""
    first, second = parse_computes(a), parse_computes(b)
    return a == b or (first is not None and second is not None and first.agrees(second))


def same_but_code(row: Row) -> tuple[Any, ...]:
    """What names the network of a row, but for what it computes."""
    return key_of(row, Role.NETWORK, without=("computes",))


def unified(rows: Iterable[R]) -> list[R]:
    """The rows, those of one network under one text, the first that came; of two that then have
    one name the first."""
    texts: dict[tuple[Any, ...], list[str]] = {}
    found: list[R] = []
    changed = False
    for row in rows:
        known = texts.setdefault(same_but_code(row), []) if row.computes else [""]
        text = next((one for one in known if agree(one, row.computes)), None)
        if text is None:
            known.append(row.computes)
        changed |= text is not None and text != row.computes
        found.append(row if text in (None, row.computes) else replace(row, computes=text))
    return list({key_of(row): row for row in reversed(found)}.values())[::-1] if changed else found
