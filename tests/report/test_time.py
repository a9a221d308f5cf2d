"""Curves over time since programming: tables, pages, pictures."""

from dataclasses import replace
from pathlib import Path

import pytest

from noiseproof.cli.bars import chip_text
from noiseproof.report import tables
from noiseproof.report.figures import gain_figure, score_figure
from noiseproof.report.looks import is_step, looks_of_ways
from noiseproof.report.panels import Panel, panels_of
from noiseproof.report.paper import write_figure
from noiseproof.report.terminal import average_lines, curves_table
from noiseproof.report.words import short_names
from noiseproof.results import paired_difference, way_of
from noiseproof.results.curves import curves_of
from noiseproof.results.rows import Row
from tests.report.aged import DAY, TIMES, WAYS, aged, chips, clean
from tests.report.pages import measured, shown

WORDS = ["programmed", "0 s", "1 h", "1 d", "30 d", "1 y"]


def panels(rows: list[Row]) -> list[Panel]:
    curves = curves_of(rows)
    return panels_of(curves, short_names(curve.clean for curve in curves))


# --- what chips state ----------------------------------------------------------------------------


def test_a_page_states_what_its_chips_are(tmp_path: Path) -> None:
    page = shown(aged(), tmp_path / "page.html").text
    assert "What these chips are" in page
    assert "uS of pcm up to 25, per device" in page
    assert "off: none; scalar: one factor for each layer" in page


def test_devices_of_a_file_that_is_not_at_hand_are_named(tmp_path: Path) -> None:
    rows = [
        replace(row, noise=row.noise.replace("pcm,", "mine, file=f01234567,"))
        for row in aged((("off", ""),))
    ]
    page = shown(rows, tmp_path / "page.html").text
    assert "a file of one's own that is not at hand here" in page


def test_plain_noise_on_weights_states_nothing(tmp_path: Path) -> None:
    assert "What these chips are" not in shown(measured(), tmp_path / "page.html").text


# --- looks ---------------------------------------------------------------------------------------


def test_colour_says_the_recalibration_and_a_dash_the_compensation() -> None:
    (panel,) = panels(aged())
    off, scalar, match, both = panel.looks
    assert off.colour == scalar.colour != match.colour == both.colour
    assert [look.dash for look in (off, scalar, match, both)] == ["solid", "dash"] * 2
    assert [look.is_open for look in (off, scalar, match, both)] == [False, True] * 2
    assert off.marker == scalar.marker != match.marker == both.marker
    assert [look.label for look in panel.looks] == [
        "off",
        "compensate scalar",
        "match(200)",
        "match(200), compensate scalar",
    ]


def test_two_means_of_compensation_have_two_dashes_and_test_images_stay_dotted() -> None:
    ways = (("off", ""), ("off", "column"), ("off", "scalar"), ("ema(0.1)", "scalar"))
    rows = [chips(0.8, DAY, way=way)[0] for way in ways]
    rows[-1] = replace(rows[-1], calibration="test")
    looks = looks_of_ways(rows, [way_of(row) for row in rows])
    assert [look.dash for look in looks] == ["solid", "dash", "dashdot", "dot"]


def test_networks_with_one_way_each_are_told_by_colour() -> None:
    rows = aged((("off", "scalar"),))
    rows += aged((("off", "scalar"),), checkpoint="f" * 64, model="resnet44")
    (panel,) = panels(rows)
    assert [look.label for look in panel.looks] == [
        "resnet20, compensate scalar",
        "resnet44, compensate scalar",
    ]
    assert {look.dash for look in panel.looks} == {"dash"}


# --- tables --------------------------------------------------------------------------------------


def test_the_heads_of_the_overview_are_times() -> None:
    (panel,) = panels(aged())
    assert tables.overview(panel)["heads"] == WORDS


def test_the_clean_network_stands_at_no_time() -> None:
    """Devices have been programmed and read at 0 s: what was not measured there is not known."""
    rows = aged((("match(200)", ""),)) + chips(0.4, 3600.0)
    (panel,) = panels(rows)
    off, _ = tables.overview(panel)["lines"]
    assert [cell.text == "-" for cell in off["cells"]] == [True, True, False, True, True, True]
    assert not panel.alone


def test_level_zero_with_converters_is_not_without_noise() -> None:
    noise = {"noise": "gaussian(0.1, reference=std, scope=tensor)", "level": 0.1}
    rows = [replace(row, **noise) for row in chips(0.8, DAY)]
    (panel,) = panels([clean(), *(replace(row, mvm="adc(8)") for row in rows)])
    assert not panel.alone
    assert panel.clean_points == []


def test_what_remedies_change_is_said_against_nothing_and_against_each_other() -> None:
    (panel,) = panels(aged())
    found = tables.gains(panel)
    labels = list(dict.fromkeys(line["label"] for line in found))
    assert labels == [
        "compensate scalar",
        "match(200)",
        "match(200), compensate scalar",
        "match(200), compensate scalar minus compensate scalar",
        "match(200), compensate scalar minus match(200)",
    ]
    assert [line["level"] for line in found[: len(TIMES)]] == WORDS
    _, scalar, _, both = panel.curves
    expected = panel.unit.text(paired_difference(both.points[3], scalar.points[3]))
    assert found[3 * len(TIMES) + 3]["gain"] == expected


