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
)

NOISES = {
    "gaussian(level, reference=std, scope=tensor)": "W + level r z, z standard normal",
    "laplace(level, reference=std, scope=tensor)": "the same, z Laplace of unit variance",
    "uniform(level, reference=std, scope=tensor)": "the same, z uniform of unit variance",
    "lognormal(level)": "W exp(level z), element by element",
    "stuck(p, at=zero)": "each element stuck with probability p, at zero or at max (own sign)",
    "quantize(bits=6, scope=tensor)": "symmetric uniform, 2^bits - 1 values",
    "device(pcm, time=1d)": "conductances of devices (`noiseproof device list`), read after 1 day",
    "device(...) + verify(rounds=5, tolerance=0.02)": "program, read, correct",
    "device(...) + stuck(p, at=gmin)": "each device stuck with probability p, at gmin or gmax",
    "device(...) + dead_row(p), dead_column(p)": "lines of arrays that carry no current",
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


LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "models": lambda: {**catalog.MODELS, **catalog.OUTSIDE_MODELS},
    "norms": lambda: dict(catalog.NORMS),
    "noises": lambda: dict(NOISES),
    "hardware": _hardware,
    "compensations": lambda: dict(COMPENSATIONS),
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
