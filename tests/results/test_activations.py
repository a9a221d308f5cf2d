"""What the activations says: each quantity in closed form, and findings only where supported."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as sps

from noiseproof.report.activations.figure import is_steep, trails_of, write_anatomy_figure
from noiseproof.report.activations.page import render, write_anatomy
from noiseproof.report.activations.table import anatomy_tables, score_lines, short
from noiseproof.results.activations import (
    FLOOR,
    RATIO,
    SHIFT,
    SNR,
    TINY,
    Activations,
    Point,
    Way,
    findings,
    kept_channels,
    mean_shift,
    snr_db,
    variance_ratio,
)
from noiseproof.stats.intervals import Floats, Interval
from tests.rows import of_score

POINTS = (
    Point(layer="conv", call=1, role="analog", kind="Conv2d", channels=8, excluded=1),
    Point(layer="norm", call=1, role="norm", kind="BatchNorm2d", channels=8, excluded=0),
    Point(layer="conv", call=2, role="analog", kind="Conv2d", channels=8, excluded=0),
)
BLANK = of_score(
    0.9,
    model="<b>net</b>",
    noise="gaussian(0.5, reference=std, scope=tensor)",
    level=0.5,
    seed=3,
    images=50,
)


def way(snr: Floats, *, name: str = "off", scores: Floats | None = None) -> Way:
    """A way whose other quantities follow from its SNR (K, P)."""
    return Way(
        row=replace(BLANK, recalibrate=name),
        values={"snr_db": snr, "shift": np.full_like(snr, 0.1), "variance_ratio": np.exp(snr / 10)},
        scores=scores,
    )


def around(*means: float, spread: float = 1.0, chips: int = 5) -> Floats:
    """(K, P): values with these means over chips, and the sd `spread`."""
    unit = np.linspace(-1, 1, chips)
    return np.array(means) + spread * (unit / unit.std(ddof=1))[:, None]


def activations(*ways: Way) -> Activations:
    return Activations(points=POINTS, ways=ways, clean=replace(BLANK, noise="none", score=0.95))


# --- one point on one chip -----------------------------------------------------------------------


def test_the_snr_is_ten_log_ten_of_summed_variances_over_summed_squares() -> None:
    assert snr_db(np.array([3.0, 1.0]), np.array([0.3, 0.1])) == pytest.approx(10.0)
    assert snr_db(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == pytest.approx(-3.0102999566)


def test_an_snr_without_noise_is_infinite_and_without_signal_not_there() -> None:
    assert snr_db(np.array([1.0]), np.zeros(1)) == math.inf
    assert math.isnan(snr_db(np.zeros(2), np.ones(2)))
    assert math.isnan(snr_db(np.ones(2), np.array([1.0, np.inf])))


def test_the_shift_is_a_root_mean_square_in_clean_standard_deviations() -> None:
    found = mean_shift(np.array([1.0, 2.0]), np.array([4.0, 1.0]), np.array([1.0 + 6, 2.0 - 4]))
    assert found == pytest.approx(math.sqrt((3**2 + 4**2) / 2))


def test_the_variance_ratio_is_a_geometric_mean() -> None:
    assert variance_ratio(np.array([1.0, 2.0]), np.array([4.0, 32.0])) == pytest.approx(8.0)
    dead = variance_ratio(np.array([1.0, 1.0]), np.array([1.0, 0.0]))
    assert dead == pytest.approx(math.sqrt(FLOOR))


def test_channels_with_a_tiny_clean_sd_count_in_the_snr_only() -> None:
    var = np.array([1.0, 1.0, (0.5 * TINY) ** 2])
    assert kept_channels(var).tolist() == [True, True, False]
    mean, moved = np.zeros(3), np.array([1.0, 1.0, 50.0])
    assert mean_shift(mean, var, moved) == pytest.approx(1.0)
    assert variance_ratio(var, np.array([2.0, 2.0, 7.0])) == pytest.approx(2.0)
    assert snr_db(var, np.array([0.0, 0.0, 2.0])) == pytest.approx(0.0, abs=1e-3)


def test_a_constant_layer_has_no_shift_and_no_ratio() -> None:
    assert math.isnan(mean_shift(np.zeros(2), np.zeros(2), np.ones(2)))
    assert math.isnan(variance_ratio(np.zeros(2), np.ones(2)))


# --- estimates -----------------------------------------------------------------------------------


def test_an_interval_is_students_over_chips() -> None:
    one = way(np.array([[1.0], [2.0], [6.0]])).estimate(SNR, 0)
    half = sps.t.ppf(0.975, 2) * np.std([1, 2, 6], ddof=1) / math.sqrt(3)
    assert (one.mean, one.low, one.high) == pytest.approx((3, 3 - half, 3 + half))


def test_the_interval_of_a_ratio_is_taken_of_its_logarithm() -> None:
    found = way(10 * np.log([[1.0], [2.0], [4.0]])).estimate(RATIO, 0)
    half = sps.t.ppf(0.975, 2) * math.log(2) / math.sqrt(3)
    assert found.mean == pytest.approx(2.0)
    assert (found.low, found.high) == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)))


def test_one_chip_without_a_finite_value_leaves_no_estimate_and_none_that_differs_is_exact() -> (
    None
):
    broken = way(np.array([[1.0, math.inf], [math.nan, math.inf]]))
    assert math.isnan(broken.estimate(SNR, 0).mean)
    assert broken.estimate(SNR, 1).mean == math.inf
    assert short(broken.estimate(SNR, 0), SNR) == "-"
    assert short(broken.estimate(SNR, 1), SNR) == "exact"


def test_a_gain_is_paired_over_chips() -> None:
    off = around(0, 0, 0, spread=9)
    after = way(off + around(2, 3, 4, spread=0.1), name="pooled(8)")
    gain = activations(way(off), after).gain(after, 2)
    half = sps.t.ppf(0.975, 4) * 0.1 / math.sqrt(5)
    assert (gain.mean, gain.high - gain.mean) == pytest.approx((4, half))


@pytest.mark.parametrize(
    ("interval", "quantity", "text"),
    [
        (Interval(mean=4.729, low=3.789, high=5.669), SNR, "4.73 +-0.94"),
        (Interval(mean=0.15801, low=0.14901, high=0.16701), SHIFT, "0.158 +-0.009"),
        (Interval(mean=1.42, low=1.3, high=1.551), RATIO, "1.42 x/1.092"),
        (Interval(mean=1.25, low=math.nan, high=math.nan), SNR, "1.25"),
    ],
)
def test_a_cell_has_the_digits_that_its_interval_supports(
    interval: Interval, quantity: object, text: str
) -> None:
    assert short(interval, quantity) == text  # type: ignore[arg-type]


# --- findings ------------------------------------------------------------------------------------


def test_the_first_point_below_zero_is_named_where_all_before_are_above() -> None:
    found = findings(activations(way(around(5, 4, -3))))
    assert found[0].startswith("Without recalibration the SNR falls below 0 dB first at conv#2 (-3")
    assert "point 3 of 3" in found[0]


def test_first_is_not_said_where_a_point_before_it_is_not_told_apart_from_zero() -> None:
    found = findings(activations(way(around(5, 0.2, -3))))
    assert "falls below 0 dB after conv and at conv#2 at the latest" in found[0]
    at_once = findings(activations(way(around(0.2, 0.1, -3))))
    assert "falls below 0 dB at conv#2 at the latest" in at_once[0]


def test_nothing_falls_where_no_interval_lies_below_zero() -> None:
    above = findings(activations(way(around(5, 4, 3))))
    assert "stays above 0 dB; its lowest mean is at conv#2" in above[0]
    unclear = findings(activations(way(around(5, 4, -0.1))))
    assert "is nowhere clearly below 0 dB" in unclear[0]
    assert findings(activations(way(around(5, 4, -3)[:1]))) == [], "one chip has no interval"


def test_a_shift_is_told_only_beyond_one_standard_deviation() -> None:
    off = way(around(5, 4, 3))
    assert not any("means move" in text for text in findings(activations(off)))
    moved = replace(off, values={**off.values, "shift": around(0.9, 2, 3, spread=0.1)})
    assert any("first at norm (2" in text for text in findings(activations(moved)))


def test_a_way_raises_changes_or_does_not_clearly_change() -> None:
    off = around(5, 4, 3)
    scores = np.linspace(0.2, 0.3, 5)
    ways = [
        way(off + around(0, 0, gain, spread=0.5), name=f"pooled({images})", scores=scores + step)
        for images, gain, step in ((1, 2.0, 0.3), (2, -2.0, 0.0), (3, 0.1, -0.1))
    ]
    found = findings(activations(way(off, scores=scores), *ways))[-3:]
    assert found[0].startswith("pooled(1) raises the SNR at the last point, conv#2, by 2")
    assert "and raises the accuracy by 30" in found[0]
    assert found[1].startswith("pooled(2) changes the SNR at the last point, conv#2, by -2")
    assert found[1].endswith(
        "does not clearly change the accuracy by 0 [0, 0] points (paired over 5 chips)."
    )
    assert "pooled(3) does not clearly change the SNR" in found[2]
    assert "and changes the accuracy by -10" in found[2]


# --- request, JSON, table, page, figure ----------------------------------------------------------


def full() -> Activations:
    off = around(5, 4, -3)
    scores = np.linspace(0.2, 0.3, 5)
    return activations(way(off, scores=scores), way(off + 1, name="pooled(8)", scores=scores + 0.2))


def test_json_holds_every_estimate_and_no_nan() -> None:
    off = way(np.array([[1.0, math.inf, 2.0], [3.0, math.inf, math.nan]]))
    document = json.loads(json.dumps(activations(off).as_json(), allow_nan=False))
    snr = document["ways"][0]["snr_db"]
    assert [one["mean"] for one in snr] == [2.0, None, None]
    assert document["points"][2] == {
        "name": "conv#2",
        "layer": "conv",
        "call": 2,
        "role": "analog",
        "kind": "Conv2d",
        "channels": 8,
        "excluded": 0,
    }
    told = full().as_json()
    assert (told["chips"], told["images"], told["clean"]) == (5, 50, 0.95)
    assert told["ways"][1]["score_gain"]["mean"] == pytest.approx(0.2)
    assert told["ways"][1]["snr_gain_db"][0]["mean"] == pytest.approx(1.0)
    assert told["provenance"]["noise"] == BLANK.noise
    assert told["findings"] == findings(full())


def test_the_tables_have_a_line_for_each_point_and_two_ways_each() -> None:
    three = [*full().ways, way(around(9, 9, 9), name="match(8)")]
    tables = list(anatomy_tables(activations(*three)))
    assert [len(table.columns) for table in tables] == [2 + 2 * 3, 2 + 3]
    assert all(table.row_count == len(POINTS) for table in tables)
    assert "off: accuracy 25" in next(iter(score_lines(full())))
    assert list(score_lines(activations(way(around(1, 1, 1))))) == [], "no labels, no score"


def test_the_page_escapes_names_and_reaches_no_address() -> None:
    text = render(full())
    assert "&lt;b&gt;net&lt;/b&gt;" in text
    assert "<b>net</b>" not in text
    assert "falls below 0 dB first at conv#2" in text
    assert "pooled(8)" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "https://" not in text


@pytest.mark.parametrize("ending", [".pdf", ".svg", ".png"])
def test_the_figure_is_written_in_each_form(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"figure{ending}"
    caption = write_anatomy_figure(full(), target)
    assert "bands: 95 % interval over chips" in caption
    assert target.stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    if ending == ".svg":
        text = target.read_text()
        assert "conv#2" in text
        assert "variance ratio" in text
        assert "bands:" not in text


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown ending of a figure '\.gif'"):
        write_anatomy_figure(full(), tmp_path / "figure.gif")


@pytest.mark.parametrize(
    "odd",
    [
        activations(way(around(5, 4, 3)[:1])),
        activations(way(np.full((2, 3), math.inf))),
        activations(way(np.full((2, 3), math.nan))),
    ],
    ids=["one chip", "exact", "no values"],
)
def test_a_result_without_intervals_is_still_drawn(tmp_path: Path, odd: Activations) -> None:
    write_anatomy_figure(odd, tmp_path / "figure.png")
    write_anatomy(odd, tmp_path / "page.html")
    assert list(anatomy_tables(odd))


def test_a_trail_leaves_out_what_has_no_value_and_never_goes_below_a_zero_shift() -> None:
    off = way(np.array([[1.0, 2.0, math.nan], [2.0, 4.0, 1.0]]))
    shifted = replace(off, values={**off.values, "shift": np.array([[0.1, 1, 2], [1.0, 2, 3]])})
    shown = activations(shifted)
    analog, norm = trails_of(shown, SNR)
    assert (analog.places, norm.places) == ([0], [1])
    assert trails_of(shown, SHIFT)[0].low[0] == 0
    assert not is_steep(SNR, trails_of(shown, SNR))
