"""How fast a simulated chip runs beside the plain clean forward pass of the same model and images.

    python benchmarks/throughput.py [--model resnet20] [--images 500] [--rounds 7] [--threads 2]
        [--compile] [--peer PYTHON]

`--peer`: the Python of an environment with aihwkit (see peer_aihwkit.py), whose chips run in a
process of their own, in the same rounds; their ratio is to that process's own clean pass.
A chip is its noise, its state and the hits on all images. The clean pass is `model(x).argmax(1)` on
inputs that are scaled already, in batches of 250; `clean-small` is the same in the chips' batches,
whose activations stay in a CPU's caches. Every variant runs right after a clean pass and the ratio
is of the two, so a slow spell of the machine hits both. The floor is the arithmetic of the
convolutions and matrix products over the rate of one large float32 matrix product, measured in each
round too. Memory is the peak of a process of its own above that of the clean pass. The last line is
JSON.
"""

import argparse
import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import noiseproof as npf
from noiseproof.core.device import device_name, pick_device
from noiseproof.network.chip import outputs
from noiseproof.network.passes import Passes
from noiseproof.network.state import places, skeleton_of, state_of
from noiseproof.noise.per_image import ImageChips
from noiseproof.noise.perturbation import Programme
from noiseproof.recalibration.statistics import recalibrated

SPEC = "gaussian(0.1, reference=std)"
BLOCK = 100  # images of a block of per-image chips
MATRIX = 1536  # rows of the square matrices whose product gives the machine's rate
Work = Callable[[int], None]  # runs one chip, named by its number


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    model = npf.models.build(options.model).eval().to(device)
    x = torch.randn(options.images, 3, 32, 32, generator=npf.rng.stream(0, "benchmark")).to(device)
    if options.only:  # a process of its own, for its peak of memory
        work = VARIANTS[options.only](model, x, batch_of(options.only, options))
        for chip in range(2):
            work(chip)
        print(own_peak())
        return
    names = [n for n in VARIANTS if options.compile or n != "compiled"]
    works = {name: VARIANTS[name](model, x, batch_of(name, options)) for name in names}
    flops = flops_of(model, x[:1]) * options.images
    clean = works.pop("clean")
    for name, work in (("clean", clean), *works.items()):
        work(0)  # warm up; compilation is here
        print(f"warm: {name}", file=sys.stderr)
    peer = None if options.peer is None else Peer(options)
    others = () if peer is None else ("aihwkit",)
    times: dict[str, list[float]] = {name: [] for name in ("clean", "floor", *works, *others)}
    ratios: dict[str, list[float]] = {name: [] for name in ("floor", *works, *others)}
    for index in range(options.rounds):
        if peer is not None:
            before, spent = peer.seconds("clean"), peer.seconds("aihwkit")
            times["aihwkit"].append(spent)
            ratios["aihwkit"].append(spent / before)
        for name in ("floor", *works):
            before = seconds(partial(clean, index))
            spent = (
                flops / rate(device) if name == "floor" else seconds(partial(works[name], index))
            )
            times["clean"].append(before)
            times[name].append(spent)
            ratios[name].append(spent / before)
    peaks = {} if options.no_memory else {name: peak(name) for name in names}
    report(options, times, ratios, flops, peaks)


def report(
    options: argparse.Namespace,
    times: dict[str, list[float]],
    ratios: dict[str, list[float]],
    flops: float,
    peaks: dict[str, float],
) -> None:
    floor = statistics.median(times["floor"])
    print(f"{options.model}, {options.images} images, chips in batches of {options.batch_size}")
    print(f"{'':>10} {'images/s':>9} {'/ clean':>8} {'[min, max]':>16} {'/ floor':>8} {'MiB':>6}")
    table: dict[str, dict[str, object]] = {}
    for name, spent in times.items():
        middle, ratio = statistics.median(spent), ratios.get(name, [1.0])
        above = peaks[name] - peaks["clean"] if name in peaks else None
        table[name] = {
            "images_per_second": options.images / middle,
            "ratio": {"median": statistics.median(ratio), "min": min(ratio), "max": max(ratio)},
            "over_floor": middle / floor,
            "mebibytes_above_clean": above,
        }
        if name != "clean":  # which runs several times a round
            over = [one / least for one, least in zip(spent, times["floor"], strict=True)]
            ends = {"median": statistics.median(over), "min": min(over), "max": max(over)}
            table[name]["floor_ratio"] = ends
        spread = f"[{min(ratio):.3f}, {max(ratio):.3f}]"
        print(
            f"{name:>10} {options.images / middle:9.0f} {statistics.median(ratio):8.3f} "
            f"{spread:>16} {middle / floor:8.2f} {'' if above is None else f'{above:.0f}':>6}"
        )
    slower = [a / b for a, b in zip(times.get("aihwkit", []), times["folded"], strict=False)]
    if slower:
        print(f"aihwkit / folded: {statistics.median(slower):.1f} [{min(slower):.1f}, ", end="")
        print(f"{max(slower):.1f}] in the same rounds")
    document = {
        "model": options.model,
        "aihwkit_over_folded": sorted(slower),
        "peer": options.peer_versions,
        "images": options.images,
        "batch_size": options.batch_size,
        "clean_batch": options.clean_batch,
        "rounds": options.rounds,
        "spec": SPEC,
        "variants": table,
        "gflop_per_image": flops / options.images / 1e9,
        "matrix_product_gflop_per_second": flops / floor / 1e9,
        "device": device_name(pick_device(options.device)),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "noiseproof": npf.__version__,
    }
    print(json.dumps(document))


