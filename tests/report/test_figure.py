"""The figure: what its ending says, and its curves by name."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noiseproof.report import write_figure
from noiseproof.report.page import render
from noiseproof.report.panels import Panel, network_of, panels_of
from noiseproof.report.words import short_names
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.streams import traces_of
from tests.report.pages import EVIL, Page, followed, made, many_ways, measured

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


def test_the_figure_names_its_curves_and_axes_and_leaves_the_rest_to_its_caption(
    tmp_path: Path,
) -> None:
    caption = write_figure(curves_of(measured()), tmp_path / "f.svg")
    text = svg_text(curves_of(measured()), tmp_path / "f.svg")
    for words in ("off", "pooled(64)", "noise level (sigma / std per tensor)", "accuracy (%)"):
        assert words in text
    said = "gaussian(level, reference=std, scope=tensor) on kernel; 3 chips, 20 images"
    for words in (said, "95 % interval over chips"):
        assert words in caption
        assert words not in text


@pytest.mark.parametrize("model", [EVIL, "$\\frac{$", "cost$2$", "_hidden", "a_b^c %", "{x}"])
def test_a_name_in_the_figure_is_printed_as_it_is(tmp_path: Path, model: str) -> None:
    rows = [replace(row, model=model) for row in measured()] + measured(checkpoint="f" * 64)
    curves = curves_of(rows)
    assert f"{model}, pooled(64)" in svg_text(curves, tmp_path / "f.svg")
    write_figure(curves, tmp_path / "f.svg", title=model, labels={"resnet8": f"mine {model}"})
    text = " ".join(ET.parse(tmp_path / "f.svg").getroot().itertext())
    assert text.count(model) == 5, "two names, two of one's own, and the title"


def test_a_figure_of_streams_alone_shows_them(tmp_path: Path) -> None:
    caption = write_figure([], tmp_path / "f.svg", traces=traces_of(followed()))
    text = " ".join(" ".join(ET.parse(tmp_path / "f.svg").getroot().itertext()).split())
    for words in ("ema(0.1, batch=5) [test images]", "off", "images seen"):
        assert words in text
    assert "redraw(every=40); 3 chips, windows of 20 images" in caption


def test_a_figure_of_many_ways_has_a_small_panel_for_each_kind_and_one_legend(
    tmp_path: Path,
) -> None:
    text = svg_text(curves_of(many_ways()), tmp_path / "f.svg").split()
    for kind in ("pooled", "layerwise", "match", "ema", "batch"):
        assert kind in text
    assert text.count("off") == text.count("accuracy") == 1


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
