"""Means and variances of weights read back from devices, worked out from the published formulas and
constants without any of the package's code: in closed form, or by integrals over one variable."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

Moments = tuple[float, float]  # mean, variance
DAY = 86400.0
X = np.linspace(-9, 9, 18001)  # a standard normal variable
P = np.exp(-(X**2) / 2) / math.sqrt(2 * math.pi) * (X[1] - X[0])


def rectified(mean: float, sd: float) -> tuple[float, float]:
    """First and second moment of max(N(mean, sd^2), 0)."""
    if sd == 0:
        return max(mean, 0.0), max(mean, 0.0) ** 2
    z = mean / sd
    density, below = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), float(ndtr(z))
    return mean * below + sd * density, (mean**2 + sd**2) * below + mean * sd * density


def polynomial(*coefficients: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: sum(c * np.asarray(x, float) ** k for k, c in enumerate(coefficients))


def log_clip(a: float, b: float, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda r: np.clip(a * np.log(np.maximum(r, 1e-7)) + b, low, high)


def below(edge: float, one: Callable, other: Callable) -> Callable[[np.ndarray], np.ndarray]:
    return lambda r: np.where(np.asarray(r) < edge, one(r), other(r))


PCM_LAWS = {  # g_max, t0, t_read; sd of programming (uS), mean and sd of nu, Q; all of r
    "pcm": (
        *(25.0, 20.0, 250e-9),
        polynomial(0.26348, 1.965, -1.1731),
        log_clip(-0.0155, 0.0244, 0.049, 0.1),
        log_clip(-0.0125, -0.0059, 0.008, 0.045),
        lambda r: np.minimum(0.0088 / np.maximum(np.asarray(r, float) ** 0.65, 1e-3), 0.2),
    ),
    "hermes": (
        *(20.7, 300.0, 512e-9),
        polynomial(0.16603222, 4.71806468, -8.48101252, 4.68961419),
        below(
            0.0945,
            log_clip(-0.0387, -0.0182, 0.072, 0.13),
            polynomial(0.0736, -0.0126, -0.0436),
        ),
        below(
            0.3055,
            log_clip(-0.0117, -0.0057, 0.0091, 0.04),
            polynomial(0.0073, 0.0093, -0.0118),
        ),
        below(
            0.16,
            log_clip(-0.0117, -0.0069, 0.015, 0.04),
            polynomial(0.0123, 0.0211, -0.0280, 0.0069),
        ),
    ),
    "hermes1": (
        *(10.35, 200.0, 512e-9),
        polynomial(0.15781817, 2.32443916, -2.16310839, 0.68841818),
        below(
            0.0945,
            log_clip(-0.0387, -0.0182, 0.072, 0.13),
            polynomial(0.0736, -0.0126, -0.0436),
        ),
        below(
            0.3039,
            log_clip(-0.0120, -0.0023, 0.0124, 0.04),
            polynomial(0.0104, 0.0116, -0.0165),
        ),
        below(
            0.1591,
            log_clip(-0.0078, 0.0038, 0.0179, 0.04),
            polynomial(0.0088, 0.0768, -0.1352, 0.0664),
        ),
    ),
}


def pcm_device(name: str, r: float, time: float | None) -> tuple[float, float]:
    """First and second moment of one device's conductance over g_max."""
    g_max, t0, t_read, sd, nu_mean, nu_sd, q = PCM_LAWS[name]
    if time is None:
        first, second = rectified(r * g_max, float(sd(r)))
        return first / g_max, second / g_max**2
    r_p = np.maximum(r + sd(r) / g_max * X, 0)
    nu = np.abs(nu_mean(r) + nu_sd(r) * X)
    decay = [np.sum(P * (1 + time / t0) ** (-k * nu)) for k in (1, 2)]
    size = q(r_p) * math.sqrt(math.log((time + t0 + t_read) / (2 * t_read)))
    noisy = np.array([rectified(1.0, float(s)) for s in size[::20]])  # smooth: every 20th is plenty
    factor = [np.interp(X, X[::20], noisy[:, k]) for k in (0, 1)]
    return (
        float(np.sum(P * r_p * factor[0]) * decay[0]),
        float(np.sum(P * r_p**2 * factor[1]) * decay[1]),
    )


def pair(w: float, device: Callable[[float], tuple[float, float]]) -> Moments:
    """Of g+ - g-, where `device` gives the moments of one device (over the range of g) by |w|."""
    (big, big2), (small, small2) = device(abs(w)), device(0.0)
    return math.copysign(1, w) * (big - small), big2 - big**2 + small2 - small**2


def gaussian_pair(
    w: float, g_min: float, g_max: float, sd: Callable, shift: Callable = lambda g: 0.0
) -> Moments:
    """Both devices rectified Gaussians: moved by `shift` of the target, then `sd` of that."""

    def device(share: float) -> tuple[float, float]:
        g = g_min + share * (g_max - g_min)
        moved = g + float(shift(g))
        first, second = rectified(moved, float(sd(moved)))
        return first / (g_max - g_min), second / (g_max - g_min) ** 2

    return pair(w, device)


WAN = {  # uS, of r = g / 40
    1.0: polynomial(0.348, 16.030, -43.853, 45.393, -16.815),
    DAY: polynomial(0.701, 22.086, -50.773, 47.095, -16.458),
    2 * DAY: polynomial(0.782, 20.274, -43.507, 37.062, -11.934),
}


