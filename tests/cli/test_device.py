"""The commands of devices: list, show, fit."""

import json
from pathlib import Path

import pytest

from noiseproof.hardware import device_names, find_device
from tests.cli.program import Run
from tests.hardware.simulated import DAY, readings_of


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory's table of the PCM-like device."""
    path = tmp_path_factory.mktemp("readings") / "pcm.csv"
    table = readings_of(find_device("pcm"), [0, 5, 12.5, 25], [0.0, 3600.0, 30 * DAY], count=60)
    assert table.device is not None
    rows = zip(table.target, table.read, table.time, table.device, strict=True)
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(["target,read,time,device", *lines]))
    return path


def test_the_devices_that_ship_are_listed(run: Run) -> None:
    code, out, err = run("device", "list")
    assert (code, err) == (0, "")
    assert all(name in out for name in device_names())
    code, out, _ = run("device", "list", "--json")
    assert list(json.loads(out)) == list(device_names())


def test_a_device_is_shown_in_words_and_written_to_start_from(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    code, out, _ = run("device", "show", "hermes", "--out", mine)
    assert code == 0
    assert "0 to 20.7 uS" in out
    assert "Le Gallo" in out
    assert find_device(mine) == find_device("hermes")
    code, out, _ = run("device", "show", mine, "--json")
    assert json.loads(out)["digest"] == find_device("hermes").digest


def test_a_fit_leaves_a_device_its_picture_and_its_numbers(
    run: Run, readings: Path, tmp_path: Path
) -> None:
    mine, picture = tmp_path / "My device.toml", tmp_path / "fit.png"
    code, out, err = run("device", "fit", readings, "--out", mine, "--figure", picture, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["law"] == "drift"
    device = find_device(mine)
    assert (device.name, device.digest, device.g_max) == ("my-device", document["digest"], 25.0)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "law of drift" in err
    curves = [one["curve"] for one in document["estimates"]]
    assert curves.count("read.q") == 4


def test_what_readings_do_not_say_is_said(run: Run, readings: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    options = ("--g-max", 30, "--g-min", 0, "--t0", 20, "--t-read", 1e-6, "--name", "ours")
    code, _, _ = run("device", "fit", readings, "--out", mine, *options)
    device = find_device(mine)
    assert (code, device.name, device.g_max, device.t0) == (0, "ours", 30.0, 20.0)
    assert device.read is not None
    assert device.read.t_read == 1e-6


MISTAKES = [
    ("show pmc", "unknown device (or file NAME.toml) 'pmc'"),
    ("show none.toml", "cannot read the device file none.toml: No such file"),
    ("show pcm --out pcm.txt", "--out must end in .toml"),
    ("show pcm --out no/pcm.toml", "there is no folder no"),
    ("fit none.csv --out mine.toml", "cannot read the readings none.csv: No such file"),
    ("fit {readings}", "Missing option '--out'"),
    ("fit {readings} --out mine.json", "--out must end in .toml, by which a device file is known"),
    ("fit {readings} --out mine.toml --figure mine.gif", "unknown ending of a figure '.gif'"),
    ("fit {readings} --out mine.toml --t0 0", "t0 must be finite and > 0 s, got 0"),
    ("fit {readings} --out mine.toml --t-read nan", "t_read must be finite and > 0 s, got nan"),
    ("fit {readings} --out mine.toml --g-max 0", "g_min must be >= 0 and < g_max, got 0 and 0"),
    ("fit {readings} --out mine.toml --name 'A b'", "name: must be of small letters"),
    ("potato", "No such command 'potato'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_end_in_one_line_and_leave_nothing(
    run: Run, readings: Path, arguments: str, message: str
) -> None:
    words = [
        word.strip("'").format(readings=readings)
        for word in arguments.replace("'A b'", "'A_b'").split()
    ]
    code, out, err = run("device", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("mine.toml").exists()
