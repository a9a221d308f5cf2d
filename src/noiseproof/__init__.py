"""noiseproof: how a trained neural network behaves on noisy analog hardware.

The public names below load on first use, so importing the package (and `noiseproof --help`) costs
no torch import. A module never shares its name with a public function of its package, since
importing the module would then hide the function.
"""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face
from noiseproof.core.version import __version__ as __version__

if TYPE_CHECKING:
    from noiseproof.measuring.activations import explain as explain
    from noiseproof.measuring.curves import measure as measure
    from noiseproof.measuring.inspection import inspect_network as inspect_network
    from noiseproof.measuring.sensitivity import rank_layers as rank_layers
    from noiseproof.measuring.streams import track as track
    from noiseproof.network.norms import replace_norms as replace_norms
    from noiseproof.noise.chips import manufacture as manufacture
    from noiseproof.recalibration.statistics import recalibrate as recalibrate
    from noiseproof.report.page import write_report as write_report
    from noiseproof.study.run.run import run_study as run_study
    from noiseproof.tasks.own import Score as Score
    from noiseproof.training.loop import train as train

__getattr__, __dir__ = face(
    __name__,
    {
        "inspect_network": "measuring.inspection",
        "Score": "tasks.own",
        "explain": "measuring.activations",
        "manufacture": "noise.chips",
        "measure": "measuring.curves",
        "rank_layers": "measuring.sensitivity",
        "recalibrate": "recalibration.statistics",
        "replace_norms": "network.norms",
        "run_study": "study.run.run",
        "track": "measuring.streams",
        "train": "training.loop",
        "write_report": "report.page",
    },
    {
        # the wings
        "core": "core",
        "specs": "specs",
        "stats": "stats",
        "network": "network",
        "hardware": "hardware",
        "data": "data",
        "results": "results",
        "noise": "noise",
        "recalibration": "recalibration",
        "models": "models",
        "tasks": "tasks",
        "training": "training",
        "measuring": "measuring",
        "report": "report",
        "study": "study",
        # modules under the names that they had before 0.2
        "anatomy": "results.activations",
        "catalog": "specs.catalog",
        "checkpoint": "models.checkpoint",
        "chips": "noise.chips",
        "curves": "results.curves",
        "designs": "specs.designs",
        "estimators": "specs.estimators",
        "explaining": "measuring.activations",
        "flipout": "noise.flipout",
        "following": "recalibration.following",
        "matching": "recalibration.matching",
        "norms": "network.norms",
        "passes": "network.passes",
        "points": "results.estimates",
        "ranking": "results.sensitivity",
        "records": "results.rows",
        "replay": "network.replay",
        "rng": "core.rng",
        "sensitivity": "measuring.sensitivity",
        "spec": "specs.noise",
        "splits": "data.splits",
        "spread": "stats.spread",
        "stopping": "stats.stopping",
        "streams": "specs.streams",
        "traces": "results.streams",
        "tracking": "measuring.streams",
    },
)