# --- variants -----------------------------------------------------------------------------------


def clean_pass(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    def work(chip: int) -> None:
        with torch.no_grad():
            for part in x.split(batch_size):
                model(part).argmax(1)

    return work


def literal_loop(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    """What a script does: write noise into a copy of the network, run it, put the weights back."""
    noisy = copy.deepcopy(model)
    kernels = [m.weight for m in noisy.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    evaluate = clean_pass(noisy, x, batch_size)

    def work(chip: int) -> None:
        kept = [kernel.detach().clone() for kernel in kernels]
        dice = npf.rng.stream(0, chip)
        with torch.no_grad():
            for kernel in kernels:
                sigma = 0.1 * kernel.std(correction=0)
                kernel.add_(torch.randn(kernel.shape, generator=dice) * sigma)
            evaluate(chip)
            for kernel, old in zip(kernels, kept, strict=True):
                kernel.copy_(old)

    return work


def plain_chip(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    """The network as it is, with a chip's state."""
    skeleton, programme = skeleton_of(model), programme_of(model)

    def work(chip: int) -> None:
        made = programme.chip(0, chip)
        for part in x.split(batch_size):
            outputs(skeleton, made, part).argmax(1)

    return work


def folded_chip(model: nn.Module, x: Tensor, batch_size: int, *, compiled: bool = False) -> Work:
    skeleton, programme = skeleton_of(model), programme_of(model)
    passes = Passes(skeleton, state_of(skeleton), x[:2], compiled=compiled)

    def work(chip: int) -> None:
        forward = passes.load(programme.chip(0, chip))
        for part in x.split(batch_size):
            forward(part).argmax(1)

    return work


def per_image_chips(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    """Every image its own chip, in blocks of 100."""
    skeleton, programme = skeleton_of(model), programme_of(model)
    passes = Passes(skeleton, state_of(skeleton), x[:2])
    chips = ImageChips(skeleton, passes, programme)

    def work(chip: int) -> None:
        for place, part in enumerate(x.split(BLOCK)):
            chips.block(chip, place, len(part), x.device)(part).argmax(1)

    return work


def recalibrated_chip(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    """A chip recalibrated on as many images as it then runs."""
    skeleton, programme = skeleton_of(model), programme_of(model)
    passes = Passes(skeleton, state_of(skeleton), x[:2])

    def work(chip: int) -> None:
        forward = passes.load(recalibrated(skeleton, programme.chip(0, chip), x))
        for part in x.split(batch_size):
            forward(part).argmax(1)

    return work


def compiled_chip(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    return folded_chip(model, x, batch_size, compiled=True)


def small_clean_pass(model: nn.Module, x: Tensor, batch_size: int) -> Work:
    return clean_pass(model, x, batch_size)


VARIANTS: dict[str, Callable[[nn.Module, Tensor, int], Work]] = {
    "clean": clean_pass,
    "clean-small": small_clean_pass,
    "literal": literal_loop,
    "plain": plain_chip,
    "folded": folded_chip,
    "per-image": per_image_chips,
    "recalibrated": recalibrated_chip,
    "compiled": compiled_chip,
}


def programme_of(model: nn.Module) -> Programme:
    return Programme(state=state_of(model), places=places(model), spec=npf.noise.parse(SPEC))


class Peer:
    """aihwkit's passes, in a process of another environment that is told which to run."""

    def __init__(self, options: argparse.Namespace) -> None:
        script = Path(__file__).with_name("peer_aihwkit.py")
        words = [
            "--model",
            options.model,
            "--images",
            options.images,
            "--listen",
            "--tile",
            "torch",
        ]
        words += ["--batch-size", options.clean_batch, "--threads", options.threads]
        self._process = subprocess.Popen(
            [options.peer, script, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        options.peer_versions = self._line()["ready"]

    def seconds(self, name: str) -> float:
        """How long that pass took there."""
        assert self._process.stdin is not None
        print(name, file=self._process.stdin, flush=True)
        return float(self._line()["seconds"])

    def _line(self) -> dict:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def batch_of(name: str, options: argparse.Namespace) -> int:
    """Chips run in batches of their own; the literal loop in those of the clean pass."""
    small = options.batch_size
    return options.clean_batch if name in ("clean", "literal", "plain") else int(small)


# --- measuring ----------------------------------------------------------------------------------


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def rate(device: torch.device) -> float:
    """Floating-point operations per second of one large matrix product, the best of three."""
    a = torch.ones(MATRIX, MATRIX, device=device)
    return 2 * MATRIX**3 / min(seconds(lambda: product(a)) for _ in range(3))


def product(a: Tensor) -> None:
    torch.mm(a, a)


def flops_of(model: nn.Module, x: Tensor) -> float:
    """Operations of one forward pass, a multiplication and an addition counting as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return float(counter.get_total_flops())


def peak(name: str) -> float:
    """The most memory that a process needs for two chips of one variant, in MiB."""
    command = [sys.executable, *sys.argv, "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def own_peak() -> float:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")  # Linux's ru_maxrss starts at the peak of the parent
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=50, help="of the chips")
    parser.add_argument("--clean-batch", type=int, default=250, help="of the plain clean pass")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="the compiled network too")
    parser.add_argument("--peer", help="the Python of an environment with aihwkit")
    parser.add_argument("--no-memory", action="store_true", help="leave peaks of memory out")
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.set_defaults(peer_versions=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
