"""Many networks in one store: short names, small panels, and what one can choose and rename."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from noiseproof.report import write_figure, write_report
from noiseproof.report.choosing import chosen, parse_labels
from noiseproof.report.facets import bands_of
from noiseproof.report.page import render
from noiseproof.report.panels import Panel, panels_of
from noiseproof.report.paper import layout_of
from noiseproof.report.plotting import parse_size
from noiseproof.report.words import short_names
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.rows import Row
from noiseproof.results.streams import traces_of
from tests.report.pages import EVIL, WAY, Page, followed, measured

CIFAR = "0.4914,0.4822,0.4465,0.2470,0.2435,0.2616"
MODELS, NORMS = ("resnet8", "resnet14", "vgg", "vit"), ("batch", "none", "layer")


def network(number: int, *, ways: tuple[str, ...] = ("off",), **named: Any) -> list[Row]:
    rows = measured(checkpoint=f"{number:064x}"[::-1], **named)
    return [row for row in rows if row.noise == "none" or row.recalibrate in ways]


def grid(**more: Any) -> list[Curve]:
    rows = []
    for number, (model, norm) in enumerate(product(MODELS, NORMS)):
        rows += network(number, model=model, norm=norm, **more)
    return curves_of(rows)


def panels(curves: list[Curve]) -> list[Panel]:
    return panels_of(curves, short_names(curve.clean for curve in curves))


def names_of(*networks: dict[str, Any]) -> list[str]:
    rows = [network(number, **named)[0] for number, named in enumerate(networks)]
    return list(short_names(rows).values())


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "names"),
    [
        ([{}], ["resnet8 batch"]),
        ([{"norm": "batch"}, {"norm": "none"}], ["batch", "none"]),
        ([{"model": "a", "norm": "batch"}, {"model": "b", "norm": "none"}], ["batch", "none"]),
        ([{"model": "a"}, {"model": "b"}], ["a", "b"]),
        ([{"data": "digits"}, {"data": "cifar10"}], ["digits", "cifar10"]),
        ([{"scale": "0,1"}, {"scale": "0.5,0.5"}], ["scale none", "scale half"]),
        ([{}, {}], ["weights 000000", "weights 100000"]),
        ([{}, {}, {"norm": "none"}], ["batch, weights 000000", "batch, weights 100000", "none"]),
    ],
)
def test_a_name_says_what_differs_and_a_hash_only_where_nothing_else_does(
    networks: list[dict[str, Any]], names: list[str]
) -> None:
    assert names_of(*networks) == names


@pytest.mark.parametrize("count", [2, 5, 12])
def test_all_names_differ_and_none_holds_six_numbers(count: int) -> None:
    scales = (CIFAR, "0.485,0.456,0.406,0.229,0.224,0.225", "0.1,0.2,0.3,1.0,1.0,1.0", "as is")
    networks = [
        {"scale": scales[n % 4], "norm": NORMS[n % 3], "data_sha256": f"{n % 2}" * 64}
        for n in range(count)
    ]
    names = names_of(*networks)
    assert len(set(names)) == count
    assert not any(CIFAR in name for name in names)


# --- small panels ---------------------------------------------------------------------------------


def test_twelve_networks_of_four_models_are_a_panel_for_each_model_with_one_legend() -> None:
    (panel,) = panels(grid())
    assert [split.title for split in panel.splits] == list(MODELS)
    for split in panel.splits:
        assert [look.label for look in split.looks] == list(NORMS)
    (band,) = bands_of([panel], [])
    assert [look.label for look in band.legend] == list(NORMS)


def test_twelve_networks_that_only_their_weights_tell_apart_have_a_panel_each() -> None:
    curves = curves_of([row for n in range(12) for row in network(n)])
    (panel,) = panels(curves)
    assert [split.places for split in panel.splits] == [(n,) for n in range(12)]
    assert all(len(split.behind) == 11 for split in panel.splits)
    (band,) = bands_of([panel], [])
    assert band.legend == [], "the titles say it"
    assert all((len(one.series), len(one.behind)) == (1, 11) for one in band.facets)


def test_every_curve_is_drawn_once_and_no_two_lines_on_one_pair_of_axes_look_alike() -> None:
    for ways in (("off",), ("off", WAY)):
        for curves in (grid(ways=ways), grid(ways=ways)[:7], grid(ways=ways)[3:20]):
            for panel in panels(curves):
                drawn = [place for split in panel.splits for place in split.places]
                assert sorted(drawn) == list(range(len(panel.curves)))
                for split in panel.splits:
                    looks = {(look.colour, look.dash, look.marker) for look in split.looks}
                    assert len(looks) == len({look.label for look in split.looks})
                    assert len(looks) == len(split.looks) <= 6


def test_panels_of_one_figure_share_a_legend_where_their_lines_have_the_same_names() -> None:
    rows = [row for number, norm in enumerate(NORMS) for row in network(number, norm=norm)]
    rows += [replace(row, targets="kernel,bias") for row in rows if row.noise != "none"]
    found = panels(curves_of(rows))
    (band,) = bands_of(found, [])
    assert [facet.title for facet in band.facets] == ["kernel", "kernel,bias"]
    assert [look.label for look in band.legend] == list(NORMS)


def test_the_legend_stands_beside_the_panels_and_widens_the_figure() -> None:
    one = layout_of(bands_of(panels(curves_of(network(0))), [])[0])
    two = layout_of(bands_of(panels(curves_of(network(0, ways=("off", WAY)))), [])[0])
    assert one.beside == 0
    assert two.beside > 0
    assert one.wide == two.wide


def test_the_page_has_the_small_panels_and_names_each_line_once() -> None:
    page = render(grid(), source="results.db")
    for title in MODELS:
        assert page.count(f'"text":"{title}"') == 1
    for norm in NORMS:
        assert page.count(f'"name":"{norm}","showlegend":true') == 1


# --- what one chooses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "count"),
    [
        (["resnet8"], 3),
        (["resnet*"], 6),
        (["resnet8", "vgg"], 6),
        (["norm=batch"], 4),
        (["resnet8", "norm=batch"], 1),
        (["model=v*", "norm=none", "norm=layer"], 4),
        (["vit layer"], 1),
        (["b000000"], 1),
        (["noise=gaussian*"], 12),
        ([], 12),
    ],
)
def test_patterns_of_one_field_are_alternatives_and_every_field_has_to_fit(
    only: list[str], count: int
) -> None:
    assert len(chosen(grid(), only)) == count


def test_a_pattern_is_a_whole_name() -> None:
    """`resnet1` is no pattern of resnet14, nor `batch` of batch_l1."""
    with pytest.raises(
        ValueError, match=r"--only 'resnet1' fits nothing: there are 'resnet8 batch"
    ):
        chosen(grid(), ["resnet1"])


def test_names_are_those_of_what_was_chosen(tmp_path: Path) -> None:
    target = tmp_path / "f.svg"
    write_figure(grid(), target, only=["norm=batch", "model=res*"])
    text = target.read_text()
    assert ">resnet14<" in text
    assert "batch" not in text.split("</metadata>")[1]


def test_labels_stand_in_place_of_names_in_pages_and_figures(tmp_path: Path) -> None:
    curves = curves_of(network(0, ways=("off", WAY)) + network(1, norm="none"))
    labels = {"batch": "with BN", WAY: f"again {EVIL}", "none": "bare"}
    write_report(curves, tmp_path / "r.html", source="s", labels=labels, title=f"Mine {EVIL}")
    page = Page((tmp_path / "r.html").read_text())
    assert f"Mine {EVIL}" in page.text
    for text in ("with BN", f"with BN, again {EVIL}", "bare"):
        assert text in page.cells
    write_figure(curves, tmp_path / "f.svg", labels=labels)
    assert "with BN, again &lt;script&gt;" in (tmp_path / "f.svg").read_text()


def test_a_part_of_names_is_renamed_wherever_it_stands(tmp_path: Path) -> None:
    labels = {"batch": "with BN", "vgg": "VGG-16"}
    write_figure(grid(), tmp_path / "f.svg", labels=labels)
    text = (tmp_path / "f.svg").read_text()
    assert [text.count(f">{name}<") for name in ("with BN", "VGG-16", "none", "batch")] == [
        *(1, 1, 1, 0)
    ]
    write_report(grid(), tmp_path / "r.html", source="s", labels=labels)
    cells = Page((tmp_path / "r.html").read_text()).cells
    assert "VGG-16 with BN" in cells
    assert "resnet8 with BN" in cells


def test_a_label_of_nothing_is_refused(tmp_path: Path) -> None:
    sentence = r"--label 'batch_l1' names nothing here: there are 'resnet8 batch', 'off'"
    for write in (write_figure, lambda *a, **k: write_report(*a, source="s", **k)):
        with pytest.raises(ValueError, match=sentence):
            write(curves_of(network(0)), tmp_path / "f.svg", labels={"batch_l1": "x"})
    assert not list(tmp_path.iterdir())


def test_a_label_is_parted_at_the_first_equals_sign_outside_brackets() -> None:
    texts = ["batch=with BN", "blend(64, prior=0.5)=a = b"]
    assert parse_labels(texts) == {"batch": "with BN", "blend(64, prior=0.5)": "a = b"}


@pytest.mark.parametrize("text", ["batch", "=x", "batch=", "blend(64, prior=0.5)"])
def test_a_label_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--label must be NAME=TEXT"):
        parse_labels([text])


def test_two_texts_for_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="--label gives 'a' two texts: 'b' and 'c'"):
        parse_labels(["a=b", "a=c"])


def test_a_size_says_its_unit() -> None:
    assert parse_size("7x4in") == (7, 4)
    assert parse_size("25.4x5.08cm") == pytest.approx((10, 2))


@pytest.mark.parametrize("text", ["7x4", "7in", "7x4mm", "x4in", "-7x4in", "nanx4in", "7x0in"])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size must be .*, got '" + text):
        parse_size(text)


def test_a_figure_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    write_figure(grid(), tmp_path / "f.svg", size="5x4in")
    assert 'width="360pt" height="288pt"' in (tmp_path / "f.svg").read_text()


def test_curves_and_streams_are_drawn_one_below_the_other(tmp_path: Path) -> None:
    write_figure(curves_of(network(0)), tmp_path / "f.svg", traces=traces_of(followed()))
    text = (tmp_path / "f.svg").read_text()
    assert "images seen" in text
    assert "noise level" in text
