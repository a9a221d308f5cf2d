"""Scores and their differences on the same images, over the units that a design has: blocks of
images that are each on a chip of their own, or whole chips.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from scipy import special

from noiseproof.results import blocks
from noiseproof.results.blocks import Units, scores_of
from noiseproof.results.rows import Row
from noiseproof.specs import is_share, parse
from noiseproof.stats import CONFIDENCE, Floats, Interval, chip_spread, t_interval


class Pairing(Protocol):
    """Units of one design, compared."""

    whom: str  # what intervals are for

    def score(self, rows: Sequence[Row]) -> Interval:
        """The mean score."""

    def difference(self, a: Sequence[Row], b: Sequence[Row]) -> Interval:
        """The mean of a minus b, unit by unit."""

    def mean(self, values: Floats, rows: Sequence[Row], *, confidence: float) -> Interval:
        """The mean of a value (B,) for each of the units."""


class OverBlocks:
    """Blocks of images."""

    whom = "new chips and new images"

    def score(self, rows: Sequence[Row]) -> Interval:
        """See `blocks`."""
        return blocks.accuracy_of(rows)

    def difference(self, a: Sequence[Row], b: Sequence[Row]) -> Interval:
        """See `blocks`."""
        return blocks.difference_of(a, b)

    def mean(self, values: Floats, rows: Sequence[Row], *, confidence: float) -> Interval:
        """See `blocks`."""
        return blocks.over_blocks(values, blocks.sizes_of(rows), confidence=confidence)


class OverChips:
    """Whole chips, all on the same images: t over chips, for new chips on these images. The clean
    network takes the place of as many chips as it is compared to."""

    whom = "new chips, this test set"

    def score(self, rows: Sequence[Row]) -> Interval:
        """Of one clean pass there is no spread, and no interval."""
        if rows[0].noise == "none" and len({row.chip for row in rows}) == 1:
            return Interval(mean=rows[0].score, low=math.nan, high=math.nan)
        return _bounded(over_chips(scores_of(rows), rows, confidence=CONFIDENCE), rows, 0)

    def difference(self, a: Sequence[Row], b: Sequence[Row]) -> Interval:
        """A chip minus that of the same number."""
        noisy = a if a[0].noise != "none" else b
        found = over_chips(scores_of(a) - scores_of(b), noisy, confidence=CONFIDENCE)
        return _bounded(found, noisy, -1)

    def mean(self, values: Floats, rows: Sequence[Row], *, confidence: float) -> Interval:
        """See `over_chips`."""
        return over_chips(values, rows, confidence=confidence)


def over_chips(values: Floats, rows: Sequence[Row], *, confidence: float) -> Interval:
    """t over one value (B,) per chip, the chips being those of `rows`. Equal values may hide a step
    of one image, as in `stats.chip_spread`, but for noise that makes all chips equal."""
    if np.ptp(values) or len(values) < 2:
        return t_interval(values, confidence=confidence)
    images, mean, half = rows[0].images, float(values[0]), 0.0
    if images and is_share(rows[0].task) and parse(rows[0].noise).is_random:
        hidden = chip_spread(values, images=images, of=images).sd.high
        reach = float(special.stdtrit(len(values) - 1, (1 + confidence) / 2))
        half = reach * hidden / math.sqrt(len(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def beside(clean: Units, chips: Iterable[int]) -> dict[int, Row]:
    """The clean network beside each of those chips: the same pass, or of a network that is random
    by itself one of several after the other, so that what they differ by is in every difference."""
    order = sorted(clean)
    return {chip: clean[order[chip % len(order)]] for chip in chips}


def _bounded(interval: Interval, rows: Sequence[Row], low: float) -> Interval:
    """Scores of named tasks lie between 0 and 1."""
    return interval.within(low, 1) if is_share(rows[0].task) else interval
