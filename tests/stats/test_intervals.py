"""Intervals: closed forms, an analysis of variance in loops, and coverage under simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as sps

from noiseproof import stats
from noiseproof.stats.intervals import Interval

FALSE_FAIL = 1e-6
EXPERIMENTS = 2000
CHIPS, IMAGES = 8, 100
CHIP_SD = (0.2, 0.5, 1.0)  # beside image effects of sd 1 and residuals of sd 1
CHANCE = 0.1

sized = st.tuples(st.integers(2, 6), st.integers(2, 12))
hit_matrices = sized.flatmap(lambda shape: hnp.arrays(np.bool_, shape))
# multiples of 1/64: sums of them are exact, so a broken law cannot hide behind rounding
values = st.lists(st.integers(-640, 640).map(lambda i: i / 64), min_size=2, max_size=12)


def ends(interval: Interval) -> tuple[float, float, float]:
    return (interval.mean, interval.low, interval.high)


def close(a: Interval, b: tuple[float, float, float]) -> bool:
    return bool(np.allclose(ends(a), b, rtol=1e-9, atol=1e-9, equal_nan=True))


# --- t intervals --------------------------------------------------------------------------------


def test_the_t_interval_is_scipys() -> None:
    x = [0.61, 0.58, 0.7, 0.55, 0.64]
    low, high = sps.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=sps.sem(x))
    assert ends(stats.t_interval(x)) == pytest.approx((np.mean(x), low, high), rel=1e-12)


def test_two_values_have_the_interval_of_the_cauchy_law() -> None:
    """With one degree of freedom t is Cauchy: the 97.5 % point is tan(pi (0.975 - 1/2))."""
    half = math.tan(math.pi * 0.475) * 0.5  # sd / sqrt(2) of 0 and 1 is 1/2
    assert close(stats.t_interval([0.0, 1.0]), (0.5, 0.5 - half, 0.5 + half))


def test_another_confidence_changes_the_width_only() -> None:
    x = [1.0, 2.0, 4.0]
    half = sps.t.ppf(0.95, 2) * np.std(x, ddof=1) / math.sqrt(3)
    assert close(stats.t_interval(x, confidence=0.9), (7 / 3, 7 / 3 - half, 7 / 3 + half))


def test_one_value_has_a_mean_and_no_interval() -> None:
    assert close(stats.t_interval([0.5]), (0.5, math.nan, math.nan))
    assert math.isnan(stats.sd([0.5]))


def test_the_paired_interval_is_that_of_the_differences() -> None:
    a, b = [0.5, 0.7, 0.9], [0.4, 0.65, 0.7]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    assert close(stats.paired_interval(a, b), ends(stats.t_interval(differences)))
    assert stats.paired_interval(a, [x - 0.25 for x in a]).high == pytest.approx(0.25)


def test_unequally_many_values_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="paired values must be equally many, got 2 and 3"):
        stats.paired_interval([1, 2], [1, 2, 3])


def test_scaling_and_clipping_an_interval() -> None:
    interval = Interval(mean=0.5, low=-0.5, high=1.25)
    assert ends(interval.scaled(2)) == (1.0, -1.0, 2.5)
    assert ends(interval.within(0, 1)) == (0.5, 0.0, 1.0)
    assert close(stats.t_interval([0.5]).within(0, 1), (0.5, math.nan, math.nan))


@given(values, st.integers(-50, 50), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_t_interval_moves_and_stretches_with_its_values(
    x: list[float], shift: int, factor: float
) -> None:
    base = ends(stats.t_interval(x))
    moved = stats.t_interval([factor * v + shift for v in x])
    assert close(moved, tuple(factor * end + shift for end in base))  # type: ignore[arg-type]


@given(values, st.randoms(use_true_random=False))
def test_the_t_interval_ignores_the_order_of_chips(x: list[float], random: object) -> None:
    shuffled = list(x)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert close(stats.t_interval(shuffled), ends(stats.t_interval(x)))


# --- chips crossed with images ------------------------------------------------------------------


def anova_in_loops(y: np.ndarray) -> tuple[float, float, float]:
    """The crossed interval, term by term from the textbook."""
    k, n = len(y), len(y[0])
    chips, images = range(k), range(n)
    mean = sum(float(y[i][j]) for i in chips for j in images) / (k * n)
    row = [sum(float(y[i][j]) for j in images) / n for i in chips]
    column = [sum(float(y[i][j]) for i in chips) / k for j in images]
    ms_chip = n * sum((row[i] - mean) ** 2 for i in chips) / (k - 1)
    ms_image = k * sum((column[j] - mean) ** 2 for j in images) / (n - 1)
    ms_rest = 0.0
    for i in chips:
        for j in images:
            ms_rest += (float(y[i][j]) - row[i] - column[j] + mean) ** 2
    ms_rest /= (k - 1) * (n - 1)
    var_chip = max(0.0, (ms_chip - ms_rest) / n)
    var_image = max(0.0, (ms_image - ms_rest) / k)
    variance = var_chip / k + var_image / n + ms_rest / (k * n)
    a, b = n * var_chip + ms_rest, k * var_image + ms_rest
    top = (a + b - ms_rest) ** 2
    bottom = a**2 / (k - 1) + b**2 / (n - 1) + ms_rest**2 / ((k - 1) * (n - 1))
    df = max(1.0, top / bottom)
    half = float(sps.t.ppf(0.975, df)) * math.sqrt(variance)
    return mean, mean - half, mean + half


@pytest.mark.parametrize(
    ("chip_sd", "image_sd"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.1, 3.0)]
)
def test_the_crossed_interval_is_a_two_way_analysis_of_variance(
    chip_sd: float, image_sd: float
) -> None:
    dice = np.random.default_rng(0)
    for k, n in ((2, 2), (3, 5), (5, 3), (6, 20)):
        for _ in range(5):  # some of these have variance components below zero
            y = chip_sd * dice.normal(size=(k, 1)) + image_sd * dice.normal(size=n)
            y = y + dice.normal(size=(k, n))
            assert close(stats.crossed_interval(y), anova_in_loops(y))
            hits = y > np.median(y)
            assert close(stats.crossed_interval(hits), anova_in_loops(hits))


def test_without_any_variance_the_crossed_interval_is_a_point() -> None:
    assert ends(stats.crossed_interval(np.ones((3, 4), dtype=bool))) == (1.0, 1.0, 1.0)


def test_with_chips_alike_only_the_images_count() -> None:
    """All chips miss the same images: the interval is the t interval over images."""
    one = np.array([True, True, False, True, False, True, True])
    assert close(stats.crossed_interval(np.stack([one] * 4)), ends(stats.t_interval(one)))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_chip_or_one_image_has_no_crossed_interval(shape: tuple[int, int]) -> None:
    assert close(stats.crossed_interval(np.ones(shape, dtype=bool)), (1.0, math.nan, math.nan))


@given(hit_matrices, st.randoms(use_true_random=False))
def test_the_order_of_chips_and_images_is_irrelevant(y: np.ndarray, random: object) -> None:
    k, n = y.shape
    chips, images = list(range(k)), list(range(n))
    random.shuffle(chips)  # type: ignore[attr-defined]
    random.shuffle(images)  # type: ignore[attr-defined]
    clean = np.arange(n) % 4 > 0
    shuffled = y[chips][:, images]
    assert close(stats.crossed_interval(shuffled), ends(stats.crossed_interval(y)))
    before = stats.chance_corrected(y, clean, chance=CHANCE)
    after = stats.chance_corrected(shuffled, clean[images], chance=CHANCE)
    assert close(after, ends(before))


@given(hit_matrices, st.integers(-8, 8), st.sampled_from([0.5, 2.0, 4.0]))
def test_the_crossed_interval_moves_and_stretches_with_its_values(
    y: np.ndarray, shift: int, factor: float
) -> None:
    base = ends(stats.crossed_interval(y))
    moved = stats.crossed_interval(factor * y + shift)
    assert close(moved, tuple(factor * end + shift for end in base))  # type: ignore[arg-type]


@given(hit_matrices)
def test_misses_mirror_hits(y: np.ndarray) -> None:
    mean, low, high = ends(stats.crossed_interval(y))
    assert close(stats.crossed_interval(~y), (1 - mean, 1 - high, 1 - low))


# --- chance-corrected ---------------------------------------------------------------------------


@given(hit_matrices)
def test_against_a_flawless_clean_network_fieller_is_the_crossed_interval_rescaled(
    y: np.ndarray,
) -> None:
    """The denominator, 1 - chance, is then known: (crossed - chance) / (1 - chance)."""
    clean = np.ones(y.shape[1], dtype=bool)
    expected = tuple((end - CHANCE) / (1 - CHANCE) for end in ends(stats.crossed_interval(y)))
    assert close(stats.chance_corrected(y, clean, chance=CHANCE), expected)  # type: ignore[arg-type]


def test_chips_that_answer_as_the_clean_network_have_lost_exactly_nothing() -> None:
    clean = np.arange(50) % 10 > 1
    same = stats.chance_corrected(np.stack([clean] * 5), clean, chance=CHANCE)
    assert close(same, (1.0, 1.0, 1.0))


def test_chips_at_chance_are_at_zero() -> None:
    y = np.zeros((4, 20), dtype=bool)
    y[:, :2] = True
    clean = np.ones(20, dtype=bool)
    at_chance = stats.chance_corrected(y, clean, chance=CHANCE)
    assert at_chance.mean == pytest.approx(0, abs=1e-12)
    assert at_chance.low < 0 < at_chance.high


@pytest.mark.parametrize("right", [0, 2, 3])
def test_a_clean_network_not_clearly_above_chance_gives_no_interval(right: int) -> None:
    clean = np.arange(20) < right
    found = stats.chance_corrected(np.stack([clean] * 3), clean, chance=CHANCE)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_chip_or_one_image_has_no_chance_corrected_interval(shape: tuple[int, int]) -> None:
    y = np.ones(shape, dtype=bool)
    assert close(stats.chance_corrected(y, y[0], chance=CHANCE), (1.0, math.nan, math.nan))


# --- coverage -----------------------------------------------------------------------------------


def covered_band(coverage: float, *, caught: float) -> tuple[float, float]:
    """How many of EXPERIMENTS intervals may cover the truth: two-sided, false-fail 1e-6.

    Nothing here is conservative by design: at these sizes a variance component is rarely cut at
    zero. Fails as underpowered where a true coverage of only `caught` would pass.
    """
    law = sps.binom(EXPERIMENTS, coverage)
    low, high = law.ppf(FALSE_FAIL / 2), law.isf(FALSE_FAIL / 2)
    assert sps.binom(EXPERIMENTS, caught).cdf(low - 1) > 0.99, "underpowered"
    return low, high


def experiments(chip_sd: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of y (K, N) = chip + image + rest, of mean zero, and the image effects (N,) in it."""
    dice = np.random.default_rng(20260101)
    found = []
    for _ in range(EXPERIMENTS):
        image = dice.normal(size=IMAGES)
        chip, rest = dice.normal(size=(CHIPS, 1)), dice.normal(size=(CHIPS, IMAGES))
        found.append((chip_sd * chip + image + rest, image))
    return found


