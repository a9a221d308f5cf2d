"""Layers of several arrays, against their arrays one by one."""

import math

import pytest
import torch
from torch import Tensor

from tests.hardware.cases import CHIPS, Case

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch, of even windows

# --- layers cut into arrays ----------------------------------------------------------------------

CUT = {  # rows of an array, and the input channels that then are in each
    "strided": (20, [2, 1]),
    "linear": (2, [2, 2, 1]),
    "tokens": (3, [3, 2]),
    "transposed1d": (5, [1, 1]),
}


def cut(case: Case, name: str) -> list[tuple[Tensor, Tensor]]:
    """The inputs and the kernel of each array, all other weights and inputs zero."""
    found = []
    start, axis = 0, case.map.axis + case.x.dim()
    for size in CUT[name][1]:
        x, kernel = torch.zeros_like(case.x), torch.zeros_like(case.kernel)
        part = [slice(None)] * x.dim()
        part[axis] = slice(start, start + size)
        x[tuple(part)] = case.x[tuple(part)]
        inputs = (slice(start, start + size),)
        where = inputs if case.map.input_first else (slice(None), *inputs)
        kernel[where] = case.kernel[where]
        found.append((x, kernel))
        start += size
    assert start == case.x.shape[axis]
    return found


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("range_", ["static(100)", "image", "vector"])
def test_every_array_of_a_layer_has_converters_and_what_they_give_is_added_up(
    name: str, range_: str
) -> None:
    """Arrays next to whom all inputs and weights are zero, one by one, with the layer's scale."""
    case = Case(name)
    text = f"dac(5, range={range_}) + adc(5, range=fixed(0.7))"
    found = case.run(case.products(text, mapping=f"tile={CUT[name][0]}x512"))
    wanted = torch.zeros_like(found)
    for x, kernel in cut(case, name):
        alone = Case(name)
        products = alone.products(text)  # scales and static ranges of the whole layer
        if range_ == "image":  # the largest of the whole input, which x does not have
            largest = case.x.abs().flatten(1).amax(1)
            x = x / largest.view(-1, *[1] * (x.dim() - 1))
            products = alone.products(
                text.replace("image", "static(100)"), images=torch.ones_like(x)
            )
        alone.state["0.weight"] = kernel
        y = alone.run(products, x)
        if range_ == "image":
            y = y * largest.view(-1, *[1] * (y.dim() - 1))
        wanted += y
    torch.testing.assert_close(found, wanted)
    whole = case.run(case.products(text))
    assert not torch.allclose(found, whole, rtol=1e-3), "and it makes a difference"


@pytest.mark.parametrize("name", CUT)
def test_static_ranges_are_those_of_each_array(name: str) -> None:
    case = Case(name)
    products = case.products("adc(5, range=static(80))", mapping=f"tile={CUT[name][0]}x512")
    found = case.run(products)
    wanted = torch.zeros_like(found)
    for x, kernel in cut(case, name):
        y = case.exact(x, kernel)
        full = torch.quantile((y / case.by_output(case.scale)).abs().flatten(), 0.8)
        full = full * case.by_output(case.scale)
        wanted += (y / full).clamp(-1, 1).mul(15).round() / 15 * full
    torch.testing.assert_close(found, wanted)


def test_noise_of_arrays_adds_up_and_is_independent() -> None:
    case = Case("linear")
    products = case.products("dac(20, range=static(100)) + output(0.2)", mapping="tile=2x512")
    exact = case.exact(case.x, case.kernel)
    deviation = math.sqrt(3) * 0.2 * case.scale * case.x.abs().max()
    z = torch.stack([case.run(products, chip=chip) - exact for chip in range(CHIPS)]) / deviation
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 / z.numel())


def test_a_scale_over_the_tile_is_that_of_each_array() -> None:
    case = Case("linear")
    text, mapping = "dac(20, range=static(100)) + adc(5, range=fixed(1))", "scale=tile, tile=2x3"
    found = case.run(case.products(text, mapping=mapping))
    wanted = torch.zeros_like(found)
    largest = case.x.abs().max()
    for x, kernel in cut(case, "linear"):
        rows = kernel.abs()
        scale = torch.cat([rows[:3].max().expand(3), rows[3:].max().expand(1)])
        full = scale * largest
        wanted += (case.exact(x, kernel) / full).clamp(-1, 1).mul(15).round() / 15 * full
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tile", "message"),
    [
        ("strided", "8x8", "^a tile must hold at least one input channel, 9 rows"),
        ("grouped", "9x8", "^a group of channels must fit into the rows of a tile"),
    ],
)
def test_tiles_that_are_too_small_are_refused(name: str, tile: str, message: str) -> None:
    case = Case(name)
    with pytest.raises(ValueError, match=message):
        case.products("dac(8, range=image)", mapping=f"tile={tile}")
