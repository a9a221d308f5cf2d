"""What a 95 % half-width of one point costs along a curve: full chips, nested chips, per-image.

    python benchmarks/precision.py WEIGHTS --model resnet20 --normalize imagenet --data cifar10 \\
        --out benchmarks/results/precision_resnet20.json

Per-image and nested chips are measured until the half-width is reached (`measure --precision`).
Full chips see all test images; how many are needed follows from the sd over chips, measured on
many nested chips with the images' part removed: the least K with t(K-1) sd / sqrt(K) <= precision,
as if that sd were known beforehand. A pass of a per-image chip counts twice, since it costs about
two. Seconds of full chips are K times those of one, measured here. The last line is JSON.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from scipy import stats as sps

import noiseproof as npf
from noiseproof.core.device import device_name
from noiseproof.core.files import replacing
from noiseproof.measuring.setup import Setup, open_setup
from noiseproof.specs.noise import parse, parse_levels

KNOWN_CHIPS, KNOWN_IMAGES = 300, 100  # nested chips that tell the sd of full ones


def main() -> None:
    options = arguments()
    setup = open_setup(
        options.weights,
        model=options.model,
        data=options.data,
        data_dir=options.data_dir,
        normalize=options.normalize,
    )
    spec, total = parse(options.noise), len(setup.test)
    rows = []
    for level in parse_levels(options.levels):
        row = one_level(setup, spec.at(level), level, options)
        rows.append(row)
        print(
            f"level {level:g}: accuracy {100 * row['accuracy']:.1f} %, sd over chips "
            f"{100 * row['chip_sd']:.2f} points; passes: full {row['full']['passes']:,} "
            f"({row['full']['chips']} chips), nested {row['nested']['passes']:,}, per-image "
            f"{row['per_image']['passes']:,} = 1/{row['ratio']['per_image']:.0f}; seconds: "
            f"full {row['full']['seconds']:.0f}, nested {row['nested']['seconds']:.1f}, "
            f"per-image {row['per_image']['seconds']:.1f}",
            flush=True,
        )
    whole = {
        name: sum(row["full"][name] for row in rows) / sum(row["per_image"][name] for row in rows)
        for name in ("passes", "seconds")
    }
    nested = {
        name: sum(row["full"][name] for row in rows) / sum(row["nested"][name] for row in rows)
        for name in ("passes", "seconds")
    }
    cliff = max(rows, key=lambda row: row["chip_sd"])
    print(f"at the cliff (level {cliff['level']:g}): passes 1/{cliff['ratio']['per_image']:.0f}")
    print(f"whole curve, per-image: passes 1/{whole['passes']:.0f}, time 1/{whole['seconds']:.0f}")
    print(f"whole curve, nested: passes 1/{nested['passes']:.1f}, time 1/{nested['seconds']:.1f}")
    document = {
        "model": options.model,
        "noise": options.noise,
        "images": total,
        "half_width": options.precision,
        "levels": rows,
        "whole_curve": {"per_image": whole, "nested": nested},
        "device": device_name(torch.device("cpu")),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "noiseproof": npf.__version__,
    }
    if options.out is not None:
        with replacing(options.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))


def one_level(setup: Setup, spec: npf.spec.Spec, level: float, options: argparse.Namespace) -> dict:
    """Passes and seconds of each design at one level."""
    total, half = len(setup.test), options.precision
    known, _ = timed(setup, spec, design=f"nested({KNOWN_IMAGES})", chips=KNOWN_CHIPS)
    sd = known.spread.sd.mean
    chips = chips_needed(sd, half)
    _, of_one = timed(setup, spec, design="chips", chips=1)
    each, each_seconds = timed(setup, spec, design="per-image", precision=half)
    nested, nested_seconds = timed(setup, spec, design="nested", precision=half)
    found = {
        "level": level,
        "accuracy": each.score.mean,
        "chip_sd": sd,
        "full": {"chips": chips, "passes": chips * total, "seconds": chips * of_one},
        "per_image": {
            "images": each.image_passes,
            "passes": 2 * each.image_passes,
            "seconds": each_seconds,
            "half_width": (each.score.high - each.score.low) / 2,
        },
        "nested": {
            "design": nested.rows[0].design,
            "chips": nested.chips,
            "passes": nested.image_passes,
            "seconds": nested_seconds,
            "half_width": (nested.score.high - nested.score.low) / 2,
        },
    }
    found["ratio"] = {
        name: found["full"]["passes"] / found[name]["passes"] for name in ("per_image", "nested")
    }
    return found


def timed(
    setup: Setup, spec: npf.spec.Spec, **options: object
) -> tuple[npf.results.Estimate, float]:
    """A point, and the seconds of its noisy units (the clean network is measured too)."""
    started = time.perf_counter()
    curve = npf.measure(
        setup.model, setup.test, spec, scale=setup.scale, subject=setup.subject, seed=0, **options
    )
    whole = time.perf_counter() - started - curve.clean.seconds
    point = curve.points[0]
    return point, sum(row.seconds for row in point.rows) if len(point.rows) == 1 else whole


def chips_needed(sd: float, half_width: float) -> int:
    """The least number of chips whose t interval is that narrow, where their sd is known."""
    chips = 2
    while sps.t.ppf(0.975, chips - 1) * sd / chips**0.5 > half_width:
        chips += 1
    return chips


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--normalize", default="imagenet")
    parser.add_argument("--noise", default="gaussian(0.1, reference=std)")
    parser.add_argument("--levels", default="0.1,0.2,0.3,0.4,0.5,0.6,0.8,1")
    parser.add_argument("--precision", type=float, default=0.01)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
