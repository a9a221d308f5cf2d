"""What happens at a product as values: one text form, refused early and in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.specs.mvm import (
    CODES,
    EXACT,
    LAWS,
    ORDER,
    Adc,
    Dac,
    Mvm,
    MvmStage,
    Output,
    Read,
    parse_mvm,
)

BITS = st.integers(2, 24)
LEVELS = st.floats(0, 1e6)
PERCENTILES = st.floats(1e-3, 100).map(lambda p: f"static({p!r})")
BOUNDS = st.floats(1e-6, 1e6).map(lambda b: f"fixed({b!r})")
DACS = st.builds(
    Dac,
    bits=BITS,
    range=PERCENTILES | st.sampled_from(["static", "image", "vector"]),
    codes=st.sampled_from(list(CODES)),
)
READS = st.builds(Read, level=LEVELS, law=st.sampled_from(list(LAWS)))
ADCS = st.builds(
    Adc,
    bits=BITS,
    range=PERCENTILES | BOUNDS,
    gain_sd=LEVELS,
    offset_sd=LEVELS,
)
STAGES = (DACS, READS, st.builds(Output, level=LEVELS), ADCS)


@given(st.tuples(*(stage | st.none() for stage in STAGES)))
def test_a_product_is_its_text(stages: tuple[MvmStage | None, ...]) -> None:
    mvm = Mvm(stages=tuple(stage for stage in stages if stage is not None))
    assert parse_mvm(str(mvm)) == mvm
    assert bool(mvm) == bool(str(mvm))


def test_no_stage_at_all_is_an_exact_product() -> None:
    assert parse_mvm(" ") == EXACT == Mvm()
    assert str(EXACT) == ""
    assert not EXACT.is_random


def test_what_a_result_depends_on_stands_in_the_text_unasked() -> None:
    text = str(parse_mvm("dac(8) + read(.1) + output(0.04) + adc(bits=6)"))
    assert text == (
        "dac(8, range=static(99.9)) + read(0.1, law=additive) + output(0.04) + "
        "adc(6, range=static(99.9))"
    )


def test_ranges_say_what_they_are() -> None:
    dac, adc = parse_mvm("dac(8, range=static(99)) + adc(8, range=fixed(10))").stages
    assert isinstance(dac, Dac)
    assert isinstance(adc, Adc)
    assert (dac.scheme, dac.percentile) == ("static", 99)
    assert (adc.scheme, adc.bound, adc.percentile) == ("fixed", 10, None)
    assert Dac(bits=8, range="vector").percentile is None


def test_calibration_images_decide_the_static_ranges_that_do_not_say_theirs() -> None:
    mvm = parse_mvm("dac(8) + output(0.1) + adc(8, range=static(99), images=20)").calibrated(100)
    assert str(mvm) == (
        "dac(8, range=static(99.9), images=100) + output(0.1) + adc(8, range=static(99), images=20)"
    )
    assert mvm.images == 100
    assert mvm.calibrated(None) == mvm
    assert parse_mvm("adc(8, range=fixed(10))").calibrated(None).images == 0


@pytest.mark.parametrize(
    ("text", "images", "message"),
    [
        ("dac(8)", None, r"^dac\(8, range=static\(99.9\)\) needs calibration images for its range"),
        ("dac(8)", 0, "^calibrate must be >= 1, got 0$"),
        ("output(0.1)", 100, r"^calibrate 100 decides static ranges, and output\(0.1\) has none"),
        ("", 100, "^calibrate 100 decides static ranges, and exact products has none"),
    ],
)
def test_ranges_without_images_and_images_without_ranges_are_refused(
    text: str, images: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mvm(text).calibrated(images)


@pytest.mark.parametrize(
    ("text", "is_random"),
    [
        ("dac(8) + adc(8)", False),
        ("read(0)", False),
        ("read(0.1)", True),
        ("output(0.1)", True),
        ("adc(8, gain_sd=0.01)", True),
        ("adc(8, offset_sd=0.01)", True),
    ],
)
def test_chips_differ_where_something_is_drawn(text: str, is_random: bool) -> None:
    assert parse_mvm(text).is_random is is_random


@pytest.mark.parametrize("stage", ["dac(8)", "read(0.1)", "output(0.1)", "adc(8)"])
def test_a_stage_in_front_of_an_earlier_one_or_twice_is_refused(stage: str) -> None:
    place = ORDER.index(stage.partition("(")[0])
    for other in ("dac(4)", "read(1)", "output(1)", "adc(4)"):
        where = ORDER.index(other.partition("(")[0])
        if where < place:
            with pytest.raises(ValueError, match="must be in physical order, dac, read, wires"):
                parse_mvm(f"{stage} + {other}")
        if where == place:
            with pytest.raises(ValueError, match="one .* at most: leave the second one out"):
                parse_mvm(f"{stage} + {other}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dac(0)", "^dac bits must be between 2 and 24, got 0$"),
        ("adc(40)", "^adc bits must be between 2 and 24, got 40$"),
        ("dac(8.5)", "^dac bits must be a whole number, got 8.5$"),
        ("dac(eight)", "^dac bits must be a whole number, got 'eight'$"),
        ("dac()", "bits is missing$"),
        ("dac", r"^stage of a product 'dac' needs its values in brackets, as in dac\(...\)$"),
        ("wire(1)", "^unknown stage of a product 'wire': expected one of dac, read"),
        ("dac(8", "^cannot read text of --mvm 'dac\\(8': expected stages joined by"),
        ("dac(8, range=most)", "^unknown range of dac 'most': expected one of static, image, vec"),
        ("dac(8, range=fixed(3))", "^unknown range of dac 'fixed'"),
        ("dac(8, range=3)", "^range of dac must be one of static, image, vector, as in"),
        ("dac(8, range=image(3))", r"^range=image takes no number, got image\(3\)$"),
        ("dac(8, codes=both)", "^unknown codes of a dac 'both': expected one of odd, all$"),
        ("dac(8, range=image, images=3)", "^images decide a static range of dac, got image$"),
        ("dac(8, images=-3)", "^images of dac must be a whole number >= 1, got -3$"),
        ("adc(8, range=fixed)", "^a fixed range of adc needs its bound, as in range=fixed"),
        ("adc(8, range=fixed(-1))", r"^a range must be finite and above 0, got fixed\(-1\)$"),
        ("adc(8, range=fixed(0))", r"^a range must be finite and above 0, got fixed\(0\)$"),
        ("adc(8, range=fixed(x))", r"^a range must have a number in its brackets, got fixed\(x\)$"),
        ("adc(8, range=fixed(1, 2))", "^cannot read 'fixed\\(1, 2\\)'"),
        ("adc(8, range=static(101))", "^a percentile must be above 0 and at most 100, got static"),
        ("adc(8, range=fixed(3), per=column)", "^an adc's fixed range is the same for all columns"),
        ("adc(8, per=row)", "^unknown reach of an adc's range 'row'"),
        ("adc(8, gain_sd=-1)", "^gain_sd of adc must be finite and >= 0, got -1$"),
        ("read(-1)", "^level of read must be finite and >= 0, got -1$"),
        ("read(nan)", "^level of read must be finite and >= 0, got nan$"),
        ("read(much)", "^level of read must be a number, got 'much'$"),
        ("read(0.1, law=square)", "^unknown law of read noise 'square': expected one of additive"),
        ("output(1e999)", "^level of output must be finite and >= 0, got inf$"),
    ],
)
def test_a_mistake_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_mvm(text)
    assert "\n" not in str(caught.value)
