"""A score of the user's own: `score(model, test) -> float`, which runs the model itself on whatever
data it takes. It has no hits, no loss and no bounds."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from noiseproof.tasks.task import BatchSize, Result

Score = Callable[[nn.Module, Any], float]
BATCH_SIZE = BatchSize(elsewhere=250, cpu=50)  # of what runs beside the score, as in `classify`


def owned(score: Score, model: nn.Module, test: object) -> Result:
    """The user's own score of `model`; whatever goes wrong in it is one sentence.

    Raises:
        ValueError: where it fails, or is no finite number.
    """
    name = getattr(score, "__name__", type(score).__name__)
    try:
        found = float(score(model, test))
    # It is the user's code: anything may come out of it.
    except Exception as error:
        raise ValueError(f"the score {name} failed: {type(error).__name__}: {error}") from error
    if not math.isfinite(found):
        raise ValueError(
            f"the score {name} must be finite, got {found}: return a number that stands for failure"
        )
    return Result(score=found)


def unscored(model: nn.Module, test: object) -> float:
    """Stands where a score would, for inputs without labels."""
    return math.nan
