"""The command `track`: noise that changes while images pass."""

import json
from pathlib import Path

import pytest

from noiseproof.results.store import Store
from tests.cli.program import Run, killed_after, rows_in, run_main, timeless

TRACK = (
    *("--noise", "gaussian(0.5)", "--every", 100, "--window", 50, "--images", 300),
    *("--period", 150, "--chips", 2, "--device", "cpu", "--recalibrate", "off"),
    *("--recalibrate", "ema(0.1, batch=25)", "--recalibrate", "pooled(40)"),
)


@pytest.fixture(scope="module")
def tracked(trained: Path) -> Path:
    """A store with two chips along a stream in three ways."""
    store = trained.parent / "streams.db"
    assert run_main("track", trained, *TRACK, "--store", store) == 0
    return store


def test_a_track_is_drawn_as_a_file(trained: Path, tracked: Path, run: Run, tmp_path: Path) -> None:
    figure = tmp_path / "f.svg"
    code, out, _ = run("track", trained, *TRACK, "--store", tracked, "--figure", figure)
    assert code == 0
    assert "images seen" in figure.read_text()
    assert "Caption: " in out
    code, _, err = run("track", trained, *TRACK, "--store", tracked, "--figure", tmp_path / "f.gif")
    assert (code, "unknown ending of a figure '.gif'" in err) == (2, True)


def test_tracking_prints_a_table_and_one_document(
    trained: Path, tracked: Path, run: Run, tmp_path: Path
) -> None:
    code, out, err = run("track", trained, *TRACK, "--store", tmp_path / "r.db", "--json")
    assert code == 0
    assert "images 250 on: " in err, "progress"
    assert "ema(0.1, batch=25)" in err
    document = json.loads(out)
    names = ["off", "ema(0.1, batch=25)", "pooled(40) every 150"]
    assert [trace["recalibrate"] for trace in document["traces"]] == names
    rows = rows_in(tmp_path / "r.db")
    assert len(rows) == 1 + 3 * 2 * 6
    assert document["traces"][0]["clean"]["accuracy"] == rows[0].score
    for trace in document["traces"]:
        assert trace["seen"] == list(range(0, 300, 50))
        assert (trace["chips"], trace["window"]) == (2, 50)
        assert trace["stream"] == "redraw(every=100)"
        mine = [row.score for row in rows if row.recalibrate == trace["recalibrate"] and row.stream]
        assert trace["overall"]["mean"] == pytest.approx(sum(mine) / 12)
    assert document["provenance"]["checkpoint"] == rows[0].checkpoint
    assert document["provenance"]["seed"] == 0
    assert timeless(rows_in(tracked)) == timeless(rows), "the same rows in another store"


def test_tracking_again_measures_nothing_and_says_the_same(
    trained: Path, tracked: Path, run: Run
) -> None:
    before = rows_in(tracked)
    code, _, err = run("track", trained, *TRACK, "--store", tracked)
    assert (code, err.strip()) == (0, "")
    assert rows_in(tracked) == before


def test_a_killed_track_goes_on_to_the_same_rows(trained: Path, tmp_path: Path, run: Run) -> None:
    options = (trained, "--every", 40, "--images", 400, "--chips", 6, "--device", "cpu")
    options += ("--noise", "gaussian(0.3)", "--wander", 0.2, "--recalibrate", "ema(0.1, batch=20)")
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    killed_after(4, "track", *options, "--store", killed)
    early = rows_in(killed)
    assert len(early) == 4
    for store in (whole, killed):
        assert run("track", *options, "--store", store)[0] == 0
    assert timeless(rows_in(killed)) == timeless(rows_in(whole))
    assert rows_in(killed)[: len(early)] == early, "what was measured is kept"
    assert {row.stream for row in rows_in(whole)} == {"", "wander(0.2, every=40)"}


def test_a_store_of_streams_has_a_report_but_no_figure_of_levels(
    tracked: Path, run: Run, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    code, out, _ = run("report", tracked, "--out", page, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["networks"] == []
    assert len(document["traces"]) == 3
    assert "redraw" in page.read_text(encoding="utf-8")
    figure = tmp_path / "f.svg"
    code, _, _ = run("report", tracked, "--out", page, "--figure", figure)
    assert code == 0
    assert "images seen" in figure.read_text()


def test_a_report_shows_chips_and_streams_of_one_store(
    trained: Path, measured: Path, tracked: Path, run: Run, tmp_path: Path
) -> None:
    store = tmp_path / "r.db"
    with Store(store) as both:
        for row in (*rows_in(measured), *rows_in(tracked)):
            both.add(row)
    code, out, _ = run("report", store, "--out", tmp_path / "r.html", "--json")
    assert code == 0
    document = json.loads(out)
    assert len(document["networks"]) == 1
    assert len(document["traces"]) == 3
