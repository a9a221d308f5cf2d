"""Which layers lose the accuracy: `rank_layers(model, test, spec) -> Ranking`.

A block of images, each on a chip of its own, passes the clean network once, which is recorded; then
once more for every layer with noise in that layer alone, from the layer's first call on. So all
layers of a network cost about half as many passes as it is deep.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Unpack

import numpy as np
from torch import nn

from noiseproof.core.device import using_threads
from noiseproof.core.inputs import Inputs
from noiseproof.data import Labels, Split
from noiseproof.measuring.curves import warn_without_effect
from noiseproof.measuring.evaluator import Evaluator, open_evaluator
from noiseproof.measuring.groups import TensorGroup, groups_of
from noiseproof.measuring.options import (
    RankOptions,
    asked_measurement,
    asked_network,
    check_keywords,
    with_keywords,
)
from noiseproof.measuring.requests import RankRequest
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.units import Units, open_units
from noiseproof.network import Replay, State
from noiseproof.noise import ImageChips, Programme, Signs
from noiseproof.results import OnRow, Ranking, Row, RowCache, Store, rankings_of
from noiseproof.specs import CLEAN, PerImage, Spec, but_part, catalog, chosen_steps, only_part
from noiseproof.tasks import Result


@with_keywords(RankOptions)
def rank_layers(
    model: nn.Module,
    test: Split | tuple[Inputs, Labels],
    spec: Spec,
    **options: Unpack[RankOptions],
) -> Ranking:
    """The layers of a classifier by the accuracy that is lost when `spec` acts on one of them
    alone, and the accuracy with the most sensitive ones kept digital.

    - `by`: layer (default), block or role: what is ranked.
    - `keep`: how many of the most sensitive are kept digital, several numbers; 0 is added (default:
      Fibonacci numbers).
    - `store`, `on_row`: as in `measure`; `on_row` gets the rows of the ranking and then, counted
      anew, those of the groups kept digital.
    - `seed`, `targets`, `scale`, `batch_size`, `device`, `threads`, `subject`: as in
      `requests.Network` and `requests.Measurement`.

    Deterministic stages of `spec`, as quantisation, act where its noise does. The accuracy with
    groups kept digital comes from fresh dice, so that the choice of the groups is not rewarded for
    the dice that made it; the images are the same. `test` is as in `measure`.

    Raises:
        ValueError: for values out of range, other scores than accuracy, and noise or a network for
            which per-image chips do not hold.
        TypeError: for a keyword that there is not.
    Warns:
        NoEffectWarning: when the noise changes nothing.
    """
    check_keywords("rank_layers", options, RankOptions)
    request = RankRequest(
        network=asked_network(options),
        measurement=asked_measurement(spec, options),
        by=options.get("by", "layer"),
        keep=tuple(options.get("keep", ())),
    )
    return rank_setup(
        held(model, test, request.network, request.calibration),
        request,
        store=options.get("store"),
        on_row=options.get("on_row"),
    )


def rank_setup(
    setup: Setup,
    request: RankRequest,
    *,
    store: Store | None = None,
    on_row: OnRow | None = None,
) -> Ranking:
    """The ranking of an opened network, as `rank_layers`."""
    asked = request.measurement
    with using_threads(setup.network.threads):
        evaluator = open_evaluator(setup, None)
        if not catalog.has_hits(evaluator.clean_row.task):
            raise ValueError(
                f"layers are ranked by the accuracy of a classifier, and the task is "
                f"{evaluator.clean_row.task}: give samples with one class each"
            )
        units, _ = open_units(
            evaluator, PerImage(), asked.specs, asked.targets, seen=(evaluator.clean_row, [])
        )
        study = _Study(
            units=units, spec=asked.spec, by=request.by, seed=asked.seed, roles=asked.targets
        )
        steps = chosen_steps(request.keep, groups=len(study.groups))
        warn_without_effect(evaluator, asked)
        known = [] if store is None else store.rows(checkpoint=evaluator.clean_row.checkpoint)
        alone = study.alone(RowCache(known=known, store=store, on_row=on_row))
        # The order from rows alone, so that a run that goes on from a
        # store chooses as the first one did.
        order = [group.name for group in rankings_of(alone)[0].groups]
        choices = [order[:k] for k in steps]
        # A cache of its own, since what is to be done was known only now: it counts from one again.
        without = study.without(choices, RowCache(known=known, store=store, on_row=on_row))
    return rankings_of(alone + without)[0]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a block of images scored, and the seconds that it took."""

    result: Result
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Study:
    """One network under one noise: which rows there are, and how each is filled."""

    units: Units
    spec: Spec
    by: str
    seed: int
    roles: tuple[str, ...]

    @property
    def evaluator(self) -> Evaluator:
        return self.units.evaluator

    @cached_property
    def programme(self) -> Programme:
        return self.units.programme(self.spec)

    @cached_property
    def groups(self) -> list[TensorGroup]:
        evaluator = self.evaluator
        example = evaluator.ready(evaluator.test.part(0, 1).inputs)
        names = self.programme.names
        return groups_of(evaluator.skeleton, evaluator.state, names, by=self.by, example=example)

    @cached_property
    def chips(self) -> ImageChips:
        return ImageChips(self.evaluator.skeleton, self.evaluator.passes, self.programme)

    def alone(self, cache: RowCache) -> list[Row]:
        """The rows of the clean network and of noise in each group alone, block after block."""
        blocks = range(self.units.per_pass)
        cache.expect(row for unit in blocks for row in self._alone_rows(unit).values())
        found = []
        for unit in blocks:
            block = _Block(study=self, unit=unit)
            for name, row in self._alone_rows(unit).items():
                # A block's work is done at its first missing row, for all
                # groups at once (`_Block.alone`).
                found.append(cache.row(row, partial(self._filled_alone, block, name), left=1))
        return found

    def without(self, choices: Sequence[Sequence[str]], cache: RowCache) -> list[Row]:
        """The rows of noise in all groups but those of each choice, the blocks again on fresh
        dice."""
        # Unit B + b is block b again under another number, and dice are named by the unit's number.
        blocks = range(self.units.per_pass, 2 * self.units.per_pass)
        cache.expect(self._row(unit, but_part(self.by, n)) for unit in blocks for n in choices)
        found = []
        for unit in blocks:
            block = _Block(study=self, unit=unit)
            for names in choices:
                row = self._row(unit, but_part(self.by, names))
                found.append(cache.row(row, partial(self._filled_without, block, names), left=1))
        return found

    def _alone_rows(self, unit: int) -> dict[str, Row]:
        """The names of the rows of one block by group, first the clean one, by ""."""
        # One clean row for all noises: it is looked up, not measured again, for the next spec.
        clean = replace(self._row(unit, CLEAN), noise="none", level=None, targets="")
        noisy = {g.name: self._row(unit, only_part(self.by, g.name)) for g in self.groups}
        return {"": clean, **noisy}

    def _row(self, unit: int, part: str) -> Row:
        return replace(
            self.evaluator.clean_row,
            noise=str(self.spec),
            level=self.spec.level,
            targets=",".join(self.roles),
            design=str(self.units.design),
            seed=self.seed,
            part=part,
            chip=unit,
            images=self.units.images(unit),
        )

    def _filled_alone(self, block: "_Block", name: str, row: Row) -> Row:
        # With the row goes what a reader of rows needs: how many
        # blocks, groups and products there are.
        facts: dict[str, float] = {"blocks": self.units.per_pass}
        if name:
            own = [group for group in self.groups if group.name == name]
            facts = {"groups": len(self.groups), **_cost(own)}
        return self._filled(row, block.alone[name], facts)

    def _filled_without(self, block: "_Block", names: Sequence[str], row: Row) -> Row:
        digital = [group for group in self.groups if group.name in names]
        noisy = [group for group in self.groups if group.name not in names]
        return self._filled(row, block.noisy_in(noisy), _cost(digital))

    def _filled(self, row: Row, found: _Found, facts: Mapping[str, float]) -> Row:
        filled = self.evaluator.filled(row, replace(found.result, details=facts), 0.0)
        # Groups of a block are measured in turns, batch by batch: each
        # row has its own part of the time.
        return replace(filled, seconds=found.seconds)


