"""The tables of docs/hardware.md that compare tools, against the committed figures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOUND = json.loads((ROOT / "benchmarks/results/peer_devices.json").read_text())
PAGE = (ROOT / "docs/hardware.md").read_text()
WAYS = {"ideal": "shipped", "own": "devices"}
ROW = re.compile(
    r"^\| (channel|tensor) \| (off|scalar) \| ([^|]+) \| (ideal|own)"
    r" \| ([\d.]+) \+- ([\d.]+) \((\d+)\) \| ([\d.]+) \+- ([\d.]+) \((\d+)\) \| ([+-][\d.]+) \|$",
    re.MULTILINE,
)


def hits(rows: list[dict], names: dict) -> np.ndarray:
    (found,) = (one for one in rows if all(one[key] == value for key, value in names.items()))
    return 100 * np.array(found["hits"]) / FOUND["images"]


def test_the_accuracies_of_both_tools_are_the_committed_ones():
    rows = ROW.findall(PAGE)
    assert len(rows) == len(FOUND["accuracy"])
    for scale, compensate, time, partner, *cells, z in rows:
        names = {"scale": scale, "compensate": compensate.replace("off", ""), "time": time}
        ours = hits(FOUND["ours"]["accuracy"], names | {"partner": partner})
        theirs = hits(FOUND["accuracy"], names | {"way": WAYS[partner]})
        errors = [x.std(ddof=1) / np.sqrt(len(x)) for x in (ours, theirs)]
        shown = [float(cell) for cell in cells]
        expected = [ours.mean(), errors[0], len(ours), theirs.mean(), errors[1], len(theirs)]
        assert shown == pytest.approx(expected, abs=0.0051)
        difference = (ours.mean() - theirs.mean()) / np.hypot(*errors)
        assert float(z) == pytest.approx(difference, abs=0.051)


def test_tools_differ_by_no_more_than_chance():
    assert max(abs(float(row[-1])) for row in ROW.findall(PAGE)) < 3.5
    mine = {(o["device"], o["partner"], o["time"]): o for o in FOUND["ours"]["moments"]}
    for theirs in FOUND["moments"]:
        if theirs["way"] == "shipped":
            continue
        partner = "own" if theirs["way"] == "devices" else "ideal"
        ours = mine[theirs["device"], partner, theirs["time"]]
        for key in ("mean", "sd"):
            a, b, s, t = (
                np.array(one[name]) for name in (key, f"se_{key}") for one in (ours, theirs)
            )
            assert (np.abs(a - b) <= 4.5 * np.hypot(s, t)).all(), (theirs["device"], key)
