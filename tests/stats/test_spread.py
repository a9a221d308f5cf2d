"""Spread of chips and blocks of images: closed forms, enumerations, loops and coverage."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as sps

from noiseproof.stats.intervals import Interval, t_interval
from noiseproof.stats.spread import binomial_interval, block_interval, chip_spread

FALSE_FAIL = 1e-6
OF = 10_000
TAIL = 0.025

chips = st.lists(st.integers(0, 640), min_size=2, max_size=100, unique=True).map(
    lambda hits: [h / 640 for h in hits]
)


def ends(interval: Interval) -> tuple[float, float, float]:
    return (interval.mean, interval.low, interval.high)


def whole(scores: object, of: int = OF):
    return chip_spread(scores, images=of, of=of)


def band(experiments: int, coverage: float, *, caught: float) -> tuple[float, float]:
    """How many intervals may cover: two-sided, false-fail 1e-6; underpowered if `caught` passes."""
    law = sps.binom(experiments, coverage)
    low, high = law.ppf(FALSE_FAIL / 2), law.isf(FALSE_FAIL / 2)
    assert sps.binom(experiments, caught).cdf(low - 1) > 0.99, "underpowered"
    return low, high


# --- the sd -------------------------------------------------------------------------------------


def bonett_in_loops(x: list[float]) -> tuple[float, float, float]:
    """Bonett 2006, term by term, with the excess of the kurtosis corrected for its bias."""
    n, z = len(x), 1.959963984540054
    mean = sum(x) / n
    square = sum((v - mean) ** 2 for v in x)
    cut = int(n / (2 * math.sqrt(n - 4)))
    kept = sorted(x)[cut : n - cut]
    trimmed = sum(kept) / len(kept)
    excess = n * sum((v - trimmed) ** 4 for v in x) / square**2 - 3
    kurtosis = 3 + (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6)
    c = n / (n - z)
    error = c * math.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    center = math.log(c * square / (n - 1))
    low, high = (math.exp((center + sign * z * error) / 2) for sign in (-1, 1))
    return math.sqrt(square / (n - 1)), low, high


@pytest.mark.parametrize("k", [8, 12, 25])
def test_the_sd_of_chips_seen_whole_is_bonetts(k: int) -> None:
    x = np.random.default_rng(k).gamma(3, size=k).tolist()
    assert ends(whole(x).sd) == pytest.approx(bonett_in_loops(x), rel=1e-9)


def test_of_few_chips_the_sd_has_the_chi_square_interval() -> None:
    x = [0.5, 0.6, 0.9]
    expected = [math.sqrt(2 * np.var(x, ddof=1) / sps.chi2.ppf(q, 2)) for q in (0.975, 0.025)]
    assert ends(whole(x).sd)[1:] == pytest.approx(expected, rel=1e-9)


def test_one_chip_has_a_mean_and_no_spread() -> None:
    for images in (OF, 100):
        spread = chip_spread([0.5], images=images, of=OF)
        assert spread.mean.mean == 0.5
        assert all(map(math.isnan, ends(spread.sd)[1:]))
        assert all(map(math.isnan, ends(spread.above(0.4))))
        assert all(map(math.isnan, ends(spread.quantile(0.5))[1:]))


def test_over_all_samples_of_one_chip_the_drawing_explains_the_whole_variance() -> None:
    """All 20 samples of 3 of 6 images, taken for 20 chips: their population variance is exactly the
    drawing's, so only n / (n - 1) - 1 of it is left for the chips."""
    population = [1, 1, 0, 0, 0, 0]
    x = [sum(sample) / 3 for sample in itertools.combinations(population, 3)]
    assert chip_spread(x, images=3, of=6).sd.mean ** 2 == pytest.approx(np.var(x) / 19, rel=1e-9)


