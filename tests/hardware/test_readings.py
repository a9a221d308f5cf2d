"""Tables of readings: what is read, each mistake in one line, and their moments."""

import math
from pathlib import Path

import numpy as np
import pytest

from noiseproof.core.checks import NoEffectWarning
from noiseproof.hardware import Readings, read_readings
from noiseproof.hardware.readings import measured

GOOD = "target,read,time,device,polarity\n1,0.9,programmed,a,+\n1,1.1,25,a,+\n2,2.5,25,a,-\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "readings.csv"
    path.write_text(text)
    return path


def test_a_table_is_read_with_the_devices_of_both_polarities_apart(tmp_path: Path) -> None:
    found = read_readings(written(tmp_path, GOOD))
    assert found.target.tolist() == [1, 1, 2]
    assert found.read.tolist() == [0.9, 1.1, 2.5]
    assert math.isnan(found.time[0])
    assert found.device is not None
    assert found.device.tolist() == [0, 0, 1]


def test_columns_may_stand_in_any_order_and_devices_may_be_missing(tmp_path: Path) -> None:
    found = read_readings(written(tmp_path, "\ufeffTime, Read ,TARGET\n,1,2\n\n3,4,5\n"))
    assert (found.target.tolist(), found.read.tolist(), found.device) == ([2, 5], [1, 4], None)


@pytest.mark.parametrize(
    "header",
    [
        "g_target,g_read,seconds,device_id",
        "Target conductance (uS),Read conductance (uS),Seconds since programming,Device id",
        "target_us,read_us,time_s,id",
        "target [uS],conductance,t,device",
    ],
)
def test_columns_may_be_called_as_laboratories_do(header: str, tmp_path: Path) -> None:
    found = read_readings(written(tmp_path, f"{header}\n1,2,3,a\n1,2,4,b\n"))
    assert (found.target.tolist(), found.read.tolist()) == ([1, 1], [2, 2])
    assert found.time.tolist() == [3, 4]
    assert found.device is not None


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "wafer,target,read,time\nx,1,2,3\n")
    with pytest.warns(NoEffectWarning, match=r"columns of .*readings.csv that are not used: wafer"):
        assert len(read_readings(path)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the readings .* are empty"),
        ("target,read,time\n", "have a header and no rows"),
        ("target,read\n1,2\n", "need one column 'time', got target, read"),
        ("target,read,time,g_read\n1,2,3,4\n", "need one column 'read', got target, read"),
        ("target,colour,time\n1,2,3\n", "need one column 'read', got target, colour, time"),
        ("target,read,time\n1,2\n", "line 2: 3 values expected, got 2"),
        ("target,read,time\n1,2,3\n1,two,3\n", "line 3: read must be a number, got 'two'"),
        ("target,read,time\n-1,2,3\n", "line 2: target must be a number >= 0, got '-1'"),
        ("target,read,time\n1,2,-3\n", "time must be seconds >= 0 without a unit, .*, got '-3'"),
        ("target,read,time\n1,2,1h\n", "time must be seconds >= 0 without a unit, .*, got '1h'"),
        ("target,read,time\n1,nan,3\n", "line 2: read must be a number, got 'nan'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_readings(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the readings .*: No such file"):
        read_readings(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="are not a table of text"):
        read_readings(tmp_path / "binary.csv")


def test_moments_are_those_of_numpy() -> None:
    """Two targets, three times, 50 devices each, one reading missing."""
    dice = np.random.RandomState(0)
    values = dice.normal(size=(2, 50, 3)).cumsum(axis=2)
    target, device, time = np.meshgrid([1.0, 2.0], np.arange(50), [0.0, 10.0, 99.0], indexing="ij")
    keep = np.ones(values.size, dtype=bool)
    keep[7] = False  # device 2 of target 1 at 10 s
    flat = [a.reshape(-1)[keep] for a in (target, values, time, device)]
    found = measured(Readings(*flat))
    assert found.times == (0.0, 10.0, 99.0)
    for one, table in zip(found.bins, values, strict=True):
        rows = np.ones(50, dtype=bool)
        rows[2] = one.target != 1.0
        for moment in one.moments:
            used = rows if 1 in (moment.first, moment.second) else np.ones(50, dtype=bool)
            first, second = table[used][:, moment.first], table[used][:, moment.second]
            expected = first.mean() if moment.kind == "mean" else np.cov(first, second)[0, 1]
            # A covariance has the means of all that was read at each time.
            rough = 0.02 if moment.kind == "covariance" else 1e-9
            assert moment.value == pytest.approx(expected, rel=rough, abs=rough)
            assert moment.count == used.sum()
            if moment.kind == "mean":
                assert moment.error == pytest.approx(first.std() / math.sqrt(len(first)))


def test_times_that_differ_by_little_are_one_and_repeated_reads_are_columns() -> None:
    device = np.repeat(np.arange(20), 3)
    time = np.tile([100.0, 101.0, 100.0], 20)
    found = measured(Readings(np.ones(60), np.linspace(0, 1, 60), time, device))
    assert len(found.times) == 3
    assert {round(t) for t in found.times} == {100}
    kinds = [m.kind for m in found.bins[0].moments]
    assert kinds.count("covariance") == 3


def test_many_targets_are_told_in_bins() -> None:
    target = np.linspace(0, 25, 5000)
    found = measured(Readings(target, target + 0.5, np.zeros(5000), None))
    assert len(found.bins) == 40
    means = [m for one in found.bins for m in one.moments if m.kind == "mean"]
    assert [m.value - b.target for m, b in zip(means, found.bins, strict=True)] == pytest.approx(
        [0.5] * 40
    )
