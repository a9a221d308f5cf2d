"""Blocks of images, each image on a chip of its own, as the units of what is estimated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from noiseproof.results.rows import Row
from noiseproof.stats import CONFIDENCE, TAIL, Floats, Interval, binomial_interval, t_interval

Units = Mapping[int, Row]  # by the unit's number; a block is seen by unit b, then by unit B + b


def picked(units: Units, chosen: Sequence[int]) -> list[Row]:
    """The rows of those units, in that order."""
    return [units[unit] for unit in chosen]


def scores_of(rows: Sequence[Row]) -> Floats:
    """(B,)"""
    return np.array([row.score for row in rows])


def sizes_of(rows: Sequence[Row]) -> Floats:
    """How many images each saw (B,)."""
    return np.array([row.images for row in rows], dtype=np.float64)


def over_blocks(values: Floats, sizes: Floats, *, confidence: float = CONFIDENCE) -> Interval:
    """The mean over images, from one value (B,) per block and its number of images: a ratio, so
    that larger blocks weigh more (Cochran 1977), and t over blocks."""
    share = sizes / sizes.sum()
    mean = float(share @ values)
    # The linearised ratio: values whose plain mean is the ratio and whose spread is its error.
    return t_interval(mean + len(values) * share * (values - mean), confidence=confidence)


def accuracy_of(rows: Sequence[Row]) -> Interval:
    """For new images, and new chips where there are some. Where every image is a hit or every one
    a miss, Clopper and Pearson's interval."""
    hits, images = sum(row.correct or 0 for row in rows), sum(row.images for row in rows)
    # All blocks alike have no spread, and t would give an interval of no width.
    if hits in (0, images):
        return binomial_interval(hits, images)
    return over_blocks(scores_of(rows), sizes_of(rows)).within(0, 1)


def difference_of(a: Sequence[Row], b: Sequence[Row]) -> Interval:
    """Accuracy of a minus b, paired on the same images. Where not one image changed sides, the ends
    are the shares of changing images that would stay unseen so often (Clopper and Pearson)."""
    sizes = sizes_of(a)
    if all(x.hits == y.hits for x, y in zip(a, b, strict=True)):
        # (1 - most)^n = TAIL: at this share of changing images none
        # of n shows with that probability.
        most = 1 - TAIL ** (1 / float(sizes.sum()))
        return Interval(mean=0.0, low=-most, high=most)
    return over_blocks(scores_of(a) - scores_of(b), sizes).within(-1, 1)


def together(rows: Sequence[Row]) -> Row:
    """The rows of all blocks as one row of the whole, without hits."""
    images = sum(row.images for row in rows)
    return replace(
        rows[0],
        part="all",
        chip=0,
        images=images,
        score=sum(row.score * row.images for row in rows) / images,
        correct=None,
        hits=b"",
        nonfinite=sum(row.nonfinite for row in rows),
        seconds=sum(row.seconds for row in rows),
        details="{}",
    )
