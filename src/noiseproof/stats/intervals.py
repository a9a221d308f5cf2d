"""Intervals for accuracies measured on simulated chips. Pure numpy and scipy.

The unit of replication is the chip. `y` is always a matrix (K chips, N images) of hits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as sps

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its two-sided 95 % interval; nan where n is too small to give one."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """Mean and ends times `factor` > 0."""
        return Interval(mean=self.mean * factor, low=self.low * factor, high=self.high * factor)

    @property
    def turned(self) -> "Interval":
        """Of the quantity times -1."""
        return Interval(mean=-self.mean, low=-self.high, high=-self.low)

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high."""
        return self.low, self.high

    def within(self, low: float, high: float) -> "Interval":
        """The ends clipped to what the quantity can be."""
        ends = (float(np.clip(end, low, high)) for end in (self.low, self.high))
        return Interval(mean=self.mean, low=next(ends), high=next(ends))


def t_interval(values: Sequence[float] | Floats, *, confidence: float = CONFIDENCE) -> Interval:
    """Mean of independent values, one per chip, with Student's t interval (n - 1 degrees).

    For accuracies: new chips, this test set. One value gives no interval (nan), none no mean.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return Interval(mean=math.nan, low=math.nan, high=math.nan)
    half = _quantile(confidence, len(x) - 1) * sd(x) / math.sqrt(len(x))
    mean = float(x.mean())
    return Interval(mean=mean, low=mean - half, high=mean + half)


def sd(values: Sequence[float] | Floats) -> float:
    """Sample standard deviation (n - 1); nan for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def paired_interval(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, *, confidence: float = CONFIDENCE
) -> Interval:
    """Mean of a - b over the same chips, in the same order, with its t interval.

    Raises:
        ValueError: where the two are not equally many.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values must be equally many, got {len(a)} and {len(b)}")
    return t_interval(np.asarray(a) - np.asarray(b), confidence=confidence)


def welch_interval(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, *, confidence: float = CONFIDENCE
) -> Interval:
    """Mean of a minus mean of b, two independent samples whose variances may differ (Welch 1947);
    nan ends where one has fewer than two values."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not len(x) or not len(y):
        return Interval(mean=math.nan, low=math.nan, high=math.nan)
    mean = float(x.mean() - y.mean())
    if len(x) < 2 or len(y) < 2:
        return Interval(mean=mean, low=math.nan, high=math.nan)
    # Welch-Satterthwaite: each sample brings its own variance of the mean; the degrees of freedom
    # are those of a chi-square with the same mean and variance as their sum.
    parts = [float(np.var(one, ddof=1)) / len(one) for one in (x, y)]
    total = sum(parts)
    squares = sum(v * v / (len(one) - 1) for v, one in zip(parts, (x, y), strict=True))
    # Two constant samples have no variance at all: any degrees of freedom give the width zero.
    df = total * total / squares if squares else float(len(x) + len(y) - 2)
    half = _quantile(confidence, df) * math.sqrt(total)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def crossed_interval(y: Bools | Floats, *, confidence: float = CONFIDENCE) -> Interval:
    """Mean of y (K, N) with an interval for new chips and new images.

    Two-way random effects, y_ij = m + chip_i + image_j + e_ij, by the analysis of variance:
    Var(mean) = (MSA + MSB - MSE) / (KN), variance components below zero taken as zero, degrees of
    freedom by Satterthwaite 1946. Works for differences of two curves' hits too.
    """
    parts = _two_way(y)
    half = _quantile(confidence, parts.df(parts.msb)) * math.sqrt(parts.variance(parts.msb))
    return Interval(mean=parts.mean, low=parts.mean - half, high=parts.mean + half)


