"""A device as a file, and in words."""

from pathlib import Path

import pytest

from noiseproof.hardware import device_lines, device_names, device_toml, find_device


@pytest.mark.parametrize("name", device_names())
def test_a_device_is_written_as_the_file_that_it_is_read_from(name: str, tmp_path: Path) -> None:
    device = find_device(name)
    path = tmp_path / "copy.toml"
    path.write_text(device_toml(device))
    assert find_device(path) == device


def test_awkward_words_survive_the_file(tmp_path: Path) -> None:
    words = 'quotes " and \\ and\nlines\tand \x7f and \u2028'
    device = find_device("pcm").model_copy(update={"about": words})
    path = tmp_path / "awkward.toml"
    path.write_text(device_toml(device), encoding="utf-8")
    assert find_device(path).about == words


@pytest.mark.parametrize("name", device_names())
def test_words_name_range_source_and_what_is_left_out(name: str) -> None:
    device = find_device(name)
    text = "\n".join(device_lines(device))
    assert f"{device.g_min:g} to {device.g_max:g} {device.unit}" in text
    assert device.source in text
    assert all(line in text for line in device.leaves_out)
    assert ("time: changes nothing" in text) == (not device.ages)


def test_laws_are_told_with_their_numbers() -> None:
    text = "\n".join(device_lines(find_device("pcm")))
    assert "sd 0.26348 +1.965 r -1.1731 r^2 uS" in text
    assert "mean clip(-0.0155 ln r +0.0244, 0.049, 0.1)" in text
    assert "clip(0.0088 r^-0.65, -inf, 0.2)" in text
    assert "at 1d: sd" in "\n".join(device_lines(find_device("reram_wan")))