def count(intervals: list[Interval], truths: list[float]) -> int:
    return sum(i.low <= truth <= i.high for i, truth in zip(intervals, truths, strict=True))


@pytest.mark.parametrize("chip_sd", CHIP_SD)
def test_t_covers_new_chips_on_this_test_set_at_95_percent(chip_sd: float) -> None:
    runs = experiments(chip_sd)
    covered = count([stats.t_interval(y.mean(1)) for y, _ in runs], [i.mean() for _, i in runs])
    low, high = covered_band(0.95, caught=0.90)
    assert low <= covered <= high


@pytest.mark.parametrize("chip_sd", CHIP_SD)
def test_crossed_covers_new_chips_and_images_at_95_percent(chip_sd: float) -> None:
    runs = experiments(chip_sd)
    covered = count([stats.crossed_interval(y) for y, _ in runs], [0.0] * len(runs))
    low, high = covered_band(0.95, caught=0.90)
    assert low <= covered <= high


@pytest.mark.parametrize("chip_sd", CHIP_SD)
def test_pooling_chips_and_images_covers_as_little_as_theory_says(chip_sd: float) -> None:
    """The pooled variance is a sum of three independent chi squares, far below the true one; so
    the nominal 95 % covers the mean of 2 Phi(1.96 sqrt(pooled / true)) - 1 over them."""
    runs = experiments(chip_sd)
    covered = count([stats.t_interval(y.ravel()) for y, _ in runs], [0.0] * len(runs))
    cells, dice = CHIPS * IMAGES, np.random.default_rng(1)
    squares = (IMAGES * chip_sd**2 + 1) * dice.chisquare(CHIPS - 1, 100_000)
    squares += (CHIPS + 1) * dice.chisquare(IMAGES - 1, 100_000)
    squares += dice.chisquare((CHIPS - 1) * (IMAGES - 1), 100_000)
    pooled = squares / (cells - 1) / cells
    true = chip_sd**2 / CHIPS + 1 / IMAGES + 1 / cells
    theory = float(np.mean(2 * sps.norm.cdf(1.96 * np.sqrt(pooled / true)) - 1))
    low, high = covered_band(theory, caught=theory - 0.1)
    assert low <= covered <= high
    assert theory < 0.6, "these experiments do not show the trap"


