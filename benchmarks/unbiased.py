"""Do per-image chips estimate what full chips do? One pass of them against many full ones.

    python benchmarks/unbiased.py --data-dir DATA --checkpoints CHECKPOINTS --out FILE.json

Public checkpoints and networks of the study `noise-aware-norm`; torchvision's MobileNetV2 without
training, whose labels are its own clean answers (depthwise convolutions). For each network and
noise the mean over whole chips, each on the same part of the test images, the mean of per-image
chips over several passes of the same images, and the difference with its 95 % interval.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import noiseproof as npf
from noiseproof.core.files import replacing
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Split, scaled
from noiseproof.measuring.setup import open_setup
from noiseproof.specs.noise import parse

HERE = Path(__file__).parent.parent
WEIGHTS = HERE / "studies/noise-aware-norm/weights"


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    model: nn.Module
    test: Split
    noise: str
    targets: tuple[str, ...] = ("kernel",)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    for name, file in (("resnet20", "resnet20-12fca82f.th"), ("resnet44", "resnet44-014dd654.th")):
        one = opened(options, options.checkpoints / file, model=name, normalize="imagenet")
        yield Case(name=name, noise="gaussian(0.3)", **one)
        if name == "resnet20":
            yield Case(name=name, noise="gaussian(0.5)", **one)
            mixed = "quantize(bits=5) + laplace(0.04, reference=max, scope=channel)"
            yield Case(name=name, noise=mixed, **one)
            roles = ("kernel", "bias", "norm_affine")
            yield Case(name=name, noise="gaussian(0.2)", targets=roles, **one)
    one = opened(options, WEIGHTS / "cifar10-resnet8-none")
    yield Case(name="resnet8 without norm", noise="gaussian(0.4)", **one)
    sys.path.insert(0, str(HERE / "studies/noise-aware-norm"))
    one = opened(options, WEIGHTS / "cifar10-vit", model="vit:tiny")
    yield Case(name="vision transformer", noise="gaussian(0.4)", **one)
    yield Case(name="mobilenet_v2, untrained", noise="gaussian(0.1)", **mobile(options.images))


def opened(options: argparse.Namespace, weights: Path, **names: str) -> dict:
    setup = open_setup(
        weights, data="cifar10", data_dir=options.data_dir, images=options.images, **names
    )
    images = scaled(setup.test.inputs, setup.scale)
    return {"model": setup.model, "test": Split(inputs=images, labels=setup.test.labels)}


def mobile(n: int) -> dict:
    """Statistics of its own images, so that its answers differ from image to image."""
    with seeded(0, "mobile"):
        model = npf.models.build("torchvision:mobilenet_v2", classes=10).eval()
    images = torch.randn(n, 3, 64, 64, generator=stream(0, "images"))
    model = npf.recalibrate(model, images[:200])
    with torch.no_grad():
        labels = torch.cat([model(part).argmax(1) for part in images.split(100)])
    return {"model": model, "test": Split(inputs=images, labels=labels)}


def compared(case: Case, chips: int, passes: int) -> dict:
    run = {"targets": case.targets, "seed": 0}
    spec = parse(case.noise)
    full = npf.measure(case.model, case.test, spec, chips=chips, **run).points[0]
    each = npf.measure(
        case.model, case.test, spec, design="per-image", passes=passes, targets=case.targets, seed=1
    ).points[0]
    errors = [(p.score.high - p.score.low) / 2 for p in (full, each)]
    gap, half = each.score.mean - full.score.mean, math.hypot(*errors)
    return {
        "network": case.name,
        "noise": case.noise,
        "targets": ",".join(case.targets),
        "images": len(case.test),
        "clean": full.clean.score,
        "full": npf.stats.as_json(full.score) | {"chips": chips},
        "per_image": npf.stats.as_json(each.score) | {"passes": passes},
        "difference": {"mean": gap, "low": gap - half, "high": gap + half},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for case in cases(options):
        row = compared(case, options.chips, options.passes)
        rows.append(row)
        full, each, gap = (
            npf.stats.Interval(**{k: row[name][k] for k in ("mean", "low", "high")})
            for name in ("full", "per_image", "difference")
        )
        print(
            f"{row['network']}, {row['noise']} on {row['targets']}: full {npf.stats.percent(full)},"
            f" per-image {npf.stats.percent(each)}, difference {npf.stats.percent(gap)}",
            flush=True,
        )
    document = {"rows": rows, "torch": torch.__version__, "noiseproof": npf.__version__}
    if options.out is not None:
        with replacing(options.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))


if __name__ == "__main__":
    main()
