"""Noise in parts of a network on whole chips, each of which sees all inputs: `ChipParts`. It holds
for every noise, every network and every score.

Group after group, chip after chip: what a pass computes before the group is computed once for all
chips of the group (`network.Shortcut`).
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial

from noiseproof import stats
from noiseproof.measuring.groups import TensorGroup
from noiseproof.measuring.parts import Parts, costs
from noiseproof.network import Chip, Shortcut, Starts
from noiseproof.noise import Programme
from noiseproof.results import Row, RowCache
from noiseproof.specs import but_part, only_part
from noiseproof.tasks import Result

FRESH = 1_000_000
"""Chips from this number on have groups kept digital: dice that had no part in the ranking, and the
same ones however many chips made it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChipParts(Parts):
    """`chips` of them for each group, and as many fresh ones with groups kept digital.
    `on_cost(text)` gets what that will take, before it begins."""

    chips: int
    on_cost: Callable[[str], None] | None = None

    def alone(self, cache: RowCache) -> list[Row]:
        clean = self.units.evaluator.clean_rows
        wanted = {g.name: self._rows(only_part(self.by, g.name)) for g in self.groups}
        cache.expect([*clean, *(row for named in wanted.values() for row in self._unlike(named))])
        new = {name: cache.new(self._unlike(named)) for name, named in wanted.items()}
        found = [cache.row(row, self.units.evaluator.filled_clean, left=1) for row in clean]
        if self.on_cost is not None and any(new.values()):
            self.on_cost(self._cost(new, found[0]))
        for group in self.groups:
            programme = self._programme(group.tensors)
            facts = {"groups": len(self.groups), **costs([group])}
            # One for all chips of a group: it lives as long as they.
            with self._shortcut(group) if self.is_short(group) else nullcontext() as shortcut:
                fill = partial(self._evaluated, programme, facts, shortcut)
                found += self._measured(wanted[group.name], fill, cache)
        return found

    def without(self, choices: Sequence[Sequence[str]], cache: RowCache) -> list[Row]:
        wanted = [self._rows(but_part(self.by, names), first=FRESH) for names in choices]
        cache.expect(row for named in wanted for row in self._unlike(named))
        found = []
        for names, named in zip(choices, wanted, strict=True):
            digital = costs(group for group in self.groups if group.name in names)
            noisy = [n for g in self.groups if g.name not in names for n in g.tensors]
            fill = partial(self._evaluated, self._programme(noisy), digital, None)
            found += self._measured(named, fill, cache)
        return found

    def _cost(self, new: Mapping[str, int], clean: Row) -> str:
        """What it takes, in passes over all images; `new`: how many chips each group has still to
        meet."""
        later = len(self.steps) * self._different
        whole = sum(new.values()) + later
        short = later + sum(
            n * (1 - self.share_before(g)) + 1 if self.is_short(g) else n
            for g in self.groups
            if (n := new[g.name])
        )
        text = f"cost: {whole:,} passes over all images"
        if short < whole:
            text += f", the work of about {short:,.0f} since chips begin at the noisy {self.by}"
        # The clean pass as it was measured, on this machine or where the store comes from.
        return f"{text}; about {stats.duration(short * clean.seconds)}"

    def is_short(self, group: TensorGroup) -> bool:
        """Do the passes of its chips begin in the middle, where that saves more than it costs?"""
        evaluator = self.evaluator
        # A score of one's own runs the network itself; a random pass cannot go on from another, and
        # draws at products go by the call.
        if evaluator.own_score is not None or evaluator.compiled or evaluator.products is not None:
            return False
        if evaluator.is_random:
            return False
        # Recording is one more pass for all chips together.
        return self.share_before(group) * self._different > 1

    def share_before(self, group: TensorGroup) -> float:
        """The share of a pass that comes before the group."""
        return self._starts.share(self._starts.start(group.tensors))

    @property
    def _different(self) -> int:
        """How many chips of a group come out differently: without anything random, all the same."""
        evaluator = self.evaluator
        is_random = self.spec.is_random or evaluator.is_random or evaluator.has_dice
        return self.chips if is_random else 1

    def _rows(self, part: str, *, first: int = 0) -> list[Row]:
        return [self.row(chip, part) for chip in range(first, first + self.chips)]

    def _unlike(self, named: Sequence[Row]) -> Sequence[Row]:
        """Those that are measured; the others are copies of the first."""
        return named[: self._different]

    def _measured(
        self, named: Sequence[Row], fill: Callable[[Row], Row], cache: RowCache
    ) -> list[Row]:
        found = [cache.row(row, fill, left=1) for row in self._unlike(named)]
        return found + [
            cache.copy(replace(found[0], chip=row.chip)) for row in named[self._different :]
        ]

    def _programme(self, tensors: Collection[str]) -> Programme:
        # References of scope `global` are over all targets, whichever of them are noisy.
        return replace(self.programme, only=frozenset(tensors))

    @cached_property
    def _starts(self) -> Starts:
        evaluator = self.evaluator
        return Starts(evaluator.passes, evaluator.state, evaluator.example)

    def _shortcut(self, group: TensorGroup) -> Shortcut:
        start = self._starts.start(group.tensors)
        return Shortcut(self.evaluator.passes, self.evaluator.state, start)

    def _evaluated(
        self,
        programme: Programme,
        facts: Mapping[str, float],
        shortcut: Shortcut | None,
        row: Row,
    ) -> Row:
        self.evaluator.prepare_()
        started = time.perf_counter()
        with self.evaluator.seeded(row.seed, row.chip):
            chip = programme.chip(row.seed, row.chip)
            # As the noise: at the products of the noisy part alone.
            chip = self.evaluator.at_products(chip, row, only=programme.only)
            result = self._result(chip, shortcut)
        return self.filled(row, result, facts, time.perf_counter() - started)

    def _result(self, chip: Chip, shortcut: Shortcut | None) -> Result:
        evaluator = self.evaluator
        if shortcut is None:
            return evaluator.score(chip)
        run = shortcut.forward(evaluator.passes.load(chip))
        return evaluator.result(lambda inputs: run(evaluator.ready(inputs)), evaluator.test)
