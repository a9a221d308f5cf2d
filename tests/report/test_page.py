"""The page: right numbers, no foreign text that acts."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from noiseproof import stats
from noiseproof.report import write_report
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.streams import traces_of
from tests.report.pages import (
    CHECKPOINT,
    EVIL,
    EVIL_DATA,
    EVIL_NORM,
    Page,
    followed,
    made,
    measured,
    page,
)


def both(changes: dict[str, str]) -> list[Curve]:
    """Two networks, the second with `changes`, so that every name is needed to tell them apart."""
    return curves_of(measured() + measured(checkpoint="f" * 64, **changes))


EVIL_NAMES = {
    "model": EVIL,
    "norm": EVIL_NORM,
    "data": EVIL_DATA,
    "scale": EVIL,
    "device": EVIL_DATA,
    "versions": EVIL_NORM,
}
GOOD_NAMES = dict.fromkeys(EVIL_NAMES, "other")


# --- the page -----------------------------------------------------------------------------------


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    found = page(curves_of(measured()), tmp_path / "r.html")
    said = ["gaussian(level, reference=std, scope=tensor)", "on kernel", "seed 41", "results.db"]
    said += [
        "resnet8",
        "digits",
        "accuracy 90.00 [68.3, 98.8] %",
        "cpu x1",
        "noiseproof 0, torch 0",
        "9 simulated chips",
    ]
    for words in said:
        assert words in found.text
    titles = [attributes.get("title") for _, attributes in found.elements]
    assert CHECKPOINT in titles, "the whole hash of the checkpoint can be read"


def test_the_tables_hold_the_estimates(tmp_path: Path) -> None:
    """By hand: 9, 11 and 13 of 20 are 55 % with sd 10 %; 90 % are clean."""
    curves = curves_of(measured())
    cells = page(curves, tmp_path / "r.html").cells
    point = curves[0].points[0]
    half = 4.302653 * 10 / 3**0.5  # Student's t with 2 degrees of freedom
    assert stats.percent(point.score) == f"55 [{55 - half:.0f}, {55 + half:.0f}]"
    spread, row = [
        cells[i : i + 12]
        for i, cell in enumerate(cells)
        if cell == "off" and cells[i + 1 : i + 4] == ["0.5", "3", "20"]
    ]
    assert spread[4] == stats.percent(point.spread.sd)
    assert row[4:] == [
        stats.percent(point.score),
        stats.percent(point.crossed),
        "10.0",
        "45.0",
        "46.0",
        stats.percent(point.normalised),
        stats.percent(point.chance_corrected),
        "0",
    ]


def test_recalibration_is_compared_chip_by_chip(tmp_path: Path) -> None:
    """15 minus 9, 11 and 13 of 20 are 20 points with sd 10."""
    cells = page(curves_of(measured()), tmp_path / "r.html").cells
    found = [i for i, cell in enumerate(cells) if cell == "pooled(64)"]
    place = next(i for i in found if cells[i + 1] == "0.5")
    half = 4.302653 * 10 / 3**0.5
    row = cells[place : place + 8]
    assert row[2] == "3"
    assert row[6:] == ["train", "64"]
    assert row[4:6] == ["75.0 [75.0, 75.0]", f"20 [{20 - half:.0f}, {20 + half:.0f}]"]


def test_a_page_without_recalibration_says_nothing_of_it(tmp_path: Path) -> None:
    rows = [row for row in measured() if row.recalibrate == "off"]
    assert "What recalibration changes" not in page(curves_of(rows), tmp_path / "r.html").text


@pytest.mark.parametrize("level", [None, 0.1])
def test_one_chip_makes_a_page_without_intervals(tmp_path: Path, level: float | None) -> None:
    noise = (
        "gaussian(0.1, reference=std, scope=tensor)" if level else "quantize(bits=4, scope=tensor)"
    )
    rows = [made(18), made(9, noise=noise, level=level, targets="kernel")]
    assert "45.0 [no interval]" in page(curves_of(rows), tmp_path / "r.html").cells


def test_chips_of_another_seed_make_a_page_without_the_comparison(tmp_path: Path) -> None:
    """Nothing is paired there, and the rest can still be read."""
    rows = [replace(row, seed=row.seed + (row.recalibrate != "off")) for row in measured()]
    assert "What was measured" in page(curves_of(rows), tmp_path / "r.html").text


def test_levels_of_different_seeds_make_a_page(tmp_path: Path) -> None:
    rows = [replace(row, seed=row.seed + (row.level == 1.0)) for row in measured()]
    found = page(curves_of(rows), tmp_path / "r.html")
    assert "41, 42" in found.text


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to report: no measured chips"):
        write_report([], tmp_path / "r.html", source="s")
    assert not list(tmp_path.iterdir())


# --- foreign text -------------------------------------------------------------------------------


def test_text_from_rows_never_becomes_an_element(tmp_path: Path) -> None:
    benign = page(both(GOOD_NAMES), tmp_path / "good.html", source="other")
    hostile = page(both(EVIL_NAMES), tmp_path / "evil.html", source=EVIL)
    assert hostile.count() == benign.count()
    for value in (*EVIL_NAMES.values(), EVIL):
        assert " ".join(value.split()) in hostile.text, "it is shown as what it is"
    text = (tmp_path / "evil.html").read_text(encoding="utf-8")
    outside_plotly = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    for raw in (EVIL, "<img", "<a href", 'onerror="document'):
        assert raw not in outside_plotly


def test_targets_from_rows_are_escaped_too(tmp_path: Path) -> None:
    rows = [replace(row, targets=EVIL if row.targets else "") for row in measured()]
    found = page(curves_of(rows), tmp_path / "r.html")
    assert found.count() == page(curves_of(measured()), tmp_path / "g.html").count()
    assert EVIL in found.text


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    found = page(both(EVIL_NAMES), tmp_path / "r.html")
    policies = [a for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert (policies[0]["content"] or "").startswith("default-src 'none';")
    for _, attributes in found.elements:
        assert not {"src", "href", "action", "data"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    order = [tag for tag, a in found.elements if tag == "script" or "http-equiv" in a]
    assert order[0] == "meta", "the policy comes before the first script"


CHROMIUM = shutil.which("chromium")
HANG = 600.0  # seconds: a browser that takes longer does not come back


def in_a_browser(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test of the drawn page: in one process, so that it is drawn once."""
    marked: Callable[..., None] = pytest.mark.xdist_group("browser")(pytest.mark.browser(test))
    return marked


FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=8000", "--dump-dom"),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the hostile names after a browser has run it, without its scripts."""
    if CHROMIUM is None:
        pytest.skip("needs chromium to draw the page")
    folder = tmp_path_factory.mktemp("browser")
    traces = traces_of(followed(**EVIL_NAMES, checkpoint="f" * 64))
    write_report(both(EVIL_NAMES), folder / "r.html", source="results.db", traces=traces)
    address = (folder / "r.html").as_uri()
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'user'}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True)
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


@in_a_browser
def test_a_browser_draws_the_figures(drawn: str) -> None:
    classes = Counter(
        name
        for _, attributes in Page(drawn).elements
        for name in (attributes.get("class") or "").split()
    )
    # accuracy: 2 networks x ((bare, recalibrated) x (band, line), clean); recalibration: 2 lines;
    # the stream: 2 x (band, line)
    assert classes["scatter"] == 16
    assert classes["boxes"] == 4
    assert classes["box"] == 2 * (2 + 1)  # bare at two levels, recalibrated at one
    assert classes["main-svg"] >= 3
    assert classes["legendtext"] == 4 + 2 + 4 + 2


@in_a_browser
def test_a_browser_makes_no_element_of_foreign_text(drawn: str) -> None:
    found = Page(drawn)
    assert not found.count()["img"]
    title = re.search(r"<title>(.*?)</title>", drawn)
    assert title is not None
    assert title[1] == "noiseproof: results.db", "a handler in foreign text has run"
    links = [a.get("href") or a.get("xlink:href") or "" for _, a in found.elements]
    assert not [link for link in links if "example.com" in link]


@in_a_browser
def test_no_button_sends_the_data_away(drawn: str) -> None:
    titles = {attributes.get("data-title") or "" for _, attributes in Page(drawn).elements}
    assert "Download plot as a PNG" in titles
    assert not [title for title in titles if "cloud" in title.lower() or "share" in title.lower()]


@in_a_browser
def test_a_legend_shows_names_as_they_are(drawn: str) -> None:
    legend = re.findall(r'class="legendtext"[^>]*>(.*?)</text>', drawn, flags=re.DOTALL)
    assert EVIL_NORM in Page(" ".join(legend)).text
