"""How chips differ: their sd, quantiles and yield, each with its interval. Pure numpy and scipy.

Every interval is for new chips on this test set. Where each chip saw only a sample of the test set
(its own, without replacement), what that sample adds to the spread is taken out again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from noiseproof.stats.intervals import CONFIDENCE, Floats, Interval, t_interval

TAIL = (1 - CONFIDENCE) / 2
NORMAL = float(special.ndtri(1 - TAIL))
FEWEST = 5  # values from which a kurtosis is estimated at all


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What K chips say of chips like them; `sd` is the standard deviation of their true scores, 0
    where the scores differ no more than the samples of images would let them."""

    mean: Interval
    sd: Interval
    exact: bool  # every chip saw the whole test set
    marks: Floats  # (K,) sorted: the scores, or the arcsines of their roots where not exact
    center: Interval  # the mean of the marks
    shrink: Interval  # true sd / observed sd of the marks

    def quantile(self, share: float) -> Interval:
        """The score that a share of chips stays below: 0.05 for the worst chips.

        The ends rest on order statistics, whatever the law of chips, interpolated as in Nyblom
        1992. An end beyond the chips' reach is nan: below 72 chips the lower end at 0.05.

        Raises:
            ValueError: unless 0 < share < 1.
        """
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}: 0.05 for a low tail")
        # Chips seen through samples lie further apart than they are: the distance from the middle
        # shrinks by true sd over observed sd, whatever the law, as it would for normal chips.
        away = _sample_quantile(self.marks, share) - self.center.mean
        mean = self._score(self.center.mean + self.shrink.mean * away)
        low, high = self._score(self._low(share)), self._score(self._high(share))
        return Interval(mean=mean, low=low, high=high)

    def above(self, threshold: float) -> Interval:
        """The yield: the share of chips whose true score is >= threshold.

        The interval holds the shares at which the quantile's interval holds the threshold: that of
        Clopper and Pearson 1934, but interpolated between chips. nan for fewer than two chips.

        Raises:
            ValueError: where the threshold is nan.
        """
        if math.isnan(threshold):
            raise ValueError("threshold must be a number, got nan: give the least score wanted")
        if len(self.marks) < 2:
            return Interval(mean=math.nan, low=math.nan, high=math.nan)
        at = self._mark(threshold)
        shrunk = self.center.mean + self.shrink.mean * (self.marks - self.center.mean)
        share = float((shrunk >= at).mean())
        # Both ends invert the quantile's interval: the yield is 1 - below for every share `below`
        # whose quantile may be the threshold. Not `<=`, since an end that is nan (beyond the chips'
        # reach) rules nothing out.
        low = min(share, 1 - _last(lambda below: not self._low(below) > at))
        high = max(share, 1 - _last(lambda below: self._high(below) < at))
        return Interval(mean=share, low=low, high=high)

    def below(self, threshold: float) -> Interval:
        """The share of chips whose true score is <= threshold: the yield where lower is better.

        Raises:
            ValueError: where the threshold is nan, and for chips that were seen through samples.
        """
        assert self.exact, "scores of samples are shares of hits, of which higher is better"
        # Turned round, lower is higher: one rule for both, ties and ends included.
        turned = replace(self, marks=-self.marks[::-1], center=self.center.turned)
        return turned.above(-threshold)

    def _low(self, share: float) -> float:
        return self._end(share, self.marks, 1)

    def _high(self, share: float) -> float:
        # The upper end of a quantile is the lower end of the mirrored one among mirrored chips.
        return -self._end(1 - share, -self.marks[::-1], -1)

    def _end(self, share: float, marks: Floats, sign: int) -> float:
        """The lower end of a quantile of the marks (times sign): nan where there is none.

        The quantile is center + shrink (sample quantile - center). Each of the three has an
        end of its own; their distances add as correlated errors do (MOVER, Zou 2007), with the
        correlations of normal chips.
        """
        from_order = _order_end(marks, share)
        if self.exact or math.isnan(from_order):
            return from_order
        rho, center = self.shrink.mean, sign * self.center.mean
        sample = _sample_quantile(marks, share)
        z, away = float(special.ndtri(share)), sample - center
        # The standard error of a normal sample's quantile, sqrt(p (1-p)) / density, over that of
        # its mean. One over it is the correlation of quantile and mean, |z| / sqrt(2) over it that
        # of quantile and sd; mean and sd of normal chips are independent.
        tail = math.sqrt(2 * math.pi * share * (1 - share)) * math.exp(z * z / 2)
        a = rho * (sample - from_order)
        # Below the middle it is the larger shrink that reaches further down.
        b = abs(away) * (self.shrink.high - rho if away < 0 else rho - self.shrink.low)
        c = (1 - rho) * (self.center.mean - self.center.low)
        squares = a * a + b * b + c * c + 2 * a * (b * abs(z) / math.sqrt(2) + c) / tail
        return center + rho * away - math.sqrt(squares)

    def _mark(self, score: float) -> float:
        if not self.exact:
            return math.asin(math.sqrt(min(1.0, max(0.0, score))))
        lower = self.marks[self.marks < score]
        # A tie counts as above, so the line is drawn between it and the next lower chip.
        tied = len(lower) < len(self.marks) and self.marks[len(lower)] == score
        return float(score + (lower[-1] if len(lower) else score - 1)) / 2 if tied else score

    def _score(self, mark: float) -> float:
        if self.exact or math.isnan(mark):
            return mark
        return math.sin(min(math.pi / 2, max(0.0, mark))) ** 2


