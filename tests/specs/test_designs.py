"""Designs: their text form, what they hold for, what `auto` means."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.specs.designs import (
    DESIGNS,
    Auto,
    Chips,
    Design,
    Nested,
    PerImage,
    auto_design,
    blocks_of,
    check_design,
    parse_design,
    sized,
)
from noiseproof.specs.estimators import parse_estimator
from noiseproof.specs.noise import parse

DESIGNS_WITH_VALUES = (Chips(), Nested(), Nested(images=50), PerImage(), PerImage(block=7), Auto())


@pytest.mark.parametrize("design", DESIGNS_WITH_VALUES, ids=str)
def test_the_text_form_parses_to_the_same_design(design: Design) -> None:
    assert parse_design(str(design)) == design
    assert parse_design(f"  {str(design).replace('(', ' ( ')} ") == design


@given(st.text(max_size=30))
def test_any_text_is_a_design_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_design(text).kind in DESIGNS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip", "unknown design 'chip': expected one of chips, nested, per-image, auto"),
        ("chips(25)", "design chips takes no number, got 'chips\\(25\\)'"),
        ("nested(1)", "images of a nested chip must be >= 2, got 1"),
        ("per-image(0)", "block of per-image chips must be >= 1, got 0"),
        ("nested(1e3)", "unknown design"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_design(text)


PER_IMAGE_HOLDS = (
    "gaussian(0.1)",
    "laplace(0.1, reference=max, scope=channel)",
    "uniform(0.1, reference=absolute)",
    "quantize(bits=6) + gaussian(0.1, scope=global)",
    "gaussian(0)",
)
PER_IMAGE_DOES_NOT = {
    "stuck(0.1)": "stuck noise \\(not symmetric and additive\\)",
    "lognormal(0.1)": "lognormal noise",
    "gaussian(0.1) + quantize(bits=6)": "stages after the first random one",
    "gaussian(0.1) + gaussian(0.1)": "stages after the first random one",
    "stuck(0.1) + gaussian(0.1)": "stuck noise",
}


@pytest.mark.parametrize("noise", PER_IMAGE_HOLDS)
def test_per_image_chips_hold_for_symmetric_noise_in_the_last_stage(noise: str) -> None:
    specs = [parse(noise)]
    check_design(PerImage(), specs, ("kernel", "bias"), estimator=None, has_hits=True)
    design, reason = auto_design(specs, ("kernel",), estimator=None, has_hits=True)
    assert (design, "symmetric" in reason) == (PerImage(), True)


@pytest.mark.parametrize(("noise", "message"), PER_IMAGE_DOES_NOT.items())
def test_per_image_chips_are_refused_where_signs_would_change_the_law(
    noise: str, message: str
) -> None:
    specs = [parse(noise)]
    with pytest.raises(ValueError, match=f"per-image chips do not hold for .*{message}"):
        check_design(PerImage(), specs, ("kernel",), estimator=None, has_hits=True)
    design, reason = auto_design(specs, ("kernel",), estimator=None, has_hits=True)
    assert design == Chips()
    assert "per-image chips do not hold for" in reason


def test_noisy_running_statistics_and_recalibration_need_whole_chips() -> None:
    specs = [parse("gaussian(0.1)")]
    with pytest.raises(ValueError, match="noise on norm_stats"):
        check_design(PerImage(), specs, ("kernel", "norm_stats"), estimator=None, has_hits=True)
    estimator = parse_estimator("match(10)")
    with pytest.raises(ValueError, match=r"recalibration \(match\(10\)"):
        check_design(PerImage(), specs, ("kernel",), estimator=estimator, has_hits=True)
    check_design(Nested(), specs, ("kernel",), estimator=estimator, has_hits=True)
    assert auto_design(specs, ("kernel",), estimator=estimator, has_hits=True)[0] == Chips()


@pytest.mark.parametrize("design", [Nested(), PerImage()], ids=str)
def test_scores_that_are_no_mean_over_images_need_all_images_on_every_chip(design: Design) -> None:
    with pytest.raises(ValueError, match="needs a score that is the mean over single images"):
        check_design(design, [parse("gaussian(1)")], ("kernel",), estimator=None, has_hits=False)
    assert (
        auto_design([parse("gaussian(1)")], ("kernel",), estimator=None, has_hits=False)[0]
        == Chips()
    )


@pytest.mark.parametrize("way", ["ema(0.1)", "batch(32)"])
def test_estimators_that_follow_the_test_images_need_them_in_their_order(way: str) -> None:
    estimator = parse_estimator(way)
    with pytest.raises(ValueError, match="follows the test images in their order"):
        check_design(
            Nested(), [parse("gaussian(1)")], ("kernel",), estimator=estimator, has_hits=True
        )


@pytest.mark.parametrize(
    ("images", "block", "blocks"), [(10_000, 100, 100), (1_000, 50, 20), (150, 10, 15), (5, 5, 1)]
)
def test_blocks_are_of_a_hundred_images_and_at_least_twenty_where_images_are_enough(
    images: int, block: int, blocks: int
) -> None:
    design = sized(PerImage(), images)
    assert design == PerImage(block=block)
    assert isinstance(design, PerImage)
    assert blocks_of(design, images) == blocks


def test_a_sample_larger_than_the_test_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nested\(51\) asks for more than the 50 test images"):
        sized(Nested(images=51), 50)