def wan(w: float, time: float | None) -> Moments:
    time = max(time or 1.0, 1.0)
    low, high = (1.0, DAY) if time <= DAY else (DAY, 2 * DAY)
    share = math.log(time / low) / math.log(high / low)
    return gaussian_pair(
        w, 0, 40, lambda g: (1 - share) * WAN[low](g / 40) + share * WAN[high](g / 40)
    )


def cmo(w: float, time: float | None, c0: float, c1: float) -> Moments:
    """One device between 9 and 88.2 uS."""
    half, middle = 39.6, 48.6
    g = middle + w * half
    mean, variance = g, (c0 + c1 * g) ** 2
    if time is None:
        return (mean - middle) / half, variance / half**2
    if time > 0:
        mean -= 0.089002 * math.log(time)
        variance += (0.04201137 * math.log(time) + 0.41183342) ** 2
    drawn = mean + math.sqrt(variance) * X
    gathered = math.sqrt(max(math.log((time + 1e-6) / 2e-6), 0))
    read = 0.0277316483 * np.log10(np.maximum(drawn, 1)) * gathered
    every = slice(None, None, 20)
    pairs = zip(drawn[every], read[every], strict=True)
    moments = np.array([clipped(mean, sd, 9.0, 88.2) for mean, sd in pairs])
    first, second = (float(np.sum(P[every] * moments[:, k]) * 20) for k in (0, 1))
    return (first - middle) / half, (second - first**2) / half**2


def clipped(mean: float, sd: float, low: float, high: float) -> tuple[float, float]:
    """First and second moment of N(mean, sd^2) clipped to its ends."""
    if sd == 0:
        value = min(max(mean, low), high)
        return value, value**2
    a, b = (low - mean) / sd, (high - mean) / sd
    inside = float(ndtr(b) - ndtr(a))
    da, db = (math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (a, b))
    first = low * float(ndtr(a)) + high * float(ndtr(-b)) + mean * inside + sd * (da - db)
    second = (
        *(low**2 * float(ndtr(a)), high**2 * float(ndtr(-b)), (mean**2 + sd**2) * inside),
        *(sd * (mean + low) * da, -sd * (mean + high) * db),
    )
    return first, sum(second)


def afm(w: float) -> Moments:
    """Noise of the whole weight, which may change its sign."""
    g = 180 * abs(w)
    if g < 0.6:
        return 0.0, 0.0
    one = polynomial(2.579741, 0.2241969, -3.715812e-3, 2.939751e-5)
    two = polynomial(2.110296, 0.2453487, -3.054993e-3, 1.232976e-5)
    return w, (float((one if g <= 52.5 else two)(g)) / 180) ** 2


SONOS_SD = {0: (19.88665, 176.3115), 1: (25.59102, 186.85544), 5: (34.57909, 207.34309)}
SONOS_SHIFT = {
    1: (
        *(1.72684e-01, 5.72552e-02, -6.85715e-04, 3.50271e-06, -9.37682e-09, 1.40575e-11),
        *(-1.19803e-14, 5.41293e-18, -8.85448e-22, -1.66869e-25, 5.95180e-29),
    ),
    5: (
        *(3.19927e-01, 1.06596e-01, -1.04054e-03, 4.50290e-06, -1.10352e-08, 1.56477e-11),
        *(-1.27592e-14, 5.45513e-18, -7.26841e-22, -2.43893e-25, 7.14608e-29),
    ),
}


def sonos(w: float, time: float | None) -> Moments:
    """At 0, 1 and 5 days, and linear between 0 and 1."""
    days = (time or 0.0) / DAY
    if days == 5:
        a, b = SONOS_SD[5]
        shift = polynomial(*SONOS_SHIFT[5])
        return gaussian_pair(w, 0, 1600, lambda i: a * (1 - np.exp(-i / b)), shift)
    assert days <= 1
    (a, b), (c, d) = SONOS_SD[0], SONOS_SD[1]
    return gaussian_pair(
        w,
        0,
        1600,
        lambda i: (1 - days) * a * (1 - np.exp(-i / b)) + days * c * (1 - np.exp(-i / d)),
        polynomial(*(days * k for k in SONOS_SHIFT[1])),
    )


REFERENCES: dict[str, Callable[[float, float | None], Moments]] = {
    "afm": lambda w, time: afm(w),
    "ideal": lambda w, time: (w, 0.0),
    "pcm_joshi": lambda w, time: gaussian_pair(
        w, 0.25, 25, polynomial(0.28638599, 0.07585724, -0.00178767)
    ),
    "reram_cmo": lambda w, time: cmo(w, time, 0.00081107, 0.00106879),
    "reram_cmo_2pct": lambda w, time: cmo(w, time, 0.0112185391, 0.01129027418),
    "reram_wan": wan,
    "reram_wan_cubic": lambda w, time: gaussian_pair(
        w, 0, 39, polynomial(1.053, 0.2374, -1.167e-2, 1.536e-4)
    ),
    "rram_milo": lambda w, time: gaussian_pair(w, 50, 225, polynomial(4.782321, -0.009107)),
    "sonos": sonos,
    **{
        name: lambda w, time, name=name: pair(w, lambda r: pcm_device(name, r, time))
        for name in PCM_LAWS
    },
}
