"""What `info` lists."""

from collections.abc import Callable
from dataclasses import MISSING, fields

from noiseproof.specs import (
    AUTO,
    COMPENSATIONS,
    DESIGNS,
    ESTIMATORS,
    REFERENCES,
    ROLES,
    SCOPES,
    Estimator,
    catalog,
    hardware_names,
    mvm,
)

NOISES = {
    "gaussian(level, reference=std, scope=tensor)": "W + level r z, z standard normal",
    "laplace(level, reference=std, scope=tensor)": "the same, z Laplace of unit variance",
    "uniform(level, reference=std, scope=tensor)": "the same, z uniform of unit variance",
    "lognormal(level)": "W exp(level z), element by element",
    "stuck(p, at=zero)": "each element stuck with probability p, at zero or at max (own sign)",
    "quantize(bits=6, scope=tensor)": "symmetric uniform, 2^bits - 1 values",
    "device(pcm, time=1d)": "conductances of devices (`noiseproof device list`), read after 1 day",
    "verify(rounds=5, tolerance=0.02)": "behind a device: program, read, correct",
    "stuck(p, at=gmin)": "behind a device: each one stuck with probability p, at gmin or gmax",
    "dead_row(p)": "behind a device: rows of its arrays that carry no current",
    "dead_column(p)": "the same of columns",
    "own(package.module:function, level=0.1)": "your function(w, generator, level) -> w",
    "A + B": "first A, then B: quantize(bits=6) + gaussian(0.05, reference=max)",
    "A@name:layer3.*": "A on some layers alone; @first, @last:2, @kind:linear too",
    "reference=": f"what sigma is relative to: {', '.join(REFERENCES)}",
    "scope=": f"over what the reference is taken: {', '.join(SCOPES)}",
    "--targets": f"roles that get noise: {', '.join(ROLES)}; default kernel",
}


def _hardware() -> dict[str, str]:
    from noiseproof.specs.hardware import find_hardware

    return {name: find_hardware(name).about for name in hardware_names()} | {
        "NAME.toml": "your own: `info hardware pcm --json` shows the keys"
    }


AT_PRODUCTS = {
    "dac(bits, range=static(99.9), codes=odd)": "inputs divided by their range, clipped, rounded",
    **{f"dac range={name}": about for name, about in mvm.INPUT_RANGES.items()},
    **{f"codes={name}": about for name, about in mvm.CODES.items()},
    "read(level, law=additive)": "fresh noise of every device at every product",
    **{f"law={name}": about for name, about in mvm.LAWS.items()},
    "wires(r, method=exact)": "voltage drops along wires, r: a segment's resistance times g_max",
    **{f"method={name}": about for name, about in mvm.WIRE_METHODS.items()},
    **{f"cells={name}": about for name, about in mvm.WIRE_CELLS.items()},
    "output(level)": "Gaussian, on every output of every product",
    "adc(bits, range=static(99.9), per=layer)": "outputs divided by their range, clipped, rounded",
    **{f"adc range={name}(number)": about for name, about in mvm.OUTPUT_RANGES.items()},
    "per=layer or column": "what has a static range of its own",
    "gain_sd=, offset_sd=": "errors of the adc of each column, fixed on a chip",
    "A + B": f"in physical order: {', '.join(mvm.ORDER)}; in units where |w| and |x| reach 1",
    "--calibrate N": "so many training images decide static ranges",
}
LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "models": lambda: {**catalog.MODELS, **catalog.OUTSIDE_MODELS},
    "norms": lambda: dict(catalog.NORMS),
    "noises": lambda: dict(NOISES),
    "hardware": _hardware,
    "compensations": lambda: dict(COMPENSATIONS),
    "mvm": lambda: dict(AT_PRODUCTS),
    "recalibrations": lambda: dict(
        [(_form(cls), cls.about) for cls in ESTIMATORS.values()],
        auto=f"{AUTO}; a number N is pooled(N)",
        off="as the chip comes",
    ),
    "designs": lambda: {name: cls.about for name, cls in DESIGNS.items()},
    "datasets": lambda: dict(
        [(name, facts.about) for name, facts in catalog.DATASETS.items()],
        **catalog.OUTSIDE_DATASETS,
    ),
}
TOPICS = (*LISTINGS, "model", "network")


def _form(cls: type[Estimator]) -> str:
    """`blend(images, prior)`: how an estimator is written; what has a default stands with it."""
    names = [
        field.name if field.default is MISSING else f"{field.name}={field.default or '...'}"
        for field in fields(cls)
    ]
    return f"{cls.kind}({', '.join(names)})"
