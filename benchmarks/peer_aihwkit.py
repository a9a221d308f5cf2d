"""What a noisy chip costs in IBM's aihwkit, beside the plain clean pass of the same network.

    ENV/bin/python benchmarks/peer_aihwkit.py [--model resnet20] [--images 500] [--rounds 4]
    ENV/bin/python benchmarks/peer_aihwkit.py --listen

It runs in an environment of its own and does not import noiseproof. This made one (7 GB; the wheel
asks for torch>=2.9.1, but with 2.9.1 it does not load, "undefined symbol decref_pyobject"):

    python3.11 -m venv ENV && ENV/bin/pip install aihwkit==1.1.0 torch==2.10.0 torchvision==0.25.0

Three passes over the same random images, with batch norm in eval mode and without gradients:

    clean    the plain eager network, contiguous tensors
    literal  W + level std(W) z, copied into the kernels of a second network; then its evaluation
    aihwkit  the same law as aihwkit's programming noise: perfect inputs and outputs, one tile per
             layer (no size limit), no drift compensation; program_analog_weights, then evaluation

aihwkit has two kinds of tile. The default, cpp, multiplies in the wheel's own OpenBLAS, which is
built without threads: with --threads 2 or more, only --tile torch is a fair comparison.

First it checks that aihwkit's kernels carry the stated noise, in the tenth programming as in the
first, and that a plain network with these kernels gives aihwkit's logits. A clean pass stands in
front of each noisy one; the ratio is of these neighbours. The last line is JSON. With --listen, for
timing in alternation with another process, it prints {"ready": ...}, reads "clean", "literal",
"aihwkit" or "quit", a word a line, and answers {"name": ..., "seconds": ...}.
"""

import argparse
import copy
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import threadpoolctl
import torch
from aihwkit.inference.noise.base import BaseNoiseModel
from aihwkit.inference.utils import program_analog_weights
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = {"resnet20": 3, "resnet44": 7}
TILES = {"cpp": InferenceRPUConfig, "torch": TorchInferenceRPUConfig}
NOISY = ("literal", "aihwkit")
Draw = Callable[[Tensor], Tensor]


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut without parameters (option A: subsample, pad channels)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride = stride
        self.padding = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1 or self.padding:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    """noiseproof's: a stem, three stages of n blocks with 16, 32, 64 channels, one linear layer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(3, 16), nn.BatchNorm2d(16)
        widths = [16] * n + [32] * n + [64] * n
        self.blocks = nn.Sequential(
            *(BasicBlock(a, b, b // a) for a, b in zip([16, *widths], widths, strict=False))
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, 10)
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


def fresh(name: str, generator: torch.Generator) -> nn.Module:
    """The network `name` in eval mode with random kernels (He et al. 2015, fan-out)."""
    model = CifarResNet(DEPTHS[name])
    for w in kernels(model).values():
        w.normal_(0, math.sqrt(2 / w[:, 0].numel()), generator=generator)
    return model.eval()


def kernels(model: nn.Module) -> dict[str, Tensor]:
    """The kernels of a plain network by layer: shared, not copied."""
    kinds = nn.Conv2d | nn.Linear
    return {name: m.weight for name, m in model.named_modules() if isinstance(m, kinds)}


class AdditiveNoise(BaseNoiseModel):
    """aihwkit's programming noise as W + draw(W), and no drift."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw  # a function: aihwkit copies the model for each tile, not the function

    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[None]]:
        return weights + self.draw(weights), [None, None]


def gaussian(level: float, generator: torch.Generator) -> Draw:
    """The function that draws level std(W) z for a kernel W, z standard normal."""

    def draw(w: Tensor) -> Tensor:
        return level * w.std(correction=0) * torch.randn(w.shape, generator=generator)

    return draw


def analog(model: nn.Module, draw: Draw, tile: str) -> nn.Module:
    """A copy of `model` with every convolution and linear layer on one aihwkit tile each."""
    config = TILES[tile](noise_model=AdditiveNoise(draw), drift_compensation=None)
    config.forward.is_perfect = True
    config.mapping.max_input_size = config.mapping.max_output_size = 0
    return convert_to_analog(model, config).eval()


def programmed(net: nn.Module) -> dict[str, Tensor]:
    """Copies of the kernels that aihwkit's tiles hold now, by layer."""
    return {name: layer.get_weights()[0] for name, layer in net.named_analog_layers()}


class Setup:
    """The networks, the images, and one method for each pass."""

    def __init__(self, options: argparse.Namespace) -> None:
        generator = torch.Generator().manual_seed(0)
        self.level, self.batch_size = options.level, options.batch_size
        self.model = fresh(options.model, generator)
        self.noisy = copy.deepcopy(self.model)
        self.draw = gaussian(self.level, generator)
        self.analog = analog(self.model, self.draw, options.tile)
        self.images = torch.randn(options.images, 3, 32, 32, generator=generator)
        self.passes = {"clean": self.clean, "literal": self.literal, "aihwkit": self.aihwkit}

    def clean(self) -> None:
        self._evaluate(self.model)

    def literal(self) -> None:
        noisy = kernels(self.noisy)
        for name, w in kernels(self.model).items():
            noisy[name].copy_(w + self.draw(w))
        self._evaluate(self.noisy)

    def aihwkit(self) -> None:
        program_analog_weights(self.analog, None)
        self._evaluate(self.analog)

    def _evaluate(self, model: nn.Module) -> None:
        for part in self.images.split(self.batch_size):
            model(part).argmax(1)

    def seconds(self, name: str) -> float:
        started = time.perf_counter()
        self.passes[name]()
        return time.perf_counter() - started


