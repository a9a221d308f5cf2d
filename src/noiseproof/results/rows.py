"""The row type: one row per unit of replication, and what names it.

Measuring writes rows, reports read them; they share nothing else. No torch here.
"""

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from noiseproof.results.axes import FIRST, Role, Since, Value, axes_of, getter, names_of
from noiseproof.specs import ScoreFacts, facts_of
from noiseproof.stats import Unit, unit_of

NETWORK, CONDITION, REMEDY, UNIT = Role


@dataclass(frozen=True, kw_only=True)
class Row:
    """One unit of replication, measured: a chip, or a block of images that are each on their own.
    Its axes, the fields with a role, name it: no two rows agree in all of them. A new field, axis
    or not, comes with the schema `Since` which it is there, and a default that old rows take."""

    checkpoint: Annotated[str, NETWORK]  # sha256 of the weights
    model: Annotated[str, NETWORK]
    norm: Annotated[str, NETWORK]  # "own" where the model's layers were left as they are
    task: Annotated[str, NETWORK]  # a key of catalog.TASKS, or the name of a score of one's own
    data: Annotated[str, NETWORK]
    data_sha256: Annotated[str, NETWORK]  # of the test images and labels, in order; "" if unknown
    scale: Annotated[str, NETWORK]  # pixel means and standard deviations; "as is" for float inputs
    computes: Annotated[str, NETWORK, Since(5)] = ""  # what the network does, see `computes`
    noise: Annotated[str, CONDITION]  # the spec's text form, level included; "none": clean network
    targets: Annotated[str, CONDITION]  # comma-separated roles; "" for the clean network
    recalibrate: Annotated[str, REMEDY]  # the estimator's text form; "off" without
    calibration_sha256: Annotated[str, REMEDY]  # of the calibration images; "" without
    seed: Annotated[int, UNIT]
    chip: Annotated[int, UNIT]  # the unit's number
    design: Annotated[str, CONDITION] = "chips"  # which images see which chips, see `specs.designs`
    part: Annotated[str, CONDITION] = "all"  # which of the targeted tensors are noisy
    digital: Annotated[str, CONDITION, Since(5)] = ""  # layers kept so (`specs.layers`), tables too
    stats_as: Annotated[str, CONDITION, Since(6)] = ""  # form of noisy statistics, `FORMS`
    mapping: Annotated[str, CONDITION, Since(6)] = ""  # how weights become what is stored
    mvm: Annotated[str, CONDITION, Since(7)] = ""  # what happens at every product; "": nothing
    dtype: Annotated[str, CONDITION, Since(7)] = ""  # that chips compute in; "": the network's own
    compensate: Annotated[str, REMEDY, Since(7)] = ""  # of drift, digitally; "": not at all
    stream: Annotated[str, CONDITION] = ""  # how the noise changes with time; "" where it stays
    seen: Annotated[int, UNIT] = 0  # in a stream: images before these
    images: Annotated[int, UNIT]  # that this unit saw
    pace: str = ""  # what decided the number of units; "" where it was fixed beforehand
    calibration: str = ""  # where its images come from: "train", "train augmented", "test"
    level: float | None  # that the noise is swept by, or seconds of devices; None: it has none
    classes: int
    score: float
    correct: int | None  # images that were right; None where single images have no hit or miss
    nonfinite: int  # images whose outputs were not all finite
    hits: bytes = field(repr=False)  # a bit per image, in order, padded to whole bytes; b"" without
    details: str = "{}"  # JSON: further figures by name
    extra_images: int = 0  # images forwarded for this chip beside the test images
    seconds: float
    device: str
    versions: str
    threads: Annotated[int, Since(4)] = 0  # of the CPU, that computed this row; 0: not known
    score_is: Annotated[str, Since(5)] = ""  # JSON of a score of one's own: `ScoreFacts`
    dice: Annotated[str, Since(5)] = ""  # what its chips' draws come from, by role; "": not known
    reached_macs: Annotated[float | None, Since(5)] = None  # share with tensors that noise reaches
    reached_weights: Annotated[float | None, Since(5)] = None  # None: the network was not watched
    hardware: Annotated[str, Since(7)] = ""  # the file that the condition was read from, by name

    def unpacked(self) -> NDArray[np.bool_]:
        """The hits as booleans (N,)."""
        bits = np.frombuffer(self.hits, dtype=np.uint8)
        # The first image is the highest bit of the first byte, as `pack`
        # has it; `count` cuts the padding.
        return np.unpackbits(bits, count=self.images).astype(np.bool_)

    @property
    def facts(self) -> ScoreFacts:
        """Which way its score is better, in what unit, and what chance would score."""
        return facts_of(self.task, score_is=self.score_is, classes=self.classes)

    @property
    def metric(self) -> str:
        """What the score is called: `accuracy`, `mAP`, `mIoU`, or the name of one's own."""
        return self.facts.metric

    @property
    def unit(self) -> Unit:
        """How the score is printed."""
        return unit_of(self.facts.unit)

    @cached_property
    def figures(self) -> dict[str, float]:
        """The further figures by name, as `mAP@.5`."""
        found = json.loads(self.details)
        return {str(name): float(value) for name, value in found.items()}


COLUMNS = tuple(field.name for field in fields(Row))
KEY = tuple(one.name for one in axes_of(Row))


def key_of(row: Row, *roles: Role, without: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """What names the row: the values of its axes, or of those of some roles; without some."""
    found: tuple[Any, ...] = getter(type(row), roles, without)(row)
    return found


def network_key(row: Row) -> tuple[str, ...]:
    """What the clean network and its noisy chips have in common: weights, skeleton, test images."""
    return key_of(row, Role.NETWORK)


def named(row: Row, *roles: Role) -> dict[str, Value]:
    """The same by name."""
    return dict(zip(names_of(type(row), roles, ()), key_of(row, *roles), strict=True))


def further(row: Row, *roles: Role) -> dict[str, Value]:
    """What later axes of these roles say beyond the first ones, by name: nothing where all are at
    their default."""
    return {
        one.name: getattr(row, one.name)
        for one in axes_of(type(row))
        if one.since > FIRST and one.role in roles and getattr(row, one.name) != one.default
    }


def is_clean(row: Row) -> bool:
    """Is it of the network as it is, neither noisy nor recalibrated?"""
    later = further(row, Role.CONDITION, Role.REMEDY)
    return row.noise == "none" and row.recalibrate == "off" and not later


def pack(hits: NDArray[np.bool_]) -> bytes:
    """Booleans (N,) as bits."""
    return np.packbits(hits).tobytes()
