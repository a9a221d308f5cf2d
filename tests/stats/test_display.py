"""Numbers in the words that people read."""

import pytest

from noiseproof.stats.display import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.1234, "0.12 s"),
        (9.4, "9.4 s"),
        (12.4, "12 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_is_in_the_units_of_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
