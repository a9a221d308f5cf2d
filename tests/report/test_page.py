"""The page and the figure: right numbers, no foreign text that acts, nothing half-written."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noiseproof import stats
from noiseproof.report import write_figure, write_report
from noiseproof.report.page import render
from noiseproof.report.panels import Panel, network_of, panels_of
from noiseproof.report.words import short_names
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.rows import Row, pack
from noiseproof.results.streams import traces_of

IMAGES = 20
WAY = "pooled(64)"
CHECKPOINT = "0123456789abcdef" * 4
EVIL = "<script>alert(1)</script>"
EVIL_DATA = "</script><img src=x onerror=\"document.title='owned'\">"
EVIL_NORM = '\'"><a href="https://example.com/">x</a>&amp;{{ 7*7 }}'


def made(hits: int, **changes: Any) -> Row:
    bits = np.arange(IMAGES) < hits
    row = Row(
        checkpoint=CHECKPOINT,
        model="resnet8",
        norm="batch",
        task="classify",
        data="digits",
        data_sha256="d" * 64,
        scale="0,1",
        noise="none",
        targets="",
        recalibrate="off",
        calibration_sha256="",
        seed=0,
        chip=0,
        level=None,
        images=IMAGES,
        classes=10,
        score=hits / IMAGES,
        correct=hits,
        nonfinite=0,
        hits=pack(bits),
        seconds=0.1,
        device="cpu x1",
        versions="noiseproof 0, torch 0",
    )
    return replace(row, **changes)


def measured(**changes: Any) -> list[Row]:
    """A clean network (18 of 20), and three chips at two levels, bare and recalibrated."""
    rows = [made(18, **changes)]
    for recalibrate, counts in (
        ("off", {0.5: (9, 11, 13), 1.0: (4, 5, 9)}),
        (WAY, {0.5: (15,) * 3}),
    ):
        for level, hits in counts.items():
            noise = f"gaussian({level}, reference=std, scope=tensor)"
            shared = {"noise": noise, "level": level, "targets": "kernel", "seed": 41}
            if recalibrate != "off":
                shared |= {"calibration_sha256": "e" * 64, "calibration": "train"}
                shared |= {"recalibrate": recalibrate, "extra_images": 64}
            rows += [made(h, chip=chip, **shared, **changes) for chip, h in enumerate(hits)]
    return rows


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


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self.inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" not in self.inside and "style" not in self.inside:
            self.words.append(data)
            if "td" in self.inside:
                self.cells[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)


def page(curves: list[Curve], path: Path, *, source: str = "results.db") -> Page:
    write_report(curves, path, source=source)
    return Page(path.read_text(encoding="utf-8"))


# --- the page -----------------------------------------------------------------------------------


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    found = page(curves_of(measured()), tmp_path / "r.html")
    said = ["gaussian(level, reference=std, scope=tensor)", "on kernel", "seed 41", "results.db"]
    said += [
        "resnet8",
        "digits",
        "accuracy 90.00 %",
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
        if cell == "resnet8 batch" and cells[i + 1 : i + 4] == ["0.5", "3", "20"]
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
    found = [i for i, cell in enumerate(cells) if cell == "resnet8 batch, pooled(64)"]
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


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


def test_a_browser_makes_no_element_of_foreign_text(drawn: str) -> None:
    found = Page(drawn)
    assert not found.count()["img"]
    title = re.search(r"<title>(.*?)</title>", drawn)
    assert title is not None
    assert title[1] == "noiseproof: results.db", "a handler in foreign text has run"
    links = [a.get("href") or a.get("xlink:href") or "" for _, a in found.elements]
    assert not [link for link in links if "example.com" in link]


def test_no_button_sends_the_data_away(drawn: str) -> None:
    titles = {attributes.get("data-title") or "" for _, attributes in Page(drawn).elements}
    assert "Download plot as a PNG" in titles
    assert not [title for title in titles if "cloud" in title.lower() or "share" in title.lower()]


def test_a_legend_shows_names_as_they_are(drawn: str) -> None:
    legend = re.findall(r'class="legendtext"[^>]*>(.*?)</text>', drawn, flags=re.DOTALL)
    assert EVIL_NORM in Page(" ".join(legend)).text


# --- other tasks, streams, one's own scores -----------------------------------------------------


def scored(score: float, **changes: Any) -> Row:
    """A row whose single images have no hit or miss."""
    names = {"task": "detect", "data": "bccd", "classes": 4, "hits": b"", "correct": None}
    return replace(made(0), **{**names, "score": score, **changes})


def detected(*, factor: float = 1.0, **changes: Any) -> list[Row]:
    """A clean detector, and three chips at one level, bare and matched."""
    rows = [scored(0.6 * factor, details='{"mAP@.5": 0.9}', **changes)]
    noise = {"noise": "gaussian(0.5, reference=std, scope=tensor)", "level": 0.5}
    for way, scores in (("off", (0.2, 0.25, 0.3)), ("match(8)", (0.5, 0.52, 0.54))):
        more = {"targets": "kernel", "recalibrate": way, "details": '{"mAP@.5": 0.75}'} | noise
        more |= {"calibration": "train", "calibration_sha256": "e" * 64} if way != "off" else {}
        rows += [scored(s * factor, chip=k, **more, **changes) for k, s in enumerate(scores)]
    return rows


def followed(chips: int = 3, **changes: Any) -> list[Row]:
    """Two ways along one stream of three windows."""
    rows = []
    named = {"stream": "redraw(every=40)", "targets": "kernel", "level": 0.5}
    named |= {"noise": "gaussian(0.5, reference=std, scope=tensor)"}
    for way, hits in (("off", (12, 8, 4)), ("ema(0.1, batch=5)", (13, 12, 14))):
        more = {"calibration": "test"} if way != "off" else {}
        for chip in range(chips):
            for place, count in enumerate(hits):
                seen = {"seen": IMAGES * place, "chip": chip, "recalibrate": way}
                rows.append(made(count + chip, **{**named, **more, **seen, **changes}))
    return rows


def shown(rows: list[Row], path: Path) -> Page:
    write_report(curves_of(rows), path, source="results.db", traces=traces_of(rows))
    found = Page(path.read_text(encoding="utf-8"))
    assert "nan" not in [word.strip("[],") for word in found.text.split()]
    return found


def test_a_page_of_a_detector_speaks_of_map_and_not_of_hits(tmp_path: Path) -> None:
    found = shown(detected(), tmp_path / "r.html")
    for words in ("mAP on noisy chips", "mAP 60.00 %", "mAP@.5 %", "mAP against noise level"):
        assert words in found.text
    for words in ("ccuracy", "chance", "new chips and images", "Chance-corrected"):
        assert words.lower() not in found.text.lower()
    assert "75.0 [75.0, 75.0]" in found.cells
    text = (tmp_path / "r.html").read_text()
    assert "mAP on noisy chips (%)" in text
    assert '"text":"chance"' not in text


def test_a_page_of_a_classifier_has_the_chance_line(tmp_path: Path) -> None:
    shown(measured(), tmp_path / "r.html")
    assert '"text":"chance"' in (tmp_path / "r.html").read_text()


def test_scores_of_ones_own_are_numbers_and_not_percent(tmp_path: Path) -> None:
    rows = detected(factor=-1000.0, task="my.module:score")
    found = shown(rows, tmp_path / "r.html")
    assert "Score on noisy chips" in found.text
    assert "-250 [-374, -126]" in found.cells, "as wide as Student's t says, and below zero"
    assert "score -600" in found.cells
    heads = found.text.split("All estimates")[1].split("How to read")[0]
    assert heads.count("%") == heads.count("5 % quantile") == 1
    assert "normalised" not in heads


def test_a_store_of_streams_alone_makes_a_page_of_them(tmp_path: Path) -> None:
    found = shown(followed(), tmp_path / "r.html")
    for words in ("redraw(every=40)", "6 chips followed", "60 test images", "windows of 20"):
        assert words.replace("windows", "window") in found.text.replace("windows", "window")
    for words in ("Overview", "Chip-to-chip spread", "simulated chips"):
        assert words not in found.text
    label = "ema(0.1, batch=5) [test images]"
    place = found.cells.index(label)
    trace = next(t for t in traces_of(followed()) if t.first.recalibrate != "off")
    off = next(t for t in traces_of(followed()) if t.first.recalibrate == "off")
    row = found.cells[place : place + 8]
    assert row[1:4] == ["3", stats.percent(trace.overall), stats.percent(trace.difference(off))]
    assert row[4:] == [*(stats.percent(trace.at(i)) for i in (0, 2)), "sees test images", "0"]


def test_curves_and_streams_share_a_page_and_a_network(tmp_path: Path) -> None:
    found = shown(measured() + followed(), tmp_path / "r.html")
    assert "Overview" in found.text
    assert "redraw(every=40)" in found.text
    assert found.cells.count("accuracy 90.00 %") == 1


def test_one_chip_makes_a_page_of_its_stream(tmp_path: Path) -> None:
    assert "40.0 [no interval]" in shown(followed(chips=1), tmp_path / "r.html").cells


def test_a_stream_without_off_has_no_difference(tmp_path: Path) -> None:
    rows = [row for row in followed() if row.recalibrate != "off"]
    found = shown(rows, tmp_path / "r.html")
    assert found.cells[found.cells.index("ema(0.1, batch=5) [test images]") + 3] == "-"


def test_a_stream_that_no_chip_finished_is_nothing_to_report(tmp_path: Path) -> None:
    rows = [row for row in followed(chips=2) if row.seen != IMAGES * (2 - row.chip)]
    with pytest.raises(ValueError, match="there is nothing to report: no measured chips"):
        shown(rows, tmp_path / "r.html")
    assert "Overview" in shown(measured() + rows, tmp_path / "r.html").text


def test_curves_without_an_off_curve_make_a_page(tmp_path: Path) -> None:
    rows = [row for row in measured() if row.recalibrate != "off" or row.noise == "none"]
    found = shown(rows, tmp_path / "r.html")
    assert "What recalibration changes" not in found.text
    assert "resnet8 batch, pooled(64)" in found.cells


def test_networks_with_many_ways_have_panels_of_their_own(tmp_path: Path) -> None:
    rows = [row for norm in ("batch", "batch_l1") for row in many_ways(norm=norm)]
    found = shown(rows, tmp_path / "r.html")
    for norm in ("batch", "batch_l1"):
        assert f"{norm}: noise gaussian(level" in found.text
    assert found.text.count("Overview") == 2
    assert "Against batch" in found.text


def many_ways(**changes: Any) -> list[Row]:
    """A network with off and eight ways to recalibrate."""
    texts = [f"pooled({n})" for n in (8, 32, 200, 1000)] + ["layerwise(8)", "match(200)"]
    texts += ["ema(0.1, batch=8)", "batch(8)"]
    rows = measured(**changes)
    for place, text in enumerate(texts):
        for row in measured(**changes):
            if row.recalibrate == WAY:
                new = made(15 - place % 3, **changes)
                seen = "test" if text.startswith(("ema", "batch")) else "train"
                same = {"score": new.score, "correct": new.correct, "hits": new.hits}
                rows.append(replace(row, recalibrate=text, calibration=seen, **same))
    return [row for row in rows if row.recalibrate != WAY]


HOSTILE = {
    "stream": EVIL,
    "recalibrate": EVIL_DATA,
    "calibration": EVIL_NORM,
    "task": EVIL,
    "details": '{"<script>alert(1)</script>": 0.5}',
    "targets": EVIL_NORM,
}


def with_field(rows: list[Row], name: str, value: str) -> list[Row]:
    """The rows that can carry it with this `value`: a clean row has no targets, off no images."""
    carries = {
        "targets": lambda row: bool(row.targets),
        "recalibrate": lambda row: row.recalibrate != "off",
        "calibration": lambda row: row.recalibrate != "off",
    }
    fits = carries.get(name, lambda row: True)
    return [replace(row, **{name: value}) if fits(row) else row for row in rows]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_field_of_a_row_becomes_an_element(tmp_path: Path, name: str) -> None:
    good = {"details": '{"other": 0.5}', "calibration": "train"}.get(name, "other")
    kinds = {"stream": [followed()], "details": [detected()]}
    for rows in kinds.get(name, [detected(), followed()]):
        hostile = shown(with_field(rows, name, HOSTILE[name]), tmp_path / "evil.html")
        benign = shown(with_field(rows, name, good), tmp_path / "good.html")
        assert hostile.count() == benign.count()
        if name != "task":  # which is not shown
            wanted = EVIL if name == "details" else HOSTILE[name]
            assert " ".join(wanted.split()) in hostile.text


# --- nothing half-written -----------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path: Path) -> None:
    curves = curves_of(measured())
    (tmp_path / "r.html").mkdir()
    (tmp_path / "f.pdf").mkdir()
    with pytest.raises(ValueError, match=r"^cannot write .*r\.html: Is a directory$"):
        write_report(curves, tmp_path / "r.html", source="s")
    with pytest.raises(ValueError, match=r"^cannot write .*f\.pdf: Is a directory$"):
        write_figure(curves, tmp_path / "f.pdf")
    with pytest.raises(ValueError, match=r"^cannot write .*r\.html: No such file or directory$"):
        write_report(curves, tmp_path / "nowhere" / "r.html", source="s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.pdf", "r.html"]


def test_text_that_cannot_be_written_leaves_the_old_page(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("old")
    rows = [replace(row, model="half a pair: \ud800") for row in measured()]
    with pytest.raises(ValueError, match="surrogates not allowed"):
        write_report(curves_of(rows), target, source="s")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


# --- the figure ---------------------------------------------------------------------------------

MAGIC = {".pdf": b"%PDF-", ".png": b"\x89PNG\r\n", ".svg": b"<?xml"}


@pytest.mark.parametrize("ending", MAGIC)
def test_the_figure_is_what_its_ending_says(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"f{ending}"
    write_figure(curves_of(measured()), target)
    assert target.read_bytes().startswith(MAGIC[ending])
    assert list(tmp_path.iterdir()) == [target]


def svg_text(curves: list[Curve], target: Path) -> str:
    write_figure(curves, target)
    return " ".join(" ".join(ET.parse(target).getroot().itertext()).split())


def test_the_figure_names_its_curves_noise_counts_and_axes(tmp_path: Path) -> None:
    text = svg_text(curves_of(measured()), tmp_path / "f.svg")
    said = [
        "resnet8 batch",
        "resnet8 batch, pooled(64)",
        "noise level (sigma / std per tensor)",
    ]
    said += ["accuracy (%)", "gaussian on kernel; 3 chips, 20 images", "95 % interval over chips"]
    for words in said:
        assert words in text


@pytest.mark.parametrize("model", [EVIL, "$\\frac{$", "cost$2$", "_hidden", "a_b^c %", "{x}"])
def test_a_name_in_the_figure_is_printed_as_it_is(tmp_path: Path, model: str) -> None:
    rows = [replace(row, model=model) for row in measured()]
    assert f"{model} batch" in svg_text(curves_of(rows), tmp_path / "f.svg")


def test_a_figure_of_streams_alone_shows_them(tmp_path: Path) -> None:
    write_figure([], tmp_path / "f.svg", traces=traces_of(followed()))
    text = " ".join(" ".join(ET.parse(tmp_path / "f.svg").getroot().itertext()).split())
    for words in ("ema(0.1, batch=5) [test images]", "off", "images seen", "redraw(every=40)"):
        assert words in text
    assert "3 chips, windows of 20 images" in text


def test_a_figure_of_many_ways_has_a_small_panel_for_each_kind(tmp_path: Path) -> None:
    text = svg_text(curves_of(many_ways()), tmp_path / "f.svg").split()
    for kind in ("pooled", "layerwise", "match", "ema", "batch"):
        assert kind in text
    assert text.count("off") == 5
    assert text.count("accuracy") == 2, "only the first of each row"


def test_a_figure_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to draw: no measured chips"):
        write_figure([], tmp_path / "f.svg")


@pytest.mark.parametrize("name", ["f.jpg", "f", "f.PDF"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    sentence = r"unknown ending of a figure '.*': expected one of \.pdf, \.png, \.svg"
    with pytest.raises(ValueError, match=sentence):
        write_figure(curves_of(measured()), tmp_path / name)
    assert not list(tmp_path.iterdir())


def panels(curves: list[Curve]) -> list[Panel]:
    return panels_of(curves, short_names(curve.clean for curve in curves))


def test_the_clean_point_stands_at_level_zero_only_where_nothing_else_acts_there() -> None:
    for noise, shown in (("gaussian(0.5)", 1), ("quantize(bits=4) + gaussian(0.5)", 0)):
        rows = [made(18), made(9, noise=noise, targets="kernel", level=0.5)]
        (panel,) = panels(curves_of(rows))
        assert len(panel.clean_points) == shown


def test_networks_on_other_images_or_scales_are_told_apart_and_never_paired() -> None:
    """One checkpoint, three test sets: only curves of the same clean network are compared."""
    variants: tuple[dict[str, Any], ...] = ({}, {"data_sha256": "a" * 64}, {"scale": "0.5,0.5"})
    curves = curves_of([row for changes in variants for row in measured(**changes)])
    (panel,) = panels(curves)
    assert len({look.label for look in panel.looks}) == 6
    assert len(panel.pairs) == 3
    for before, after, _ in panel.pairs:
        assert network_of(before) == network_of(after)
    mixed = [c for c in curves if c.first.recalibrate == "off" or c.clean.scale != "0,1"]
    others = [c for c in mixed if c.first.recalibrate != "off" or c.clean.scale == "0,1"]
    assert all(panel.pairs == [] for panel in panels(others))


def test_networks_are_compared_with_the_first_on_the_same_chips() -> None:
    curves = curves_of(measured() + measured(checkpoint="f" * 64, norm="none"))
    (panel,) = panels(curves)
    assert [(a.first.norm, b.first.norm) for a, b in panel.rivals] == [("batch", "none")]
    page = Page(render(curves, source="results.db"))
    assert "Against batch" in page.text
    elsewhere = measured(checkpoint="f" * 64, norm="none", data_sha256="a" * 64)
    assert panels(curves_of(measured() + elsewhere))[0].rivals == ()


def test_the_page_holds_no_address_but_xml_namespaces() -> None:
    page = render(curves_of(measured()), source="results.db")
    found = set(re.findall(r"https?://[^/\s\"'`)]*", page))
    assert found == {"http://www.w3.org"}
