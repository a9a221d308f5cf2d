"""What it costs to know which layers lose the accuracy, against what one would do by hand.

    python benchmarks/sensitivity_cost.py --weights resnet20-12fca82f.th [--out FILE]

1. Time, ResNet-20 and ResNet-44 (random weights; the time does not depend on them): noise in every
   layer alone, resumed from a recorded clean pass, against as many whole per-image passes and
   against plain clean passes. Rounds alternate, ratios are of neighbours.
2. Images to be passed for a given standard error of a layer's drop on this test set: per-image
   chips against full chips, on the public ResNet-20 and CIFAR-10 ($NOISEPROOF_DATA). The variance
   of a pass of per-image chips is that within blocks between passes with other dice; that of a
   chip is between chips. Both fall as 1 / passes, so their ratio is that of the passes at equal
   error. A chip that sees more images costs more and hardly varies less: its two parts (chips, and
   images on a chip, by the analysis of variance) say what holds for all 10,000 test images.
3. Whole chips (`--only-chips` for these alone): the processor time of all layers on 10 chips, begun
   at the noisy layer, over the same as whole passes; by quarters of the network too. Rounds
   alternate.
The last line is JSON, and is written to FILE.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats as sps
from torch import nn

import noiseproof as npf
from noiseproof.core.device import device_name
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.chip_parts import ChipParts
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.image_parts import ImageParts, _Block
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.requests import Calibration, Network
from noiseproof.measuring.setup import held, open_setup
from noiseproof.measuring.units import open_units
from noiseproof.network.chip import Chip
from noiseproof.network.shortcuts import MOST_BYTES, Shortcut
from noiseproof.noise.perturbation import perturb
from noiseproof.specs.catalog import PixelScale
from noiseproof.specs.designs import Chips, PerImage
from noiseproof.specs.noise import parse

NOISE = parse("gaussian(0.5, reference=std)")
WHOLE_TEST = 10_000


def main() -> None:
    options = arguments()
    on_chips = chip_times("resnet20", options.repeats)
    if options.only_chips:
        print(json.dumps(on_chips))
        return
    timed = {name: times(name, options.repeats) for name in ("resnet20", "resnet44")}
    document: dict[str, Any] = {
        "noise": str(NOISE),
        "time": timed,
        "passes": None,
        "whole_chips": on_chips,
        "device": device_name(torch.device("cpu")),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "noiseproof": npf.__version__,
    }
    if options.weights is not None:
        per_layer = timed["resnet20"]["all_layers_in_clean_passes"]["median"] / 20
        document["passes"] = passes(options, per_layer)
    text = json.dumps(document)
    if options.out is not None:
        options.out.write_text(text + "\n")
    print(text)


def study_of(
    model: nn.Module, test: Split, block: int, scale: PixelScale | None = None
) -> ImageParts:
    network = Network(device="cpu", scale=scale)
    made: Evaluator = open_evaluator(held(model, test, network, Calibration()), None)
    roles = ("kernel",)
    design = PerImage(block=block)
    units, _ = open_units(made, design, [NOISE], roles, seen=(made.clean_row, []))
    return ImageParts(units=units, spec=NOISE, by="layer", seed=0, roles=roles, keep=())


# --- 1. time -------------------------------------------------------------------------------------


def times(name: str, repeats: int) -> dict[str, Any]:
    """Of one block of 100 images."""
    model = npf.models.build(name).eval()
    x = torch.randn(100, 3, 32, 32, generator=stream(0, "benchmark"))
    study = study_of(model, Split(inputs=x, labels=torch.zeros(100, dtype=torch.int64)), 100)
    evaluator, groups = study.evaluator, study.groups

    def clean() -> None:
        evaluator.forward(evaluator.skeleton, evaluator.clean, x)

    def ours(unit: int) -> None:
        assert len(_Block(of=study, unit=unit).alone) == len(groups) + 1

    def whole(unit: int) -> None:
        block = _Block(of=study, unit=unit)
        for group in groups:
            block.noisy_in([group])

    def everywhere(unit: int) -> None:
        _Block(of=study, unit=unit).noisy_in(groups)

    for warm_up in (clean, lambda: ours(0), lambda: everywhere(0)):
        warm_up()
    rounds: dict[str, list[float]] = {"clean": [], "ours": [], "whole": [], "everywhere": []}
    for unit in range(repeats):
        rounds["clean"].append(min(seconds(clean) for _ in range(3)))
        rounds["ours"].append(seconds(lambda u=unit: ours(u)))
        rounds["whole"].append(seconds(lambda u=unit: whole(u)))
        rounds["everywhere"].append(seconds(lambda u=unit: everywhere(u)))
    found = {
        "layers": len(groups),
        "repeats": repeats,
        "all_layers_in_clean_passes": spread(rounds["ours"], rounds["clean"]),
        "whole_passes_in_clean_passes": spread(rounds["whole"], rounds["clean"]),
        "all_layers_over_whole_passes": spread(rounds["ours"], rounds["whole"]),
        "one_per_image_pass_in_clean_passes": spread(rounds["everywhere"], rounds["clean"]),
    }
    print(f"{name}, {len(groups)} layers, 100 images, {repeats} alternating rounds [min, max]")
    for key in list(found)[2:]:
        print(f"  {key.replace('_', ' '):<36} {shown(found[key])}")
    return found


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def spread(ours: list[float], floor: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def shown(found: dict[str, float]) -> str:
    return f"{found['median']:.3g} [{found['min']:.3g}, {found['max']:.3g}]"


# --- 3. whole chips ------------------------------------------------------------------------------


def chip_times(name: str, repeats: int, *, chips: int = 10, images: int = 50) -> dict[str, Any]:
    """Processor time, which does not depend on who else works on the machine."""
    model = npf.models.build(name).eval()
    x = torch.randn(images, 3, 32, 32, generator=stream(0, "benchmark"))
    test = Split(inputs=x, labels=torch.zeros(images, dtype=torch.int64))
    made = open_evaluator(held(model, test, Network(device="cpu"), Calibration()), None)
    units, _ = open_units(made, Chips(), [NOISE], ("kernel",), seen=(made.clean_row, []))
    parts = ChipParts(
        units=units, spec=NOISE, by="layer", seed=0, roles=("kernel",), keep=(), chips=chips
    )
    made.clean_score()  # warms up
    ratios: list[list[float]] = []
    for _ in range(repeats):
        spent = {}
        for room in (MOST_BYTES, 0):
            for group in parts.groups:
                started = time.process_time()
                start = parts._starts.start(group.tensors)
                with Shortcut(made.passes, made.state, start, room=room) as shortcut:
                    shortcut = shortcut if room and parts.is_short(group) else None
                    for chip in range(chips):
                        parts._result(parts._programme(group.tensors).chip(0, chip), shortcut)
                spent[room, group.name] = time.process_time() - started
        names = [group.name for group in parts.groups]
        quarters = [names[len(names) * q // 4 : len(names) * (q + 1) // 4] for q in range(4)]
        ratios.append(
            [
                sum(spent[MOST_BYTES, n] for n in part) / sum(spent[0, n] for n in part)
                for part in (names, *quarters)
            ]
        )
    found = {
        "layers": len(parts.groups), "chips": chips, "images": images, "repeats": repeats,
    } | {
        key: {"median": statistics.median(one), "min": min(one), "max": max(one)}
        for key, one in zip(
            ("all", "first quarter", "second", "third", "last quarter"),
            zip(*ratios, strict=True),
            strict=True,
        )
    }  # fmt: skip
    print(f"{name} on {chips} whole chips, {repeats} alternating rounds [min, max]")
    for key in list(found)[4:]:
        print(f"  {key:<36} {shown(found[key])}")
    return found


# --- 2. passes at equal error --------------------------------------------------------------------


def passes(options: argparse.Namespace, cost: float) -> dict[str, Any]:
    """`cost`: of a layer's per-image pass, on average over layers, in clean passes."""
    setup = open_setup(
        options.weights, model="resnet20", norm="batch", data="cifar10", normalize="imagenet",
        images=options.images,
    )  # fmt: skip
    study = study_of(setup.model, setup.test, 50, scale=setup.scale)
    layers = [group.name for group in study.groups]
    per_image = block_scores(study, layers, options.turns)
    found = {}
    for layer in layers:
        hits = chip_hits(study.evaluator, f"{layer}.weight", options.chips)
        found[layer] = compared(hits, per_image[layer])
        print(f"{layer:<15} " + ", ".join(f"{k} {v:.3g}" for k, v in found[layer].items()))
    # As many passes as the layer with the largest variance needs, for all layers; of chips as many
    # as each layer needs.
    most = max(one["pass_variance_10000"] for one in found.values())
    chips = statistics.mean(one["chip_variance_10000"] for one in found.values())
    print(
        f"all layers to the same error on {WHOLE_TEST:,} images: 1/{chips / most:.0f} of the image "
        f"passes, 1/{chips / most / cost:.0f} of the work (whole clean passes)"
    )
    return {
        "images": options.images,
        "chips": options.chips,
        "per_image_passes": options.turns,
        "blocks": study.units.per_pass,
        "cost_of_a_layer_in_clean_passes": cost,
        "layers": found,
        "all_layers_passes_ratio_10000": most / chips,
        "all_layers_work_ratio_10000": most / chips * cost,
        "median_layer_passes_ratio_10000": statistics.median(
            one["pass_variance_10000"] / one["chip_variance_10000"] for one in found.values()
        ),
    }