def noise_in_sigmas(setup: Setup) -> dict[str, float]:
    """For each layer the rms of aihwkit's noise in units of the one asked for: 1, with a standard
    error of (2 n)^-1/2 for n weights. SystemExit beyond 6 of them (rarer than 1e-8 by chance)."""
    held, found = programmed(setup.analog), {}
    for name, w in kernels(setup.model).items():
        rms = (held[name].reshape(w.shape) - w).double().square().mean().sqrt()
        found[name] = float(rms / (setup.level * w.double().std(correction=0)))
        if not abs(found[name] - 1) <= 6 / math.sqrt(2 * w.numel()):
            raise SystemExit(f"aihwkit's noise in {name} is {found[name]:.4f} of the one asked for")
    return found


def logits_apart(setup: Setup) -> float:
    """The largest difference between the logits of aihwkit's network and those of a plain one with
    the same kernels, over the largest logit; SystemExit beyond rounding, 1e-4."""
    held = programmed(setup.analog)
    for name, w in kernels(setup.noisy).items():
        w.copy_(held[name].reshape(w.shape))
    ours, theirs = setup.noisy(setup.images[:16]), setup.analog(setup.images[:16])
    apart = float((ours - theirs).abs().max() / ours.abs().max())
    if not apart <= 1e-4:
        raise SystemExit(f"aihwkit's logits are {apart:.1e} from those of the same kernels")
    return apart


def check_fair(setup: Setup) -> dict[str, float]:
    """What was found about aihwkit's noise, all weights pooled, in units of the one asked for."""
    sizes = {name: w.numel() for name, w in kernels(setup.model).items()}
    pooled = []
    for _ in range(10):
        program_analog_weights(setup.analog, None)
        layers = noise_in_sigmas(setup)
        squares = sum(n * layers[name] ** 2 for name, n in sizes.items())
        pooled.append(math.sqrt(squares / sum(sizes.values())))
    return {
        "first": pooled[0],
        "tenth": pooled[-1],
        "se": (2 * sum(sizes.values())) ** -0.5,
        "lowest_layer": min(layers.values()),
        "highest_layer": max(layers.values()),
        "logits_apart": logits_apart(setup),
    }


def compare(setup: Setup, options: argparse.Namespace) -> None:
    """Print the fairness check, the ratios of `rounds` alternating rounds, and a JSON line."""
    noise = check_fair(setup)
    print("aihwkit's noise / asked for:", ", ".join(f"{k} {v:.4g}" for k, v in noise.items()))
    times: dict[str, list[float]] = {"clean": [], **{name: [] for name in NOISY}}
    ratio = {}
    for name in NOISY * options.rounds:
        times["clean"].append(setup.seconds("clean"))
        times[name].append(setup.seconds(name))
    speed = {name: options.images / statistics.median(t) for name, t in times.items()}
    for place, name in enumerate(NOISY):
        floors = times["clean"][place :: len(NOISY)]  # the clean pass in front of each
        found = [t / floor for t, floor in zip(times[name], floors, strict=True)]
        ratio[name] = {"median": statistics.median(found), "min": min(found), "max": max(found)}
        print(name, "/ clean: {median:.3f} [{min:.3f}, {max:.3f}]".format(**ratio[name]))
    print("images/s:", ", ".join(f"{name} {value:.0f}" for name, value in speed.items()))
    figures = {"ratio": ratio, "images_per_second": speed, "seconds": times, "noise": noise}
    setting = vars(options) | circumstances()
    print(", ".join(f"{key} {value}" for key, value in setting.items()))
    print(json.dumps(setting | figures))


def listen(setup: Setup) -> None:
    """Run the pass that each line of the input names, and answer with its seconds."""
    print(json.dumps({"ready": circumstances() | {"noise": check_fair(setup)}}), flush=True)
    for name in map(str.strip, sys.stdin):
        if name == "quit":
            return
        if name in setup.passes:
            answer = {"name": name, "seconds": setup.seconds(name)}
        else:
            answer = {"error": f"a line must be clean, literal, aihwkit or quit, got {name!r}"}
        print(json.dumps(answer), flush=True)


def circumstances() -> dict[str, object]:
    """Versions, the threads of every pool (aihwkit brings an OpenBLAS), the load of a minute."""
    pools = threadpoolctl.threadpool_info()
    return {
        "aihwkit": version("aihwkit"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "torch_threads": torch.get_num_threads(),
        "pool_threads": {os.path.basename(p["filepath"]): p["num_threads"] for p in pools},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tile", choices=TILES, default="cpp", help="aihwkit's kind of tile")
    parser.add_argument("--model", choices=DEPTHS, default="resnet20")
    for name, default in {"images": 500, "batch-size": 250, "rounds": 5, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--level", type=float, default=0.1, help="sigma / std of the kernel")
    parser.add_argument("--listen", action="store_true")
    options = parser.parse_args()
    if not (options.level > 0 and options.rounds > 0):
        parser.error(f"level and rounds must be > 0, got {options.level} and {options.rounds}")
    return options


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    threadpoolctl.threadpool_limits(options.threads)
    with torch.no_grad():
        setup = Setup(options)
        for warm_up in setup.passes.values():
            warm_up()
        if options.listen:
            listen(setup)
        else:
            compare(setup, options)


if __name__ == "__main__":
    main()