def test_the_variance_of_sampled_chips_is_unbiased() -> None:
    """Of chips at 0.2 or 0.4 of 1,000 images; samples of 50 add four fifths as much again."""
    dice, experiments, k = np.random.default_rng(3), 400, 200
    hits = np.where(dice.random((experiments, k)) < 0.5, 200, 400)
    x = dice.hypergeometric(hits, 1000 - hits, 50) / 50
    found = np.array([chip_spread(v, images=50, of=1000).sd.mean ** 2 for v in x])
    tolerance = sps.norm.isf(FALSE_FAIL / 2) * found.std() / math.sqrt(experiments)
    assert (found > 0).all()
    assert abs(found.mean() - 0.01) < tolerance
    assert tolerance < 0.03 * 0.01, "underpowered"


@pytest.mark.parametrize("score", [0.0, 0.1, 0.5, 1.0])
def test_chips_that_differ_less_than_their_samples_have_sd_zero_and_an_end_above(
    score: float,
) -> None:
    spread = chip_spread([score] * 30, images=100, of=OF)
    assert spread.sd.mean == spread.sd.low == 0
    assert 0.001 < spread.sd.high < 0.05
    assert spread.quantile(0.5).high > spread.quantile(0.5).low


def test_equal_chips_seen_whole_may_differ_by_what_one_image_hides() -> None:
    """At the high end, K normal chips all round to the same count with probability 0.025."""
    k, of = 12, 500
    sd = whole([0.25] * k, of=of).sd
    assert (sd.mean, sd.low) == (0, 0)
    one = 2 * sps.norm.cdf(0.5 / of / sd.high) - 1
    assert one**k == pytest.approx(TAIL, rel=1e-9)


def test_with_almost_the_whole_test_set_a_sample_is_the_test_set() -> None:
    x = np.random.default_rng(0).integers(4000, 6000, 100) / OF
    exact, nearly = whole(x), chip_spread(x * OF / (OF - 1), images=OF - 1, of=OF)
    assert ends(nearly.sd) == pytest.approx(ends(exact.sd), rel=1e-3)
    assert ends(nearly.quantile(0.1)) == pytest.approx(ends(exact.quantile(0.1)), abs=1e-3)
    assert ends(nearly.above(0.45)) == pytest.approx(ends(exact.above(0.45)), abs=0.01)


# --- quantiles and yield ------------------------------------------------------------------------


@pytest.mark.parametrize("r", [1, 3, 10, 19])
def test_where_an_order_statistic_has_exactly_the_confidence_it_is_the_end(r: int) -> None:
    """x_r is below the p quantile with probability 0.975 where the Beta(r, K - r + 1) law says."""
    x = np.sort(np.random.default_rng(r).normal(size=20))
    share = float(special.betaincinv(r, 20 - r + 1, 0.975))
    inside = whole(x).quantile(share + 1e-12)
    assert inside.low == pytest.approx(x[r - 1], abs=1e-6)
    assert whole(-x).quantile(1 - share - 1e-12).high == pytest.approx(-x[r - 1], abs=1e-6)


def test_the_median_has_the_interval_of_hettmansperger_and_sheather() -> None:
    """1986: for the median, (n - r) I / (r + (n - 2 r) I) of the way between x_r and x_r+1."""
    x = np.sort(np.random.default_rng(2).normal(size=25))
    sure = [sps.binom.sf(r - 1, 25, 0.5) for r in range(26)]
    r = max(i for i in range(26) if sure[i] >= 0.975)
    part = (sure[r] - 0.975) / (sure[r] - sure[r + 1])
    weight = (25 - r) * part / (r + (25 - 2 * r) * part)
    expected = (1 - weight) * x[r - 1] + weight * x[r]
    assert whole(x).quantile(0.5).low == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
def test_other_quantiles_have_nybloms_interval(share: float) -> None:
    """1992: weight 1 / (1 + r (1-p) (c - P_r+1) / ((K-r) p (P_r - c))) on x_r+1, c = 0.975."""
    k = 40
    x = np.sort(np.random.default_rng(9).normal(size=k))
    sure = [sps.binom.sf(r - 1, k, share) for r in range(k + 1)]
    r = max((i for i in range(1, k) if sure[i] >= 0.975), default=0)
    found = whole(x).quantile(share).low
    if r == 0:
        assert math.isnan(found)
        return
    ratio = (0.975 - sure[r + 1]) / (sure[r] - 0.975)
    weight = 1 / (1 + r * (1 - share) * ratio / ((k - r) * share))
    assert found == pytest.approx((1 - weight) * x[r - 1] + weight * x[r], rel=1e-9)