def test_a_step_adds_one_remedy_and_changes_none() -> None:
    off, scalar, match, both = (chips(0.8, DAY, way=way)[0] for way in WAYS)
    assert is_step(scalar, both)
    assert is_step(match, both)
    assert not is_step(off, both), "that is a pair"
    assert not is_step(both, match)
    assert not is_step(scalar, match)
    assert not is_step(match, replace(both, recalibrate="match(50)"))


def test_what_time_changes_is_said_from_the_first_time_on() -> None:
    (panel,) = panels(aged())
    found = tables.changes(panel)
    assert len(found) == len(WAYS) * (len(TIMES) - 1)
    assert {line["since"] for line in found} == {"programmed"}
    curve = panel.curves[0]
    expected = panel.unit.text(paired_difference(curve.points[-1], curve.points[0]))
    assert (found[4]["level"], found[4]["gain"]) == ("1 y", expected)


def test_panels_are_told_apart_by_what_differs_alone() -> None:
    rows = aged()
    rows += [replace(row, mvm="dac(8) + adc(8)") for row in rows[1:]]
    assert [panel.condition for panel in panels(rows)] == ["exact products", "mvm dac(8) + adc(8)"]


# --- the terminal --------------------------------------------------------------------------------


def test_the_terminal_says_times_and_what_compensation_gives() -> None:
    curves = curves_of(aged())
    table = curves_table(curves, width=160)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["time"] == ["clean", *WORDS * len(WAYS)]
    assert "level" not in cells
    gains = cells["minus off, points"]
    expected = curves[1].difference(curves[0])[DAY]
    assert gains[1 + len(TIMES) + 3] == curves[0].clean.unit.text(expected)
    assert "over times programmed, 0 s, 1 h" in next(average_lines(curves))


def test_levels_and_times_in_one_table_keep_their_own_words() -> None:
    noise = {"noise": "gaussian(0.1, reference=std, scope=tensor)", "level": 0.1}
    rows = aged((("off", ""),)) + [replace(row, **noise) for row in chips(0.8, DAY)]
    table = curves_table(curves_of(rows), width=160)
    (column,) = [column for column in table.columns if column.header == "time or level"]
    assert list(column.cells)[-1] == "0.1"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (clean(), "batch, clean, chip 0: 91.7 %"),
        (chips(0.8, None)[0], "batch, programmed, chip 0: 80.2 %"),
        (
            chips(0.8, DAY, way=("match(8)", "scalar"))[0],
            "batch, match(8), compensate scalar, 1 d, chip 0: 80.2 %",
        ),
        (replace(clean(), mvm="adc(8)"), "batch, no noise on weights, chip 0: 91.7 %"),
    ],
)
def test_a_chip_in_a_few_words(row: Row, text: str) -> None:
    assert chip_text(row) == text


# --- pages and pictures --------------------------------------------------------------------------


def test_the_page_says_what_happens_over_time(tmp_path: Path) -> None:
    found = shown(aged(), tmp_path / "r.html")
    for words in (
        "Accuracy against time since programming",
        "What recalibration and compensation change",
        "What time changes",
        "over times",
        "its devices keep their history",
        "when the chip is programmed, as its devices age",
        "Read noise of every product, voltage drops along wires and converters are not in it",
        "hardware pcm",
    ):
        assert words in found.text
    assert "level" not in found.text.replace("at that level", "")
    assert not [cell for cell in found.cells if "86400" in cell]


def test_the_axis_of_a_page_is_logarithmic_and_named() -> None:
    (panel,) = panels(aged())
    for figure in (score_figure(panel), gain_figure(panel)):
        assert figure is not None
        axis = figure.layout.xaxis
        assert [text.replace("<br>", "") for text in axis.ticktext] == WORDS
        assert axis.title.text == "time since programming"
        lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
        assert [len(line.x) for line in lines] == [len(TIMES)] * len(lines)
        assert "1 d" in lines[0].text[3]
    scores = score_figure(panel)
    assert scores is not None
    (flat,) = [
        trace for trace in scores.data if trace.hovertemplate and "clean" in trace.hovertemplate
    ]
    assert list(flat.y) == [pytest.approx(91.7)] * 2


@pytest.mark.parametrize("networks", [1, 4])
def test_the_figure_for_a_paper_names_times(tmp_path: Path, networks: int) -> None:
    models = ("resnet20", "resnet44", "vgg11", "vgg16")[:networks]
    rows = [r for i, m in enumerate(models) for r in aged(checkpoint=f"{i}" * 64, model=m)]
    caption = write_figure(curves_of(rows), tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    for words in ("programmed", "0 s", "1 d", "1 y", "time since programming"):
        assert f">{words}<" in text
    assert "device(pcm, time=time) on kernel, hardware pcm" in caption
