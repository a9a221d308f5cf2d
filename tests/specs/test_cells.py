"""Kinds of cells have one text form."""

import pytest

from noiseproof.specs import Pair, parse_cells


@pytest.mark.parametrize("text", ["pair", "offset", "pairs(4)", "slices(8, cell=2)"])
def test_cells_print_as_they_are_read(text: str) -> None:
    for partner in ("own", "ideal"):
        cells = parse_cells(text, partner=partner)
        assert (str(cells), cells.partner) == (text, partner)
        assert parse_cells(str(cells), partner=partner) == cells


def test_cells_know_how_many_devices_a_weight_has() -> None:
    texts = ("pair", "offset", "pairs(4)", "slices(8, cell=2)", "slices(8, cell=8)")
    assert [parse_cells(text).devices for text in texts] == [2, 1, 8, 8, 2]
    assert parse_cells("pair") == Pair()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read kind of cells ''"),
        ("pears", "unknown cells 'pears': expected one of pair, offset, pairs.n., slices"),
        ("pears(2)", "unknown cells 'pears': expected one of pairs, slices"),
        ("pairs", "unknown cells 'pairs'"),
        ("pairs(0)", "pairs must be between 1 and 64, got 0"),
        ("pairs(1.5)", "pairs must be a whole number, got 1.5"),
        ("pairs(2, partner=ideal)", "unknown option of pairs 'partner'"),
        ("slices(8)", "'slices.8.': cell is missing"),
        ("slices(40, cell=2)", "bits of slices must be between 2 and 16, got 40"),
        ("slices(8, cell=0)", "bits of a cell must be between 1 and 8, got 0"),
        ("pair + pair", "unknown cells 'pair . pair'"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_cells(text)


def test_an_unknown_partner_is_named() -> None:
    with pytest.raises(ValueError, match="unknown partner 'none': expected one of own, ideal"):
        parse_cells("pair", partner="none")
