"""Voltage drops along wires, against circuits solved resistor by resistor."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.rng import stream
from noiseproof.hardware.opening import products_at
from noiseproof.hardware.products import Products
from noiseproof.hardware.wires import LARGEST, _each_alone, _solved, effective, wired
from noiseproof.network import as_matrix
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.layouts import Layout
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.specs import AS_ARRAYS, Wires, parse_mapping, parse_mvm
from tests.hardware.circuit import Floats, currents

SHAPES = [(1, 1), (1, 6), (6, 1), (4, 7), (7, 4), (6, 6)]


def conductances(m: int, n: int) -> Tensor:
    return torch.rand(m, n, generator=torch.Generator().manual_seed(m + 17 * n)).double()


def weights(m: int, n: int) -> Tensor:
    return 2 * conductances(m, n) - 1


def inputs(n: int) -> Floats:
    return np.random.default_rng(n).uniform(-1, 1, n)


# --- the whole circuit ---------------------------------------------------------------------------


@pytest.mark.parametrize("r", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_solution_is_that_of_the_circuit(shape: tuple[int, int], r: float) -> None:
    g, x = conductances(*shape), inputs(shape[1])
    found = _solved(g, r).numpy() @ x
    assert found == pytest.approx(currents(g.numpy(), x, r), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("shape", [(64, 64), (40, 96), (96, 40)])
def test_the_solution_of_a_large_array_is_that_of_the_circuit(shape: tuple[int, int]) -> None:
    g, x = conductances(*shape), inputs(shape[1])
    found = _solved(g, 1e-4).numpy() @ x
    assert found == pytest.approx(currents(g.numpy(), x, 1e-4), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_one_cell_is_three_resistors_in_a_row(method: str) -> None:
    for w, r in ((0.5, 0.1), (1.0, 1.0), (-0.25, 1e-3)):
        found = float(effective(torch.tensor([[w]]), r, method=method))
        whole = w / (1 + 2 * r * abs(w))
        # The fast law takes the two segments one after the other: r^2 w^3 less.
        expected = whole if method == "exact" else w / (1 + r * abs(w)) ** 2
        assert found == pytest.approx(expected, rel=1e-6)
        assert found == pytest.approx(whole, rel=(r * w) ** 2 + 1e-6)


def test_a_row_of_equal_cells_is_a_ladder() -> None:
    """By hand, of one output and two inputs: a segment and a cell of 1 each are 1/2 between source
    and column. For x = (1, 0) the column's voltages are (1 - u)/2 = u - v and u - v = v/2 + v, so
    v, which is the current too, is 2/11; for x = (0, 1) it is 3/11."""
    found = _solved(torch.ones(1, 2).double(), 1.0)[0]
    assert found.tolist() == pytest.approx([2 / 11, 3 / 11])


@pytest.mark.parametrize("method", ["exact", "fast"])
@pytest.mark.parametrize("cells", ["separate", "interleaved", "offset"])
def test_wires_without_resistance_change_nothing(method: str, cells: str) -> None:
    w = weights(5, 9)
    found = effective(w, 0.0, method=method, cells=cells, g_min_ratio=0.1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, w.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_an_array_loses_most_far_from_source_and_ground(method: str) -> None:
    found = effective(torch.ones(6, 8), 1e-3, method=method)
    assert bool((found < 1).all())
    assert bool((found.diff(dim=0) < 0).all()), "outputs farther from the sources lose more"
    assert bool((found.diff(dim=1) > 0).all()), "inputs nearer to the ground lose less"


# --- pairs of devices, and one -------------------------------------------------------------------


def in_pairs(w: Floats, g_min: float) -> tuple[Floats, Floats]:
    return g_min + (1 - g_min) * w.clip(0, None), g_min + (1 - g_min) * (-w).clip(0, None)


@pytest.mark.parametrize("g_min", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(4, 5), (5, 3)])
def test_pairs_in_two_arrays_are_two_circuits(shape: tuple[int, int], g_min: float) -> None:
    w, x, r = weights(*shape), inputs(shape[1]), 2e-2
    plus, minus = in_pairs(w.numpy(), g_min)
    expected = (currents(plus, x, r) - currents(minus, x, r)) / (1 - g_min)
    found = effective(w, r, g_min_ratio=g_min).numpy() @ x
    assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("shape", [(4, 5), (9, 3)])
def test_interleaved_pairs_are_one_circuit_with_inputs_of_both_signs(
    shape: tuple[int, int],
) -> None:
    w, x, r, g_min = weights(*shape), inputs(shape[1]), 2e-2, 0.1
    both = np.stack(in_pairs(w.numpy(), g_min), axis=2).reshape(shape[0], -1)
    expected = currents(both, np.stack((x, -x), axis=1).ravel(), r) / (1 - g_min)
    found = effective(w, r, cells="interleaved", g_min_ratio=g_min).numpy() @ x
    assert found == pytest.approx(expected, abs=2e-6)


def test_offset_devices_are_one_circuit_less_what_ideal_ones_in_the_middle_give() -> None:
    w, x, r, g_min = weights(4, 5), inputs(5), 2e-2, 0.1
    middle = (1 + g_min) / 2
    g = middle + (1 - g_min) / 2 * w.numpy()
    expected = (currents(g, x, r) - middle * x.sum()) * 2 / (1 - g_min)
    found = effective(w, r, cells="offset", g_min_ratio=g_min).numpy() @ x
    assert found == pytest.approx(expected, abs=2e-6)


# --- the fast law --------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", [_solved, _each_alone])
def test_both_methods_begin_as_the_drops_of_the_currents_without_resistance(solve: Any) -> None:
    """Segment by segment: each carries the currents of the cells behind it (row), or before it
    (column), and takes r times that from every cell that it feeds."""
    m, n, r = 4, 5, 1e-7
    g = conductances(m, n)
    drop = torch.zeros(m, n).double()
    for i in range(m):
        for j in range(n):
            for segment in range(i + 1):  # of row j, before the cell of output i
                drop[i, j] += g[segment:, j].sum()
            for segment in range(j, n):  # of column i, behind input j
                drop[i, j] += g[i, : segment + 1].sum()
    # A column's drop is of all inputs' currents: of what a volt at input k takes from the cell of
    # input j, the part is g[i, j] g[i, k] times shared segments, the same with j and k exchanged.
    assert torch.allclose((1 - solve(g, r) / g) / r, drop, rtol=1e-4)


@pytest.mark.parametrize(("r", "share"), [(1e-6, 2e-4), (1e-5, 1e-3), (1e-4, 1e-2)])
def test_the_fast_law_misses_a_small_share_of_the_drop(r: float, share: float) -> None:
    w = weights(96, 96)
    exact, fast = (effective(w, r, method=method).double() for method in ("exact", "fast"))
    missed = (fast - exact).norm() / (exact - w).norm()
    # Results in float32 cannot say less than their rounding.
    rounding = 2**-24 * w.norm() / (exact - w).norm()
    assert float(missed) < share + float(rounding)


# --- kernels -------------------------------------------------------------------------------------


def test_a_kernel_is_cut_into_arrays_at_whole_channels_each_with_wires_of_its_own() -> None:
    kernel = torch.randn(10, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    layout, wires = Layout(groups=2), Wires(r=1e-3)
    matrix = as_matrix(kernel, layout)  # (2, 5, 36)
    scale = matrix.abs().amax(2).flatten()
    found = as_matrix(wired(kernel, layout, wires, scale=scale, tile=(20, 3)), layout)
    for group in range(2):
        s = scale.view(2, 5, 1)[group]
        for rows in (slice(0, 18), slice(18, 36)):  # two channels of nine places fit into 20
            for columns in (slice(0, 3), slice(3, 5)):
                part = effective((matrix[group] / s)[columns, rows], 1e-3) * s[columns]
                torch.testing.assert_close(found[group, columns, rows], part)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((6, 3), Layout()), ((4, 2, 3), Layout(input_first=True, groups=2)), ((4, 1, 2, 2), Layout())],
)
def test_a_kernel_keeps_its_shape_and_signs(shape: tuple[int, ...], layout: Layout) -> None:
    kernel = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    count = as_matrix(kernel, layout).shape[0] * as_matrix(kernel, layout).shape[1]
    wires = Wires(r=1e-2, method="fast")
    found = wired(kernel, layout, wires, scale=kernel.abs().max().expand(count))
    assert found.shape == kernel.shape
    assert bool((found.abs() < kernel.abs()).all())
    assert torch.equal(found.sign(), kernel.sign())


def test_a_tile_with_a_weight_that_is_not_finite_is_not_finite() -> None:
    kernel = torch.ones(2, 4)
    kernel[1, 3] = torch.inf
    found = wired(kernel, Layout(), Wires(r=1e-3), scale=torch.ones(2), tile=(2, 2))
    assert bool(found[:, :2].isfinite().all())
    assert not bool(found[:, 2:].isfinite().any())


def test_an_offset_device_conducts_nothing_at_least() -> None:
    found = effective(torch.tensor([[-1.5, 0.5]]), 1e-3, cells="offset")
    assert torch.equal(found, effective(torch.tensor([[-1.0, 0.5]]), 1e-3, cells="offset"))


# --- networks ------------------------------------------------------------------------------------


class Case:
    """A convolution and a linear layer; the second is the one with a digital factor behind it."""

    def __init__(self) -> None:
        self.skeleton = skeleton_of(
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 5))
        )
        self.state = {
            name: torch.randn(tensor.shape, generator=stream(0, name))
            for name, tensor in state_of(self.skeleton).items()
        }
        self.x = torch.randn(4, 2, 4, 4, generator=stream(0, "x"))

    def products(self, mvm: str, mapping: str = "") -> Products:
        return products_at(
            self.skeleton,
            self.state,
            parse_mvm(mvm),
            analog=["0.weight", "2.weight"],
            example=self.x[:3],
            images=None,
            mapping=parse_mapping(mapping)[0] if mapping else AS_ARRAYS,
        )

    def run(self, products: Products, chip: Chip) -> Tensor:
        found: Tensor = products.cursor.along(lambda x: outputs(self.skeleton, chip, x))(self.x)
        return found

    def expected(self, name: str, wires: Wires, gain: float = 1.0) -> Tensor:
        """The kernel as its array has it, through its wires, with the factor behind it."""
        kernel = self.state[name]
        matrix = as_matrix(kernel, Layout())
        largest = matrix.abs().amax(2).flatten()
        return gain * wired(kernel, Layout(), wires, scale=largest)


def test_wires_are_in_the_kernels_of_a_chip_and_nothing_else_happens() -> None:
    case, wires = Case(), Wires(r=1e-2)
    chip = case.products("wires(0.01)").on(Chip(case.state), 0, 0)
    assert not chip.products, "so that what is fast for exact products still is"
    for name in ("0.weight", "2.weight"):
        torch.testing.assert_close(chip.state[name], case.expected(name, wires))
        assert not torch.equal(chip.state[name], case.state[name])
    for name in ("0.bias", "2.bias"):
        assert torch.equal(chip.state[name], case.state[name])


def test_wires_are_in_the_arrays_that_are_asked_for_alone() -> None:
    case = Case()
    chip = case.products("wires(0.01)").on(Chip(case.state), 0, 0, only={"2.weight"})
    assert torch.equal(chip.state["0.weight"], case.state["0.weight"])
    torch.testing.assert_close(chip.state["2.weight"], case.expected("2.weight", Wires(r=1e-2)))


def test_a_digital_factor_stands_behind_the_wires() -> None:
    """A compensated kernel has its factor in it; its devices conduct no more for that."""
    case = Case()
    state = case.state | {"2.weight": 3 * case.state["2.weight"]}
    chip = Chip(state, gains={"2.weight": torch.tensor([3.0])})
    found = case.products("wires(0.01)").on(chip, 0, 0).state["2.weight"]
    torch.testing.assert_close(found, case.expected("2.weight", Wires(r=1e-2), gain=3.0))


def test_converters_convert_what_wires_leave() -> None:
    """As those of a chip that was made with these kernels, in units of the kernels as meant."""
    case, text = Case(), "dac(6, range=image) + {}adc(5, range=fixed(2))"
    ours, plain = case.products(text.format("wires(0.01) + ")), case.products(text.format(""))
    by_hand = {name: case.expected(name, Wires(r=1e-2)) for name in ("0.weight", "2.weight")}
    found = case.run(ours, ours.on(Chip(case.state), 0, 0))
    expected = case.run(plain, plain.on(Chip(case.state | by_hand), 0, 0))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, case.run(plain, plain.on(Chip(case.state), 0, 0)))


def test_arrays_of_a_tile_have_wires_of_their_own_in_a_network_too() -> None:
    case = Case()
    chip = case.products("wires(0.01)", "tile=9x2").on(Chip(case.state), 0, 0)
    w = case.state["0.weight"].flatten(1)
    scale = w.abs().amax(1, keepdim=True)
    part = effective((w / scale)[:2, 9:], 1e-2) * scale[:2]
    torch.testing.assert_close(chip.state["0.weight"].flatten(1)[:2, 9:], part)


@pytest.mark.parametrize(
    ("mvm", "mapping", "sentence"),
    [
        ("wires(0.01)", "cells=offset", "cells=offset must have cells=offset, got wires"),
        ("wires(0.01, cells=offset)", "", "cells=pair must have cells=separate or cells=interl"),
        ("wires(0.01)", "cells=slices(8, cell=2)", "products of pairs of devices"),
        ("wires(0.01)", "scale=tile, tile=9x9", "between cells of one scale"),
    ],
)
def test_wires_of_other_cells_than_the_mapping_has_are_refused(
    mvm: str, mapping: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Case().products(mvm, mapping)


def test_a_layer_that_is_too_large_to_be_solved_is_named_before_anything_runs() -> None:
    skeleton = skeleton_of(nn.Sequential(nn.Linear(300, 2)))
    with pytest.raises(
        ValueError, match=r"^0\.weight: wires are solved exactly in .* 300 x 2: give"
    ):
        products_at(
            skeleton,
            state_of(skeleton),
            parse_mvm("wires(1e-5)"),
            analog=["0.weight"],
            example=torch.zeros(2, 300),
            images=None,
        )


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"r": -1e-5}, "r of wires must be finite and >= 0, got -1e-05"),
        ({"r": float("nan")}, "r of wires must be finite and >= 0, got nan"),
        ({"method": "slow"}, "unknown method of wires 'slow': expected one of exact, fast"),
        ({"cells": "pair"}, "unknown cells of wires 'pair': expected one of separate, "),
        ({"g_min_ratio": 1.0}, "g_min of wires is over g_max and below 1, got 1"),
        ({"w": torch.zeros(3)}, r"an array has outputs and inputs, got weights of shape \(3,\)"),
        ({"w": torch.full((2, 2), torch.nan)}, "weights in an array must be finite"),
        (
            {"w": torch.zeros(2, LARGEST + 1)},
            "exactly in arrays of up to 256 inputs and outputs, got 257 x 2: give smaller tiles, "
            "as tile=256x256, or method=fast",
        ),
    ],
)
def test_a_mistake_is_said_in_one_line(given: dict[str, Any], sentence: str) -> None:
    usual: dict[str, Any] = {"w": torch.zeros(2, 2), "r": 1e-5}
    with pytest.raises(ValueError, match=sentence):
        effective(**usual | given)


@pytest.mark.parametrize(
    "text", ["wires(1e-05)", "wires(1e-05, method=fast, cells=interleaved, g_min=0.1)"]
)
def test_wires_are_a_stage_of_a_product(text: str) -> None:
    mvm = parse_mvm(f"dac(8) + {text} + adc(8, range=fixed(10))")
    assert parse_mvm(str(mvm)) == mvm
    assert text in str(mvm)
    with pytest.raises(ValueError, match="physical order"):
        parse_mvm(f"output(0.1) + {text}")
