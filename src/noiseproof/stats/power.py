"""What can be told apart before anything is measured: the power of the t and of Welch's interval.

A difference is told apart where its interval excludes zero on its own side; that it does so on the
wrong side is not counted. Both powers are exact for normal values: the estimated variances, on
which the width depends, are integrated out, so that they hold for two or three trainings too.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from noiseproof.stats.intervals import CONFIDENCE, Floats

POWER = 0.8  # usual: in four of five experiments the difference is told apart
MOST = 1000  # values a side, beyond which nobody asks how many more
MANY, WIDE = 30, 8.5  # degrees of freedom; standard deviations of a normal variable
_NORMAL, _SHARES = np.polynomial.legendre.leggauss(160), np.polynomial.legendre.leggauss(64)


def t_power(difference: float, *, sd: float, n: int, confidence: float = CONFIDENCE) -> float:
    """How often the t interval of `n` values, or of `n` paired differences, excludes zero, where
    their true mean is `difference` and their standard deviation `sd`.

    Raises:
        ValueError: for n below 2, an sd below zero, or a confidence that is no share.
    """
    _check(n, sd, confidence)
    if not sd:
        return float(difference > 0)
    quantile = np.array([_quantile(confidence, np.array(n - 1.0))])
    return float(_beyond(quantile, n - 1, difference * math.sqrt(n) / sd)[0])


def welch_power(
    difference: float,
    *,
    sds: tuple[float, float],
    n: tuple[int, int],
    confidence: float = CONFIDENCE,
) -> float:
    """How often Welch's interval excludes zero, where the true means of two independent samples
    differ by `difference`.

    Raises:
        ValueError: as `t_power`.
    """
    for one, size in zip(sds, n, strict=True):
        _check(size, one, confidence)
    a, b = (one * one / size for one, size in zip(sds, n, strict=True))
    if not a + b:
        return float(difference > 0)
    f, g = n[0] - 1, n[1] - 1
    # The two estimated variances of the means are a and b times chi-squares over their degrees of
    # freedom. The first chi-square's share of the sum of both is a beta variable, and independent
    # of the sum (Lukacs 1955). Welch's quantile depends on the share alone; so, given the share,
    # the ratio is a noncentral t of f + g degrees, and the power its mean over the share.
    nodes, weights = _SHARES
    share = special.betaincinv(f / 2, g / 2, (nodes + 1) / 2)
    ours, theirs = a * share / f, b * (1 - share) / g
    total = ours + theirs
    squares = ours**2 / f + theirs**2 / g
    quantile = _quantile(confidence, total**2 / squares)
    limits = quantile * np.sqrt(total * (f + g) / (a + b))
    powers = _beyond(limits, f + g, difference / math.sqrt(a + b))
    return float(weights @ powers / 2)


def smallest_difference(power_at: Callable[[float], float], *, power: float = POWER) -> float:
    """The smallest difference above zero that has the power; `power_at` grows with it."""
    high = 1e-6
    while power_at(high) < power:
        high *= 2
        if high > 1e6:
            return math.inf
    low = 0.0 if high == 1e-6 else high / 2
    if power_at(low) >= power:
        return low
    return float(optimize.brentq(lambda one: power_at(one) - power, low, high, rtol=1e-6))


def fewest(power_at: Callable[[int], float], *, power: float = POWER, most: int = MOST) -> int:
    """The fewest values, two at least, that have the power; `most + 1` where `most` have not."""
    enough = 2
    while power_at(enough) < power:
        if enough == most:
            return most + 1
        enough = min(2 * enough, most)
    too_few = enough // 2 if enough > 2 else 1
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if power_at(middle) >= power else (middle, enough)
    return enough


def _beyond(limits: Floats, df: float, shift: float) -> Floats:
    """P(T > limit > 0) of the noncentral t, for each limit."""
    # One of the two variables of T is integrated by quadrature, the one in which the integrand is
    # flat: with many degrees the chi, with few the normal one. With one degree and Bonferroni's
    # confidence the limit is hundreds, where scipy's nct loses digits.
    if df > MANY:
        nodes, weights = _SHARES
        chi = np.sqrt(2 * special.gammaincinv(df / 2, (nodes + 1) / 2) / df)
        return np.asarray(special.ndtr(shift - limits[:, None] * chi) @ weights / 2)
    nodes, weights = _NORMAL
    z = WIDE * nodes
    above = np.maximum(shift + z, 0.0)
    inside = special.gammainc(df / 2, df / 2 * (above / limits[:, None]) ** 2)
    density = WIDE * weights * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return np.asarray(inside @ density)


def _quantile(confidence: float, df: Floats) -> Floats:
    return np.asarray(special.stdtrit(df, (1 + confidence) / 2))


def _check(n: int, sd: float, confidence: float) -> None:
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}: one value has no interval")
    if not sd >= 0:
        raise ValueError(f"sd must be >= 0, got {sd}: give a standard deviation")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
