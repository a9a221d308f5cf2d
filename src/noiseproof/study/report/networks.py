"""The networks of a study, and whether they have learned."""

from collections.abc import Sequence
from dataclasses import dataclass

from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.grid import Grid, Network
from noiseproof.study.measured import Measured, least_clean

TRAINED, READY, WAITING, FAILED = "trained", "ready", "not there yet", "training failed"


@dataclass(frozen=True, kw_only=True)
class NetworkLine:
    """One network: what it is and what became of it."""

    network: Network
    fact: NetworkFacts | None
    classes: int  # 0 where no row tells

    @property
    def state(self) -> str:
        """Is it there?"""
        if self.fact is not None and self.fact.failed and not self.fact.sha256:
            return FAILED
        if self.fact is None or not self.fact.sha256:
            return WAITING
        return READY if self.network.recipe is None else TRAINED

    @property
    def clean(self) -> float | None:
        return None if self.fact is None else self.fact.clean

    @property
    def has_not_learned(self) -> bool:
        """Is it there and known to be no better than a few times chance?"""
        return bool(self.classes) and self.clean is not None and (
            self.clean <= least_clean(self.classes)
        )  # fmt: skip

    @property
    def recipe(self) -> dict[str, int | float | bool | None]:
        return dict(self.network.recipe or ())

    @property
    def epochs(self) -> str:
        """Trained, of those planned where these are more."""
        planned = self.recipe.get("epochs")
        done = 0 if self.fact is None else self.fact.epochs
        if planned is None:
            return "-"
        return f"{done}" if done == planned else f"{done} of {planned}"


def networks_of(grid: Grid, facts: Facts, measured: Sequence[Measured]) -> tuple[NetworkLine, ...]:
    """A line for each network of the grid."""
    known = {one.task.network.name: one.points[0].clean.classes for one in measured}
    usual = set(known.values())
    classes = usual.pop() if len(usual) == 1 else 0
    return tuple(
        NetworkLine(
            network=network,
            fact=facts.get(network.name),
            classes=known.get(network.name, classes),
        )
        for network in grid.networks
    )