@pytest.mark.parametrize("chip_sd", CHIP_SD)
def test_fieller_covers_the_chance_corrected_accuracy_at_95_percent(chip_sd: float) -> None:
    """Probit hits, so that both true accuracies are closed forms; the clean network shares the
    image effects, which is the covariance that the interval has to know of."""
    offset, clean_offset = 0.5, 1.5
    dice = np.random.default_rng(7)
    intervals = []
    for y, image in experiments(chip_sd):
        clean = clean_offset + image + dice.normal(size=IMAGES) > 0
        intervals.append(stats.chance_corrected(y + offset > 0, clean, chance=CHANCE))
    accuracy = sps.norm.cdf(offset / math.sqrt(chip_sd**2 + 1 + 1))
    clean_accuracy = sps.norm.cdf(clean_offset / math.sqrt(1 + 1))
    truth = (accuracy - CHANCE) / (clean_accuracy - CHANCE)
    covered = count(intervals, [truth] * EXPERIMENTS)
    low, high = covered_band(0.95, caught=0.90)
    assert low <= covered <= high


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half_width", "decimals"),
    [(30, 0), (9.5, 0), (9.49, 1), (1, 1), (0.95, 1), (0.94, 2), (0.01, 2), (0, 1), (math.nan, 1)],
)
def test_a_percentage_has_the_digits_that_its_interval_supports(
    half_width: float, decimals: int
) -> None:
    assert stats.digits(half_width) == decimals


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(mean=0.48, low=0.403, high=0.556), "48.0 [40.3, 55.6]"),
        (Interval(mean=0.48, low=0.303, high=0.656), "48 [30, 66]"),
        (Interval(mean=0.48123, low=0.48, high=0.482), "48.12 [48.00, 48.20]"),
        (Interval(mean=1.0, low=1.0, high=1.0), "100.0 [100.0, 100.0]"),
        (Interval(mean=0.5, low=math.nan, high=math.nan), "50.0 [no interval]"),
    ],
)
def test_a_percentage_prints_with_its_interval(interval: Interval, text: str) -> None:
    assert stats.percent(interval) == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(mean=-37.52, low=-38.2, high=-36.84), "-37.52 [-38.20, -36.84]"),
        (Interval(mean=1234.5, low=1200.0, high=1269.0), "1234 [1200, 1269]"),
        (Interval(mean=2.5e-5, low=2e-5, high=3e-5), "0.0000250 [0.0000200, 0.0000300]"),
        (Interval(mean=0.25, low=0.25, high=0.25), "0.25 [0.25, 0.25]"),
        (Interval(mean=0.0, low=0.0, high=0.0), "0 [0, 0]"),
        (Interval(mean=12.5, low=math.nan, high=math.nan), "12.5 [no interval]"),
        (Interval(mean=1.0, low=-math.inf, high=math.inf), "1 [-inf, inf]"),
    ],
)
def test_a_number_prints_with_its_interval(interval: Interval, text: str) -> None:
    assert stats.number(interval) == text