def test_equal_hits_are_spread_over_their_step() -> None:
    """Among equal samples the quantile still rises: else its ends would jump by a hit."""
    spread = chip_spread(np.repeat([0.2, 0.5, 0.8], 40), images=20, of=OF)
    means = [spread.quantile(share).mean for share in np.linspace(0.4, 0.6, 9)]
    assert (np.diff(means) > 0.001).all()


def test_chips_that_seem_alike_may_have_tails_on_the_far_side_only() -> None:
    """With an estimated sd of 0 a low tail can be lower than it seems, and higher only as far as
    the center can; a high tail the other way round."""
    x = np.random.default_rng(0).permutation(np.repeat([0.46, 0.5, 0.54], 40))
    spread = chip_spread(x, images=100, of=OF)
    assert spread.shrink.mean == 0
    low, high = spread.quantile(0.1), spread.quantile(0.9)
    assert low.high == pytest.approx(math.sin(spread.center.high) ** 2, rel=1e-9)
    assert high.low == pytest.approx(math.sin(spread.center.low) ** 2, rel=1e-9)
    assert low.low < high.low - 0.005
    assert high.high > low.high + 0.005


@pytest.mark.parametrize("images", [OF, 100])
def test_an_end_that_the_chips_do_not_reach_is_nan(images: int) -> None:
    x = np.random.default_rng(1).integers(30, 60, 72) / 100
    few = chip_spread(x[:71], images=images, of=OF).quantile(0.05)
    enough = chip_spread(x, images=images, of=OF).quantile(0.05)
    assert math.isnan(few.low)
    assert few.mean < few.high
    assert enough.low < enough.mean < enough.high
    other = chip_spread(x[:71], images=images, of=OF).quantile(0.95)
    assert math.isnan(other.high)
    assert other.low < other.mean


@pytest.mark.parametrize("k", [5, 30])
def test_where_every_chip_is_good_the_yield_is_clopper_and_pearsons(k: int) -> None:
    x = np.linspace(0.8, 0.9, k)
    for threshold in (0.7, 0.8):  # the least chip itself counts as above
        found = whole(x).above(threshold)
        assert ends(found) == pytest.approx((1, TAIL ** (1 / k), 1), abs=1e-5)
    none = whole(x).above(0.95)
    assert ends(none) == pytest.approx((0, 0, 1 - TAIL ** (1 / k)), abs=1e-5)


@given(chips, st.data())
def test_the_yield_is_clopper_and_pearsons_or_narrower_by_one_chip_at_most(
    x: list[float], data: st.DataObject
) -> None:
    threshold = data.draw(st.sampled_from(x))
    good, k = sum(v >= threshold for v in x), len(x)
    found = whole(x).above(threshold)
    assert found.mean == good / k
    lows = [binomial_interval(hits, k).low for hits in (good, min(good + 1, k))]
    highs = [binomial_interval(hits, k).high for hits in (good - 1, good)]
    assert lows[0] - 1e-5 <= found.low <= lows[1] + 1e-5
    assert highs[0] - 1e-5 <= found.high <= highs[1] + 1e-5


@settings(max_examples=30)
@given(chips, st.sampled_from([OF, 640]), st.floats(0.05, 0.95))
def test_quantiles_rise_with_the_share_and_hold_their_mean(
    x: list[float], of: int, share: float
) -> None:
    spread = chip_spread(x, images=640, of=of)
    found, more = spread.quantile(share), spread.quantile(share + 0.04)
    assert not found.low > found.mean
    assert not found.high < found.mean
    assert found.mean <= more.mean


