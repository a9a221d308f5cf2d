"""How a score is read: which way is better, its unit, and what says nothing. No torch."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

from noiseproof.core.checks import one_of
from noiseproof.specs.catalog import TASKS

BETTER = ("higher", "lower")
LONGEST = 40  # letters of a unit or a name, which stand in the heads of tables
OWN = "score"
"""The key of a score of one's own in documents, whatever it is called."""


@dataclass(frozen=True, kw_only=True)
class ScoreFacts:
    """What a number means.

    `metric`: what the score is called. `better`: `higher`, `lower`, or "" where nobody said so;
    then nothing is called best or worst. `unit`: `%` for a share, which is printed in percent; else
    what stands behind the number. `chance`: what guessing scores, None where that is not known.
    `blind`: a score no better than this may come from a network that sees nothing.

    Raises:
        ValueError: for another direction, a chance that is no finite number, and a name or a unit
            that does not fit on a line.
    """

    metric: str = OWN
    better: str = ""
    unit: str = ""
    chance: float | None = None
    blind: float | None = None

    def __post_init__(self) -> None:
        if self.better:
            one_of("direction of a score", self.better, BETTER)
        for what, text in (("name", self.metric), ("unit", self.unit)):
            if not text.isprintable() or len(text) > LONGEST:
                raise ValueError(
                    f"the {what} of a score must be at most {LONGEST} printable letters on one "
                    f"line, got {text[: 2 * LONGEST]!r}"
                )
        for value in (self.chance, self.blind):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"the chance level of a score must be finite, got {value:g}")

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where nobody said so."""
        return {"higher": 1, "lower": -1}.get(self.better, 0)

    @property
    def has_share(self) -> bool:
        """Is score / clean score the share that is left? Of an error it is none, and of a score
        that need not have a zero nothing is known."""
        return self.better == "higher" and self.unit == "%"

    @property
    def bad_share(self) -> float:
        """The share below which the worst chips lie: 0.05, or 0.95 where lower is better."""
        return 0.95 if self.sign < 0 else 0.05

    @property
    def hint(self) -> str:
        """What an axis and a caption say of the direction: nothing where it is the usual one."""
        return "lower is better" if self.sign < 0 else ""

    def best(self, scores: Sequence[float]) -> int | None:
        """The place of the best score, of equals the first; None where no direction is known."""
        if not self.sign:
            return None
        return max(range(len(scores)), key=lambda place: self.sign * scores[place])

    def worst(self, scores: Sequence[float]) -> float:
        """The worst score; nan where no direction is known."""
        if not self.sign:
            return math.nan
        return min(scores) if self.sign > 0 else max(scores)

    def text(self) -> str:
        """What rows carry of a score of one's own: JSON, "" where nothing was said."""
        usual = asdict(ScoreFacts())
        said = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return json.dumps(said, sort_keys=True) if said else ""


@cache
def facts_of(task: str, *, score_is: str = "", classes: int = 0) -> ScoreFacts:
    """Of a task of the house, or of a score of one's own whose rows say `score_is`.

    Raises:
        ValueError: for a text that no score has.
    """
    # What was said of the score itself counts first: its rows may have any name of a task.
    if task in TASKS and not score_is:
        known = TASKS[task]
        guessed = 1 / classes if known.has_hits and classes else None
        return ScoreFacts(
            metric=known.metric,
            better=known.better,
            unit=known.unit,
            chance=guessed,
            blind=known.blind(classes),
        )
    try:
        return ScoreFacts(**json.loads(score_is or "{}"))
    except (TypeError, AttributeError, json.JSONDecodeError):
        raise ValueError(f"not the facts of a score: {score_is[:80]!r}") from None


def key_of_score(task: str) -> str:
    """The name under which documents hold the score of a task."""
    return TASKS[task].metric if task in TASKS else OWN
