"""What each tool says of the same chip: ours beside what two peers found.

    python benchmarks/same_chip.py AIHWKIT.json CROSSSIM.json --store STORE --out OUT.json
    python benchmarks/same_chip.py OUT.json

AIHWKIT.json is of benchmarks/peer_devices.py, CROSSSIM.json of benchmarks/peer_crosssim.py. The
first line draws our read-back weights on the same grid of targets and takes our accuracies from
STORE (`noiseproof measure ... --noise "device(pcm)" --compensate off --compensate scalar` with the
mappings `scale=tensor|channel, cells=pair, partner=ideal|own`), and writes both tools' figures.
Both print the tables of docs/hardware.md. What the peers call `shipped` and `one scale` is
our `partner=ideal`, `devices` our `partner=own`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from moments import TIMES, moments, targets

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.hardware import find_device, read_back
from noiseproof.results.store import Store
from noiseproof.specs.cells import Offset, Pair

OURS = {"shipped": "ideal", "one scale": "ideal", "devices": "own"}
CROSSSIM = ("pcm_joshi", "rram_milo", "reram_wan_cubic", "sonos")
STEP = 20_000


def ours(document: dict[str, Any], draws: int) -> Iterator[dict[str, Any]]:
    """Our moments for every device and time of the peer."""
    for one in document["moments"]:
        if one["way"] == "shipped":  # the same of ours as `one scale`
            continue
        name, partner = one["device"], OURS[one["way"]]
        device = find_device(name)
        cells = Offset() if device.cells == "offset" else Pair(partner=partner)
        time = None if one["time"] == "programmed" else TIMES[one["time"]]
        parts = [
            read_back(
                device,
                targets(STEP),
                stream(1, f"{name} {partner}", place),
                time=time,
                cells=cells,
            ).now
            for place in range(draws // STEP)
        ]
        n = draws // STEP * STEP
        names = {"device": name, "partner": partner, "time": one["time"], "n": n}
        yield names | moments(torch.cat(parts, 1))


def scores(path: Path) -> list[dict[str, Any]]:
    """Our hits of every chip, by mapping, compensation and time."""
    found: dict[tuple[str, ...], list[int]] = {}
    with Store(path, read_only=True) as store:
        for row in sorted(store.rows(), key=lambda row: row.chip):
            if row.noise.startswith("device(pcm"):
                scale = "tensor" if "scale=tensor" in row.mapping else "channel"
                partner = "ideal" if "partner=ideal" in row.mapping else "own"
                time = "programmed" if row.level is None else _name(row.level)
                found.setdefault((scale, partner, row.compensate, time), []).append(row.correct)
    names = ("scale", "partner", "compensate", "time")
    return [
        {"device": "pcm"} | dict(zip(names, key, strict=True)) | {"hits": hits}
        for key, hits in found.items()
    ]


def _name(time: float) -> str:
    return next(name for name, seconds in TIMES.items() if seconds == time)


def agreement(document: dict[str, Any]) -> Iterator[tuple[str, str, str, list[float]]]:
    """Device, way, time and ours minus the peer's in joint standard errors: of means, then of
    standard deviations."""
    mine = {(o["device"], o["partner"], o["time"]): o for o in document["ours"]["moments"]}
    for theirs in document["moments"]:
        own = mine[theirs["device"], OURS[theirs["way"]], theirs["time"]]
        z = [
            (a - b) / (np.hypot(s, t) or 1.0)
            for key in ("mean", "sd")
            for a, b, s, t in zip(
                own[key], theirs[key], own[f"se_{key}"], theirs[f"se_{key}"], strict=True
            )
        ]
        yield theirs["device"], theirs["way"], theirs["time"], [float(x) for x in z]


def moments_table(document: dict[str, Any]) -> list[str]:
    times = ["programmed", *TIMES]
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for device, way, time, z in agreement(document):
        if way != "shipped":
            rms, worst = np.sqrt(np.mean(np.square(z))), np.abs(z).max()
            peer = "CrossSim" if device in CROSSSIM else "aihwkit"
            partner = "-" if device.startswith("reram_cmo") else OURS[way]
            cells.setdefault((device, peer, partner), {})[time] = f"{rms:.2f} ({worst:.1f})"
    lines = [f"| device | peer | partner | {' | '.join(times)} |", "|---" * 9 + "|"]
    for (device, peer, partner), found in cells.items():
        row = " | ".join(found.get(time, "-") for time in times)
        lines.append(f"| `{device}` | {peer} | {partner} | {row} |")
    return lines


def scores_table(document: dict[str, Any]) -> list[str]:
    """Accuracies, ours and the peer's, and the difference in joint standard errors over chips."""
    keys = ("scale", "compensate", "time")
    mine = {(o["partner"], *(o[k] for k in keys)): o["hits"] for o in document["ours"]["accuracy"]}
    lines = ["| weights over max of | compensation | time | partner | ours, % | aihwkit, % | z |"]
    lines.append("|---" * 7 + "|")
    for theirs in sorted(document["accuracy"], key=_order):
        key = (OURS[theirs["way"]], *(theirs[k] for k in keys))
        if key not in mine:
            continue
        a, b = (100 * np.array(x) / document["images"] for x in (mine[key], theirs["hits"]))
        errors = [x.std(ddof=1) / len(x) ** 0.5 for x in (a, b)]
        joint = float(np.hypot(*errors))
        z = f"{(a.mean() - b.mean()) / joint:+.1f}" if joint else "="
        shown = " | ".join(
            f"{x.mean():.2f} +- {e:.2f} ({len(x)})" for x, e in zip((a, b), errors, strict=True)
        )
        compensate = theirs["compensate"] or "off"
        lines.append(
            f"| {theirs['scale']} | {compensate} | {theirs['time']} | {key[0]} | {shown} | {z} |"
        )
    return lines


def _cell(one: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(one[name] for name in ("device", "scale", "partner", "compensate", "time"))


def _key(one: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(one[name] for name in ("device", "scale", "way", "compensate", "time"))


def _order(one: dict[str, Any]) -> tuple[Any, ...]:
    times = ["programmed", *TIMES]
    return one["scale"], one["compensate"], times.index(one["time"]), one["way"] != "shipped"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("found", type=Path, nargs="+")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draws", type=int, default=200_000)
    options = parser.parse_args()
    document, *others = (json.loads(path.read_text()) for path in options.found)
    for other in others:
        document |= {key: other[key] for key in ("crosssim",) if key in other}
        document["moments"] += other["moments"]
        more = {_key(one): one["hits"] for one in other.get("accuracy", ())}
        for one in document["accuracy"]:
            one["hits"] += more.get(_key(one), [])
    asked = {_cell(one | {"partner": OURS[one["way"]]}) for one in document["accuracy"]}
    if options.store:
        document["ours"] = {
            "noiseproof": npf.__version__,
            "moments": list(ours(document, options.draws)),
            "accuracy": [one for one in scores(options.store) if _cell(one) in asked],
        }
        options.out.write_text(json.dumps(document) + "\n")
    print("\n".join([*moments_table(document), "", *scores_table(document)]))
    everything = [z for _, way, _, found in agreement(document) if way != "shipped" for z in found]
    print(f"{len(everything)} comparisons, largest |z| {max(map(abs, everything)):.2f}")


if __name__ == "__main__":
    main()
