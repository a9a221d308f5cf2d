"""A row with what matters given."""

from dataclasses import replace
from typing import Any

import numpy as np

from noiseproof.results.rows import Row, pack

IMAGES = 13  # not a whole number of bytes


def made(chip: int = 0, **changes: Any) -> Row:
    """A row whose hits are the binary digits of the chip's index, and more."""
    hits = np.arange(IMAGES) % (chip + 2) == 0
    row = Row(
        checkpoint="c" * 64,
        model="resnet8",
        norm="batch",
        task="classify",
        data="digits",
        data_sha256="d" * 64,
        scale="0,1",
        noise="gaussian(0.1, reference=std, scope=tensor)",
        targets="kernel",
        recalibrate="off",
        calibration_sha256="",
        seed=0,
        chip=chip,
        level=0.1,
        images=IMAGES,
        classes=10,
        score=int(hits.sum()) / IMAGES,
        correct=int(hits.sum()),
        nonfinite=1,
        hits=pack(hits),
        seconds=0.1 + 0.2,
        device="cpu x1",
        versions="noiseproof 0, torch 0",
    )
    return replace(row, **changes)


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
