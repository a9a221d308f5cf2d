"""A device from its readings: the curves of its law, what is not known of them, and a verdict.

Two laws are tried. `drift`: programming, a power law of time, and 1/f noise; it says what comes
after the last reading. `states`: mean and spread of each target at each time that was read, which
suits any device, and says nothing beyond them. The first is taken where it tells the readings'
moments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import norm

from noiseproof.core.documents import validated
from noiseproof.hardware.devices import Device
from noiseproof.hardware.expected import Drifting, Expected, expected, unrectified
from noiseproof.hardware.readings import (
    Bin,
    Measured,
    Moment,
    Readings,
    measured,
    reading_times,
    thin_lines,
)
from noiseproof.specs.times import time_text

MOST_KNOTS = 10
_USUAL_T0 = 20.0
Array = Any
_FALSE_ALARM = 1e-3
_MISFIT = {"mean": 0.004, "variance": 0.1, "covariance": 0.1}
"""What a law may miss whatever the errors are: of means, of g_max; of others, of the variance. With
very many readings, straight lines between knots would else be refused."""


@dataclass(frozen=True)
class Estimate:
    """One value of a curve: `curve` at conductance `g`, with its standard error (nan where the
    value is at its bound of 0)."""

    curve: str
    g: float
    value: float
    error: float


@dataclass(frozen=True)
class Fit:
    """The `device`, what it is made of, what it says of the readings' moments, and what is to be
    known of it."""

    device: Device
    law: str
    estimates: tuple[Estimate, ...]
    measured: Measured
    told: tuple[tuple[float, ...], ...]  # by bin, in the order of its moments
    verdict: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What readings do not say. `t0`: None is fitted.

    Raises:
        ValueError: for a range of conductances that is none, and times that are not positive.
    """

    name: str
    source: str
    g_min: float
    g_max: float
    t0: float | None = None
    t_read: float = 250e-9

    def __post_init__(self) -> None:
        for name, value in (("t0", self.t0), ("t_read", self.t_read)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be finite and > 0 s, got {value:g}")
        if not 0 <= self.g_min < self.g_max < math.inf:
            raise ValueError(
                f"g_min must be >= 0 and < g_max, got {self.g_min:g} and {self.g_max:g}: give "
                "--g-min and --g-max, or readings of more than one target"
            )


def fit_device(readings: Readings, setting: Setting) -> Fit:
    """The device that `readings` are of.

    Raises:
        ValueError: for too few readings.
    """
    found = measured(readings)
    thin = thin_lines(found, readings)
    if (readings.read < 0).any():
        note = "some readings are negative: the law is one of whole weights, programming alone"
        return _states(found, setting, (note, *thin), law_of="weight")
    if len(reading_times(found)) < 2:
        note = (
            "readings at one time: nothing is known of drift, and their noise counts as programming"
        )
        return _states(found, setting, (note, *thin))
    best = _drift(found, setting, _CURVES, frozen=False)
    if any(m.kind == "covariance" for one in found.bins for m in one.moments):
        other = _drift(found, setting, _CURVES, frozen=True)
        # That readings are independent is given up for evidence alone.
        best = other if other.cost < best.cost - 20 else best
    seen = tuple(name for name in _CURVES if name == "program.sd" or _is_seen(best, name))
    unseen = [_unseen(best, name) for name in ("drift.mean", "read.q") if name not in seen]
    if unseen:
        best = _drift(found, setting, seen, frozen=best.law.frozen)
    if wrong := _misfits(found, best.told, setting):
        note = f"a power law of time does not tell these readings ({wrong})"
        return _states(found, setting, (note, *thin))
    device = _device(_head(setting) | _drift_tables(best))
    notes = (*unseen, *_notes(best), *thin)
    return Fit(device, "drift", tuple(best.estimates), found, best.told, notes)


# --- the law of drift ---------------------------------------------------------------------------


_CURVES = ("program.sd", "drift.mean", "drift.sd", "read.q")


@dataclass(frozen=True)
class _Solved:
    """The law of drift that is nearest to the moments; `told`, what it says of them."""

    cost: float
    law: Drifting
    curves: tuple[str, ...]
    estimates: list[Estimate]
    told: tuple[tuple[float, ...], ...]


def _drift(found: Measured, setting: Setting, curves: tuple[str, ...], *, frozen: bool) -> _Solved:
    """Weighted least squares over all moments, of `curves`, with the others at 0; the errors count
    how the moments go together."""
    g = np.array([one.target for one in found.bins])
    places = np.unique(np.linspace(0, len(g) - 1, min(len(g), MOST_KNOTS)).round().astype(int))
    knots, count = g[places], len(places)
    values = np.array([m.value for one in found.bins for m in one.moments])
    errors = np.array([m.error or 1e-30 for one in found.bins for m in one.moments])
    pairs = sorted(
        {(m.first, m.second) for b in found.bins for m in b.moments if m.kind == "covariance"}
    )
    has_t0 = setting.t0 is None and "drift.mean" in curves

    def law_of(x: Array) -> Drifting:
        parts = dict(zip(curves, x[: len(curves) * count].reshape(-1, count), strict=True))
        sd, mean, nu_sd, q = (parts.get(name, np.zeros(count)) for name in _CURVES)
        t0 = math.exp(x[-1]) if has_t0 else setting.t0 or _USUAL_T0
        return Drifting(knots, sd, mean, nu_sd, q, t0, setting.t_read, frozen)

    def residuals(x: Array) -> Array:
        return (_flat(found, expected(law_of(x), g, found.times, pairs)) - values) / errors

    begin = {"program.sd": [_first_spread(found.bins[place], setting.g_max) for place in places]}
    top = {"program.sd": 10 * setting.g_max, "drift.mean": 2.0, "drift.sd": 1.0, "read.q": 0.5}
    usual = {"drift.mean": 0.05, "drift.sd": 0.02, "read.q": 0.01}
    start = [v for name in curves for v in begin.get(name) or [usual[name]] * count]
    high = [top[name] for name in curves for _ in range(count)]
    low = [0.0] * len(start)
    if has_t0:
        start, high, low = (
            [*start, math.log(_USUAL_T0)],
            [*high, math.log(1e5)],
            [*low, math.log(1e-2)],
        )
    unit = np.array([setting.g_max] * count + [1.0] * (len(start) - count))  # whatever it is
    scale = np.maximum(start, 1e-3 * unit)
    solved = least_squares(
        residuals, np.maximum(start, 1e-9 * unit), bounds=(low, high), x_scale=scale, max_nfev=60
    )
    law = law_of(solved.x)
    error = _errors(solved.jac * scale, errors, found) * scale
    error[solved.x <= np.array(low) + 1e-6 * scale] = math.nan
    estimates = [
        Estimate(name, float(knots[k]), float(solved.x[n * count + k]), float(error[n * count + k]))
        for n, name in enumerate(curves)
        for k in range(count)
    ]
    if has_t0:
        estimates.append(Estimate("drift.t0", math.nan, law.t0, float(law.t0 * error[-1])))
    told = residuals(solved.x) * errors + values
    return _Solved(float(2 * solved.cost), law, curves, estimates, _by_bin(found, told))


def _first_spread(one: Bin, g_max: float) -> float:
    spreads = [m.value for m in one.moments if m.kind == "variance"]
    return max(math.sqrt(max(spreads[0], 0.0)) if spreads else 0.0, 1e-6 * g_max)


def _flat(found: Measured, of: Expected) -> Array:
    return np.array([_told(m, of, row) for row, one in enumerate(found.bins) for m in one.moments])


def _told(moment: Moment, of: Expected, row: int) -> float:
    if moment.kind == "mean":
        return float(of.means[row, moment.first])
    if moment.kind == "variance":
        return float(of.variances[row, moment.first])
    return float(of.covariances[moment.first, moment.second][row])


def _by_bin(found: Measured, flat: Array) -> tuple[tuple[float, ...], ...]:
    ends = np.cumsum([len(one.moments) for one in found.bins])[:-1]
    return tuple(tuple(map(float, part)) for part in np.split(flat, ends))


def _errors(jacobian: Array, errors: Array, found: Measured) -> Array:
    """Standard errors: how the moments move the solution, and how they go together. What lies at
    its bound counts as if it could move, since it hides how little is known of the others."""
    solving = np.linalg.pinv(jacobian, rcond=1e-9) / errors
    # What moves no moment is not known at all, and a pseudo-inverse would say that it is.
    is_blind = np.abs(jacobian).max(0) < 1e-6
    variance = np.where(is_blind, math.inf, 0.0)
    end = 0
    for one in found.bins:
        part = solving[:, end : end + len(one.moments)]
        variance += np.einsum("ij,jk,ik->i", part, one.related, part)
        end += len(one.moments)
    return np.sqrt(np.maximum(variance, 0))


def _misfits(found: Measured, told: Sequence[Sequence[float]], setting: Setting) -> str:
    """The worst moment that the law misses by more than chance and more than a little; "" for
    none."""
    count = sum(len(one.moments) for one in found.bins)
    limit = float(norm.isf(_FALSE_ALARM / 2 / count))
    worst, text = 1.0, ""
    for one, values in zip(found.bins, told, strict=True):
        spread = {m.first: m.value for m in one.moments if m.kind == "variance"}
        for moment, value in zip(one.moments, values, strict=True):
            scale = setting.g_max if moment.kind == "mean" else spread.get(moment.first, 0.0)
            allowed = max(limit * moment.error, _MISFIT[moment.kind] * scale, 1e-300)
            if (share := abs(value - moment.value) / allowed) > worst:
                time = found.times[moment.second]
                when = "just programmed" if math.isnan(time) else f"at {time_text(time)}"
                worst = share
                text = (
                    f"{moment.kind} {moment.value:.4g} of target {one.target:.4g} {when}, "
                    f"the law says {value:.4g}"
                )
    return text


def _drift_tables(solved: _Solved) -> dict[str, Any]:
    """The tables of the device file."""
    law = solved.law
    tables: dict[str, Any] = {"program": {"sd": _curve(law.knots, law.sd)}}
    if "drift.mean" in solved.curves:
        curves = {"mean": _curve(law.knots, law.nu_mean), "sd": _curve(law.knots, law.nu_sd)}
        tables["drift"] = {"t0": float(f"{law.t0:.6g}"), **curves}
    if "read.q" in solved.curves:
        tables["read"] = {"t_read": law.t_read, "q": _curve(law.knots, law.q)}
    return tables


def _unseen(solved: _Solved, curve: str) -> str:
    """What is left out, and how large it could be without being seen."""
    errors = [e.error for e in solved.estimates if e.curve == curve and e.error < 0.5]
    known = f"+- {min(errors):.1g} at best" if errors else "nothing is known of it"
    if curve == "drift.mean":
        return f"no drift is seen (nu: {known}): it is left out"
    return (
        f"no read noise is seen that gathers (Q: {known}): it is left out, and what there is "
        "counts as programming"
    )


def _notes(solved: _Solved) -> list[str]:
    notes = []
    if solved.law.frozen and "read.q" in solved.curves:
        notes.append("a device's read noise is the same at all times that were read")
    unsure = [e for e in solved.estimates if e.curve != "drift.sd" and e.error > e.value / 2]
    if unsure:
        parts = [f"{e.curve} at {e.g:.4g} is {e.value:.3g} +- {e.error:.2g}" for e in unsure[:4]]
        more = f" and {len(unsure) - 4} more" if len(unsure) > 4 else ""
        notes.append(f"thin: known to no better than half of itself: {', '.join(parts)}{more}")
    return notes


def _is_seen(solved: _Solved, curve: str) -> bool:
    """Is the curve above 0 anywhere, by four standard errors? The spread of drift goes with its
    mean."""
    of = "drift.mean" if curve == "drift.sd" else curve
    return any(e.curve == of and e.value > max(4 * e.error, 1e-4) for e in solved.estimates)


# --- the law of states --------------------------------------------------------------------------


def _states(
    found: Measured, setting: Setting, notes: tuple[str, ...], *, law_of: str = "device"
) -> Fit:
    """Mean and spread of each target at each time."""
    has_first = any(time == 0 for time in found.times)
    times = reading_times(found)
    if not has_first and any(math.isnan(time) for time in found.times):
        times = [math.nan, *times]
    if law_of == "weight":
        times = times[:1]
    states, estimates = [], []
    for time in times:
        columns = [c for c, t in enumerate(found.times) if t == time or math.isnan(t + time)]
        state, here = _state(found, columns, law_of)
        states.append(state)
        estimates += here
    told = tuple(tuple(m.value for m in one.moments) for one in found.bins)
    document = _head(setting) | {"law_of": law_of, "program": states[0]}
    known = [time for time in times if not math.isnan(time)]
    if len(states) > 1:
        # Log time has no 0: what was read first is there until a tenth of the next time.
        start = times[0] if times[0] > 0 else min(1.0, known[-len(states) + 1] / 10)
        document["program"] = {"time": start} | states[0]
        document["later"] = tuple(
            {"time": time} | state for time, state in zip(times[1:], states[1:], strict=True)
        )
        notes = (*notes, f"nothing is said of times after {time_text(times[-1])}")
    return Fit(_device(document), "states", tuple(estimates), found, told, notes)


def _state(
    found: Measured, columns: Sequence[int], law_of: str
) -> tuple[dict[str, Any], list[Estimate]]:
    """One state of programming from the moments of its columns."""
    g, moved, sds, estimates = [], [], [], []
    for one in found.bins:
        means = [m for m in one.moments if m.kind == "mean" and m.first in columns]
        spreads = [m for m in one.moments if m.kind == "variance" and m.first in columns]
        if not means or not spreads:
            continue
        mean = float(np.mean([m.value for m in means]))
        sd = math.sqrt(max(float(np.mean([m.value for m in spreads])), 0.0))
        error = max(m.error for m in spreads) / (2 * sd) if sd else math.nan
        h, s = unrectified(mean, sd) if law_of == "device" else (mean, sd)
        g.append(one.target)
        moved.append(h - one.target)
        sds.append(s)
        time = found.times[columns[0]]
        when = "" if math.isnan(time) else f" at {time_text(time)}"
        estimates.append(Estimate(f"mean{when}", one.target, mean, max(m.error for m in means)))
        estimates.append(Estimate(f"sd{when}", one.target, sd, error))
    state = {"sd": _curve(g, sds), "sd_of": "target", "shift": _curve(g, moved)}
    return state, estimates


# --- both ---------------------------------------------------------------------------------------


def _curve(g: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    points = tuple((float(x), float(f"{y:.6g}")) for x, y in zip(g, values, strict=True))
    return {"form": "table", "of": "g", "points": points}


def _device(document: dict[str, Any]) -> Device:
    return validated(document, "the fitted device", Device)


def _head(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "about": "fitted to readings",
        "source": setting.source,
        "leaves_out": ("what was not read",),
        "g_min": setting.g_min,
        "g_max": setting.g_max,
    }
