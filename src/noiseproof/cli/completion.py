"""What a shell completes: names, with a few words on each. No torch here."""

from collections.abc import Callable, Iterable, Mapping

from noiseproof.core.checks import DEVICES
from noiseproof.specs import (
    COMPENSATIONS,
    DESIGNS,
    FORMS,
    GROUPINGS,
    ROLES,
    catalog,
    hardware_names,
)

Complete = Callable[[str], list[tuple[str, str]]]


def among(names: Mapping[str, str] | Iterable[str]) -> Complete:
    """The names that begin as what is typed; with what they are, where that is known."""
    known = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, "")

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [(name, about) for name, about in known.items() if name.startswith(incomplete)]

    return complete


WAYS = {
    "off": "as the chip comes",
    "auto": "match(200)",
    "match(200)": "each analog layer's output matched to the clean network's",
    "pooled(1000)": "statistics pooled over calibration images",
    "layerwise(200)": "statistics of one layer after the other",
    "blend(32, prior=64)": "clean statistics pooled with the chip's",
    "ema(0.1, batch=128)": "statistics that follow the test batches",
    "batch(128)": "the statistics of each test batch itself",
}
NOISES = {
    "gaussian(0.1, reference=std)": "W + level r z",
    "gaussian(0.05, reference=max)": "of the largest weight",
    "laplace(0.1)": "long tails",
    "uniform(0.1)": "no tails",
    "lognormal(0.1)": "W exp(level z)",
    "stuck(0.01, at=zero)": "faults",
    "quantize(bits=6)": "rounding",
    "device(pcm, time=1d)": "devices that age",
    "own(package.module:function, level=0.1)": "your own",
}
PRODUCTS = {
    "dac(8) + adc(8)": "converters with static ranges: --calibrate 100",
    "dac(8, range=vector) + adc(8, range=fixed(10))": "no images needed",
    "read(0.0175, law=device)": "fresh noise of every device",
    "output(0.04)": "noise of every output",
}
models = among(catalog.MODELS)
norms = among(catalog.NORMS)
datasets = among({name: facts.about for name, facts in catalog.DATASETS.items()})
compensations = among(COMPENSATIONS)
hardware = among(hardware_names())
designs = among({name: cls.about for name, cls in DESIGNS.items()})
devices = among(DEVICES)
forms = among(FORMS)
groupings = among(GROUPINGS)
noises = among(NOISES)
products = among(PRODUCTS)
tasks = among({name: facts.about for name, facts in catalog.TASKS.items()})
threads = among({"auto": "as many as there are free cores", "1": "one"})
targets = among(ROLES)
ways = among(WAYS)
