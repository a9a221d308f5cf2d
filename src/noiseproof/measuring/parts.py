"""Networks of which some groups of tensors are noisy: what each row is called, whatever the
design."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from noiseproof.data import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.groups import TensorGroup, groups_of
from noiseproof.measuring.units import Units
from noiseproof.noise import Programme
from noiseproof.results import Row, RowCache
from noiseproof.specs import Spec, chosen_steps
from noiseproof.tasks import Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """One network under one noise: which rows there are, and how each is filled. A class for each
    design says how a row is measured."""

    units: Units
    spec: Spec
    by: str
    seed: int
    roles: tuple[str, ...]
    keep: tuple[int, ...]  # as in `RankRequest`

    def alone(self, cache: RowCache) -> list[Row]:
        """The rows of the clean network and of noise in each group alone."""
        raise NotImplementedError

    def without(self, choices: Sequence[Sequence[str]], cache: RowCache) -> list[Row]:
        """The rows of noise in all groups but those of each choice, on fresh dice."""
        raise NotImplementedError

    @property
    def evaluator(self) -> Evaluator:
        return self.units.evaluator

    @cached_property
    def programme(self) -> Programme:
        return self.units.programme(self.spec)

    @cached_property
    def groups(self) -> list[TensorGroup]:
        evaluator = self.evaluator
        # Data of the user's own form has no inputs that could be passed one by one.
        known = isinstance(evaluator.test, Split)
        example = evaluator.ready(evaluator.test.part(0, 1).inputs) if known else None
        names = self.programme.names
        return groups_of(evaluator.skeleton, evaluator.state, names, by=self.by, example=example)

    @cached_property
    def steps(self) -> list[int]:
        """How many groups are kept digital."""
        return chosen_steps(self.keep, groups=len(self.groups))

    @cached_property
    def blank(self) -> Row:
        """What rows of noise have in common."""
        return self.evaluator.asked_row(self.spec, self.roles)

    def row(self, unit: int, part: str, blank: Row | None = None) -> Row:
        """The name of the row of a unit with noise in a part."""
        return replace(
            blank or self.blank,
            design=str(self.units.design),
            seed=self.seed,
            dice=self.programme.origin,
            part=part,
            chip=unit,
            images=self.units.images(unit),
        )

    def filled(self, row: Row, result: Result, facts: Mapping[str, float], seconds: float) -> Row:
        """The row with its results, and with what a reader of rows needs to know of the parts."""
        found = replace(result, details={**result.details, **facts})
        return replace(self.evaluator.filled(row, found, 0.0), seconds=seconds)


def costs(groups: Iterable[TensorGroup]) -> dict[str, float]:
    """Of several groups together, as facts of a row."""
    groups = list(groups)
    return {"weights": sum(g.weights for g in groups), "macs": sum(g.macs for g in groups)}
