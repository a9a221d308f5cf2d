"""What a reader sees first: the answer, its picture, and no long table."""

import math
import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from noiseproof.study.report.answer import answer_svg
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import FEW, cells_table
from noiseproof.study.verdicts import AGAINST, FOR
from tests.study.report.answers import COMPARISON, MEASUREMENTS, apart, reported, study_of
from tests.study.report.test_verdict import mixed

EVIL = "<script>alert(1)</script> & ]]> $x$ {y}"


def marks(svg: str) -> Counter[str]:
    """The colours of the marks: each mark is a <use> in a group of its own."""
    names = {"#0072b2": FOR, "#d55e00": AGAINST}
    found = re.findall(r'<use xlink:href="[^"]*" x="[^"]*" y="[^"]*" style="([^"]*)"', svg)
    colours = (re.search(r"stroke: (#\w{6})", style) for style in found)
    return Counter(names[c[1].lower()] for c in colours if c is not None and c[1].lower() in names)


def test_the_picture_has_a_mark_for_each_case_in_the_colour_of_its_word() -> None:
    report = reported(study_of(), mixed)
    words = Counter(report.first.word(cell) for cell in report.first.cells)
    assert words == {FOR: 1, AGAINST: 1}
    # One more of each word, for the legend.
    assert marks(answer_svg(report)) == {FOR: 2, AGAINST: 2}


def test_the_picture_and_the_answer_come_before_every_table() -> None:
    report = reported(study_of(), apart)
    page, markdown = page_of(report), markdown_of(report)
    assert page.index(report.headline) < page.index("<svg") < page.index("<table")
    assert markdown.index(report.headline) < markdown.index("](report.svg)") < markdown.index("| -")


def test_without_a_measured_case_there_is_no_picture() -> None:
    report = reported(study_of(), lambda task, level, chip: math.nan)
    assert answer_svg(report) == ""
    assert "report.svg" not in markdown_of(report)
    assert "not measured. No case is measured" in markdown_of(report)


def test_a_long_table_is_folded_and_a_short_one_is_not() -> None:
    twice = "".join(
        MEASUREMENTS.replace("levels", f'reference = "{reference}"\nlevels')
        for reference in ("std", "max", "rms", "range", "absolute")
    )
    by = COMPARISON.replace('["targets"]', '["targets", "noise"]')
    long = reported(study_of(measurements=twice, comparisons=by), apart)
    rows = len(cells_table(long.first).rows)
    assert rows > FEW
    for text in (page_of(long), markdown_of(long)):
        assert "<details><summary>All cases" in text
        assert f"({rows} rows)</summary>" in text
        assert text.count("<details>") == text.count("</details>")
    short = markdown_of(reported(study_of(), apart))
    assert "<summary>All cases" not in short


@pytest.mark.parametrize("question", [EVIL, "x" * 300, "\\u0000\\u001b[31m red"])
def test_a_question_is_printed_in_the_picture_as_it_is_and_on_few_lines(question: str) -> None:
    comparison = COMPARISON.replace("none against batch", question)
    root = ET.fromstring(answer_svg(reported(study_of(comparisons=comparison), apart)))
    texts = [" ".join("".join(one.itertext()).split()) for one in root.iter() if "text" in one.tag]
    assert len(texts) < 20
    assert question != EVIL or any("<script>alert(1)</script>" in one for one in texts)