def test_only_shares_are_printed_in_percent() -> None:
    interval = Interval(mean=0.5, low=0.4, high=0.6)
    share = stats.unit_of("%")
    assert share.text(interval) + share.sign == "50 [40, 60] %"
    assert share.value(0.1234, places=2) + share.points == "12.34, points"
    for text, behind in (("", ""), ("cm", " cm")):
        own = stats.unit_of(text)
        assert own.text(interval) + own.sign == "0.50 [0.40, 0.60]" + behind
        assert own.value(-1234.567) + own.points == "-1235" + ("," + behind if behind else "")


def test_json_has_null_where_there_is_no_estimate() -> None:
    found = stats.as_json(Interval(mean=0.5, low=math.nan, high=math.inf))
    assert found == {"mean": 0.5, "low": None, "high": None}
    assert stats.as_json(Interval(mean=1.0, low=-2.0, high=4.0))["low"] == -2.0


@settings(max_examples=50)
@given(values)
def test_the_low_quantile_lies_between_the_smallest_and_the_median(x: list[float]) -> None:
    assert min(x) <= stats.low_quantile(x) <= float(np.median(x))


def test_the_low_quantile_is_linear_between_order_statistics() -> None:
    assert stats.low_quantile([0.0, 1.0, 2.0]) == pytest.approx(0.1)
