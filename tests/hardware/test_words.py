"""The ten lines that every chip states."""

import pytest

from noiseproof.hardware import statements
from noiseproof.specs import find_hardware, hardware_names, parse, parse_mapping

LINES = (
    *("unit of sigma", "clips", "what drives each law", "time", "frozen and fresh"),
    *("compensation", "converters", "noise at products", "wires and cells", "digital"),
)


@pytest.mark.parametrize("name", hardware_names())
def test_every_chip_states_ten_lines(name: str) -> None:
    chip = find_hardware(name)
    found = statements(parse(chip.noise or "none"), parse_mapping(chip.mapping)[0])
    assert tuple(found) == LINES
    assert all(found.values())


def test_lines_say_what_the_device_and_the_mapping_say() -> None:
    mapping, _ = parse_mapping("scale=tensor, cells=offset, tile=512x256")
    found = statements(
        parse("device(reram_cmo, time=1h)"),
        mapping,
        mvm="dac(8, range=static(99.9)) + output(0.04)",
        compensate="scalar",
        digital="first",
    )
    assert found["unit of sigma"].startswith("uS of reram_cmo up to 88.2, per device; ")
    assert found["unit of sigma"].endswith("max |W| of its tensor")
    assert "a read to [9, 88.2] uS" in found["clips"]
    assert "relaxation" in found["what drives each law"]
    assert found["converters"] == "dac(8, range=static(99.9))"
    assert found["noise at products"] == "output(0.04)"
    assert found["compensation"].startswith("one factor for each layer")
    assert "arrays of 512x256" in found["wires and cells"]
    assert found["digital"].endswith("also the layers first")


def test_two_devices_are_told_apart_by_name() -> None:
    mixed = parse("device(pcm, time=1h)@first + device(reram_wan, time=1h)@last")
    found = statements(mixed, parse_mapping("")[0])
    assert "pcm: seconds since" in found["time"]
    assert "reram_wan: seconds since" in found["time"]
    assert "measured up to 2d" in found["time"]


def test_noise_without_devices_is_said_to_be_of_weights() -> None:
    found = statements(parse("gaussian(0.1)"), parse_mapping("")[0], compensate="scalar")
    assert found["unit of sigma"].endswith("per weight")
    assert found["compensation"] == "none"
    assert found["time"] == "does not pass"


def test_converters_are_stated_however_their_text_is_spaced() -> None:
    close = "dac(8,range=image)+output(0.1)+adc(8,range=fixed(10))"
    found = statements(parse("device(pcm)"), parse_mapping("")[0], mvm=close)
    assert found["converters"] == "dac(8, range=image) + adc(8, range=fixed(10))"
    assert found["noise at products"] == "output(0.1)"


def test_what_a_function_of_ones_own_does_is_not_made_up() -> None:
    with pytest.raises(ValueError, match="what a chip of laws.aging:slow states is in that func"):
        statements(parse("device(laws.aging:slow)"), parse_mapping("")[0])


def test_what_is_frozen_is_what_the_device_has() -> None:
    mapping = parse_mapping("")[0]
    said = {
        name: statements(parse(f"device({name})"), mapping)["frozen and fresh"]
        for name in ("pcm", "pcm_joshi", "reram_cmo")
    }
    start = "frozen for each chip: programming"
    reads = "draws of reads, which only grow with time"
    assert said["pcm"] == f"{start}, exponents of drift, {reads}; fresh at every product: nothing"
    assert said["pcm_joshi"] == f"{start}; fresh at every product: nothing"
    assert said["reram_cmo"] == f"{start}, relaxation, {reads}; fresh at every product: nothing"
