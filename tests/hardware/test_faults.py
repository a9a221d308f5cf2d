"""Broken devices and lines, and programming that is verified."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from noiseproof.core.rng import stream
from noiseproof.hardware import Faults, Lines, Verify, find_device, read_back
from noiseproof.specs import Offset

N = 200_000


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=stream(0, "weights"))


@pytest.mark.parametrize("w", [-1.0, -0.4, 0.0, 0.7])
def test_stuck_pairs_have_the_mean_and_variance_of_their_closed_form(w: float) -> None:
    """p0 at g_min, p1 at g_max, p = p0 + p1: E w' = (1-p) w and
    Var w' = (1-p) w^2 + 2 p1 - ((1-p)|w| + p1)^2 - p1^2."""
    p0, p1 = 0.07, 0.04
    found = read_back(
        find_device("ideal"),
        torch.full((N,), w),
        stream(1, str(w)),
        time=3600.0,
        faults=Faults(at_gmin=p0, at_gmax=p1),
    ).now.double()
    p = p0 + p1
    variance = (1 - p) * w**2 + 2 * p1 - ((1 - p) * abs(w) + p1) ** 2 - p1**2
    assert abs(float(found.mean()) - (1 - p) * w) < 4.5 * math.sqrt(variance / N)
    centred = found - found.mean()
    error = math.sqrt(float((centred**4).mean() - (centred**2).mean() ** 2) / N)
    assert abs(float(found.var()) - variance) < 4.5 * error


def test_a_stuck_device_neither_drifts_nor_is_read_with_noise() -> None:
    device = find_device("pcm")
    faults = Faults(at_gmax=1.0)
    found = read_back(device, uniform(50), stream(2), time=86400.0, faults=faults)
    assert torch.equal(found.now, torch.zeros(50))  # g_max - g_max
    one = read_back(device, uniform(50), stream(2), time=1.0, cells=Offset(), faults=faults)
    assert torch.equal(one.now, torch.ones(50))


def test_a_dead_row_is_an_input_that_no_output_sees() -> None:
    w = uniform(6, 5, 3, 3) + 0.1
    found = read_back(
        find_device("ideal"), w, stream(3), time=None, faults=Faults(dead_row=0.4)
    ).now
    dead = (found == 0).all(0)
    assert torch.equal(found, torch.where(dead, torch.zeros(()), w))
    assert 5 <= int(dead.sum()) <= 31  # binomial(45, 0.4), five sd


def test_a_dead_column_takes_the_weights_of_one_sign_from_an_output() -> None:
    """The column of g+ and that of g- are two lines."""
    w = uniform(400, 10) * 2 - 1
    found = read_back(
        find_device("ideal"), w, stream(4), time=None, faults=Faults(dead_column=0.3)
    ).now
    kept = (found != 0).double()
    plus = (kept * (w > 0)).sum(1) / (w > 0).sum(1).clamp(min=1)
    minus = (kept * (w < 0)).sum(1) / (w < 0).sum(1).clamp(min=1)
    for part, has in ((plus, (w > 0).any(1)), (minus, (w < 0).any(1))):
        assert set(part[has].tolist()) == {0.0, 1.0}
        dead = int((part[has] == 0).sum())
        assert abs(dead - 0.3 * 400) < 5 * math.sqrt(400 * 0.3 * 0.7)


def test_faults_leave_the_noise_of_the_others_alone_and_grow_with_their_probability() -> None:
    device, w = find_device("pcm"), torch.linspace(0.2, 1, 3000)
    none, few, many = (
        read_back(device, w, stream(5), time=60.0, faults=Faults(at_gmin=p, at_gmax=p)).now
        for p in (0.0, 0.05, 0.2)
    )
    broken_few, broken_many = none != few, none != many
    assert bool((broken_few <= broken_many).all())
    assert 0 < int(broken_few.sum()) < int(broken_many.sum()) < 3000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_gmin": -0.1}, "at_gmin must be between 0 and 1, got -0.1"),
        ({"dead_row": float("nan")}, "dead_row must be between 0 and 1, got nan"),
        ({"at_gmin": 0.6, "at_gmax": 0.6}, "must be at most 1 together, got 0.6 and 0.6"),
    ],
)
def test_impossible_faults_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faults(**options)


def test_verified_devices_end_within_the_tolerance() -> None:
    device = find_device("rram_milo")
    w = uniform(20_000) * 2 - 1
    once = read_back(device, w, stream(6), time=None).now
    verify = Verify(rounds=40, tolerance=0.01)
    often = read_back(device, w, stream(6), time=None, verify=verify).now
    assert float((often - w).abs().max()) <= 2 * 0.01 + 1e-6  # both devices of a pair
    near = (once - w).abs() < 1e-3  # not a proof that both were within, but rarely otherwise
    assert float((often == once)[near].double().mean()) > 0.1


def test_one_round_of_verifying_has_the_spread_of_its_closed_form() -> None:
    """Of x ~ N(0, s^2), drawn again once where |x| > a:
    E x^2 = E[x^2; |x| <= a] + P(|x| > a) s^2."""
    s, a = 1.0, 0.8
    device = find_device("ideal").model_copy(update={"g_max": 10.0, "g_min": 0.0})
    sd = device.program.sd.model_copy(update={"coefficients": (s,)})
    device = device.model_copy(update={"program": device.program.model_copy(update={"sd": sd})})
    n = 100_000
    verify = Verify(rounds=1, tolerance=a / 10)
    drawn = (
        read_back(
            device, torch.zeros(n), stream(7), time=None, cells=Offset(), verify=verify
        ).now.double()
        * 5
    )
    outside = math.erfc(a / s / math.sqrt(2))
    density = math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
    expected = (1 - outside) - 2 * a * density + outside
    error = math.sqrt(float((drawn**4).mean() - (drawn**2).mean() ** 2) / n)
    assert abs(float((drawn**2).mean()) - expected) < 4.5 * error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": -1}, "rounds of verify must be between 0 and 1000, got -1"),
        ({"tolerance": 2.0}, "tolerance must be between 0 and 1, got 2"),
    ],
)
def test_impossible_verifying_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Verify(**options)


@pytest.mark.parametrize("kind", ["row", "column"])
def test_a_dead_line_ends_with_its_array(kind: str) -> None:
    """Two groups of three outputs, arrays of at most 2 columns and 3 rows: a row is dead for the
    outputs of one array, a column for its inputs, and neither for those of the next array."""
    outputs = (slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6))
    inputs = (slice(0, 3), slice(3, 6), slice(6, 7))
    faults, lines = Faults(**{f"dead_{kind}": 0.5}), Lines(groups=2, tile=(3, 2))
    between = outputs if kind == "row" else inputs
    patterns = []
    for seed in range(20):
        dice = stream(seed)
        w = torch.ones(6, 7)
        found = read_back(find_device("ideal"), w, dice, time=None, faults=faults, lines=lines).now
        found = found if kind == "row" else found.T
        for one in between:
            assert bool((found[one] == found[one][0]).all())  # the whole line
        patterns.append([tuple(found[one][0].tolist()) for one in between])
    for first, second in pairwise(range(len(between))):
        assert any(pattern[first] != pattern[second] for pattern in patterns)
