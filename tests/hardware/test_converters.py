"""Codes on numbers that are made by hand, to the last bit."""

import pytest
import torch
from torch import Tensor

from noiseproof.hardware.converters import coded, converted, outermost, per_range


def of(*values: float) -> Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize("bits", [2, 3, 8, 16, 24])
def test_odd_codes_are_whole_numbers_one_fewer_than_the_bits_can_say(bits: int) -> None:
    top = outermost(bits)
    assert 2 * top + 1 == 2**bits - 1


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_all_codes_are_as_many_as_the_bits_can_say_and_none_is_zero(bits: int) -> None:
    top = outermost(bits, "all")
    found = coded(torch.linspace(-2 * top, 2 * top, 100_001), 1.0, top).unique()
    assert len(found) == 2**bits
    assert torch.equal(found.diff(), torch.ones(2**bits - 1))
    assert found.abs().min() == 0.5


def test_halves_are_rounded_to_even_codes_and_what_is_beyond_is_clipped() -> None:
    x = of(-9, -7.5, -7.2, -2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3.5, 6.5, 7.2, 7.5, 9)
    codes = of(-7, -7, -7, -2, -2, 0, 0, 0, 2, 2, 4, 6, 7, 7, 7)
    assert torch.equal(coded(x, 1.0, 7.0), codes)
    assert torch.equal(coded(x / 2, 2.0, 7.0), codes)
    assert torch.equal(coded(x[None], of(1.0), 7.0), codes[None])


def test_halves_between_codes_without_zero_go_to_the_even_one_counted_from_below() -> None:
    x = of(-9, -7.5, -7, -1, 0, 1, 2, 3, 7, 7.5, 9)
    step = 1.0
    index = torch.round((x.clamp(-7.5, 7.5) + 7.5) / step)  # as codes are counted, half to even
    assert torch.equal(coded(x, 1.0, 7.5), index * step - 7.5)


def test_inputs_are_left_alone_and_outputs_are_written_into() -> None:
    x = of(0.3, 1.7)
    coded(x, 1.0, 7.0)
    assert torch.equal(x, of(0.3, 1.7))
    assert converted(x, 1.0, 7.0, 0.5) is x
    assert torch.equal(x, of(0, 1))


def test_an_offset_comes_before_the_rounding() -> None:
    assert torch.equal(converted(of(0.3, 1.7), 1.0, 7.0, 1.0, of(0.4)), of(1, 2))


def test_large_batches_go_in_parts_with_their_own_ranges() -> None:
    x = torch.randn(300, 5, 40, 9, generator=torch.Generator().manual_seed(0))
    slopes = torch.arange(1.0, 301).view(-1, 1, 1, 1)
    wanted = (x * slopes).clamp(-7, 7).round()
    assert torch.equal(coded(x, slopes, 7.0), wanted)
    columns = torch.arange(1.0, 6).view(-1, 1, 1)
    again = converted(x.clone(), columns, 7.0, slopes)
    assert torch.equal(again, (x * columns).clamp(-7, 7).round() * slopes)


def test_a_range_of_zero_gives_zero() -> None:
    assert torch.equal(per_range(7.0, of(0, 2)), of(0, 3.5))
