"""Streams as text, and lengths that fit each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.specs.streams import Course, Stream, parse_stream

streams = st.builds(
    Stream,
    every=st.integers(1, 10**12),
    wander=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
)


@given(streams)
def test_a_stream_is_what_its_text_says(stream: Stream) -> None:
    assert parse_stream(str(stream)) == stream


def test_the_two_forms() -> None:
    assert str(Stream(every=1000)) == "redraw(every=1000)"
    assert str(Stream(every=500, wander=0.2)) == "wander(0.2, every=500)"


@pytest.mark.parametrize(
    "text",
    [
        *("", "redraw", "redraw()", "redraw(1000)", "redraw(every=)", "redraw(every=-1)"),
        *("redraw(every=1.5)", "redraw(every=1) ", "redraw(every=1)\n", "redraw(every=٣)"),
        *("wander(every=1)", "wander(, every=1)", "wander(1.2.3, every=1)", "wander(1e, every=1)"),
        *("<script>alert(1)</script>", "redraw(every=__import__('os'))", "9" * 10_000),
    ],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^cannot read stream ") as caught:
        parse_stream(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("redraw(every=0)", "every must be >= 1 image, got 0"),
        ("wander(0.0, every=5)", "wander must be finite and > 0, got 0.0"),
        ("wander(1e999, every=5)", "wander must be finite and > 0, got inf"),
    ],
)
def test_a_text_with_impossible_values_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_stream(text)


@pytest.mark.parametrize("wander", [0.0, -0.1, float("nan"), float("inf")])
def test_a_walk_needs_steps(wander: float) -> None:
    with pytest.raises(ValueError, match="wander must be finite and > 0"):
        Stream(every=5, wander=wander)


def test_windows_divide_everything() -> None:
    stream = Stream(every=100)
    Course(changes=stream, images=400, window=50, period=200)
    for changed, sentence in (
        ({"window": 30}, "every must be a multiple of window 30, got 100"),
        ({"period": 70}, "period must be a multiple of window 50, got 70"),
        ({"images": 410}, "images must be a multiple of window 50, got 410"),
        ({"window": 0}, "window must be >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Course(changes=stream, **{"images": 400, "window": 50, "period": 200} | changed)
