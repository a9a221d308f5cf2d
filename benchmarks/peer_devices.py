"""What IBM's aihwkit says of weights on devices: how they read back, and what a network scores.

    ENV/bin/python benchmarks/peer_devices.py CHECKPOINT --data DATA --out peer.json

It runs in the environment of benchmarks/peer_aihwkit.py, and does not import noiseproof. CHECKPOINT
is resnet20-12fca82f.th of akamaster/pytorch_resnet_cifar10, DATA holds cifar-10-batches-py.

Weights are divided by max |W| of their tensor or of their output channel, then go through the noise
models of aihwkit, in one of three ways:

    shipped    apply_programming_noise, then apply_drift_noise, which makes conductances of the
               signed programmed weights anew: the partner near zero starts from exactly 0, and
               the largest programmed weight (not the largest weight) now has g_max
    one scale  the same with a converter whose scale stays that of the weights; partner still 0
    devices    both devices of a pair, each by its own apply_drift_noise_to_conductance

The same seed gives all three one programming. `scalar` multiplies a layer by mean |w| as programmed
over mean |w| as read: aihwkit's global compensation of drift, with an exact read-out.
ReRamWan2022NoiseModel gets g_max = 40, since it ignores the 40 uS that its constants are for, and
the acceptance of ReRamCMONoiseModel is given by its key, since the default is none of them. Network
and images are only looked at for --chips above 0.

FILE holds, for a grid of targets, means, standard deviations and the standard errors of both; and
for every chip how many images are right. It is written again after every chip.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from aihwkit.inference import PCMLikeNoiseModel, ReRamCMONoiseModel, ReRamWan2022NoiseModel
from aihwkit.inference.converter.conductance import (
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from aihwkit.inference.noise.base import BaseNoiseModel
from aihwkit.inference.noise.hermes import HermesNoiseModel
from moments import TARGETS, TIMES, targets
from moments import moments as summary
from peer_aihwkit import CifarResNet, kernels
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.datasets import CIFAR10

MODELS = {  # by the name of noiseproof's device; the last: the times that it knows
    "pcm": (PCMLikeNoiseModel, {"g_max": 25.0}, tuple(TIMES)),
    "hermes": (HermesNoiseModel, {"num_devices": 2}, tuple(TIMES)),
    "reram_wan": (ReRamWan2022NoiseModel, {"g_max": 40.0}, ("1 d",)),
    "hermes1": (HermesNoiseModel, {"num_devices": 1}, tuple(TIMES)),
    "reram_cmo": (ReRamCMONoiseModel, {"acceptance_range": 0.2}, tuple(TIMES)[1:]),
    "reram_cmo_2pct": (ReRamCMONoiseModel, {"acceptance_range": 2}, tuple(TIMES)[1:]),
}
SCORED = {"shipped": ("0 s", "1 h", "1 d", "1 y"), "devices": ("0 s", "1 d")}
SEED = 20251125


class OneScale(SinglePairConductanceConverter):
    """|w| = 1 is g_max, whatever the largest weight is."""

    def convert_to_conductances(self, weights: Tensor) -> tuple[list[Tensor], dict[str, Any]]:
        span = self.g_max - self.g_min
        pair = [(w * span).clamp(min=0) + self.g_min for w in (weights, -weights)]
        return pair, {"scale_ratio": torch.tensor(span)}


class OneDevice(SingleDeviceConductanceConverter):
    """|w| = 1 is either end of the range of the only device."""

    def convert_to_conductances(self, weights: Tensor) -> tuple[list[Tensor], dict[str, Any]]:
        half = (self.g_max - self.g_min) / 2
        return [self.g_min + half * (1 + weights)], {"half": half}

    def convert_back_to_weights(self, conductances: list[Tensor], params: dict) -> Tensor:
        return (conductances[0] - self.g_min) / params["half"] - 1


def noise_model(name: str, way: str) -> BaseNoiseModel:
    law, options, _ = MODELS[name]
    model = law(**options)
    kind = OneDevice if name.startswith("reram_cmo") else OneScale
    if way != "shipped":
        model.g_converter = kind(g_max=model.g_converter.g_max, g_min=model.g_converter.g_min)
    return model


class Weights:
    """Weights of one tensor, |w| <= 1, on devices that stay the same when read at several times."""

    def __init__(self, name: str, way: str, w: Tensor) -> None:
        self.model, self.way = noise_model(name, way), way
        if way == "devices":
            pair, self.scale = self.model.g_converter.convert_to_conductances(w)
            self.pair, self.nu = [], []
            for g in pair:  # in the order of apply_programming_noise, so with its draws
                self.pair.append(self.model.apply_programming_noise_to_conductance(g))
                self.nu.append(self.model.generate_drift_coefficients(g))
            self.programmed = self.model.g_converter.convert_back_to_weights(self.pair, self.scale)
        else:
            self.programmed, self.nu = self.model.apply_programming_noise(w)

    def read(self, time: float) -> Tensor:
        """What they read now; the noise of reading is drawn anew."""
        if self.way != "devices":
            return self.model.apply_drift_noise(self.programmed, self.nu, time)
        age = self.model.apply_drift_noise_to_conductance
        now = [age(g, nu, time) for g, nu in zip(self.pair, self.nu, strict=True)]
        return self.model.g_converter.convert_back_to_weights(now, self.scale)


def readings(name: str, way: str, draws: int) -> Iterator[dict[str, Any]]:
    """Of read-back weights, a time after the other. `shipped` in tensors of 1,000 of each target,
    since there the largest weight that was programmed matters."""
    step = 1000 if way == "shipped" else 20_000
    found: dict[str, list[Tensor]] = {}
    for _ in range(draws // step):
        weights = Weights(name, way, targets(step))
        found.setdefault("programmed", []).append(weights.programmed)
        for time in MODELS[name][2]:
            found.setdefault(time, []).append(weights.read(TIMES[time]))
    for time, parts in found.items():
        w = torch.cat(parts, 1)
        yield {"device": name, "way": way, "time": time, "n": w.shape[1]} | summary(w)


class Network:
    """The public network with batch norm folded into its layers, and the images. Noise is on the
    kernels as they were trained: what is folded is multiplied in afterwards."""

    def __init__(self, checkpoint: Path, data: Path, images: int) -> None:
        self.model = opened(checkpoint)
        self.trained = {name: w.clone() for name, w in kernels(self.model).items()}
        self.folded = fold(self.model)
        self.images, self.labels = test_images(data, images)

    def scaled(self, scale: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Kernels divided by their largest |W|, and that."""
        found = {}
        for name, w in self.trained.items():
            s = w.abs().flatten(1).amax(1) if scale == "channel" else w.abs().max().expand(len(w))
            s = s.reshape(-1, *[1] * (w.dim() - 1))
            found[name] = (w / s, s)
        return found

    def hits(self, state: dict[str, Tensor]) -> int:
        """Images that are right with these kernels, as they were trained."""
        for name, w in kernels(self.model).items():
            w.copy_(state[name] * self.folded.get(name, 1.0))
        parts = zip(self.images.split(50), self.labels.split(50), strict=True)
        return sum(int((self.model(x).argmax(1) == y).sum()) for x, y in parts)


