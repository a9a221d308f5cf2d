"""A score of the user's own: `score(model, test) -> float`, which runs the model itself on whatever
data it takes. It has no hits, no loss and no bounds."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from torch import nn

from noiseproof.core.checks import one_of
from noiseproof.specs import ScoreFacts
from noiseproof.specs.scores import BETTER
from noiseproof.tasks.task import BatchSize, Result

ScoreFunction = Callable[[nn.Module, Any], float]


@dataclass(frozen=True)
class Score:
    """A score of one's own and how it is read: `Score(rmse, better="lower", unit="m")`. It is
    called as its function is, and the command line takes it by its name, `package.module:score`.

    - `function`: `function(model, test) -> float`.
    - `better`: higher or lower. Of a bare function nobody knows it: then no chip is called the
      worst, nothing is normalised, and there is no yield.
    - `unit`: what stands behind the number; `%` for a share, where 0.83 is printed as 83 %.
    - `chance`: what a network scores that sees nothing (default: not known).
    - `name`: what tables call it (default: the function's).

    Raises:
        ValueError: for another direction, a chance that is no finite number, and a name or unit
            that does not fit on a line.
    """

    function: ScoreFunction
    _: KW_ONLY
    better: str
    unit: str = ""
    chance: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        one_of("direction of a score", self.better, BETTER)
        if not callable(self.function):
            raise ValueError(
                f"a score must be a function of a model and its data, got {self.function!r}"
            )
        _ = self.facts  # for its checks

    def __call__(self, model: nn.Module, test: Any) -> float:
        return self.function(model, test)

    @property
    def __name__(self) -> str:
        return self.name or _name_of(self.function)

    @property
    def facts(self) -> ScoreFacts:
        """What rows carry of it."""
        return ScoreFacts(
            metric=self.__name__,
            better=self.better,
            unit=self.unit,
            chance=self.chance,
            blind=self.chance,
        )


def facts_of_score(score: ScoreFunction) -> ScoreFacts:
    """How a score of one's own is read; of a bare function nothing is known but that it is one."""
    return score.facts if isinstance(score, Score) else ScoreFacts()


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


BATCH_SIZE = BatchSize(elsewhere=250, cpu=50)  # of what runs beside the score, as in `classify`


def owned(score: ScoreFunction, model: nn.Module, test: object) -> Result:
    """The user's own score of `model`; whatever goes wrong in it is one sentence.

    Raises:
        ValueError: where it fails, or is no finite number.
    """
    name = _name_of(score)
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
