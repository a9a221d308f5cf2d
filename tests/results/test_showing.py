"""Results show themselves: in a few lines, as a table in a notebook, a data frame, a figure."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

from noiseproof import stats
from noiseproof.results.activations import QUANTITIES, Activations, Point, Way
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.rows import Row, pack
from noiseproof.results.sensitivity import Ranking, rankings_of
from noiseproof.results.showing import MOST, Shown, Summary
from noiseproof.results.streams import Trace, traces_of
from tests.results.made import made

HOSTILE = "<script>alert(1)</script>$\\frac{\x1b[31m"
CLEAN: dict[str, Any] = {"noise": "none", "targets": "", "level": None, "recalibrate": "off"}
IMAGES = 400


@pytest.fixture(autouse=True)
def _without_windows() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        pyplot.close("all")


def scored(share: float, **changes: Any) -> Row:
    """A row of 400 images, of which that share is right."""
    hits = np.arange(IMAGES) < round(share * IMAGES)
    row = made(images=IMAGES, **changes)
    return replace(row, score=float(hits.mean()), correct=int(hits.sum()), hits=pack(hits))


def curve(chips: int = 6, **changes: Any) -> Curve:
    """Two levels; a chip loses more with its number and the level."""
    rows = [
        scored(
            0.9 - level - 0.01 * chip,
            chip=chip,
            level=level,
            noise=f"gaussian({level}, reference=std, scope=tensor)",
            **changes,
        )
        for level in (0.1, 0.25)
        for chip in range(chips)
    ]
    (found,) = curves_of([scored(0.95, **changes | CLEAN), *rows])
    return found


def trace(chips: int = 4, **changes: Any) -> Trace:
    rows = [
        scored(0.8 - 0.05 * chip, chip=chip, seen=seen, stream="redraw(every=400)", **changes)
        for chip in range(chips)
        for seen in (0, 400, 800)
    ]
    (found,) = traces_of(rows)
    return found


def ranking(groups: int = 2, **changes: Any) -> Ranking:
    facts = f'{{"groups": {groups}, "weights": 50, "macs": 70, "blocks": 3}}'
    named: dict[str, Any] = {"design": "per-image(400)", "details": facts, **changes}
    rows = [
        scored(0.9 - 0.1 * place - 0.01 * block, chip=block, part=f"only:layer:fc{place}", **named)
        for place in range(groups)
        for block in range(3)
    ]
    clean = [scored(0.95, chip=block, part="nothing", **CLEAN | named) for block in range(3)]
    (found,) = rankings_of([*clean, *rows])
    return found


def activations(points: int = 3, **changes: Any) -> Activations:
    values = {
        one.key: 1.0 + np.arange(4)[:, None] + np.arange(points)[None, :] / 10 for one in QUANTITIES
    }
    row = scored(0.5, **changes)
    ways = [
        Way(row=row, values=values, scores=np.array([0.5, 0.6, 0.55, 0.52])),
        Way(row=replace(row, recalibrate="pooled(8)"), values=values, scores=None),
    ]
    found = [
        Point(layer=f"fc{n}", call=1, role="analog", kind="Linear", channels=8, excluded=0)
        for n in range(points)
    ]
    return Activations(points=tuple(found), ways=tuple(ways), clean=scored(0.95, **CLEAN | changes))


MADE = {"curve": curve, "trace": trace, "ranking": ranking, "activations": activations}


# --- text ----------------------------------------------------------------------------------------


def test_a_curve_prints_what_was_measured_and_a_line_for_each_level() -> None:
    # Scores .8 to .75: mean .775, sd .0187, half-width of t with 5 degrees 2.5706 sd / sqrt(6).
    assert repr(curve()).splitlines() == [
        "resnet8 batch (cccccc) on digits: clean accuracy 95.00 [92.4, 96.9] % of 400 test images",
        "gaussian(level, reference=std, scope=tensor) on kernel, recalibrate off",
        "level  accuracy %         sd   chips",
        "0.1    77.5 [75.5, 79.5]  1.9  6",
        "0.25   62.5 [60.5, 64.5]  1.9  6",
        "[..]: 95 % interval for new chips, this test set",
    ]


def test_a_single_chip_has_no_interval_and_no_spread() -> None:
    assert "0.1    80.0 [no interval]  -   1" in repr(curve(chips=1)).splitlines()


def test_the_digits_are_those_that_the_error_supports() -> None:
    point = curve().points[0]
    assert stats.percent(point.score) in repr(curve())
    assert repr(point) == (
        "<gaussian(0.1, reference=std, scope=tensor): accuracy 77.5 [75.5, 79.5] %, 6 chips>"
    )


def test_a_score_of_ones_own_is_printed_as_the_number_that_it_is() -> None:
    own: dict[str, Any] = {"task": "my:score", "hits": b"", "correct": None, "classes": 0}
    rows = [made(chip, score=-30.0 - chip, **own) for chip in range(3)]
    (found,) = curves_of([made(score=-29.0, **CLEAN | own), *rows])
    assert "clean score -29 of 13 test images" in repr(found)
    assert "0.1    -31.0 [-33.5, -28.5]  1   3" in repr(found).splitlines()


def test_each_image_on_its_own_chip_is_said() -> None:
    rows = [scored(0.8 - 0.01 * b, chip=b, design="per-image(400)") for b in range(3)]
    (found,) = curves_of([replace(scored(0.9, **CLEAN), images=1200, hits=bytes(150)), *rows])
    assert "recalibrate off, design per-image(400)" in repr(found)
    assert "interval for new chips and new images, over blocks of images" in repr(found)


def test_a_trace_prints_its_windows_and_their_mean() -> None:
    lines = repr(trace()).splitlines()
    assert lines[0] == "resnet8 batch (cccccc) on digits: redraw(every=400), 4 chips"
    assert [line.split()[0] for line in lines[3:-1]] == ["all", "1", "401", "801"]
    assert lines[4].startswith("1 to 400      72 [62, 83]")


def test_a_ranking_prints_the_most_sensitive_first() -> None:
    lines = repr(ranking()).splitlines()
    assert [line.split()[1] for line in lines[3:-1]] == ["fc1", "fc0"]
    assert "new chips and new images, over 3 blocks" in lines[-1]


def test_activations_print_each_point_of_each_way() -> None:
    lines = repr(activations()).splitlines()
    score = stats.percent(stats.t_interval([0.5, 0.6, 0.55, 0.52]))
    assert f"off: accuracy {score} %" in lines
    assert "SNR (dB) at the output of  off             pooled(8)" in lines
    assert "fc0                        2.5 [0.4, 4.6]  2.5 [0.4, 4.6]" in lines


@pytest.mark.parametrize("kind", MADE)
def test_a_result_is_a_few_lines_without_hits_however_long_it_is(kind: str) -> None:
    text = repr(MADE[kind]())
    assert len(text) < 700
    assert str(MADE[kind]()) == text
    assert "\\x" not in text


@pytest.mark.parametrize(
    ("kind", "size"), [("ranking", {"groups": 50}), ("activations", {"points": 50})]
)
def test_of_many_lines_the_first_are_printed_and_the_rest_are_counted(
    kind: str, size: dict[str, int]
) -> None:
    lines = repr(MADE[kind](**size)).splitlines()
    assert len(lines) < MOST + 8
    assert "... and 30 more: see to_pandas()" in lines
    assert "... and 30 more: see to_pandas()" in MADE[kind](**size)._repr_html_()


def test_a_row_prints_without_its_hits() -> None:
    assert "hits" not in repr(scored(0.5))
    assert "chip=3" in repr(scored(0.5, chip=3))


@pytest.mark.parametrize("kind", MADE)
def test_a_name_cannot_move_the_terminals_cursor(kind: str) -> None:
    text = repr(MADE[kind](model="a\x1b[31m\nb\r", norm="\u202e"))
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert text.startswith("a?[31m?b? ? ")


# --- notebooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MADE)
def test_a_notebook_gets_the_same_figures_and_no_tag_of_a_name(kind: str) -> None:
    names = dict.fromkeys(("model", "norm", "data"), HOSTILE)
    found = MADE[kind](**names)
    page = found._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for line in found.summary().lines:
        assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" in page


def test_every_text_of_a_table_is_escaped() -> None:
    texts = ["<a>", '"&'] * 2
    page = Summary(title=texts, heads=texts, lines=[texts], note="<b>").html()
    assert page.count("&lt;a&gt;") == 6
    assert page.count("&quot;&amp;") == 6
    assert "<a>" not in page
    assert "<b>" not in page


# --- data frames ---------------------------------------------------------------------------------


def test_a_curve_is_a_tidy_table_with_all_that_names_it() -> None:
    found = curve(recalibrate="pooled(8)")
    table = found.to_pandas()
    assert list(table["level"]) == [0.1, 0.25]
    assert list(table["mean"]) == [point.score.mean for point in found.points]
    assert list(table["low"]) == [point.score.low for point in found.points]
    assert list(table["high"]) == [point.score.high for point in found.points]
    assert list(table["sd"]) == [point.sd for point in found.points]
    assert set(table["n"]) == {6}
    assert set(table["clean"]) == {0.95}
    assert set(table["recalibrate"]) == {"pooled(8)"}
    assert not {"seed", "chip", "hits"} & set(table.columns)


LINES = {"curve": 2, "trace": 3, "ranking": 2, "activations": 2 * 3 * 3}


@pytest.mark.parametrize("kind", MADE)
def test_every_result_is_a_tidy_table(kind: str) -> None:
    table = MADE[kind]().to_pandas()
    assert len(table) == LINES[kind]
    assert {"mean", "low", "high", "n", "model", "noise", "targets"} <= set(table.columns)
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()


def test_without_pandas_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # as Python itself marks what is not there
    with pytest.raises(
        ValueError, match=r"^to_pandas needs pandas: run `pip install 'noiseproof\["
    ):
        curve().to_pandas()


# --- figures -------------------------------------------------------------------------------------


def test_a_curve_draws_its_means_and_its_band_in_percent() -> None:
    found = curve()
    ax = found.plot()
    (line,) = ax.get_lines()
    assert line.get_xdata().tolist() == [0.1, 0.25]  # type: ignore[union-attr]
    means = [100 * point.score.mean for point in found.points]
    assert line.get_ydata().tolist() == means  # type: ignore[union-attr]
    (band,) = ax.collections
    ends = {round(float(y), 9) for y in band.get_paths()[0].vertices[:, 1]}  # type: ignore[index]
    expected = {100 * end for p in found.points for end in (p.score.low, p.score.high)}
    assert ends == {round(end, 9) for end in expected}
    assert ax.get_xlabel() == "noise level (sigma / std per tensor)"
    assert ax.get_ylabel() == "accuracy (%)"
    assert ax.get_ylim()[0] == 0


def test_a_second_curve_joins_the_axes_which_stretch_for_it() -> None:
    low = curve(model="low")
    high = Curve(points=tuple(replace(p, rows=p.rows[:1]) for p in curve(model="high").points))
    ax = low.plot()
    before = ax.get_ylim()[1]
    assert high.plot(ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["low batch, off", "high batch, off"]
    assert ax.get_ylim()[1] > before
    assert ax.get_ylim()[0] == 0


def test_the_figure_of_a_single_level_still_has_its_interval() -> None:
    found = Curve(points=curve().points[:1])
    ends = found.plot().collections[-1].get_paths()[0].vertices
    score = found.points[0].score.scaled(100)
    assert ends[:, 1].tolist() == [score.low, score.high]  # type: ignore[index]


def test_noise_without_a_level_cannot_be_drawn_against_it() -> None:
    rows = [scored(0.8, chip=c, noise="quantize(bits=4, scope=tensor)", level=None) for c in (0, 1)]
    (found,) = curves_of([scored(0.95, **CLEAN), *rows])
    with pytest.raises(
        ValueError, match="quantize.* has no level to draw against: print the curve"
    ):
        found.plot()
    assert "-      80" in repr(found)


def test_a_ranking_draws_a_bar_for_each_group_the_most_sensitive_on_top() -> None:
    found = ranking()
    ax = found.plot()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["fc1", "fc0"]
    widths = [bar.get_width() for bar in ax.patches]  # type: ignore[attr-defined]
    assert widths == [100 * group.drop.mean for group in found.groups]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_activations_draw_a_line_for_each_way_over_the_layers() -> None:
    ax = activations().plot(quantity="shift")
    assert ax.get_ylabel() == "mean shift (clean sd)"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["fc0", "fc1", "fc2"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["off", "pooled(8)"]
    with pytest.raises(
        ValueError, match="unknown quantity 'snr': expected one of snr_db, shift, v"
    ):
        activations().plot(quantity="snr")


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("model", ["resnet8", HOSTILE])
def test_every_result_draws_itself_whatever_its_names_are(kind: str, model: str) -> None:
    found = MADE[kind](model=model, norm=model)
    ax = found.plot()
    assert isinstance(found, Shown)
    ax.figure.canvas.draw()  # where a formula in a name would fail
    assert ax.get_xlabel() or kind == "activations"


def test_results_cost_no_figures_frames_or_networks_until_they_are_asked_for() -> None:
    program = (
        "import sys, noiseproof.results as r; r.Curve, r.Estimate, r.Store\n"
        "from noiseproof.results import activations, sensitivity, streams\n"
        "print(sorted({'torch', 'pandas', 'matplotlib', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
