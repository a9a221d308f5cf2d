"""Times since programming: one text form, in seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.specs import parse_time, parse_times, time_text
from noiseproof.specs.times import LONGEST


@pytest.mark.parametrize(
    ("text", "seconds", "shortest"),
    [
        ("0s", 0.0, "0s"),
        ("25s", 25.0, "25s"),
        ("90s", 90.0, "90s"),
        ("60s", 60.0, "1min"),
        ("10min", 600.0, "10min"),
        ("1.5h", 5400.0, "90min"),
        ("24h", 86_400.0, "1d"),
        ("30d", 2_592_000.0, "30d"),
        ("365d", 31_536_000.0, "1y"),
        ("programmed", None, "programmed"),
    ],
)
def test_a_time_is_in_seconds_and_has_a_shortest_text(
    text: str, seconds: float | None, shortest: str
) -> None:
    assert parse_time(text) == seconds
    assert time_text(seconds) == shortest


@given(st.floats(0, LONGEST))
def test_the_text_of_a_time_is_read_as_that_time(seconds: float) -> None:
    assert parse_time(time_text(seconds)) == seconds


def test_times_are_sorted_and_each_stands_once() -> None:
    assert parse_times("1d, 0s,24h,programmed") == (None, 0.0, 86_400.0)


@pytest.mark.parametrize("text", ["", "1", "-1s", "1 d", "1w", "1e400s", "101y", "infs", "1d1h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a time must be"):
        parse_time(text)
