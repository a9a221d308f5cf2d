"""Rows of devices that age, with and without compensation and `match`."""

from typing import Any

import numpy as np

from noiseproof.results.rows import Row
from noiseproof.specs import parse
from tests.rows import NO_NOISE, of_hits

IMAGES, CHIPS = 1000, 8
DAY = 86400.0
TIMES = (None, 0.0, 3600.0, DAY, 30 * DAY, 365 * DAY)
WAYS = {  # (recalibrate, compensate): accuracy at each time
    ("off", ""): (0.895, 0.884, 0.42, 0.22, 0.15, 0.12),
    ("off", "scalar"): (0.895, 0.884, 0.868, 0.851, 0.826, 0.794),
    ("match(200)", ""): (0.897, 0.889, 0.81, 0.70, 0.58, 0.49),
    ("match(200)", "scalar"): (0.897, 0.89, 0.881, 0.872, 0.861, 0.848),
}
ON_CHIP: dict[str, Any] = {"mapping": "scale=channel, cells=pair", "hardware": "pcm"}


def clean(**changes: Any) -> Row:
    return of_hits(917, IMAGES, **NO_NOISE | {"data": "cifar10", "model": "resnet20"} | changes)


def chips(
    score: float, time: float | None, *, way: tuple[str, str] = ("off", ""), **changes: Any
) -> list[Row]:
    """Chips at one time, whose luck is their own at all times."""
    recalibrate, compensate = way
    (spec,) = parse("device(pcm)").at_times([time])
    luck = np.random.default_rng(0).normal(size=CHIPS)
    same = {"noise": str(spec), "level": spec.level, "recalibrate": recalibrate}
    same |= {"compensate": compensate, "data": "cifar10", "model": "resnet20"} | ON_CHIP
    if recalibrate != "off":
        same |= {"calibration_sha256": "e" * 64, "calibration": "train", "extra_images": 200}
    sd = 60 * min(score, 1 - score)
    return [
        of_hits(round(IMAGES * score + sd * float(z)), IMAGES, chip=chip, **same | changes)
        for chip, z in enumerate(luck)
    ]


def aged(ways: tuple[tuple[str, str], ...] = tuple(WAYS), **changes: Any) -> list[Row]:
    """A clean network, and its chips at all times in each of `ways`."""
    found = [clean(**{k: v for k, v in changes.items() if k in ("checkpoint", "model", "norm")})]
    for way in ways:
        for time, score in zip(TIMES, WAYS[way], strict=True):
            found += chips(score, time, way=way, **changes)
    return found