def test_a_yields_end_is_where_the_quantiles_end_is_the_threshold() -> None:
    dice = np.random.default_rng(4)
    for images in (OF, 100):
        spread = chip_spread(dice.integers(30, 70, 90) / 100, images=images, of=OF)
        found = spread.above(0.4512)
        assert spread.quantile(1 - found.low).low == pytest.approx(0.4512, abs=1e-4)
        assert spread.quantile(1 - found.high).high == pytest.approx(0.4512, abs=1e-4)


@pytest.mark.parametrize("images", [OF, 100])
def test_sd_quantile_and_yield_cover_at_95_percent(images: int) -> None:
    """Chips from a beta law of mean 0.8 and sd 0.04; two-sided ends at 80 chips."""
    experiments, law, dice = 250, sps.beta(79.2, 19.8), np.random.default_rng(images)
    hits = np.rint(OF * law.rvs((experiments, 80), random_state=dice)).astype(int)
    x = hits / OF if images == OF else dice.hypergeometric(hits, OF - hits, images) / images
    limit = float(law.ppf(0.2))
    covered = np.zeros(3)
    for scores in x:
        spread = chip_spread(scores, images=images, of=OF)
        found = (
            (spread.sd, float(law.std())),
            (spread.quantile(0.1), float(law.ppf(0.1))),
            (spread.above(limit), 0.8),
        )
        covered += [i.low <= truth <= i.high for i, truth in found]
    low, high = band(experiments, 0.95, caught=0.80)
    assert (low <= covered).all()
    assert (covered <= high).all()


