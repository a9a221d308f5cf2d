"""The one builder of rows: the usual row, with what matters given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noiseproof.results.rows import Row, pack

USUAL: dict[str, Any] = {
    "checkpoint": "c" * 64,
    "model": "resnet8",
    "norm": "batch",
    "task": "classify",
    "data": "digits",
    "data_sha256": "d" * 64,
    "scale": "0,1",
    "noise": "gaussian(0.1, reference=std, scope=tensor)",
    "targets": "kernel",
    "recalibrate": "off",
    "calibration_sha256": "",
    "seed": 0,
    "chip": 0,
    "level": 0.1,
    "classes": 10,
    "nonfinite": 0,
    "seconds": 0.1,
    "device": "cpu x1",
    "versions": "noiseproof 0, torch 0",
}
NO_NOISE: dict[str, Any] = {"noise": "none", "targets": "", "level": None}
DETECTOR: dict[str, Any] = {"task": "detect", "data": "bccd", "scale": "as is", "classes": 4}


def of_hits(
    hits: int | Sequence[int] | NDArray[np.bool_] = 5, images: int = 10, /, **given: Any
) -> Row:
    """A row of a chip that is right on the first so many of `images`, or on exactly these."""
    right = np.arange(images) < hits if isinstance(hits, int) else np.asarray(hits, dtype=bool)
    count = int(right.sum())
    measured = {"score": count / len(right), "correct": count, "hits": pack(right)}
    return Row(**USUAL | {"images": len(right)} | measured | given)


def of_score(score: float, /, **given: Any) -> Row:
    """A row of a chip without hit or miss of single images, as a detector's."""
    return Row(**USUAL | {"images": 72, "correct": None, "hits": b"", "score": score} | given)
