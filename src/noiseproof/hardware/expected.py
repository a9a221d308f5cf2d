"""What a device that drifts is expected to read: means, variances and covariances, by integrals.

g_p = max(g + sd(g) xi_1, 0); read at time t: max(g_p (T/t0)^-nu (1 + Q(g_p) c xi_3), 0), with
nu = |mean(g) + sd(g) xi_2|, T = t + t0, c^2 = ln((T + t_read) / (2 t_read)).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr

Array = Any
_X: Array = np.linspace(-6, 6, 121)
_P: Array = np.exp(-(_X**2) / 2)
_P /= _P.sum()


@dataclass(frozen=True)
class Drifting:
    """The four curves as values at `knots` (linear between them), and the constants. `frozen`: a
    device's read noise is one draw for all times, instead of one for each reading."""

    knots: Array
    sd: Array
    nu_mean: Array
    nu_sd: Array
    q: Array
    t0: float
    t_read: float
    frozen: bool


@dataclass(frozen=True)
class Expected:
    """By target and column: means, variances; and covariances of pairs of columns."""

    means: Array
    variances: Array
    covariances: dict[tuple[int, int], Array]


def expected(
    law: Drifting, g: Array, times: Sequence[float], pairs: Sequence[tuple[int, int]]
) -> Expected:
    """Of targets `g` at `times` (s; nan is just programmed, without read noise)."""
    curves: Array = [np.interp(g, law.knots, c) for c in (law.sd, law.nu_mean, law.nu_sd)]
    sd, mean, nu_sd = curves
    programmed = np.maximum(g[:, None] + sd[:, None] * _X, 0)
    q = np.interp(programmed, law.knots, law.q)
    ages = [0.0 if math.isnan(time) else math.log1p(time / law.t0) for time in times]
    sizes = [q * _gathered(law, time) for time in times]
    rectified = [_rectified(size) for size in sizes]
    firsts = [r[0] for r in rectified]
    weighted = programmed * _P
    squared = programmed * weighted
    means = [
        _decay(age, mean, nu_sd) * (weighted * first).sum(1)
        for age, first in zip(ages, firsts, strict=True)
    ]
    seconds = [
        _decay(2 * age, mean, nu_sd) * (squared * r[1]).sum(1)
        for age, r in zip(ages, rectified, strict=True)
    ]
    covariances = {}
    for c, d in pairs:
        both = firsts[c] * firsts[d]
        if law.frozen:
            both = _rectified(np.sqrt(sizes[c] * sizes[d]))[1]
        product = _decay(ages[c] + ages[d], mean, nu_sd) * (squared * both).sum(1)
        covariances[c, d] = product - means[c] * means[d]
    stacked = np.stack(means, 1)
    return Expected(stacked, np.stack(seconds, 1) - stacked**2, covariances)


def _gathered(law: Drifting, time: float) -> float:
    if math.isnan(time):
        return 0.0
    return math.sqrt(math.log((time + law.t0 + law.t_read) / (2 * law.t_read)))


def _decay(age: float, mean: Array, sd: Array) -> Array:
    """E exp(-age |x|), x normal."""
    if age == 0:
        return np.ones_like(mean)
    sd = np.maximum(sd, 1e-9)
    half = (age * sd) ** 2 / 2
    z = mean / sd
    return np.exp(half - age * mean + log_ndtr(z - age * sd)) + np.exp(
        half + age * mean + log_ndtr(-z - age * sd)
    )


def _rectified(size: Array) -> tuple[Array, Array]:
    """First and second moment of max(1 + size xi, 0)."""
    if size.max(initial=0) < 0.15:  # a clip beyond six standard deviations
        return np.ones_like(size), 1 + size**2
    size = np.maximum(size, 1e-9)
    z = 1 / size
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    inside = ndtr(z)
    return inside + size * density, (1 + size**2) * inside + size * density


def unrectified(mean: float, sd: float) -> tuple[float, float]:
    """The normal law (mean, sd) whose part below 0 was set to 0, from what is left of it: mean and
    standard deviation after that."""
    if sd <= 0 or mean > 4 * sd:
        return mean, max(sd, 0.0)
    wanted = 1 + (sd / mean) ** 2 if mean > 0 else math.inf

    def ratio(z: float) -> float:
        first = z * ndtr(z) + math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return float(((z**2 + 1) * ndtr(z) + z * (first - z * ndtr(z))) / first**2)

    low, high = -4.0, 6.0
    for _ in range(60):  # the ratio falls with z
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) > wanted else (low, middle)
    z = (low + high) / 2
    first = z * ndtr(z) + math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    scale = float(mean / first)
    return z * scale, scale
