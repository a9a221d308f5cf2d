"""Small studies with rows whose shares are given."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from noiseproof.results.rows import Row
from noiseproof.specs.noise import Spec
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.measured import Measured, measured_of
from noiseproof.study.verdicts import Side, Verdict, verdict_of
from noiseproof.study.wanted import Network, Task
from tests.rows import NO_NOISE, of_score

CLEAN = 0.5
TARGETS = ("kernel", "bias", "norm_affine", "kernel,bias", "kernel,norm_affine")
ScoreOf = Callable[[Task, Spec, int], float]


def study(
    trainings: Any = None, measurements: Any = None, ready: Any = (), **comparison: Any
) -> Study:
    usual = {"question": "q", "order": [{"norm": "none"}, {"norm": "batch"}]}
    return Study.model_validate(
        {
            "name": "toy",
            "title": "Toy",
            "data": "digits",
            "claim": {"text": "It holds.", "source": "A paper"},
            "comparisons": [usual | comparison],
            "profiles": {
                "quick": {
                    "about": "seconds",
                    "trainings": [trainings] if isinstance(trainings, dict) else trainings or [],
                    "ready": list(ready),
                    "measurements": (
                        [measurements] if isinstance(measurements, dict) else measurements
                    ),
                }
            },
        }
    )


def row(network: Network, **changed: Any) -> Row:
    named = {"model": network.model, "norm": network.norm_text, "images": 500}
    named |= {"checkpoint": network.weights or network.name}
    return of_score(CLEAN, **NO_NOISE | named | changed)


def rows_of(
    grid: Grid, score: ScoreOf, clean: Callable[[Network], float], **changed: Any
) -> list[Row]:
    """All rows of a grid, as a run leaves them; nothing where the score is nan."""
    rows = [row(network, score=clean(network), **changed) for network in grid.networks]
    for task in grid.tasks:
        for spec in task.specs:
            for chip in range(task.chips or 1):
                found = score(task, spec, chip)
                if math.isnan(found):
                    continue
                named = {
                    "noise": str(spec),
                    "level": spec.level,
                    "targets": ",".join(task.targets),
                    "recalibrate": task.recalibrate,
                    "calibration": "train augmented" if task.augment else "train",
                    "design": str(task.design),
                    "seed": task.network.seed,
                    "chip": chip,
                    "score": found,
                }
                rows.append(row(task.network, **named | changed))
    return rows


def facts_of(grid: Grid) -> Facts:
    return {
        network.name: NetworkFacts(factors=network.factors, sha256=network.weights or network.name)
        for network in grid.networks
    }


def measured(
    study: Study, score: ScoreOf, clean: Callable[[Network], float] = lambda network: CLEAN
) -> list[Measured]:
    grid = grid_of(study, "quick")
    return measured_of(grid, facts_of(grid), rows_of(grid, score, clean))


def decide(study: Study, score: ScoreOf, **options: Any) -> Verdict:
    return verdict_of(study.comparisons[0], measured(study, score, **options))


Cells = Sequence[tuple[Sequence[float], Sequence[float]]]


def shares(cells: Cells, **comparison: Any) -> Verdict:
    """The verdict on shares of the clean accuracy: of each cell those of the networks without
    normalisation and those with it, one network each. A cell is a value of `targets`."""
    count = max(len(side) for cell in cells for side in cell)
    made = study(
        {"model": "resnet8", "norm": ["none", "batch"], "seed": list(range(count))},
        {"levels": 0.1, "design": "chips", "chips": 1, "targets": list(TARGETS[: len(cells)])},
        **{"by": ["targets"]} | comparison,
    )

    def score(task: Task, spec: Spec, chip: int) -> float:
        values = cells[TARGETS.index(",".join(task.targets))][task.network.norm == "batch"]
        seed = task.network.seed
        return CLEAN * values[seed] if seed < len(values) else math.nan

    return decide(made, score)


SAMPLES = st.lists(st.integers(1, 1999), min_size=2, max_size=6, unique=True).map(
    lambda found: [value / 1000 for value in found]
)


def side(values: Sequence[float], *, name: str = "", chips: bool = False) -> Side:
    keys = [(name, 0, n) if chips else (f"{name}{n}", n, -1) for n in range(len(values))]
    return Side(selection={"norm": name}, values=dict(zip(keys, values, strict=True)))


CELL = st.tuples(
    *(st.lists(st.integers(1, 1999), min_size=3, max_size=3, unique=True) for _ in range(2)),
    st.sampled_from([1, 10, 100]),
).map(
    lambda found: tuple(
        [(1000 + (value - 1000) / found[2]) / 1000 + shift for value in side]
        for side, shift in zip(found[:2], (0.0, 0.03), strict=True)
    )
)
