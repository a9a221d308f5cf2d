"""How a weight becomes devices. No torch here.

w in [-1, 1] is a weight divided by its scale, g the conductance that a device is programmed to.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from noiseproof.core.checks import one_of
from noiseproof.core.notation import Notation

PARTNERS = ("own", "ideal")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The devices of one weight. `partner`: `own`, every device ages; `ideal`, the signed weight is
    split again once it is programmed, so that the device near g_min is exact from then on (as
    aihwkit does: to compare with it, no chip does so)."""

    kind: ClassVar[str] = "pair"
    partner: str = field(default="own", metadata={"outside": True})

    def __post_init__(self) -> None:
        one_of("partner", self.partner, PARTNERS)

    def __str__(self) -> str:
        return self.kind

    @property
    def devices(self) -> int:
        """How many devices a weight has."""
        return 2


class Pair(Cells):
    """g+ carries the positive part of w, g- the negative part; the other one is at g_min."""


class Offset(Cells):
    """One device around the middle of its range, which is subtracted digitally."""

    kind: ClassVar[str] = "offset"

    @property
    def devices(self) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class Pairs(Cells):
    """`n` pairs in parallel, each with the whole weight, averaged."""

    kind: ClassVar[str] = "pairs"
    n: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole("pairs", self.n, 1, 64)

    def __str__(self) -> str:
        return f"pairs({self.n})"

    @property
    def devices(self) -> int:
        return 2 * self.n


@dataclass(frozen=True, kw_only=True)
class Slices(Cells):
    """w is rounded to `bits` (one of them its sign), and its magnitude cut into pairs that hold
    `cell` bits each, the uppermost what is left; each pair uses the whole range of its devices,
    and read back they are summed by powers of two."""

    kind: ClassVar[str] = "slices"
    bits: int
    cell: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole("bits of slices", self.bits, 2, 16)
        _check_whole("bits of a cell", self.cell, 1, 8)

    def __str__(self) -> str:
        return f"slices({self.bits}, cell={self.cell})"

    @property
    def slices(self) -> int:
        """How many pairs hold a magnitude."""
        return -((1 - self.bits) // self.cell)

    @property
    def devices(self) -> int:
        return 2 * self.slices


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")


_BARE: dict[str, type[Cells]] = {"pair": Pair, "offset": Offset}
_WITH_VALUES: dict[str, type[Cells]] = {"pairs": Pairs, "slices": Slices}
_NOTATION = Notation(
    kind="cells",
    whole="kind of cells",
    form="pair, offset, pairs(2) or slices(8, cell=2)",
    value="whole number",
    longest=100,
)


def parse_cells(text: str, *, partner: str = "own") -> Cells:
    """The cells that `text` writes; `str` of them gives the text again.

    Raises:
        ValueError: naming the part that is not understood.
    """
    term = _NOTATION.term(text)
    if term.name in _BARE:
        return _BARE[str(term.name)](partner=partner)
    if not term.is_call:
        one_of("cells", str(term), (*_BARE, "pairs(n)", "slices(bits, cell=n)"))
    return replace(_NOTATION.read(term, _WITH_VALUES), partner=partner)