def chip_spread(scores: Sequence[float] | Floats, *, images: int, of: int) -> Spread:
    """The spread of K chips, from their scores (K,) on `images` of the test set's `of` images.

    With images == of a score is the chip's own and may be any number. Otherwise it is a share of
    hits in a sample drawn without replacement, each chip its own, of binomial variance with the
    finite population's correction.

    Raises:
        ValueError: for no scores, scores that are not finite, impossible numbers of images, or
            scores on a sample that are not shares.
    """
    x = np.sort(np.asarray(scores, dtype=np.float64))
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f"scores must be at least one finite number, got {list(scores)}")
    if not 1 <= images <= of:
        raise ValueError(f"images must be between 1 and the test set's {of}, got {images}")
    # The mean needs no correction: samples of one size add noise to it, not bias, and that noise is
    # in the spread that the interval is made from.
    mean = t_interval(x)
    if images == of:
        whole, sd = Interval(mean=1.0, low=1.0, high=1.0), _sd_seen(x, of)
        return Spread(mean=mean, sd=sd, exact=True, marks=x, center=mean, shrink=whole)
    if not (x[0] >= 0 and x[-1] <= 1):
        raise ValueError(
            f"scores on {images} of {of} images must be shares of hits from 0 to 1,"
            f" got {x[0]} to {x[-1]}: measure other scores on the whole test set"
        )
    # With 1/4 added to hits and misses the arcsine is unbiased to order 1 / images.
    hits = _untied(x * images) + 0.25
    marks = np.arcsin(np.sqrt(np.clip(hits / (images + 0.5), 0, 1)))
    # 1 / (4 n) is the variance of an arcsine whatever the share of hits; the first factor is the
    # finite population's, of images drawn without replacement.
    shrink = _shrink(marks, (of - images) / (of - 1) / (4 * images))
    mean, sd, center = mean.within(0, 1), _sd_beneath(x, images, of), t_interval(marks)
    return Spread(mean=mean, sd=sd, exact=False, marks=marks, center=center, shrink=shrink)


