"""How weights become devices in arrays, as a value with one text form. No torch here.

>>> print(parse_mapping("cells=offset, tile=512x512"))
scale=channel, cells=offset, tile=512x512
"""

import re
from dataclasses import dataclass, field

from noiseproof.core.checks import one_of
from noiseproof.specs.cells import PARTNERS, Cells, Pair, parse_cells

SCALES = ("channel", "tensor", "tile")
LARGEST_SIDE = 65_536
_FORM = "scale=channel, cells=pair, tile=512x512, fold_norm=no, partner=own"
_PART = re.compile(r"\s*(\w+)\s*=\s*((?:[^(),]|\([^()]*\))+?)\s*(?:,|$)")


@dataclass(frozen=True, kw_only=True)
class ArrayMapping:
    """How the kernels of a network lie in arrays of devices.

    - `scale`: over what max |W|, by which weights are divided, is taken: an output channel
      (default), a tensor or a tile.
    - `cells`: the devices of one weight (default: a pair).
    - `tile`: the most rows (inputs) and columns (outputs) of an array (default: any number).

    Raises:
        ValueError: for another scale, tiles of no size, and a scale over tiles without tiles.
    """

    scale: str = "channel"
    cells: Cells = field(default_factory=Pair)
    tile: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        one_of("scale", self.scale, SCALES)
        if self.tile is not None and not all(0 < side <= LARGEST_SIDE for side in self.tile):
            shown = "x".join(map(str, self.tile))
            raise ValueError(f"a tile must have between 1 and {LARGEST_SIDE} rows, got {shown}")
        if self.scale == "tile" and self.tile is None:
            raise ValueError("scale=tile needs the size of a tile, as tile=512x512")

    def __str__(self) -> str:
        tile = "" if self.tile is None else f", tile={self.tile[0]}x{self.tile[1]}"
        partner = "" if self.cells.partner == "own" else f", partner={self.cells.partner}"
        return f"scale={self.scale}, cells={self.cells}{tile}{partner}"


AS_ARRAYS = ArrayMapping()
"""Pairs of devices, each output channel by its own largest weight, arrays of any size."""
COMPENSATIONS = {
    "off": "weights as they are read",
    "scalar": "one factor for each layer: mean |w| when programmed over mean |w| now",
    "column": "the same for each output of a layer",
}
"""Digital factors behind an array, which make up for drift."""


def parse_mapping(text: str) -> tuple[ArrayMapping, bool | None]:
    """The mapping that `text` writes, and whether it folds the normalisation; None: it says nothing
    of that.

    Raises:
        ValueError: naming the part that is not understood.
    """
    given: dict[str, str] = {}
    place = 0
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            raise ValueError(f"cannot read mapping {text!r}: expected parts of {_FORM}")
        name = one_of(
            "part of a mapping", found[1], ("scale", "cells", "tile", "fold_norm", "partner")
        )
        if name in given:
            raise ValueError(f"mapping {text!r} gives {name} twice")
        given[name] = found[2]
        place = found.end()
    partner = one_of("partner", given.get("partner", "own"), PARTNERS)
    fold = given.get("fold_norm")
    return (
        ArrayMapping(
            scale=given.get("scale", "channel"),
            cells=parse_cells(given.get("cells", "pair"), partner=partner),
            tile=_tile(given["tile"]) if given.get("tile", "none") != "none" else None,
        ),
        None if fold is None else one_of("fold_norm", fold, ("no", "yes")) == "yes",
    )


def _tile(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    if found is None:
        raise ValueError(f"a tile must be rows x columns, as tile=512x512, got {text!r}")
    return int(found[1]), int(found[2] or found[1])
