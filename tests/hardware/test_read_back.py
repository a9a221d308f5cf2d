"""What is read back of weights on devices: moments, history, and what a weight's devices are."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from noiseproof.core.rng import stream
from noiseproof.hardware import device_names, find_device, read_back
from noiseproof.specs import Offset, parse_cells
from tests.hardware.moments import DAY, REFERENCES

DRAWS = 40_000
TARGETS = (-1.0, -0.3, 0.0, 0.05, 0.6, 1.0)
TIMES = (None, 0.0, 25.0, 3600.0, DAY, 365 * DAY)
LAST = {"reram_wan": 2 * DAY, "reram_wan_cubic": 1.0, "sonos": 5 * DAY}


def times_of(name: str) -> list[float | None]:
    last = LAST.get(name, math.inf)
    times = [time for time in TIMES if time is None or time <= last]
    return times if last == math.inf else [*times, last]


CELLS = [(name, time) for name in device_names() for time in times_of(name)]


def test_every_device_that_ships_has_a_reference() -> None:
    assert set(REFERENCES) == set(device_names())


@pytest.mark.parametrize(("name", "time"), CELLS)
def test_weights_read_back_have_the_published_means_and_variances(
    name: str, time: float | None
) -> None:
    """Within 4.5 standard errors of 40,000 draws; one variance that is 6 % off would be seen."""
    device = find_device(name)
    w = torch.tensor(TARGETS)[:, None].expand(-1, DRAWS)
    found = read_back(
        device, w, stream(5, name, str(time)), time=time, cells=parse_cells(device.cells)
    )
    assert (found.now is found.programmed) == (time is None)
    for target, drawn in zip(TARGETS, found.now.double().numpy(), strict=True):
        mean, variance = REFERENCES[name](target, time)
        centred = drawn - drawn.mean()
        error = math.sqrt(max((centred**4).mean() - (centred**2).mean() ** 2, 0) / DRAWS)
        rounding = 1e-6  # of float32, in units where the largest weight is 1
        assert abs(drawn.mean() - mean) <= 4.5 * math.sqrt(variance / DRAWS) + rounding
        assert abs(drawn.var() - variance) <= 4.5 * error + rounding**2


@pytest.mark.parametrize("name", device_names())
def test_one_chip_at_several_times_has_one_history(name: str) -> None:
    """What was programmed is the same, and the later state is correlated with it."""
    device = find_device(name)
    w = torch.linspace(-1, 1, 5000)
    found = [read_back(device, w, stream(1, name), time=time) for time in times_of(name)]
    for one in found[1:]:
        assert torch.equal(one.programmed, found[0].now)


def test_a_devices_own_drift_is_the_same_at_two_times() -> None:
    """Read noise apart, ln(g/g_p) = -nu ln(T/t0): its ratio at two times is that of the logs."""
    device = find_device("pcm")
    still = device.model_copy(update={"read": None})
    w = torch.full((2000,), 0.7)
    logs = []
    for time in (3600.0, 365 * DAY):
        cells = parse_cells("pair", partner="ideal")  # the partner at 0 is exact: one device
        found = read_back(still, w, stream(2), time=time, cells=cells)
        logs.append(torch.log(found.now / found.programmed) / math.log(1 + time / 20))
    torch.testing.assert_close(logs[0], logs[1], rtol=1e-4, atol=1e-6)


def test_the_device_near_zero_is_rectified() -> None:
    """A device at g = 0 has mean 0.3989 sigma(0) and sd 0.5838 sigma(0): a large weight is pulled
    towards zero by the first."""
    device = find_device("pcm")
    n, sigma = 400_000, 0.26348 / 25
    found = read_back(device, torch.ones(n), stream(3), time=None).now.double()
    own = (0.26348 + 1.965 - 1.1731) / 25
    error = math.sqrt((own**2 + (0.5838 * sigma) ** 2) / n)
    assert abs(float(found.mean()) - (1 - 0.3989 * sigma)) < 4.5 * error


def test_an_ideal_device_gives_every_weight_back() -> None:
    w = torch.linspace(-1, 1, 257).reshape(1, 257)
    for cells in ("pair", "offset", "pairs(3)"):
        found = read_back(find_device("ideal"), w, stream(0), time=3600.0, cells=parse_cells(cells))
        torch.testing.assert_close(found.now, w, rtol=0, atol=2e-7)
        assert found.now.shape == w.shape


def test_slices_round_a_weight_to_their_bits_and_add_up_to_it() -> None:
    w = torch.linspace(-1, 1, 1001)
    texts = {"slices(8, cell=2)": 127, "slices(5, cell=4)": 15, "slices(8, cell=4)": 127}
    for text, codes in texts.items():
        found = read_back(find_device("ideal"), w, stream(0), time=None, cells=parse_cells(text))
        torch.testing.assert_close(found.now, (w * codes).round() / codes, rtol=0, atol=3e-7)


def test_slices_weigh_their_noise_by_powers_of_two() -> None:
    """Of pair-wise noise without a clip (a law of whole weights) the variance is the sum of the
    slices' variances with the squares of their factors."""
    device = find_device("afm").model_copy(update={"zero_below": 0.0})
    n = 40_000
    found = read_back(
        device, torch.full((n,), 1.0), stream(4), time=None, cells=parse_cells("slices(8, cell=4)")
    )
    sd = float(device.program.sd.values(np.array([180.0]), 180.0)[0]) / 180
    expected = sd**2 * ((15 / 127) ** 2 + (112 / 127) ** 2)  # 4 bits below, 3 above
    drawn = found.now.double()
    assert abs(float(drawn.var()) - expected) < 4.5 * expected * math.sqrt(2 / n)