def chance_corrected(
    y: Bools | Floats, clean: Bools | Floats, *, chance: float, confidence: float = CONFIDENCE
) -> Interval:
    """(accuracy - chance) / (clean accuracy - chance) for new chips and new images.

    y (K, N) are hits on chips, `clean` (N,) the clean network's on the same images. The interval
    is Fieller's (1954) for a ratio, with the variance of both accuracies over images, their
    covariance, and the variance over chips. nan where the clean network is not clearly better than
    chance, since the ratio then has no bounded interval.
    """
    parts = _two_way(y)
    c = np.asarray(clean, dtype=np.float64)
    above, clean_above = parts.mean - chance, float(c.mean()) - chance
    ratio = above / clean_above if clean_above else math.nan
    if parts.k < 2 or parts.n < 2:
        return Interval(mean=ratio, low=math.nan, high=math.nan)
    # Chips and the clean network see the same images, so a lucky set of images lifts both: without
    # the covariance the interval of the ratio would be far too wide.
    covariance = np.cov(np.stack([parts.by_image, c]), ddof=1) / parts.n
    v_aa = parts.variance(parts.msb)
    t2 = _quantile(confidence, parts.df(parts.msb)) ** 2
    # Fieller: the ratio r is in the interval where (above - r clean_above)^2 <= t^2 Var(above - r
    # clean_above), a quadratic a r^2 - 2 b r + c <= 0. It is an interval only where a > 0, that is
    # where the clean network is told apart from chance.
    a = clean_above**2 - t2 * covariance[1, 1]
    b = above * clean_above - t2 * covariance[0, 1]
    inside = b * b - a * (above**2 - t2 * v_aa)
    # -1e-12: with equal hits on every image the discriminant is zero, and rounding decides its
    # sign.
    if not a > 0 or not clean_above > 0 or not inside > -1e-12:
        return Interval(mean=ratio, low=math.nan, high=math.nan)
    root = math.sqrt(max(inside, 0.0))
    return Interval(mean=ratio, low=float((b - root) / a), high=float((b + root) / a))


def low_quantile(values: Sequence[float] | Floats, share: float = 0.05) -> float:
    """The sample's `share` quantile (linear between order statistics): a description of the chips
    that were measured, without an interval."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), share))


def _quantile(confidence: float, df: float) -> float:
    return float(sps.t.ppf((1 + confidence) / 2, df)) if df > 0 else math.nan


@dataclass(frozen=True, kw_only=True)
class _TwoWay:
    k: int
    n: int
    mean: float
    by_image: Floats
    msa: float  # mean squares: chips, images, residual
    msb: float
    mse: float

    def variance(self, msb: float) -> float:
        # A mean square below the residual one is an estimated variance component below zero: as
        # zero.
        a, b = max(self.msa, self.mse), max(msb, self.mse)
        return (a + b - self.mse) / (self.k * self.n)

    def df(self, msb: float) -> float:
        if self.k < 2 or self.n < 2:
            return math.nan
        a, b = max(self.msa, self.mse), max(msb, self.mse)
        k1, n1 = self.k - 1, self.n - 1
        # Satterthwaite for a sum of three mean squares; never fewer than one degree of freedom.
        spread = a**2 / k1 + b**2 / n1 + self.mse**2 / (k1 * n1)
        return max(1.0, (a + b - self.mse) ** 2 / spread) if spread else float(k1)


def _two_way(y: Bools | Floats) -> _TwoWay:
    k, n = y.shape
    x = np.asarray(y, dtype=np.float64)
    by_chip, by_image, mean = x.mean(1), x.mean(0), float(x.mean())
    ssa = n * float(np.square(by_chip - mean).sum())
    ssb = k * float(np.square(by_image - mean).sum())
    # The residual by subtraction: rounding may leave it just below zero.
    sse = max(0.0, float(np.square(x - mean).sum()) - ssa - ssb)
    free = (k - 1, n - 1, (k - 1) * (n - 1))
    msa, msb, mse = (
        ss / df if df else math.nan for ss, df in zip((ssa, ssb, sse), free, strict=True)
    )
    return _TwoWay(k=k, n=n, mean=mean, by_image=by_image, msa=msa, msb=msb, mse=mse)