def _untied(hits: Floats) -> Floats:
    """Sorted hits (K,) with equal ones spread evenly over their unit step: order statistics of a
    coarse grid jump, and the draw of images has blurred the true scores far more than this."""
    _, place, counts = np.unique(hits, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    return hits + (np.arange(len(hits)) - before[place] + 0.5) / counts[place] - 0.5


@dataclass(frozen=True, kw_only=True)
class BlockEstimate:
    """The mean score where each image has a chip of its own, for new chips: on new images and on
    this test set, there with nan ends until every block was measured and one of them twice."""

    new_images: Interval
    this_test_set: Interval


def block_interval(
    scores: Sequence[float] | Floats,
    blocks: Sequence[int],
    sizes: Sequence[int],
    *,
    total_blocks: int,
) -> BlockEstimate:
    """Both intervals from units: the score, the block and the number of images of each.

    A block that was passed over again, with fresh noise, comes again; passes may be incomplete.
    New images: t over the blocks' averages, weighted by size as a ratio (Cochran 1977). This test
    set: stratified by block, t with the pooled variance within blocks. Where every image is a hit
    or every one a miss, Clopper and Pearson's interval takes the place of both.

    Raises:
        ValueError: for no units, unequal lengths, sizes below 1 or more blocks than total_blocks.
    """
    x, size = np.asarray(scores, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if not len(x) == len(blocks) == len(size) > 0:
        got = f"{len(x)}, {len(blocks)} and {len(size)}"
        raise ValueError(f"scores, blocks and sizes must be equally many, at least 1, got {got}")
    if not (size >= 1).all():
        raise ValueError(f"sizes must be at least 1 image, got {size.min():g}")
    _, place, repeats = np.unique(blocks, return_inverse=True, return_counts=True)
    count = len(repeats)
    if count > total_blocks:
        raise ValueError(f"blocks must be at most total_blocks, {total_blocks}, got {count}")
    averages, images = (np.bincount(place, of) / repeats for of in (x, size))
    share = images / images.sum()
    mean = float(share @ averages)
    # A ratio of two random sums, of hits and of images: its residuals, linearised.
    over_blocks = t_interval(mean + count * share * (averages - mean))
    # Degrees of freedom of the noise alone: how often a block was passed over once more.
    again = len(x) - count if count == total_blocks else 0
    within = float(np.square(x - averages[place]).sum()) / again if again else math.nan
    reach = float(special.stdtrit(max(1, again), 1 - TAIL))
    # Stratified: each block's average has its share of the images, squared, and its own number of
    # passes; one variance for all of them, as most blocks come once or twice.
    half = reach * math.sqrt(within * float((share**2 / repeats).sum()))
    mean = over_blocks.mean  # the same, to the last digit
    here = Interval(mean=mean, low=mean - half, high=mean + half)
    if within == 0:  # no miss among the blocks that came again: the wider interval holds too
        here = over_blocks
    if x.min() == x.max() and x[0] in (0, 1):
        over_blocks = binomial_interval(mean * round(images.sum()), round(images.sum()))
        here = binomial_interval(mean * size.sum(), int(size.sum())) if again else here
    return BlockEstimate(new_images=over_blocks, this_test_set=here)


def _sd_seen(x: Floats, of: int) -> Interval:
    """The sd of scores that are known exactly; equal scores may hide one grid step of 1 / of."""
    variance = _variance(x)
    if len(x) > 1 and not np.ptp(x):
        # Equal scores of k chips have probability inside^k where each falls on the step with
        # probability `inside`; where that is the tail's, the sd is at its end.
        inside = TAIL ** (1 / len(x))  # so likely, at the end, is one chip to fall on the step
        return Interval(mean=0, low=0, high=0.5 / of / float(special.ndtri((1 + inside) / 2)))
    return _rooted(variance.mean, variance.low, variance.high)


def _sd_beneath(x: Floats, images: int, of: int) -> Interval:
    """The sd of true scores: the variance seen, less that of drawing the images."""
    # Divided by images - 1: the mean of x (1 - x) over samples falls short of the true one by that.
    drawing = (1 - images / of) / max(1, images - 1)
    noise = drawing * float(np.mean(x * (1 - x)))
    if not np.ptp(x):  # all hits or all misses show no noise: as much as the mean's bound allows
        share = binomial_interval(float(x[0]) * len(x) * images, len(x) * images)
        edge = min(max(0.5, share.low), share.high)
        noise = drawing * edge * (1 - edge)
    total = _variance(x, least=noise)
    return _rooted(*(v - noise for v in (total.mean, total.low, total.high)))


def _shrink(marks: Floats, noise: float) -> Interval:
    """True sd / observed sd where `noise` is the variance that drawing images adds."""
    total = _variance(marks, least=noise)
    ends = (total.mean, total.low, total.high)
    return _rooted(*(1 - noise / v if v else 0.0 for v in ends))


def binomial_interval(hits: float, trials: int) -> Interval:
    """The share of hits in independent trials, with the interval of Clopper and Pearson 1934."""
    low = special.betaincinv(hits, trials - hits + 1, TAIL) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, trials - hits, 1 - TAIL) if hits < trials else 1.0
    return Interval(mean=hits / trials, low=float(low), high=float(high))


def _variance(x: Floats, *, least: float = 0.0) -> Interval:
    """The sample's variance with its interval; the high end as of a variance of at least `least`,
    since less was chance."""
    variance = float(np.var(x, ddof=1)) if len(x) > 1 else math.nan
    low, high = _variance_factors(x)
    return Interval(mean=variance, low=variance * low, high=max(variance, least) * high)


def _variance_factors(x: Floats) -> tuple[float, float]:
    """Ends of a variance's interval over its estimate, by Bonett 2006: log scale, kurtosis about a
    trimmed mean, here with the bias correction of a sample's excess. Chi-square below FEWEST."""
    k = len(x)
    deviations = float(np.square(x - x.mean()).sum())
    if k < 2:
        return math.nan, math.nan
    if k < FEWEST:
        chi = special.chdtri(k - 1, [TAIL, 1 - TAIL])
        return (k - 1) / float(chi[0]), (k - 1) / float(chi[1])
    # Bonett trims 1 / (2 sqrt(k - 4)) of the chips at each end, so that a few far ones do not move
    # the middle that the fourth powers are taken about.
    cut = min(int(k / (2 * math.sqrt(k - 4))), (k - 1) // 2)
    middle = float(np.sort(x)[cut : k - cut].mean())
    fourth = float(np.square(np.square(x - middle)).sum())
    excess = k * fourth / deviations**2 - 3 if deviations else 0.0
    kurtosis = 3 + (k - 1) / ((k - 2) * (k - 3)) * ((k + 1) * excess + 6)
    correction = k / (k - NORMAL)
    # Of two values half and half the kurtosis is 1 and the root would be zero: the floor keeps such
    # an interval from having no width.
    error = correction * math.sqrt(max(0.2, kurtosis - (k - 3) / k) / (k - 1))
    return correction * math.exp(-NORMAL * error), correction * math.exp(NORMAL * error)


def _rooted(mean: float, low: float, high: float) -> Interval:
    """Roots, of what is below zero 0."""
    mean, low, high = (math.sqrt(v if not v < 0 else 0.0) for v in (mean, low, high))
    return Interval(mean=mean, low=low, high=high)


def _sample_quantile(x: Floats, share: float) -> float:
    """Of sorted x (K,), median-unbiased whatever the law (Hyndman and Fan 1996, type 8)."""
    k = len(x)
    return float(np.interp((k + 1 / 3) * share - 2 / 3, np.arange(k), x))


def _order_end(x: Floats, share: float) -> float:
    """The lower end of a quantile from sorted x (K,), by Nyblom 1992; nan where x_1 is too high."""
    k, wanted = len(x), 1 - TAIL
    # x_r lies below the quantile if at least r of k chips do: a binomial tail, for any law.
    sure = special.bdtrc(np.arange(k), k, share)  # that x_r, r from 1, is below the quantile
    r = int((sure >= wanted).sum())
    if not r:
        return math.nan
    if r == k:
        return float(x[-1])
    over, under = float(sure[r - 1]) - wanted, wanted - float(sure[r])
    # Between the last order statistic that is sure enough and the next, so that the coverage is
    # nearly the wanted one and not that of the next smaller step.
    odds = r * (1 - share) * under / ((k - r) * share)
    weight = over / (over + odds)
    return float((1 - weight) * x[r - 1] + weight * x[r])


def _last(holds: Callable[[float], bool]) -> float:
    """The share up to which `holds` holds: 0 where nowhere, 1 where everywhere."""
    low, high = 0.0, 1.0
    for _ in range(20):  # to a millionth
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low if low < 0.5 else high  # the end itself, where that is 0 or 1
