"""Foreign text stays text, in the page and in Markdown; the files of a report."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from noiseproof.study import grid_of
from noiseproof.study.facts import NetworkFacts
from noiseproof.study.report import (
    StudyReport,
    report_of,
    summary_head,
    summary_row,
    write_study_report,
)
from noiseproof.study.report.markdown import block, cell, code, markdown_of, text
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import (
    Table,
    beside_table,
    cells_table,
    levels_table,
    matched_table,
    networks_table,
)
from noiseproof.study.wanted import Task
from tests.study.report.answers import (
    COMMAND,
    COMPARISON,
    PAIR,
    TRAININGS,
    apart,
    falling,
    reported,
    results,
    study_of,
)

# --- foreign text ---------------------------------------------------------------------------------


EVIL = (
    "<script>alert(1)</script>|`x`\n# head {{ 7*7 }} ![i](https://example.com/p.png) *b* 'q\" $x$"
)


def hostile() -> StudyReport:
    evil = {
        "title": EVIL,
        "notes": [EVIL, "- a list\n> a quotation"],
    }
    where = 'norm_where = "name:<img src=x onerror=alert(1)>|`"\n'
    third = TRAININGS.replace('["batch", "none"]', '"none"').replace("epochs", where + "epochs")
    norm = "none (name:<img src=x onerror=alert(1)>|`)"
    order = f"order = [{{ norm = {json.dumps(norm)} }}, {{ norm = 'batch' }}]"
    comparison = COMPARISON.replace('order = [{ norm = "none" }, { norm = "batch" }]', order)
    comparison = comparison.replace('"none against batch"', json.dumps(EVIL))
    published = PAIR.replace('"without"', json.dumps(EVIL))
    study = study_of(
        trainings=TRAININGS + third, comparisons=comparison, published=published, more=evil
    )
    claim = study.claim.model_copy(update={"text": EVIL, "source": EVIL})
    about = study.profiles["quick"].model_copy(update={"about": EVIL})
    study = study.model_copy(update={"claim": claim, "profiles": {"quick": about}})
    grid = grid_of(study, "quick")

    def noisy(task: Task, level: float, chip: int) -> float:
        return 0.5 + 0.01 * task.network.seed + 0.1 * (task.network.norm_text == "batch")

    facts, rows = results(grid, noisy)
    rows = [replace(row, device=EVIL, versions=EVIL) for row in rows]
    first = grid.networks[0].name
    facts[first] = NetworkFacts(factors={}, failed=EVIL, device=EVIL)
    return report_of(study, "quick", grid, facts, rows, command=f"run ```` {EVIL}")


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("report", [lambda: reported(study_of(published=PAIR), falling), hostile])
def test_the_page_holds_no_foreign_element_and_no_address(
    report: Callable[[], StudyReport],
) -> None:
    page = page_of(report())
    found = Elements(page)
    assert not {"script", "img", "a", "link", "iframe", "object", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    for name, value in found.attributes:
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#")
        elif "http" in value:
            assert value.startswith("http://www.w3.org/")
    assert "default-src 'none'" in page
    assert "{{ 7*7 }}" in page or "7*7" not in page
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    known = set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= known
    assert {v[1:] for n, v in found.attributes if n == "xlink:href"} <= known
    for svg in re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)


def test_foreign_text_in_markdown_stays_text() -> None:
    markdown = markdown_of(hostile())
    assert markdown.count("`````sh") == 1
    body = markdown[: markdown.index("`````sh")]
    assert not re.search(r"<(?!/?code>|br>|/?details>|/?summary>)[a-z/!]", body)
    assert len(re.findall(r"(?<!\\)\]\(", body)) == body.count("](report.svg)") == 1
    assert not re.search(r"^# head", body, flags=re.MULTILINE)
    assert body.count("\n# ") == 0  # the title is the first line
    for lines in tables_of(markdown):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_markdown_reader_finds_only_our_own_elements() -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for report in (reported(study_of(published=PAIR), falling), hostile()):
        shown = f"{markdown_of(report)}\n{summary_head()}\n{summary_row(report)}\n"
        found = Elements(reader.render(shown))
        ours = {"h1", "h2", "h3", "p", "blockquote", "strong", "ul", "li", "pre", "code", "br"}
        ours |= {"table", "thead", "tbody", "tr", "th", "td"}
        ours |= {"img", "details", "summary"}
        assert set(found.tags) <= ours
        assert found.tags["img"] == 1
        assert found.tags["h1"] == found.tags["blockquote"] == found.tags["pre"] == 1
        assert found.tags["table"] == 6  # published, matched, cells, levels, networks, summary


def tables_of(markdown: str) -> list[list[str]]:
    parts = [part.split("\n") for part in markdown.split("\n\n")]
    return [lines for lines in parts if lines[0].startswith("|")]


@given(st.text())
def test_escaped_text_is_one_line_without_marks_of_its_own(foreign: str) -> None:
    for shown in (text(foreign), cell(foreign), code(foreign)):
        assert "\n" not in shown
        assert not re.search(r"(?<!\\)(?:\\\\)*\|", shown)
    assert not re.search(r"<", text(foreign))
    lines = block(foreign).split("\n")
    assert len(lines) == 3
    assert lines[0][:-2] == lines[2]
    assert lines[2] not in lines[1]


def test_numbers_and_names_are_not_disfigured_by_escaping() -> None:
    for plain_text in ("-3.2 [-5.0, -1.4]", "resnet8-none_x0_25", "91.2 %", "none (last:1/3)"):
        assert text(plain_text) == plain_text
    assert text("1. a list") == "1\\. a list"
    assert text("- a list") == "\\- a list"
    assert text("# head") == "\\# head"
    assert code("run it") == "`run it`"


# --- files ----------------------------------------------------------------------------------------


def test_all_files_are_written(tmp_path: Path) -> None:
    report = reported(study_of(), apart)
    written = write_study_report(report, tmp_path)
    assert [path.name for path in written] == ["report.html", "report.md", "report.svg"]
    assert set(tmp_path.iterdir()) == set(written)
    assert written[0].read_text().endswith("</html>\n")
    assert written[1].read_text().startswith("# Toy\n")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot write"):
        write_study_report(reported(study_of(), apart), tmp_path / "missing")


def test_the_same_results_give_the_same_page() -> None:
    first, second = (page_of(reported(study_of(), apart)) for _ in range(2))
    assert first == second


def test_the_summary_row_fits_its_head() -> None:
    report = reported(study_of(published=PAIR), apart)
    head, marks = summary_head().split("\n")
    row = summary_row(report)
    assert head.count("|") == marks.count("|") == len(re.findall(r"(?<!\\)\|", row)) == 7
    assert "without: 70 %<br>with: 41.32 %" in row
    assert "**reproduced. It holds in all 2 cases**" in row
    assert "3 trainings a side" in row
    assert f"`{COMMAND}`" in row
    evil = summary_row(hostile())
    assert len(re.findall(r"(?<!\\)\|", evil)) == 7
    assert "\n" not in evil


def test_the_report_imports_no_torch_and_draws_only_when_asked() -> None:
    heavy = ("torch", "matplotlib", "jinja2", "plotly")
    program = (
        "import sys, noiseproof.study.report\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_drawing_imports_no_torch() -> None:
    program = "import sys, noiseproof.study.report.page\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_comparison_that_mixes_curves_is_one_sentence() -> None:
    mixed_up = COMPARISON.replace('by = ["targets"]', "")
    with pytest.raises(ValueError, match="add targets to by"):
        reported(study_of(comparisons=mixed_up), apart)


def test_every_table_is_as_wide_as_its_head() -> None:
    report = reported(study_of(published=PAIR), falling)
    tables: tuple[Table, ...] = (
        beside_table(report),
        matched_table(report.matched[0], report.names),
        cells_table(report.first),
        levels_table(report.panels),
        networks_table(report),
    )
    for table in tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.heads)}