def opened(checkpoint: Path) -> CifarResNet:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    model = CifarResNet(3)
    names: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = key.removeprefix("module.").split(".")
        if parts[0].startswith("layer"):  # layer2.0.conv1.weight -> blocks.3.conv1.weight
            place = 3 * (int(parts[0][-1]) - 1) + int(parts[1])
            parts = ["blocks", str(place), *parts[2:]]
        names[".".join(parts)] = value
    model.load_state_dict(names)
    return model.eval()


def fold(model: CifarResNet) -> dict[str, Tensor]:
    """Fold batch norm, in place; the factors of the kernels' output channels by layer."""
    factors = {}
    for prefix, block in [("", model), *((f"blocks.{k}.", b) for k, b in enumerate(model.blocks))]:
        for k in (1, 2):
            conv, norm = getattr(block, f"conv{k}", None), getattr(block, f"bn{k}", None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                factor = norm.weight / (norm.running_var + norm.eps).sqrt()
                factors[f"{prefix}conv{k}"] = factor.reshape(-1, 1, 1, 1)
                setattr(block, f"conv{k}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"bn{k}", nn.Identity())
    return factors


def test_images(data: Path, images: int) -> tuple[Tensor, Tensor]:
    """The first test images in ImageNet's pixel scale."""
    test = CIFAR10(data, train=False)
    x = torch.from_numpy(test.data[:images]).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    sd = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    return (x - mean) / sd, torch.tensor(test.targets[:images])


def chip(network: Network, scale: str, seed: int) -> dict[tuple[str, str, str], int]:
    """Hits of one chip of pcm by way, compensation and time."""
    found = {}
    for way, times in SCORED.items():
        torch.manual_seed(seed)
        kernel = network.scaled(scale)
        layers = {name: Weights("pcm", way, w) for name, (w, _) in kernel.items()}
        sizes = {name: s for name, (_, s) in kernel.items()}
        state = {name: one.programmed * sizes[name] for name, one in layers.items()}
        if way == "shipped":  # the same in both
            found[way, "", "programmed"] = network.hits(state)
        for time in times:
            now = {name: one.read(TIMES[time]) for name, one in layers.items()}
            found[way, "", time] = network.hits({k: w * sizes[k] for k, w in now.items()})
            alpha = {k: layers[k].programmed.abs().mean() / w.abs().mean() for k, w in now.items()}
            state = {k: alpha[k] * w * sizes[k] for k, w in now.items()}
            found[way, "scalar", time] = network.hits(state)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in {"draws": 200_000, "chips": 10, "first-chip": 0, "images": 1000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--devices", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    with torch.no_grad():
        document: dict[str, Any] = {
            "aihwkit": version("aihwkit"),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "targets": TARGETS.tolist(),
            "moments": [
                one
                for name in options.devices
                for way in (("devices",) if "cmo" in name else ("shipped", "one scale", "devices"))
                for one in readings(name, way, options.draws)
            ],
            "images": options.images,
        }
        options.out.write_text(json.dumps(document))
        if not options.chips:
            return
        network = Network(options.checkpoint, options.data, options.images)
        document["clean"] = network.hits(network.trained)
        hits: dict[tuple[str, ...], list[int]] = {}
        for seed in range(options.first_chip, options.first_chip + options.chips):
            for scale in ("channel", "tensor"):
                for key, value in chip(network, scale, seed).items():
                    hits.setdefault((scale, *key), []).append(value)
            names = ("scale", "way", "compensate", "time")
            document["accuracy"] = [
                {"device": "pcm"} | dict(zip(names, key, strict=True)) | {"hits": found}
                for key, found in hits.items()
            ]
            options.out.write_text(json.dumps(document))
            print(f"chip {seed + 1}", flush=True)


if __name__ == "__main__":
    main()
