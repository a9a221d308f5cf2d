"""A small study, its rows, and the report of them."""

import itertools
import math
import tomllib
from collections.abc import Callable
from typing import Any

from scipy import stats as sps

from noiseproof.results.rows import Row
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.report import (
    StudyReport,
    report_of,
)
from noiseproof.study.wanted import Network, Task
from tests.rows import NO_NOISE, of_hits

IMAGES = 1000
T2 = float(sps.t.ppf(0.975, 2))  # of three values
COMMAND = "noiseproof study run study.toml --profile quick"

Hits = Callable[[Task, float, int], float]
Clean = Callable[[Network], float | None]

TRAININGS = """
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 3
seed = [0, 1, 2]
"""
MEASUREMENTS = """
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
targets = ["kernel", "kernel,bias"]
design = "chips"
chips = 2
"""
COMPARISON = """
[[comparisons]]
question = "none against batch"
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets"]
"""


def study_of(
    *,
    trainings: str = TRAININGS,
    measurements: str = MEASUREMENTS,
    comparisons: str = COMPARISON,
    published: str = "",
    more: dict[str, Any] | None = None,
) -> Study:
    document = tomllib.loads(
        'name = "toy"\ntitle = "Toy"\ndata = "digits"\n'
        f'[claim]\ntext = "none is better"\nsource = "A. Author, 2022"\n{published}\n'
        f'{comparisons}\n[profiles.quick]\nabout = "seconds"\n{trainings}\n{measurements}'
    )
    return Study.model_validate(document | (more or {}))


def row_of(network: Network, score: float, **changes: Any) -> Row:
    named = {"checkpoint": sha_of(network), "model": network.model, "norm": network.norm_text}
    return of_hits(round(IMAGES * score), IMAGES, **NO_NOISE | named | changes)


def sha_of(network: Network) -> str:
    return network.name.encode().hex()[-64:].zfill(64)


def results(
    grid: Grid, noisy: Hits, *, clean: Clean = lambda network: 1.0, chips: int = 2
) -> tuple[Facts, list[Row]]:
    """Facts and rows: networks of which `clean` is None have failed; a nan score is no row."""
    facts, rows = {}, []
    for network in grid.networks:
        score = clean(network)
        if score is None:
            facts[network.name] = NetworkFacts(factors=network.factors, failed="the loss is nan")
            continue
        rows.append(row_of(network, score))
        facts[network.name] = NetworkFacts(
            factors=network.factors,
            sha256=sha_of(network),
            clean=score,
            epochs=3,
            seconds=12.0,
            device="cpu x1",
        )
    for task in grid.tasks:
        if facts[task.network.name].failed:
            continue
        for spec, chip in itertools.product(task.specs, range(chips)):
            score = noisy(task, float(spec.level or 0), chip)
            if not math.isnan(score):
                rows.append(
                    row_of(
                        task.network,
                        score,
                        noise=str(spec),
                        level=spec.level,
                        chip=chip,
                        seed=task.network.seed,
                        targets=",".join(task.targets),
                        recalibrate=task.recalibrate,
                        calibration="" if task.recalibrate == "off" else "train",
                        design=str(task.design),
                        mapping=task.mapping,
                        mvm=task.mvm,
                        compensate="" if task.compensate == "off" else task.compensate,
                        hardware=task.stored.hardware,
                    )
                )
    return facts, rows


def reported(
    study: Study, noisy: Hits, *, clean: Clean = lambda network: 1.0, chips: int = 2
) -> StudyReport:
    grid = grid_of(study, "quick")
    facts, rows = results(grid, noisy, clean=clean, chips=chips)
    return report_of(study, "quick", grid, facts, rows, command=COMMAND)


def apart(task: Task, level: float, chip: int) -> float:
    """none keeps 0.9, 0.8; batch 0.8, 0.4; each a hundredth more or less by seed."""
    means = {"none": (0.9, 0.8), "batch": (0.8, 0.4)}[task.network.norm_text]
    return means[level > 0.2] + 0.01 * (task.network.seed - 1)


PAIR = """
[[claim.published]]
what = "without"
percent = 70.0
side = 0
where = { model = "resnet8" }
[[claim.published]]
what = "with"
percent = 41.32
side = 1
where = { model = "resnet8" }
"""


def falling(task: Task, level: float, chip: int) -> float:
    """none .9, .5 (mean over seeds); batch .8, .4 (kernel) or .9, .8 (kernel and bias)."""
    high = level > 0.2
    if task.network.norm_text == "none":
        return (0.5 if high else 0.9) + 0.02 * (task.network.seed - 1)
    means = (0.8, 0.4) if task.targets == ("kernel",) else (0.9, 0.8)
    return means[high] + 0.1 * (task.network.seed - 1) * (task.targets == ("kernel",))
