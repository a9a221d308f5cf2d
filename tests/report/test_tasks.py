"""The page of other tasks, of streams and of one's own scores; files are whole or not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noiseproof import stats
from noiseproof.report import write_figure, write_report
from noiseproof.results.curves import curves_of
from noiseproof.results.rows import Row
from noiseproof.results.streams import traces_of
from tests.report.pages import (
    EVIL,
    EVIL_DATA,
    EVIL_NORM,
    IMAGES,
    followed,
    made,
    many_ways,
    measured,
    shown,
)

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
    assert found.cells.count("accuracy 90.00 [68.3, 98.8] %") == 1


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
