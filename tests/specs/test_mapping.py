"""The mapping of weights to devices: one text form, and hardware files that hold such texts."""

from pathlib import Path

import pytest

from noiseproof.specs import ArrayMapping, find_hardware, hardware_names, parse, parse_mapping
from noiseproof.specs.cells import Offset, Pair, Pairs, Slices


@pytest.mark.parametrize(
    ("text", "mapping", "folds"),
    [
        ("", ArrayMapping(), None),
        ("scale=tensor", ArrayMapping(scale="tensor"), None),
        ("cells=offset, fold_norm=yes", ArrayMapping(cells=Offset()), True),
        (" cells = pairs(2) ,tile=512x256", ArrayMapping(cells=Pairs(n=2), tile=(512, 256)), None),
        ("tile=128, scale=tile, fold_norm=no", ArrayMapping(scale="tile", tile=(128, 128)), False),
        ("cells=slices(8, cell=2)", ArrayMapping(cells=Slices(bits=8, cell=2)), None),
        ("partner=ideal", ArrayMapping(cells=Pair(partner="ideal")), None),
    ],
)
def test_a_mapping_is_read_and_prints_to_itself(
    text: str, mapping: ArrayMapping, folds: bool | None
) -> None:
    assert parse_mapping(text) == (mapping, folds)
    assert parse_mapping(str(mapping)) == (mapping, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("channel", "cannot read mapping 'channel': expected parts of scale=channel, cells=pair"),
        ("scale=channel,, cells=pair", "cannot read mapping"),
        ("scale=layer", "unknown scale 'layer': expected one of channel, tensor, tile$"),
        ("rows=512", "unknown part of a mapping 'rows': expected one of scale, cells, tile, fold_"),
        ("scale=tensor, scale=channel", "gives scale twice$"),
        ("tile=512by512", "a tile must be rows x columns, as tile=512x512, got '512by512'$"),
        ("tile=0", "a tile must have between 1 and 65536 rows, got 0x0$"),
        ("scale=tile", "scale=tile needs the size of a tile, as tile=512x512$"),
        ("cells=triple", "unknown cells 'triple'"),
        ("cells=pairs(0)", "pairs must be between 1 and 64, got 0$"),
        ("fold_norm=maybe", "unknown fold_norm 'maybe': expected one of no, yes$"),
        ("partner=other", "unknown partner 'other': expected one of own, ideal$"),
    ],
)
def test_a_wrong_mapping_is_refused_by_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_mapping(text)


@pytest.mark.parametrize("name", hardware_names())
def test_hardware_that_comes_along_names_itself_and_its_source(name: str) -> None:
    found = find_hardware(name)
    assert found.name == name
    assert found.about
    assert name == "ideal" or (found.source and found.leaves_out)
    assert parse(found.noise).sweeps == "time"


FILE = """
about = "ours"
noise = "device(pcm) + stuck(0.01, at=gmin)"
mapping = "scale=tensor, cells=pairs(2)"
compensate = "column"
digital = "first,last"
"""


def test_a_file_of_ones_own_is_read_and_named_by_itself(tmp_path: Path) -> None:
    (tmp_path / "My chip.toml").write_text(FILE)
    found = find_hardware(tmp_path / "My chip.toml")
    assert (found.name, found.compensate, found.digital) == ("my-chip", "column", "first,last")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('noise = "potato(1)"', "mine.toml: noise: unknown noise 'potato': expected one of"),
        ("noise = 3", "mine.toml: noise: must be a text in quotes, got 3$"),
        ('mapping = "scale=layer"', "mine.toml: mapping: unknown scale 'layer'"),
        ('compensate = "row"', "mine.toml: compensate: unknown compensation 'row': expected one"),
        ('digital = "name:"', "mine.toml: digital: "),
        ('nois = "gaussian(0.1)"', "mine.toml: nois: there is no such key"),
        ('name = "A/B"', "mine.toml: name: must be of small letters, digits"),
        ("noise = ", "the hardware file .*mine.toml is not TOML: "),
    ],
)
def test_each_mistake_of_a_file_is_one_line(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(line)
    with pytest.raises(ValueError, match=sentence) as found:
        find_hardware(file)
    assert "\n" not in str(found.value)


def test_hardware_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown hardware \(or file NAME.toml\) 'pmc': expected"):
        find_hardware("pmc")
    with pytest.raises(ValueError, match="cannot read the hardware file .*none.toml: No such file"):
        find_hardware(tmp_path / "none.toml")
