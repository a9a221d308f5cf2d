"""Estimators as values: one text form, refused early and in one line."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.specs.estimators import (
    AUTO,
    ESTIMATORS,
    Batch,
    Blend,
    Ema,
    Estimator,
    Layerwise,
    Match,
    Pooled,
    parse_estimator,
)

COUNTS = st.integers(min_value=1, max_value=10**9)
ANY: st.SearchStrategy[Estimator] = st.one_of(
    st.builds(Pooled, images=COUNTS, batch=st.none() | COUNTS),
    st.builds(Layerwise, images=COUNTS),
    st.builds(Blend, images=COUNTS, prior=COUNTS),
    st.builds(Match, images=COUNTS),
    st.builds(Ema, momentum=st.floats(0, 1, exclude_min=True), batch=COUNTS),
    st.builds(Batch, batch=COUNTS),
)
TEXTS: dict[str, Estimator] = {
    "pooled(1000)": Pooled(images=1000),
    "pooled(1000, batch=128)": Pooled(images=1000, batch=128),
    "layerwise(1000)": Layerwise(images=1000),
    "blend(32, prior=64)": Blend(images=32, prior=64),
    "match(200)": Match(images=200),
    "ema(0.1, batch=128)": Ema(momentum=0.1),
    "batch(128)": Batch(batch=128),
}


@given(ANY)
def test_the_text_form_reads_back_as_the_same_estimator(estimator: Estimator) -> None:
    assert parse_estimator(str(estimator)) == estimator


@pytest.mark.parametrize("text", TEXTS)
def test_each_estimator_prints_as_documented(text: str) -> None:
    assert str(TEXTS[text]) == text
    assert parse_estimator(text) == TEXTS[text]


@given(st.text(max_size=30) | st.text(alphabet="pooled(1,=batch)*.[]-+ \n\0", max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_estimator(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # most texts raise, some do not


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", Pooled(images=500)),
        (" 500 ", Pooled(images=500)),
        ("0", None),
        ("off", None),
        ("auto", parse_estimator(AUTO)),
        ("blend(prior=64, images=32)", Blend(images=32, prior=64)),
        ("ema(1)", Ema(momentum=1.0, batch=128)),
        ("pooled(+3)", Pooled(images=3)),
    ],
)
def test_other_ways_to_write_an_estimator(text: str, expected: Estimator | None) -> None:
    assert parse_estimator(text) == expected


REFUSED = {
    "foo": "^unknown recalibration 'foo': expected one of batch, blend, ema, layerwise, match, ",
    "foo(3)": "^unknown recalibration 'foo': expected one of batch, blend",
    "": "^cannot read recalibration '': expected off, a number of images, or for example pooled",
    "pooled(": "^cannot read recalibration 'pooled\\(': expected off",
    "pooled": "^recalibration 'pooled' needs its values in brackets, as in pooled\\(...\\)$",
    "pooled()": "^'pooled\\(\\)': images is missing$",
    "blend(32)": "^'blend\\(32\\)': prior is missing$",
    "blend(32, 64)": "^'blend\\(32, 64\\)': only images may stand without its name$",
    "pooled(3, images=4)": "^'pooled\\(3, images=4\\)': images is given twice$",
    "pooled(3, size=4)": "^unknown option of pooled 'size': expected one of images, batch$",
    "pooled(**3)": "^unknown option of pooled '\\*\\*': expected one of images, batch$",
    "pooled(0)": "^images must be >= 1, got 0$",
    "pooled(2.5)": "^images must be a whole number >= 1, got 2.5$",
    "pooled(nan)": "^images must be a whole number >= 1, got nan$",
    "pooled(True)": "^cannot read 'True' in a recalibration: expected off",
    "pooled(3, batch=0)": "^batch must be >= 1, got 0$",
    "-5": "^images must be >= 1, got -5$",
    "1.5": "^images must be a whole number >= 1, got 1.5$",
    "blend(3, prior=0)": "^prior must be >= 1, got 0$",
    "ema(0)": "^momentum must be greater than 0 and at most 1, got 0$",
    "ema(1.01)": "^momentum must be greater than 0 and at most 1, got 1.01$",
    "ema(nan)": "^momentum must be greater than 0 and at most 1, got nan$",
    "ema(0.1, batch=0)": "^batch must be >= 1, got 0$",
    "batch(-inf)": "^batch must be a whole number >= 1, got -inf$",
    "pooled(__import__('os'))": "^cannot read \"__import__\\('os'\\)\" in a recalibration",
    "1" + "0" * 300: "^recalibration must be at most 200 characters, got 301$",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_named_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        parse_estimator(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "values", "reason"),
    [
        (Pooled, {"images": True}, "images must be a whole number >= 1, got True"),
        (Pooled, {"images": None}, "images must be a whole number >= 1, got None"),
        (Blend, {"images": 3, "prior": "x"}, "prior must be a whole number >= 1, got 'x'"),
        (Ema, {"momentum": "0.1"}, "momentum must be a number, got '0.1'"),
        (Ema, {"momentum": math.nan}, "momentum must be greater than 0 and at most 1, got nan"),
        (Ema, {"momentum": 0.1, "batch": None}, "batch must be a whole number >= 1, got None"),
    ],
)
def test_values_are_checked_when_made(cls: type, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cls(**values)


def test_numbers_of_other_libraries_become_python_s_own() -> None:
    assert str(Pooled(images=np.int64(7), batch=np.int32(2))) == "pooled(7, batch=2)"
    assert str(Ema(momentum=np.float64(0.5))) == "ema(0.5, batch=128)"
    assert Ema(momentum=Fraction(1, 4)).momentum == 0.25


def test_only_those_that_follow_the_test_batches_see_test_images() -> None:
    assert {e.kind for e in TEXTS.values() if e.sees_test} == {"ema", "batch"}
    for estimator in TEXTS.values():
        assert estimator.calibration_images == (0 if estimator.sees_test else estimator.images)  # type: ignore[union-attr]
        assert ESTIMATORS[estimator.kind] is type(estimator)
        assert estimator.about
        assert "\n" not in estimator.about
    assert set(ESTIMATORS) == {e.kind for e in TEXTS.values()}
