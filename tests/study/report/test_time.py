"""The report of a study whose curves are over time since programming."""

import math
from pathlib import Path

import pytest

from noiseproof.study import grid_of
from noiseproof.study.report import StudyReport
from noiseproof.study.report.curves import write_study_figure
from noiseproof.study.report.document import document_of
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import levels_table
from noiseproof.study.report.words import Names, factor_name
from noiseproof.study.wanted import Task
from tests.study.report.answers import PAIR, TRAININGS, reported, study_of

DAY = 86400.0
TIMES = """
[[profiles.quick.measurements]]
hardware = "pcm"
times = ["programmed", "0s", "1d"]
compensate = ["off", "scalar"]
design = "chips"
chips = 2
"""
COMPARISON = """
[[comparisons]]
question = "scalar against off"
order = [{ compensate = "scalar" }, { compensate = "off" }]
by = ["norm"]
"""


def aged(task: Task, level: float, chip: int) -> float:
    """Compensated 0.9 at the first two times and 0.8 after a day, else 0.9 and 0.4."""
    after = {"scalar": 0.8, "off": 0.4}[task.compensate]
    return (after if level > 1 else 0.9) + 0.01 * (task.network.seed - 1)


@pytest.fixture(scope="module")
def report() -> StudyReport:
    return reported(study_of(measurements=TIMES, comparisons=COMPARISON), aged)


def test_no_time_is_without_noise(report: StudyReport) -> None:
    """At 0 s devices have been programmed and read, and that costs a tenth here."""
    scalar, off = report.panels[0].lines
    assert scalar.levels == off.levels == (None, 0.0, DAY)
    assert [one.mean for one in scalar.means] == pytest.approx([0.9, 0.9, 0.8])
    assert [one.mean for one in off.means] == pytest.approx([0.9, 0.9, 0.4])


def test_a_time_that_is_not_measured_is_not_known() -> None:
    measurements = TIMES.replace('["programmed", "0s", "1d"]', '["1d"]')
    found = reported(study_of(measurements=measurements, comparisons=COMPARISON), aged)
    assert [line.levels for line in found.panels[0].lines] == [(DAY,), (DAY,)]


def test_level_zero_behind_a_converter_is_not_without_noise() -> None:
    measurements = TIMES.replace('hardware = "pcm"', 'mvm = ["", "adc(8, range=fixed(9))"]')
    measurements = measurements.replace('times = ["programmed", "0s", "1d"]', "levels = [0.1]")
    measurements = measurements.replace('compensate = ["off", "scalar"]', "")
    comparison = COMPARISON.replace('{ compensate = "scalar" }', '{ norm = "none" }')
    comparison = comparison.replace('{ compensate = "off" }', '{ norm = "batch" }')
    comparison = comparison.replace('["norm"]', '["mvm"]')
    study = study_of(measurements=measurements, comparisons=comparison)
    exact, converted = reported(study, lambda task, level, chip: 0.9).panels
    assert [line.levels for line in exact.lines] == [(0.0, 0.1)] * 2
    assert [line.levels for line in converted.lines] == [(0.1,)] * 2


def test_the_table_has_a_column_for_each_time(report: StudyReport) -> None:
    table = levels_table(report.panels)
    assert table.heads[3:] == ("programmed", "0 s", "1 d")
    assert [row[3].split()[0] for row in table.rows] == ["90.0"] * len(table.rows)
    assert {row[5].split()[0] for row in table.rows} == {"80.0", "40.0"}


def test_the_report_says_times_where_it_says_levels_of_others(report: StudyReport) -> None:
    for text in (markdown_of(report), page_of(report)):
        assert "Normalised accuracy at each time" in text
        assert "times programmed, 0 s, 1 d" in text
        assert "86400" not in text
    (comparison,) = document_of(report)["comparisons"]
    assert comparison["levels"] == [["programmed", "0s", "1d"]]


def test_the_figures_have_an_axis_of_times(report: StudyReport, tmp_path: Path) -> None:
    write_study_figure(report, tmp_path / "f.svg")
    for text in (page_of(report), (tmp_path / "f.svg").read_text()):
        for words in ("programmed", "0 s", "1 d", "time since programming"):
            assert f">{words}<" in text


def test_a_curve_that_lacks_a_time_says_which() -> None:
    found = reported(
        study_of(measurements=TIMES, comparisons=COMPARISON),
        lambda task, level, chip: math.nan if level > 1 else 0.9,
    )
    assert "no rows at time 1 d" in markdown_of(found)


def test_each_time_can_be_compared_by_itself() -> None:
    comparison = COMPARISON.replace('["norm"]', '["norm", "level"]')
    comparison += 'score = "normalised"\n'
    found = reported(study_of(measurements=TIMES, comparisons=comparison), aged)
    said = {dict(cell.at)["level"]: cell.difference().mean for cell in found.first.cells}
    assert said == {
        "programmed": pytest.approx(0),
        "0s": pytest.approx(0),
        "1d": pytest.approx(0.4),
    }
    assert " 1 d |" in markdown_of(found)


def test_no_published_pair_is_read_as_years() -> None:
    pair = PAIR.replace('where = { model = "resnet8" }', "")
    study = study_of(measurements=TIMES, comparisons=COMPARISON, published=pair)
    assert "definition" not in markdown_of(reported(study, aged))


def test_a_hull_of_times_is_refused() -> None:
    pair = PAIR.replace('where = { model = "resnet8" }', "")
    hull = COMPARISON + "hull = true\ndecides = true\n"
    study = study_of(trainings=TRAININGS, measurements=TIMES, comparisons=hull, published=pair)
    with pytest.raises(ValueError, match="a hull is of levels of noise, and here time is swept"):
        grid_of(study, "quick")


def test_a_factor_that_says_nothing_is_called_something() -> None:
    names = Names()
    assert names.selection({"mvm": ""}) == f"{factor_name('mvm')} exact"
    assert names.value("digital", "") == "none"
    assert names.value("mvm", "dac(8)") == "dac(8)"
