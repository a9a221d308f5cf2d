"""Panels, looks and tables: what stands beside what, which is best, and which is not told apart."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from noiseproof import stats
from noiseproof.cli import console
from noiseproof.report import figures, tables
from noiseproof.report.looks import KINDS, OFF, Look, looks_of_ways
from noiseproof.report.panels import Panel, panels_of, stream_panels_of
from noiseproof.report.series import dodged, gain_series, score_series
from noiseproof.report.terminal import curves_table, spread_lines
from noiseproof.report.words import origin_of, short_names
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.rows import Row
from noiseproof.results.streams import traces_of
from tests.rows import DETECTOR, NO_NOISE, of_score

WAYS = ("off", "pooled(8)", "pooled(32)", "pooled(200)", "pooled(1000)", "layerwise(200)")
WAYS += ("layerwise(1000)", "blend(32, prior=64)", "blend(8, prior=64)", "match(200)")
WAYS += ("ema(0.1, batch=128)", "ema(0.01, batch=128)", "batch(128)")


def made(score: float = 0.5, **changes: Any) -> Row:
    return of_score(score, **DETECTOR | {"model": "fcos"} | changes)


def clean(**changes: Any) -> Row:
    return made(0.8, **NO_NOISE | changes)


def at(level: float, scores: tuple[float, ...], way: str = "off", **changes: Any) -> list[Row]:
    """A chip for each score."""
    more: dict[str, Any] = {"noise": f"gaussian({level!r}, reference=std, scope=tensor)"}
    more |= {"level": level, "recalibrate": way}
    if way != "off":
        sees = way.startswith(("ema", "batch"))
        more |= {"calibration": "test" if sees else "train", "extra_images": 0 if sees else 8}
    return [made(score, **{**more, "chip": k, **changes}) for k, score in enumerate(scores)]


def panels(rows: list[Row]) -> list[Panel]:
    curves = curves_of(rows)
    return panels_of(curves, short_names(curve.clean for curve in curves))


def many(**changes: Any) -> list[Row]:
    rows = [clean(**changes)]
    for place, way in enumerate(WAYS):
        for level in (0.0, 0.1, 0.2):
            top = 0.7 - level * (1 if place else 3)
            rows += at(level, (top, top + 0.01, top + 0.03), way, **changes)
    return rows


# --- panels and looks ---------------------------------------------------------------------------


def test_two_networks_with_one_way_each_share_a_panel_dashed_where_recalibrated() -> None:
    rows: list[Row] = []
    for norm in ("batch", "none"):
        rows += [clean(norm=norm), *at(0.1, (0.5, 0.6), norm=norm)]
        rows += at(0.1, (0.6, 0.7), "match(8)", norm=norm)
    (panel,) = panels(rows)
    assert not panel.by_way
    shown = [(look.label, look.dash) for look in panel.looks]
    assert shown[:2] == [("batch", "solid"), ("batch, match(8)", "dash")]
    hues = [look.colour for look in panel.looks]
    assert hues[0] == hues[1] != hues[2] == hues[3]


def test_a_network_with_several_ways_has_a_panel_of_its_own() -> None:
    rows = [*many(), clean(norm="none"), *at(0.1, (0.5, 0.6), norm="none")]
    first, second = panels(rows)
    assert (first.network, second.network) == ("batch", "none")
    assert [look.label for look in second.looks] == ["off"]
    assert [(a.first.norm, b.first.norm) for a, b in second.rivals] == [("batch", "none")]


@pytest.mark.parametrize(
    "other",
    [
        {"noise": "laplace(0.1, reference=std, scope=tensor)"},
        {"targets": "kernel,bias"},
        {"task": "my:score"},
    ],
)
def test_other_noise_targets_or_tasks_are_other_panels(other: dict[str, Any]) -> None:
    rows = [clean(), *at(0.1, (0.5, 0.6))]
    rows += [clean(task=other.get("task", "detect"), checkpoint="f" * 64)]
    rows += at(0.1, (0.5, 0.6), **other, checkpoint="f" * 64)
    assert len(panels(rows)) == 2


def test_off_is_black_a_kind_is_one_hue_from_light_to_dark_and_test_images_are_dotted() -> None:
    (panel,) = panels(many())
    looks = {look.label.removesuffix(" [test images]"): look for look in panel.looks}
    assert looks["off"] == Look(label="off", colour=OFF, dash="solid")
    assert len({(look.colour, look.dash) for look in panel.looks}) == len(WAYS)
    assert list(looks)[:5] == list(WAYS[:5]), "off, then by kind and size"
    light = [brightness(looks[f"pooled({n})"].colour) for n in (8, 32, 200, 1000)]
    assert light == sorted(light, reverse=True)
    assert looks["match(200)"].colour == KINDS["match"]
    dotted = {label for label, look in looks.items() if look.dash == "dot"}
    assert dotted == {"ema(0.1, batch=128)", "ema(0.01, batch=128)", "batch(128)"}
    assert looks["batch(128)"].label == "batch(128) [test images]"


def brightness(colour: str) -> int:
    return sum(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_more_ways_of_one_kind_than_shades_are_told_apart_by_dashes() -> None:
    rows = [made(recalibrate=f"pooled({n})") for n in range(1, 16)]
    looks = looks_of_ways(rows, [row.recalibrate for row in rows])
    assert len({(look.colour, look.dash) for look in looks}) == 15


def test_the_same_way_on_other_images_gets_another_label() -> None:
    rows = [clean(), *at(0.1, (0.5, 0.6))]
    for sha in ("a", "b"):
        rows += at(0.1, (0.6, 0.7), "pooled(8)", calibration_sha256=sha * 64)
    (panel,) = panels(rows)
    assert [look.label for look in panel.looks] == [
        *("off", "pooled(8), calibration aaaaaa", "pooled(8), calibration bbbbbb")
    ]


# --- the overview -------------------------------------------------------------------------------


def test_the_best_is_bold_and_what_is_not_told_apart_from_it_is_marked() -> None:
    """Paired: `close` differs by noise around 0.01, `clear` by 0.1 on every chip."""
    best = (0.70, 0.72, 0.74)
    rows = [clean(), *at(0.1, (0.4, 0.45, 0.5)), *at(0.1, best, "match(8)")]
    rows += at(0.1, (0.71, 0.70, 0.72), "pooled(8)")  # close
    rows += at(0.1, (0.60, 0.62, 0.64), "layerwise(8)")  # clear
    (panel,) = panels(rows)
    found = {line["look"].label: line["cells"][0] for line in tables.overview(panel)["lines"]}
    assert {label: (cell.best, cell.tied) for label, cell in found.items()} == {
        "off": (False, False),
        "pooled(8)": (False, True),
        "layerwise(8)": (False, False),
        "match(8)": (True, False),
    }
    assert found["match(8)"].text == stats.percent(stats.t_interval(best))


def test_one_chip_tells_nothing_apart() -> None:
    rows = [clean(), *at(0.1, (0.4,)), *at(0.1, (0.7,), "match(8)"), *at(0.1, (0.6,), "pooled(8)")]
    (panel,) = panels(rows)
    cells = [line["cells"][0] for line in tables.overview(panel)["lines"]]
    assert [cell.tied for cell in cells] == [True, True, False]


def test_networks_are_not_each_others_best() -> None:
    rows = [clean(), *at(0.1, (0.5, 0.6)), clean(norm="none"), *at(0.1, (0.7, 0.8), norm="none")]
    (panel,) = panels(rows)
    found = tables.overview(panel)
    assert not found["compared"]
    assert not any(cell.best or cell.tied for line in found["lines"] for cell in line["cells"])


def test_level_zero_is_a_column_without_noise_and_the_cost_comes_last() -> None:
    rows = [clean(), *at(0.2, (0.5, 0.6)), *at(0.0, (0.7, 0.7), "match(8)")]
    rows += at(0.2, (0.6, 0.7), "match(8)")
    (panel,) = panels(rows)
    found = tables.overview(panel)
    assert found["heads"] == ["no noise", "level 0.2"]
    off, match = found["lines"]
    assert off["cells"][0].text == "80.00", "without noise a chip is the clean network"
    assert match["cells"][0].text == "70.0 [70.0, 70.0]"
    assert (off["extra"], match["extra"]) == ("0", "8")


def test_level_zero_of_a_later_stage_is_not_without_noise() -> None:
    rows = [clean()]
    text = "quantize(bits=4, scope=tensor) + gaussian({}, reference=std, scope=tensor)"
    rows += at(0.2, (0.5, 0.6), noise=text.format(0.2))
    rows += at(0.0, (0.5, 0.6), "match(8)", noise=text.format("0.0"))
    (panel,) = panels(rows)
    found = tables.overview(panel)
    assert found["heads"] == ["level 0", "level 0.2"]
    assert found["lines"][0]["cells"][0].text == "-"


def test_where_the_images_come_from_is_said() -> None:
    assert origin_of(made()) == "-"
    row = made(recalibrate="pooled(8)", calibration_sha256="e" * 64)
    for known, said in (("", "train"), ("train augmented", "train augmented")):
        assert origin_of(replace(row, calibration=known)) == said
    assert origin_of(replace(row, calibration="test")) == "sees test images"


# --- what recalibration changes -----------------------------------------------------------------


def test_a_gain_is_paired_and_names_cost_and_origin() -> None:
    rows = [clean(), *at(0.1, (0.4, 0.5, 0.6)), *at(0.1, (0.6, 0.55, 0.5), "ema(0.1, batch=8)")]
    rows += at(0.1, (0.51, 0.61, 0.71), "pooled(8)")
    (panel,) = panels(rows)
    pooled, ema = tables.gains(panel)
    assert pooled["gain"] == stats.percent(stats.t_interval([0.11] * 3))
    assert ema["gain"] == stats.percent(stats.t_interval([0.2, 0.05, -0.1]))
    assert (pooled["origin"], pooled["extra"]) == ("train", "8")
    assert (ema["origin"], ema["extra"]) == ("sees test images", "0")
    assert (pooled["level"], pooled["chips"]) == ("0.1", 3)


def test_a_score_of_ones_own_has_plain_gains_and_no_average() -> None:
    own = {"task": "my:score"}
    rows = [replace(clean(**own), score=-10.0), *at(0.1, (-40.0, -44.0), **own)]
    rows += at(0.1, (-20.0, -22.0), "pooled(8)", **own)
    (panel,) = panels(rows)
    (gain,) = tables.gains(panel)
    assert gain["gain"] == stats.number(stats.t_interval([20.0, 22.0]))
    assert tables.averages(panel) == []
    assert tables.estimates(panel)["heads"] == ["score (new chips)", "sd", "worst", "5 % quantile"]
    assert score_series(panel)[0].y == [-42.0]


def test_lines_are_in_percent_and_error_bars_stand_side_by_side() -> None:
    (panel,) = panels(many())
    assert score_series(panel)[0].y[0] == pytest.approx(100 * (0.7 + 0.04 / 3))
    moved = dodged(gain_series(panel))
    at_zero = [x[0] for x in moved]
    assert at_zero == sorted(at_zero)
    assert len(set(at_zero)) == 12
    assert max(at_zero) < min(x[1] for x in moved), "levels do not mix"


def test_the_legend_has_a_line_for_each_way() -> None:
    (panel,) = panels(many())
    figure = figures.score_figure(panel)
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert named == [look.label for look in panel.looks]
    assert figure.layout.height >= 22 * len(named)


def test_noise_without_a_level_has_tables_and_no_line() -> None:
    quantized = [replace(row, noise="quantize(bits=4)", level=None) for row in at(0.1, (0.5, 0.6))]
    (panel,) = panels([clean(), *quantized])
    assert figures.score_figure(panel) is None
    assert tables.overview(panel)["heads"] == ["no level"]


# --- streams ------------------------------------------------------------------------------------


def along(way: str, scores: tuple[float, ...], **changes: Any) -> list[Row]:
    named = {"recalibrate": way, "stream": "wander(0.2, every=144)", **changes}
    return [
        made(score + 0.01 * k, seen=72 * place, chip=k, **named)
        for k in range(3)
        for place, score in enumerate(scores)
    ]


def test_thin_lines_stand_where_the_noise_changes() -> None:
    traces = traces_of(along("off", (0.5, 0.4, 0.3, 0.2, 0.1)))
    (panel,) = stream_panels_of(traces, short_names(t.first for t in traces))
    assert panel.changes == [144, 288]
    assert panel.length == 360
    figure = figures.stream_figure(panel)
    assert [shape.x0 for shape in figure.layout.shapes] == [144, 288]
    assert list(figure.data[1].x) == [36, 108, 180, 252, 324]
    unknown = traces_of(along("off", (0.5, 0.4), stream="<b>"))
    (panel,) = stream_panels_of(unknown, short_names(t.first for t in unknown))
    assert panel.changes == []


def test_streams_of_other_windows_are_other_panels() -> None:
    rows = along("off", (0.5, 0.4)) + along("batch(8)", (0.5, 0.4), images=36)
    traces = traces_of(rows)
    assert len(stream_panels_of(traces, short_names(t.first for t in traces))) == 2


# --- the terminal -------------------------------------------------------------------------------


def text_of(curves: list[Curve], capsys: pytest.CaptureFixture[str]) -> str:
    console.print_curves(curves)
    return capsys.readouterr().out


def test_the_terminal_shows_ways_figures_and_what_sees_test_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    details = {"details": '{"mAP@.5": 0.75}'}
    rows = [clean(), *at(0.1, (0.4, 0.5), **details)]
    rows += at(0.1, (0.5, 0.6), "ema(0.1, batch=8)", **details)
    text = text_of(curves_of(rows), capsys)
    for words in ("mAP %", "mAP@.5 %", "ema(0.1, batch=8) [test images]", "75.0 [75.0, 75.0]"):
        assert words in text
    for words in ("crossed", "chance", "nan", "accuracy"):
        assert words not in text


def test_the_terminal_prints_a_score_of_ones_own_as_a_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = {"task": "my:score", "score_is": '{"better": "higher"}'}
    rows = [clean(**own), *at(0.1, (-40.0, -44.0), **own), *at(0.2, (-50.0, -54.0), **own)]
    text = text_of(curves_of(rows), capsys)
    assert stats.number(stats.t_interval([-40.0, -44.0])) in text
    assert "-44" in text
    for words in (" % ", "normalised", "chance"):
        assert words not in text.replace("95 % interval", "")


def test_the_terminal_says_what_recalibration_changes_paired_on_the_same_chips(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The chips differ far more than what the way changes: unpaired, it would not be told."""
    before, after = (0.1, 0.5, 0.9), (0.15, 0.56, 0.97)
    text = text_of(curves_of([clean(), *at(0.1, before), *at(0.1, after, "pooled(8)")]), capsys)
    gain = stats.percent(stats.paired_interval(after, before))
    (line,) = (line for line in text.splitlines() if "pooled(8)" in line and "average" not in line)
    assert gain in line
    assert "minus off, points" in text
    alone = text_of(curves_of([clean(), *at(0.1, after, "pooled(8)")]), capsys)
    assert "minus off" not in alone, "nothing to be compared with"


