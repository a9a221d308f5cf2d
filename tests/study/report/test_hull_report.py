"""What the report says of a hull: tables, sentences, the picture, and plain values."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from noiseproof.study.report import StudyReport, document_of, summary_row
from noiseproof.study.report.hull_figure import can_be_drawn, hull_svg
from noiseproof.study.report.hulls import HULL_SAYS, Hulled
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import hull_table
from tests.study.report.answers import reported, study_of
from tests.study.test_hulls import (
    HULL,
    MEASUREMENTS,
    ONE_MODEL,
    TWO_MODELS,
    curved,
    mean_of,
    published,
)

GRID = [0.05, 0.4, 0.8]


def hull_report(trainings: str = ONE_MODEL, comparisons: str = HULL, what: str = "") -> StudyReport:
    models = ("resnet8", "vgg11") if trainings == TWO_MODELS else ("resnet8",)
    figures = published(*((model, *mean_of(GRID)) for model in models))
    if what:
        figures = figures.replace('what = "resnet8 0"', f"what = {json.dumps(what)}")
    study = study_of(
        trainings=trainings,
        measurements=MEASUREMENTS,
        comparisons=comparisons,
        published=figures,
    )
    return reported(study, curved)


def hulled(report: StudyReport) -> Hulled:
    assert isinstance(report.first, Hulled)
    return report.first


def test_the_nearest_definition_comes_first_with_its_distance_and_word() -> None:
    found = hulled(hull_report())
    (one,) = found.hull_sets
    table = hull_table(found, one)
    assert [row[0] for row in table.rows] == ["kernel", "kernel,bias"]
    places = {head: place for place, head in enumerate(table.heads)}
    first, second = table.rows
    assert first[places["distance, points [95\u00a0%]"]].startswith("0")
    assert (first[places["together"]], second[places["together"]]) == ("consistent", "excluded")
    assert first[places["trainings"]] == "3"
    assert first[places["chips"]] == "2"
    assert float(first[places["largest step"]]) == pytest.approx(100 * one.cells[0].step, abs=0.05)


def test_page_and_markdown_say_the_verdict_and_hold_the_table() -> None:
    report = hull_report()
    for text in (page_of(report), markdown_of(report)):
        assert "1 of 2 definitions is consistent with the published figures, 1 is excluded" in text
        assert "Published: resnet8 0: " in text
        assert "the nearest definition" in text
        assert "excluded" in text
    assert "partly consistent" in summary_row(report)
    assert "3 trainings a side" in summary_row(report)


def test_a_hull_and_a_difference_stand_in_one_report() -> None:
    both = HULL + "decides = true\n" + HULL.replace("hull = true", "decides = true")
    report = hull_report(comparisons=both.replace("can it be?", "which is better?", 1))
    kind, text = report.verdict
    assert text.startswith("one of its two parts")
    page, markdown = page_of(report), markdown_of(report)
    assert "](report.svg)" in markdown
    for question in ("which is better?", "can it be?"):
        assert f"<h3>{question}</h3>" in page
        assert f"### {question}\n" in markdown
    assert kind in summary_row(report)


def test_all_sets_at_once_have_a_table_and_no_picture() -> None:
    found = hulled(hull_report(TWO_MODELS, HULL + "margin = 1.0\n"))
    assert [(one.sets, can_be_drawn(one)) for one in found.hull_sets] == [
        (1, True),
        (1, True),
        (2, False),
    ]
    assert "one common grid of levels" in found.hull_sets[-1].sentence
    assert len(hull_table(found, found.hull_sets[-1]).rows) == 2


def test_the_picture_marks_every_level_of_each_definition() -> None:
    found = hulled(hull_report())
    svg = hull_svg(found, found.hull_sets[0], number=7)
    ET.fromstring(svg)
    for level in ("0.2", "0.4", "0.8"):
        assert f"<!-- {level} -->" in svg or f">{level}<" in svg
    assert "published" in svg
    ids = re.findall(r'id="([^"]+)"', svg)
    assert all(one.startswith("f7-") for one in ids)


def test_foreign_text_in_a_published_figure_stays_text() -> None:
    evil = "<script>alert(1)</script>|`x` {{ 7*7 }} $x$"
    report = hull_report(what=evil)
    page = page_of(report)
    assert "<script>" not in page
    assert "{{ 7*7 }}" in page or "49" not in page
    for svg in re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)
    assert "<script>" not in markdown_of(report)


def test_the_document_carries_curve_distance_step_and_word() -> None:
    report = hull_report()
    document = json.loads(json.dumps(document_of(report)))
    (comparison,) = document["comparisons"]
    assert comparison["hull"] is True
    assert comparison["nonfinite"] == "misses"
    assert [one["counts_as"] for one in comparison["definitions"]] == ["consistent", "excluded"]
    for cell, told in zip(hulled(report).hull_sets[0].cells, comparison["cells"], strict=True):
        assert np.array(told["curve"]).shape == (len(told["levels"]), 2)
        assert told["distance"]["mean"] == cell.distance().mean
        assert told["largest_step"] == cell.step
        assert told["counts_as"] == HULL_SAYS[cell.says(together=True)]
        assert [side["n"] for side in told["sides"]] == [3, 3]
        assert [side["chips"] for side in told["sides"]] == [[2, 2, 2], [2, 2, 2]]
        assert [side["published"] for side in told["sides"]] == list(mean_of(GRID))


def test_what_no_case_reads_is_listed() -> None:
    study = study_of(
        trainings=ONE_MODEL,
        measurements=MEASUREMENTS,
        comparisons=HULL,
        published=published(("resnet8", *mean_of(GRID)), ("resnet44", 90.0, 40.0))
        + '[[claim.published]]\nwhat = "alone"\npercent = 12\nside = 0\nwhere = { lr = 0.1 }\n',
    )
    report = reported(study, curved)
    absent = hulled(report).absent
    assert "alone, 12 %: no other figures of the same where for all sides" in absent
    assert "90 and 40 %: not measured on all sides" in absent
    assert "Not read: published figures" in markdown_of(report)
    assert "Not read: published figures" in page_of(report)