def block_scores(
    study: ImageParts, layers: list[str], turns: int
) -> dict[str, NDArray[np.float64]]:
    """By layer (passes, blocks): the accuracies of the same blocks, in each pass on other dice."""
    count = study.units.per_pass
    found = {layer: np.zeros((turns, count)) for layer in layers}
    for turn in range(turns):
        for place in range(count):
            block = _Block(of=study, unit=place + turn * count)
            for layer in layers:
                found[layer][turn, place] = block.alone[layer].result.score
    return found


def chip_hits(evaluator: Evaluator, tensor: str, chips: int) -> NDArray[np.bool_]:
    """(chips, images), with noise in one tensor alone."""
    found = []
    for chip in range(chips):
        state = perturb(evaluator.state, evaluator.places, NOISE, only={tensor}, seed=1, chip=chip)
        hits = evaluator.score(Chip(state)).hits
        assert hits is not None
        found.append(hits)
    return np.stack(found)


def compared(hits: NDArray[np.bool_], blocks: NDArray[np.float64]) -> dict[str, float]:
    """Variances are of an accuracy after one pass over the images, chips or per-image chips."""
    k, n = hits.shape
    y = hits.astype(np.float64)
    chip_variance = float(y.mean(1).var(ddof=1))
    residual = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    on_a_chip = float(np.square(residual).sum()) / ((k - 1) * (n - 1))
    between = max(0.0, chip_variance - on_a_chip / n)
    repeats, count = blocks.shape
    pass_variance = float(blocks.var(axis=0, ddof=1).mean()) / count
    low, high = sps.f.ppf([0.025, 0.975], (repeats - 1) * count, k - 1)
    ratio = pass_variance / chip_variance if chip_variance else float("nan")
    return {
        "accuracy_chips": float(y.mean()),
        "accuracy_per_image": float(blocks.mean()),
        "sd_chip": chip_variance**0.5,
        "sd_pass": pass_variance**0.5,
        "passes_ratio": ratio,
        "passes_ratio_low": ratio / float(high),
        "passes_ratio_high": ratio / float(low),
        "chip_variance_10000": between + on_a_chip / WHOLE_TEST,
        "pass_variance_10000": pass_variance * n / WHOLE_TEST,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=20)
    parser.add_argument("--turns", type=int, default=4, help="passes of per-image chips")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only-chips", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