@pytest.mark.parametrize(
    ("scores", "images", "message"),
    [
        ([], 5, "scores must be at least one finite number, got []"),
        ([0.5, math.nan], 5, "scores must be at least one finite number, got .0.5, nan."),
        ([0.5], 0, "images must be between 1 and the test set's 10, got 0"),
        ([0.5], 11, "images must be between 1 and the test set's 10, got 11"),
        ([0.5, 1.5], 5, "must be shares of hits from 0 to 1, got 0.5 to 1.5"),
    ],
)
def test_what_is_no_measurement_is_refused(scores: list[float], images: int, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[]", r"\[\]")):
        chip_spread(scores, images=images, of=10)


def test_impossible_questions_are_refused() -> None:
    for share in (0, 1, math.nan):
        with pytest.raises(ValueError, match=f"share must lie between 0 and 1, got {share}"):
            whole([0.5, 0.6]).quantile(share)
    with pytest.raises(ValueError, match="threshold must be a number, got nan"):
        whole([0.5, 0.6]).above(math.nan)


def test_scores_seen_whole_may_be_any_numbers() -> None:
    spread = whole([-30.0, 12.0, 55.0, 70.0])
    assert spread.mean == t_interval([-30.0, 12.0, 55.0, 70.0])
    assert spread.above(12.0).mean == 0.75


# --- blocks -------------------------------------------------------------------------------------


def test_one_pass_of_equal_blocks_is_the_t_interval_over_blocks() -> None:
    x = np.random.default_rng(0).random(12)
    found = block_interval(x, range(12), [100] * 12, total_blocks=20)
    assert ends(found.new_images) == pytest.approx(ends(t_interval(x)), rel=1e-12)
    assert found.this_test_set.mean == found.new_images.mean
    assert math.isnan(found.this_test_set.low)


def blocks_in_loops(
    units: list[tuple[float, int, int]],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    of: dict[int, list[float]] = {}
    size = {}
    for score, block, images in units:
        of.setdefault(block, []).append(score)
        size[block] = images
    b, total = len(of), sum(size.values())
    average = {k: sum(v) / len(v) for k, v in of.items()}
    mean = sum(size[k] * average[k] for k in of) / total
    residual = sum((size[k] / (total / b) * (average[k] - mean)) ** 2 for k in of)
    half = sps.t.ppf(0.975, b - 1) * math.sqrt(residual / (b - 1) / b)
    df = len(units) - b
    within = sum((v - average[k]) ** 2 for k in of for v in of[k]) / df
    variance = sum((size[k] / total) ** 2 * within / len(of[k]) for k in of)
    here = sps.t.ppf(0.975, df) * math.sqrt(variance)
    return (mean, mean - half, mean + half), (mean, mean - here, mean + here)


@pytest.mark.parametrize("extra", [1, 3, 7, 10])
def test_passes_over_blocks_are_stratified_by_block(extra: int) -> None:
    dice = np.random.default_rng(extra)
    order = [*range(7), *range(7), *range(7)][: 7 + extra]
    units = [(float(dice.random()), block, 100 + block % 2) for block in order]
    found = block_interval(*map(list, zip(*units, strict=True)), total_blocks=7)
    new, here = blocks_in_loops(units)
    assert ends(found.new_images) == pytest.approx(new, rel=1e-9)
    assert ends(found.this_test_set) == pytest.approx(here, rel=1e-9)


def test_without_every_block_there_is_nothing_to_say_of_the_test_set() -> None:
    found = block_interval([0.5, 0.6, 0.7], [0, 1, 0], [9, 9, 9], total_blocks=3)
    assert math.isnan(found.this_test_set.high)
    assert found.new_images.mean == pytest.approx(0.6)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_all_hits_and_all_misses_have_clopper_and_pearsons_interval(score: float) -> None:
    sizes = [101, 100, 100]
    once = block_interval([score] * 3, [0, 1, 2], sizes, total_blocks=3)
    twice = block_interval([score] * 6, [0, 1, 2] * 2, sizes * 2, total_blocks=3)
    edge = 1 - TAIL ** (1 / 301)
    expected = (0, edge) if score == 0 else (1 - edge, 1)
    assert ends(once.new_images)[1:] == pytest.approx(expected, rel=1e-9)
    assert twice.new_images == once.new_images  # the same images again are no new images
    assert ends(twice.this_test_set) == ends(binomial_interval(602 * score, 602))


def test_without_a_miss_among_the_blocks_that_came_again_the_wider_interval_stands_in() -> None:
    found = block_interval([1.0, 0.99, 1.0, 1.0], [0, 1, 2, 0], [100] * 4, total_blocks=3)
    assert found.this_test_set == found.new_images
    assert found.this_test_set.low < found.this_test_set.high


def test_clopper_and_pearson_are_scipys() -> None:
    for hits, trials in ((0, 5), (3, 8), (8, 8)):
        low, high = sps.binomtest(hits, trials).proportion_ci(method="exact")
        assert ends(binomial_interval(hits, trials)) == pytest.approx((hits / trials, low, high))


def test_this_test_set_covers_whatever_the_blocks_differ_by() -> None:
    """Block effects ten times the noise: the truth is their mean, which chance never moves."""
    dice, experiments, covered = np.random.default_rng(8), 1500, np.zeros(2)
    blocks = [*range(20), *range(12)]
    effect = 10 * dice.normal(size=20)
    for noise in dice.normal(size=(experiments, 32)):
        found = block_interval(effect[blocks] + noise, blocks, [9] * 32, total_blocks=20)
        truth = effect.mean()
        covered += [i.low <= truth <= i.high for i in (found.this_test_set, found.new_images)]
    low, high = band(experiments, 0.95, caught=0.90)
    assert low <= covered[0] <= high
    assert covered[1] == experiments  # far wider: it is for new images


@pytest.mark.parametrize(
    ("scores", "blocks", "sizes", "message"),
    [
        ([], [], [], "must be equally many, at least 1, got 0, 0 and 0"),
        ([0.5], [0, 1], [9, 9], "must be equally many, at least 1, got 1, 2 and 2"),
        ([0.5, 0.5], [0, 1], [9, 0], "sizes must be at least 1 image, got 0"),
        ([0.5] * 3, [0, 1, 2], [9] * 3, "blocks must be at most total_blocks, 2, got 3"),
    ],
)
def test_impossible_blocks_are_refused(
    scores: list[float], blocks: list[int], sizes: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        block_interval(scores, blocks, sizes, total_blocks=2)
