"""Device files: what ships, what is read, and each mistake in one line."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from noiseproof.core.checks import DoubtWarning
from noiseproof.hardware import device_names, find_device
from noiseproof.specs import parse_cells

GOOD = """
name = "mine"
about = "a device of our own"
source = "our laboratory"
g_min = 1.0
g_max = 20.0
program = { sd = 0.5 }
"""
DRIFT = "drift = { t0 = 20.0, mean = 0.05, sd = 0.01 }\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_device_that_ships_says_its_source_and_what_it_leaves_out() -> None:
    assert len(device_names()) == 12
    for name in device_names():
        device = find_device(name)
        assert device.name == name
        assert device.source
        assert device.leaves_out


def test_devices_are_found_without_torch() -> None:
    program = (
        "import sys; from noiseproof.hardware import find_device, device_names\n"
        "[find_device(name) for name in device_names()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    device = find_device(written(tmp_path, GOOD + DRIFT))
    assert (device.g_min, device.g_max, device.t0) == (1.0, 20.0, 20.0)
    assert device.ages
    assert not find_device(written(tmp_path, GOOD)).ages
    assert device.program.sd.values(np.array([3.0, 7.0]), 20.0).tolist() == [0.5, 0.5]


def test_the_digest_follows_what_a_file_says_and_not_how(tmp_path: Path) -> None:
    digest = find_device(written(tmp_path, GOOD)).digest
    same = GOOD.replace("our laboratory", "another") + 'unit = "uS"\n'
    assert find_device(written(tmp_path, same)).digest == digest
    assert find_device(written(tmp_path, GOOD.replace("0.5", "0.6"))).digest != digest
    assert len({find_device(name).digest for name in device_names()}) == len(device_names())


def test_the_two_published_fits_of_one_paper_differ_as_they_do() -> None:
    """Sigma at full scale, over g_max: .028 against .043."""
    found = []
    for name in ("reram_wan", "reram_wan_cubic"):
        device = find_device(name)
        sd = device.program.sd.values(np.array([device.g_max]), device.g_max)
        found.append(round(float(sd[0]) / device.g_max, 3))
    assert found == [0.028, 0.043]


CURVE = "program = { sd = 0.5 }"
MISTAKES = [
    (GOOD.replace("g_max = 20.0", ""), "g_max: this key is required"),
    (GOOD + "g_mx = 3\n", "g_mx: there is no such key, got 3"),
    (GOOD.replace("20.0", "'20'"), "g_max: must be a number, got '20'"),
    (GOOD.replace("20.0", "nan"), "g_max: must be a finite number, got nan"),
    (GOOD.replace("20.0", "1.0"), "the file: g_min must be < g_max, got 1 and 1"),
    (GOOD.replace("1.0", "-1.0"), "g_min: must be >= 0.0, got -1.0"),
    (GOOD.replace('"mine"', '"My device"'), "name: must be of small letters, digits"),
    (
        GOOD.replace("0.5", "-0.5"),
        "program.sd must be finite and >= 0 from g_min to g_max, got -0.5",
    ),
    (
        GOOD.replace("0.5", '{ form = "polynomial", coefficients = [1.0, -2.0] }'),
        "program.sd must be finite and >= 0 from g_min to g_max, got -0.0006 at 10.01 uS",
    ),
    (
        GOOD.replace("0.5", '{ form = "table", points = [[0.0, 1.0], [0.5, 2.0], [0.2, 3.0]] }'),
        "program.sd: the points of a table must be ascending, got 0.5 before 0.2",
    ),
    (
        GOOD.replace("0.5", '{ form = "table", points = [] }'),
        "program.sd.points: must have 1 or more",
    ),
    (
        GOOD.replace("0.5", '{ form = "cubic", a = 1.0 }'),
        "program.sd: unknown 'form' 'cubic': expected one of 'polynomial', 'clipped_log', 'power'",
    ),
    (GOOD.replace("0.5", "{ a = 1.0 }"), "program.sd: 'form' is missing"),
    (
        GOOD.replace("0.5", '{ form = "clipped_log", a = -0.1, b = 0.2 }'),
        "program.sd: a clipped_log needs high, since a ln x . b has no end at x = 0",
    ),
    (
        GOOD.replace("0.5", '{ form = "power", a = 0.1, exponent = -0.5 }'),
        "program.sd: a power with a negative exponent needs high",
    ),
    (
        GOOD.replace("0.5", '{ form = "polynomial", coefficients = [1], low = 2.0, high = 1.0 }'),
        "program.sd: low must be <= high, got 2 and 1",
    ),
    (
        GOOD.replace(
            "0.5",
            '{ form = "piecewise", edges = [0.5], pieces = [{ form = "polynomial"'
            ", coefficients = [1] }] }",
        ),
        "program.sd: a piecewise curve needs one piece more than edges, got 1 and 1",
    ),
    (GOOD.replace("0.5", "true"), "program.sd"),
    (GOOD + DRIFT.replace("20.0", "0.0"), "drift.t0: must be > 0.0, got 0.0"),
    (GOOD + DRIFT.replace("0.05", "-0.05"), "drift.mean must be finite and >= 0"),
    (GOOD + 'cells = "pears"\n', "cells: unknown cells 'pears'"),
    (
        GOOD + "[[later]]\ntime = 5.0\nsd = 1.0\n",
        "there is no logarithm of program.time = 0: give it, or write between = 'time'",
    ),
    (
        GOOD
        + "between = 'time'\n[[later]]\ntime = 5.0\nsd = 1.0\n[[later]]\ntime = 4.0\nsd = 1.0\n",
        "the times of later must be ascending, and after program.time, got 5 before 4",
    ),
    (
        GOOD + "law_of = 'weight'\n" + DRIFT,
        "a law of whole weights .law_of. has programming alone",
    ),
    ("name = ", "is not TOML"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_key_the_rule_and_the_value(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        find_device(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown device .*NAME.toml. 'pmc': .* afm, .*pcm"):
        find_device("pmc")
    with pytest.raises(ValueError, match=r"cannot read the device file .*no.toml: No such file"):
        find_device(tmp_path / "no.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        find_device(tmp_path / "binary.toml")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert find_device(path) is find_device(path)
    path.write_text(GOOD.replace("0.5", "0.625"))
    assert find_device(path).program.sd.values(np.array([3.0]), 20.0).tolist() == [0.625]


def test_cells_that_are_not_those_of_the_source_are_doubted() -> None:
    with pytest.warns(DoubtWarning, match="reram_cmo has cells=offset, and these are cells=pair"):
        find_device("reram_cmo").check_cells(parse_cells("pair"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_device("reram_cmo").check_cells(parse_cells("offset"))
        find_device("pcm").check_cells(parse_cells("offset"))
    with pytest.raises(ValueError, match="afm is a law of whole weights: it has no cells=offset"):
        find_device("afm").check_cells(parse_cells("offset"))
