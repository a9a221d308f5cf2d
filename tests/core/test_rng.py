"""Streams: a number is named, not ordered."""

import hashlib
from itertools import combinations

import pytest
import torch
from torch import Tensor

from noiseproof.core.rng import seeded, stream


def draw(*path: str | int) -> Tensor:
    seed, *rest = path
    assert isinstance(seed, int)
    return torch.rand(4, generator=stream(seed, *rest))


PATHS: list[tuple[str | int, ...]] = [
    (0,),
    (1,),
    (-1,),
    (0, 1),
    (0, "1"),
    (0, "a"),
    (0, "a", "b"),
    (0, "b", "a"),
    (0, "ab"),
    (0, "a, b"),
    (0, "a', 'b"),
    (0, "a", ""),
    (0, 0, "a", "b"),
    (1, 0, "a", "b"),
    (0, 1, "a", "b"),
    (0, 0, "c", "b"),
    (0, 0, "a", "c"),
    (0, 12),
    (0, 1, 2),
]


def test_a_stream_is_named_by_the_sha256_of_its_path() -> None:
    digest = hashlib.sha256(b"(7, 3, 'conv.weight', 'gaussian0')").digest()
    expected = int.from_bytes(digest[:8], "big") // 2
    assert stream(7, 3, "conv.weight", "gaussian0").initial_seed() == expected
    assert stream(7, 3, "conv.weight", "gaussian0").device == torch.device("cpu")


def test_every_part_of_the_path_names_another_stream() -> None:
    draws = {path: draw(*path) for path in PATHS}
    same = [pair for pair in combinations(PATHS, 2) if torch.equal(draws[pair[0]], draws[pair[1]])]
    assert same == []


def test_streams_do_not_depend_on_the_order_of_work() -> None:
    forward = [draw(*path) for path in PATHS]
    backward = [draw(*path) for path in reversed(PATHS)]
    for a, b in zip(forward, reversed(backward), strict=True):
        assert torch.equal(a, b)


def test_two_generators_of_one_name_do_not_share_their_state() -> None:
    first, second = stream(0, "a"), stream(0, "a")
    torch.rand(100, generator=first)
    assert torch.equal(torch.rand(4, generator=second), draw(0, "a"))


def test_a_stream_leaves_the_default_generator_alone() -> None:
    before = torch.get_rng_state()
    draw(0, "a")
    assert torch.equal(torch.get_rng_state(), before)


def test_inside_seeded_the_default_generator_follows_the_named_stream() -> None:
    with seeded(5, "init"):
        inside = torch.rand(4)
    assert torch.equal(inside, draw(5, "init"))


def test_seeded_puts_the_default_generator_back() -> None:
    before = torch.get_rng_state()
    with seeded(5, "init"):
        torch.rand(3)
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_puts_the_default_generator_back_after_an_error() -> None:
    def fail() -> None:
        with seeded(5, "init"):
            torch.rand(3)
            raise ZeroDivisionError("inside")

    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError, match="inside"):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_blocks_nest() -> None:
    with seeded(0, "outer"):
        first = torch.rand(2)
        with seeded(0, "inner"):
            torch.rand(7)
        second = torch.rand(2)
    with seeded(0, "outer"):
        assert torch.equal(torch.rand(2), first)
        assert torch.equal(torch.rand(2), second)