def _cost(groups: Iterable[TensorGroup]) -> dict[str, float]:
    return {"weights": sum(g.weights for g in groups), "macs": sum(g.macs for g in groups)}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Images of a block with their dice."""

    study: _Study
    images: Split
    x: Inputs
    noise: State
    signs: Signs

    def outputs(self, noisy: Sequence[TensorGroup]) -> Any:
        """What the network returns with noise in these groups; clean without any."""
        names = [name for group in noisy for name in group.tensors]
        chips = self.study.chips
        # Noise is drawn for all tensors once; a group sees its part,
        # so all groups have the same dice.
        noise = {name: self.noise[name] for name in names if name in self.noise}
        # `base(names)`: a deterministic stage acts where the noise does, and nowhere else.
        return chips.outputs(chips.base(names), noise, self.signs, self.x)

    def found(self, compute: Callable[[], Any]) -> _Found:
        started = time.perf_counter()
        output = compute()
        # In one batch: the output is there already, and the task only has to count.
        result = self.study.evaluator.result(lambda _: output, self.images, len(self.images))
        return _Found(result=result, seconds=time.perf_counter() - started)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """The images and dice of one unit."""

    study: _Study
    unit: int

    @cached_property
    def alone(self) -> dict[str, _Found]:
        """By group, and the clean network by "": all from one recording of each batch."""
        found: dict[str, list[_Found]] = {}
        with Replay(self.study.chips.skeleton) as replay:
            for batch in self._batches():
                # First: recording is the clean pass itself, and every group resumes from it.
                clean = partial(replay.record, partial(batch.outputs, ()))
                found.setdefault("", []).append(batch.found(clean))
                starts = replay.starts
                for group in self.study.groups:
                    run = partial(batch.outputs, [group])
                    # Else the whole pass: 1 instead of about 0.53 of it (measured:
                    # LOG.md, 2026-11-21, "which layers").
                    if group.is_replayable:
                        run = partial(replay.resume, run, group.first_call(starts))
                    found.setdefault(group.name, []).append(batch.found(run))
        return {name: _joined(parts) for name, parts in found.items()}

    def noisy_in(self, groups: Sequence[TensorGroup]) -> _Found:
        """Noise in all of these groups."""
        return _joined([b.found(partial(b.outputs, groups)) for b in self._batches()])

    def _batches(self) -> Iterator[_Batch]:
        evaluator, size = self.study.evaluator, self.study.evaluator.batch_size
        for start in range(0, len(self._images), size):
            part = self._images.part(start, start + size)
            yield _Batch(
                study=self.study,
                images=part,
                x=evaluator.ready(part.inputs),
                noise=self._noise,
                signs=self._signs.rows(start, start + len(part)),
            )

    @cached_property
    def _images(self) -> Split:
        images = self.study.units.test_of(self.study._row(self.unit, CLEAN))
        assert images is not None
        return images

    @cached_property
    def _noise(self) -> State:
        return self.study.chips.noise(self.study.seed, self.unit, self.study.evaluator.device)

    @cached_property
    def _signs(self) -> Signs:
        return self.study.chips.signs(self.study.seed, self.unit, len(self._images))


def _joined(parts: Sequence[_Found]) -> _Found:
    """The batches of a block as one."""
    hits = np.concatenate([p.result.hits for p in parts if p.result.hits is not None])  # (images,)
    result = Result(
        score=float(hits.mean()),
        classes=parts[0].result.classes,
        nonfinite=sum(part.result.nonfinite for part in parts),
        hits=hits,
    )
    return _Found(result=result, seconds=sum(part.seconds for part in parts))
