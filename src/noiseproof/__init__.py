"""noiseproof: how a trained neural network behaves on noisy analog hardware.

The public names below load on first use, so importing the package (and `noiseproof --help`) costs
no torch import. A module never shares its name with a function (`measuring` holds `measure`), since
importing the module would then hide the function.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noiseproof.chips import manufacture as manufacture
    from noiseproof.crew import run_study as run_study
    from noiseproof.explaining import explain as explain
    from noiseproof.measuring import measure as measure
    from noiseproof.norms import replace_norms as replace_norms
    from noiseproof.recalibration import recalibrate as recalibrate
    from noiseproof.report import write_report as write_report
    from noiseproof.sensitivity import rank_layers as rank_layers
    from noiseproof.tracking import track as track
    from noiseproof.training import train as train

__version__ = "0.1.0"

_HOME = {
    "explain": "noiseproof.explaining",
    "manufacture": "noiseproof.chips",
    "measure": "noiseproof.measuring",
    "rank_layers": "noiseproof.sensitivity",
    "recalibrate": "noiseproof.recalibration",
    "replace_norms": "noiseproof.norms",
    "run_study": "noiseproof.crew",
    "track": "noiseproof.tracking",
    "train": "noiseproof.training",
    "write_report": "noiseproof.report",
}
_ROOMS = (
    "anatomy",
    "catalog",
    "checkpoint",
    "chips",
    "curves",
    "data",
    "designs",
    "estimators",
    "explaining",
    "flipout",
    "following",
    "job",
    "matching",
    "measuring",
    "models",
    "network",
    "noise",
    "norms",
    "passes",
    "points",
    "ranking",
    "recalibration",
    "records",
    "replay",
    "report",
    "rng",
    "sensitivity",
    "spec",
    "splits",
    "spread",
    "stats",
    "stopping",
    "streams",
    "study",
    "tasks",
    "traces",
    "tracking",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"noiseproof.{name}")
    raise AttributeError(f"module 'noiseproof' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_HOME, *_ROOMS, "__version__"])
