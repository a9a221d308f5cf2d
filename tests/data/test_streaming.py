"""What is read when it is needed, and what of it is kept."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noiseproof.data.streaming import Kept


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=40),
    st.integers(0, 50),
    st.integers(1, 3),
)
def test_what_is_kept_never_outgrows_its_limit(asked: list[int], limit: int, threads: int) -> None:
    made: list[int] = []

    def make(place: int) -> torch.Tensor:
        made.append(place)
        return torch.full((place,), float(place))

    kept = Kept(make, len, limit=limit, threads=threads)
    for place in asked:
        (found,) = kept.several([place])
        assert torch.equal(found, torch.full((place,), float(place)))
    # Each was made once and stays, or did not fit and was made each time.
    stays = {place for place in set(asked) if made.count(place) < asked.count(place)}
    assert sum(stays) <= limit
    assert all(made.count(place) == 1 for place in stays)


def test_several_come_in_the_order_they_are_asked_for_and_each_is_made_once() -> None:
    made: list[int] = []
    kept = Kept(lambda place: (made.append(place), place)[1], lambda _: 1, limit=3)
    assert kept.several([4, 1, 4, 2]) == [4, 1, 4, 2]
    assert kept.several([2, 4]) == [2, 4]
    assert made == [4, 1, 2]
