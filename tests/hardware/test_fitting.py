"""A device is found again from its readings, with honest errors, and what is thin is said."""

import math
from dataclasses import replace

import numpy as np
import pytest

from noiseproof.hardware import Fit, Readings, Setting, device_names, find_device, fit_device
from tests.hardware.simulated import DAY, readings_of

SHARES = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0])
TIMES = (0.0, 25.0, 3600.0, DAY, 5 * DAY, 365 * DAY)
LAST = {"reram_wan": 2 * DAY, "reram_wan_cubic": 1.0, "sonos": 5 * DAY}
COUNT = 400
FAST = ("pcm", "sonos")
DEVICES = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in device_names()
]


def simulated(name: str, **options: object) -> Readings:
    device = find_device(name)
    targets = device.g_min + (device.g_max - device.g_min) * SHARES
    times = [t for t in TIMES if t <= LAST.get(name, math.inf)]
    options = {"times": times, "count": COUNT} | options
    return readings_of(device, list(targets), **options)  # type: ignore[arg-type]


def fitted(name: str, readings: Readings) -> Fit:
    device = find_device(name)
    return fit_device(
        readings, Setting(name="own", source="made up", g_min=device.g_min, g_max=device.g_max)
    )


@pytest.fixture(scope="module")
def pcm() -> Fit:
    return fitted("pcm", simulated("pcm", count=1500))


@pytest.mark.parametrize("name", DEVICES)
def test_a_fitted_device_has_the_moments_of_the_readings(name: str) -> None:
    """Read anew from the fitted device: means within 5 joint standard errors and 0.4 % of g_max,
    standard deviations within 5 and 5 %, at each target and time."""
    readings = simulated(name)
    device = fitted(name, readings).device
    times = [None if math.isnan(t) else t for t in dict.fromkeys(readings.time.tolist())]
    if device.law_of == "weight":
        times = times[:1]
    again = readings_of(device, sorted(set(readings.target)), times, count=20 * COUNT, seed=1)
    for target in set(readings.target):
        for time in times:
            one, other = (
                table.read[(table.target == target) & (table.time == time)]
                for table in (readings, again)
            )
            sd, own = one.std(), other.std()
            error = sd / math.sqrt(len(one))
            assert abs(one.mean() - other.mean()) < 5 * error + 0.004 * device.g_max
            fourth = ((one - one.mean()) ** 4).mean()
            error = math.sqrt(max(fourth - sd**4, sd**4) / len(one)) / (2 * sd) if sd else 0.0
            assert abs(sd - own) < 5 * error + 0.05 * sd + 1e-6 * device.g_max


def test_the_curves_of_a_device_that_drifts_are_found_within_their_errors(pcm: Fit) -> None:
    """But for the bend of Q next to 0, where straight lines between targets are no match."""
    true = find_device("pcm")
    assert pcm.law == "drift"
    assert true.drift is not None
    assert true.read is not None
    curves = {
        "program.sd": true.program.sd,
        "drift.mean": true.drift.mean,
        "drift.sd": true.drift.sd,
        "read.q": true.read.q,
    }
    checked = 0
    for one in pcm.estimates:
        if one.curve == "drift.t0":
            assert abs(one.value - 20) < 4.5 * one.error < 10
        elif one.curve != "read.q" or one.g > 4:
            expected = float(curves[one.curve].values(np.array([one.g]), 25.0)[0])
            assert abs(one.value - expected) < 4.5 * one.error < expected
            checked += 1
    assert checked == 3 * len(SHARES) + 5


@pytest.mark.slow
def test_standard_errors_are_those_of_fits_that_are_repeated() -> None:
    """Over 40 sets of readings the spread of each value is its standard error: their mean ratio,
    of 21 values, within 12 %."""
    fits = [fitted("pcm", simulated("pcm", count=1000, seed=seed)) for seed in range(40)]
    values = np.array([[e.value for e in f.estimates if e.curve != "drift.t0"] for f in fits])
    errors = np.array([[e.error for e in f.estimates if e.curve != "drift.t0"] for f in fits])
    ratio = values.std(0, ddof=1) / np.nanmean(errors, 0)
    assert abs(ratio.mean() - 1) < 0.12


def test_read_noise_that_is_one_draw_for_all_times_is_recognised() -> None:
    readings = simulated("pcm", count=800, fresh=False, times=[None, *TIMES])
    found = fitted("pcm", readings)
    assert "a device's read noise is the same at all times that were read" in found.verdict
    sds = [e for e in found.estimates if e.curve == "program.sd"]
    true = find_device("pcm").program.sd
    for one in sds:
        expected = float(true.values(np.array([one.g]), 25.0)[0])
        assert abs(one.value - expected) < 4.5 * one.error


def test_what_does_not_drift_has_no_drift() -> None:
    found = fitted("rram_milo", simulated("rram_milo", count=200, times=[0.0, 3600.0]))
    assert (found.law, found.device.drift, found.device.read) == ("drift", None, None)
    assert any("no drift is seen (nu: +- " in line for line in found.verdict)


def test_laws_of_another_shape_become_states_that_end_with_the_readings() -> None:
    found = fitted("sonos", simulated("sonos", count=100))
    assert (found.law, len(found.device.later)) == ("states", 4)
    assert any("a power law of time does not tell" in line for line in found.verdict)
    assert "nothing is said of times after 5d" in found.verdict
    with pytest.raises(ValueError, match="was measured up to 5d after programming"):
        found.device.check_time(6 * DAY)


def test_any_unit_of_conductance_gives_the_same_law(pcm: Fit) -> None:
    readings = simulated("pcm", count=1500)
    siemens = replace(readings, target=readings.target * 1e-6, read=readings.read * 1e-6)
    found = fit_device(siemens, Setting(name="own", source="s", g_min=0.0, g_max=25e-6))
    for one, other in zip(pcm.estimates, found.estimates, strict=True):
        scale = 1e-6 if one.curve == "program.sd" else 1
        assert other.value == pytest.approx(one.value * scale, rel=0.02, abs=1e-3 * scale)


def test_thin_readings_are_said_to_be_thin() -> None:
    few = fitted("pcm", simulated("pcm", count=12, times=[0.0, 20.0]))
    assert any("12 readings of one target at 0s, under 30" in line for line in few.verdict)
    assert any("the last time is under 30 times the first" in v for v in few.verdict)
    once = fitted("pcm", simulated("pcm", count=100, times=[3600.0]))
    assert any("readings at one time: nothing is known of drift" in line for line in once.verdict)
    assert once.device.drift is None
    nameless = fitted("pcm", replace(simulated("pcm", count=40), device=None))
    assert any("devices are not told apart" in line for line in nameless.verdict)


def test_negative_readings_are_a_law_of_whole_weights() -> None:
    afm = find_device("afm")
    found = fitted("afm", readings_of(afm, [3.0, 90.0, 180.0], [0.0], count=100))
    assert found.device.law_of == "weight"
    assert any("some readings are negative" in line for line in found.verdict)


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(ValueError, match="too few readings: at least 10 of one target at one time"):
        fitted("pcm", simulated("pcm", count=5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"g_min": 5.0, "g_max": 5.0}, "g_min must be >= 0 and < g_max, got 5 and 5: give --g-min"),
        ({"g_min": -1.0}, "g_min must be >= 0 and < g_max, got -1 and 25"),
        ({"t0": 0.0}, "t0 must be finite and > 0 s, got 0"),
        ({"t_read": math.nan}, "t_read must be finite and > 0 s, got nan"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Setting(**{"name": "x", "source": "s", "g_min": 0.0, "g_max": 25.0} | options)  # type: ignore[arg-type]
