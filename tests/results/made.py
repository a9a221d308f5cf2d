"""A row with what matters given."""

from typing import Any

import numpy as np

from noiseproof.results.rows import Row
from tests.rows import of_hits

IMAGES = 13  # not a whole number of bytes


def made(chip: int = 0, **changes: Any) -> Row:
    """A row whose hits are the binary digits of the chip's index, and more."""
    right = np.arange(IMAGES) % (chip + 2) == 0
    return of_hits(right, **{"chip": chip, "nonfinite": 1, "seconds": 0.1 + 0.2} | changes)


BOXES: dict[str, Any] = {  # a detector's row: single images have no hit or miss
    "task": "detect",
    "chip": 3,
    "score": 0.3125,
    "correct": None,
    "hits": b"",
    "details": '{"mAP@.5": 0.5}',
    "stream": "redraw(every=13)",
    "seen": 26,
}
