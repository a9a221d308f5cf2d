"""How far a run is, network by network."""

from collections.abc import Iterable
from dataclasses import dataclass

from noiseproof.results import Row
from noiseproof.study.facts import Facts
from noiseproof.study.measured import measured_of
from noiseproof.study.wanted import Grid


@dataclass(frozen=True, kw_only=True)
class NetworkProgress:
    """One network. `state`: waiting, training, trained, ready, or failed."""

    name: str
    state: str
    clean: float | None
    curves: int  # with rows at every level
    begun: int  # with rows at some level only
    curves_in_all: int
    rows: int
    note: str = ""


def progress_of(grid: Grid, facts: Facts, rows: Iterable[Row]) -> list[NetworkProgress]:
    """The state of every network of the grid, in its order."""
    found = measured_of(grid, facts, rows)
    states = []
    for network in grid.networks:
        fact = facts.get(network.name)
        own = [one for one in found if one.task.network == network]
        state = "ready" if network.recipe is None else "trained"
        if fact is None or (not fact.sha256 and not fact.failed):
            state = "waiting" if fact is None or not fact.epochs else "training"
        elif fact.failed:
            state = "failed"
        epochs = dict(network.recipe or ()).get("epochs")
        note = f"epoch {fact.epochs} of {epochs}" if fact and state == "training" else ""
        states.append(
            NetworkProgress(
                name=network.name,
                state=state,
                clean=None if fact is None else fact.clean,
                curves=sum(one.is_whole for one in own),
                begun=sum(not one.is_whole for one in own),
                curves_in_all=sum(task.network == network for task in grid.tasks),
                rows=sum(len(point.rows) for one in own for point in one.points),
                note=fact.failed if fact is not None and fact.failed else note,
            )
        )
    return states