def test_a_figure_that_some_rows_lack_is_left_out() -> None:
    rows = [clean(), *at(0.1, (0.4, 0.5), details='{"mAP@.5": 0.75}')]
    curves = curves_of([*rows[:-1], replace(rows[-1], details="{}")])
    heads = [column.header for column in curves_table(curves, width=200).columns]
    assert not [head for head in heads if "@" in str(head)]


def test_the_terminal_shows_each_way_along_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    rows = along("off", (0.5, 0.3)) + along("batch(8)", (0.6, 0.5), calibration="test")
    console.print_traces(traces_of(rows))
    text = capsys.readouterr().out
    for words in ("wander(0.2, every=144)", "batch(8) [test images]", "windows of 72 images"):
        assert words in text
    line = next(line for line in text.splitlines() if "batch(8)" in line)
    gain = stats.percent(stats.t_interval([0.15] * 3))
    for interval in (0.55, 0.6, 0.5):
        assert f"{100 * (interval + 0.01):.1f} [" in line
    assert gain in line


def test_the_terminal_says_nothing_of_a_stream_that_no_chip_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [row for row in along("off", (0.5, 0.3)) if row.seen == 72 * (row.chip % 2)]
    console.print_traces(traces_of(rows))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [100, 120, 160])
def test_no_way_is_cut_and_every_line_fits(width: int) -> None:
    scores = (0.5, 0.6, 0.7)
    rows = [clean(), *(row for way in WAYS for row in at(0.1, scores, way))]
    printed = Console(width=width, markup=False, highlight=False, file=io.StringIO())
    printed.print(curves_table(curves_of(rows), width=width))
    text = printed.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(way in text for way in WAYS)
    assert max(map(len, text.splitlines())) <= width


def test_a_yield_is_a_sentence_with_its_interval() -> None:
    """By hand: of 25 chips 20 score at least 50 %, their sd is 0.2 sqrt(.8 x .2 x 25 / 24)."""
    curves = curves_of([clean(), *at(0.1, (0.4,) * 5 + (0.6,) * 20)])
    (line,) = spread_lines(curves, 0.5)
    assert "sd over chips 8.2 [" in line
    assert " points; 5 % quantile" in line
    assert "yield (chips at or above 50.0 %) 80 [" in line
    assert not list(spread_lines(curves, None)), "nothing where no yield is asked for"