def test_pairs_in_parallel_average_their_noise() -> None:
    n = 40_000
    w, device = torch.full((n,), 0.5), find_device("rram_milo")
    one, four = (
        read_back(device, w, stream(6), time=None, cells=parse_cells(cells)).now.double().var()
        for cells in ("pair", "pairs(4)")
    )
    assert abs(float(four / one) * 4 - 1) < 4.5 * math.sqrt(2 * 2 / n)


def test_an_exact_partner_stays_where_the_signed_weight_put_it() -> None:
    """As a peer has it: after programming, the partner is at g_min, and neither drifts nor is it
    read with noise."""
    device = find_device("pcm")
    w = torch.zeros(20_000)
    own, ideal = (
        read_back(device, w, stream(7), time=DAY, cells=parse_cells("pair", partner=partner))
        for partner in ("own", "ideal")
    )
    assert torch.equal(own.programmed, ideal.programmed)
    assert not torch.equal(own.now, ideal.now)
    zero = ideal.programmed == 0  # both were clipped at 0
    assert bool((ideal.now[zero] == 0).all())
    assert int(zero.sum()) > 4000


@pytest.mark.parametrize("shape", [(), (1,), (3, 2, 3, 3), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_dtype_comes_back_as_it_was(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    w: Tensor = torch.zeros(shape, dtype=dtype)
    for name in ("pcm", "sonos", "afm"):
        found = read_back(find_device(name), w, stream(8), time=60.0)
        assert (found.now.shape, found.now.dtype) == (w.shape, dtype)


def test_read_back_leaves_its_input_alone() -> None:
    w = torch.linspace(-1, 1, 100)
    before = w.clone()
    for name in device_names():
        for cells in ("pair", "offset", "pairs(2)", "slices(4, cell=1)"):
            if (name, cells) != ("afm", "offset"):
                read_back(find_device(name), w, stream(9), time=1.0, cells=parse_cells(cells))
    assert torch.equal(w, before)


def test_what_cannot_be_read_is_refused() -> None:
    w = torch.zeros(3)
    with pytest.raises(ValueError, match="reram_wan was measured up to 2d after .*, got 1y: take"):
        read_back(find_device("reram_wan"), w, stream(0), time=365 * DAY)
    with pytest.raises(ValueError, match="a time must be between 0s and 100y, got -1s"):
        read_back(find_device("pcm"), w, stream(0), time=-1.0)
    with pytest.raises(ValueError, match="afm is a law of whole weights: it has no cells=offset"):
        read_back(find_device("afm"), w, stream(0), time=None, cells=Offset())
