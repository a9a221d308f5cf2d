"""The row type and its store: one SQLite file, one row per unit, inserted once.

Measuring writes rows, reports read them; they share nothing else. No torch here.
"""

import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Row:
    """One unit of replication, measured: a chip, or a block of images that are each on their own.
    The fields up to `images` name it; no two rows agree in all of them."""

    checkpoint: str  # sha256 of the weights
    model: str
    norm: str  # "own" where the model's layers were left as they are
    task: str  # a key of catalog.TASKS, or the name of a score of one's own
    data: str
    data_sha256: str  # of the test images and labels, in order; "" where they cannot be hashed
    scale: str  # pixel means and standard deviations; "as is" for float inputs
    noise: str  # the spec's text form, level included; "none" for the clean network
    targets: str  # comma-separated roles; "" for the clean network
    recalibrate: str  # the estimator's text form; "off" without
    calibration_sha256: str  # of the calibration images; "" where there are none
    seed: int
    chip: int  # the unit's number
    design: str = "chips"  # which images see which chips, as `designs.parse_design` reads it
    part: str = "all"  # which of the targeted tensors are noisy
    stream: str = ""  # how the noise changes with time; "" where it stays as it is
    seen: int = 0  # in a stream: images before these
    images: int  # that this unit saw
    pace: str = ""  # what decided the number of units; "" where it was fixed beforehand
    calibration: str = ""  # where its images come from: "train", "train augmented", "test"
    level: float | None  # dimensionless; None where the noise has no level
    classes: int
    score: float
    correct: int | None  # images that were right; None where single images have no hit or miss
    nonfinite: int  # images whose outputs were not all finite
    hits: bytes  # one bit per image, in order, padded to whole bytes; b"" without
    details: str = "{}"  # JSON: further figures by name
    extra_images: int = 0  # images forwarded for this chip beside the test images
    seconds: float
    device: str
    versions: str

    def unpacked(self) -> NDArray[np.bool_]:
        """The hits as booleans (N,)."""
        bits = np.frombuffer(self.hits, dtype=np.uint8)
        return np.unpackbits(bits, count=self.images).astype(np.bool_)

    @cached_property
    def figures(self) -> dict[str, float]:
        """The further figures by name, as `mAP@.5`."""
        found = json.loads(self.details)
        return {str(name): float(value) for name, value in found.items()}


COLUMNS = tuple(field.name for field in fields(Row))
KEY = COLUMNS[: COLUMNS.index("images") + 1]


def key_of(row: Row) -> tuple[Any, ...]:
    """What names the row's chip: the values of `KEY`."""
    return tuple(getattr(row, name) for name in KEY)


def pack(hits: NDArray[np.bool_]) -> bytes:
    """Booleans (N,) as bits."""
    return np.packbits(hits).tobytes()
