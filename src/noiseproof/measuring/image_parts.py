"""Noise in parts of a network, every image on a chip of its own: `ImageParts`.

A block of images passes the clean network once, which is recorded; then once more for every group
with noise in that group alone, from the group's first call on. So all layers of a network cost
about half as many passes as it is deep.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from noiseproof.core.inputs import Inputs
from noiseproof.data import Split
from noiseproof.measuring.groups import TensorGroup
from noiseproof.measuring.parts import Parts, costs
from noiseproof.network import Replay, State
from noiseproof.noise import ImageChips, Signs
from noiseproof.results import Row, RowCache
from noiseproof.specs import CLEAN, but_part, only_part
from noiseproof.tasks import Result


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a block of images scored, and the seconds that it took."""

    result: Result
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageParts(Parts):
    """Block after block of images, each image on a chip of its own."""

    @cached_property
    def chips(self) -> ImageChips:
        return ImageChips(self.evaluator.skeleton, self.evaluator.passes, self.programme)

    def alone(self, cache: RowCache) -> list[Row]:
        """The rows of the clean network and of noise in each group alone, block after block."""
        blocks = range(self.units.per_pass)
        cache.expect(row for unit in blocks for row in self._alone_rows(unit).values())
        found = []
        for unit in blocks:
            block = _Block(of=self, unit=unit)
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
        cache.expect(self.row(unit, but_part(self.by, n)) for unit in blocks for n in choices)
        found = []
        for unit in blocks:
            block = _Block(of=self, unit=unit)
            for names in choices:
                row = self.row(unit, but_part(self.by, names))
                found.append(cache.row(row, partial(self._filled_without, block, names), left=1))
        return found

    def _alone_rows(self, unit: int) -> dict[str, Row]:
        """The names of the rows of one block by group, first the clean one, by ""."""
        # One clean row for all noises: it is looked up, not measured again, for the next spec.
        clean = self.row(unit, CLEAN, self.evaluator.clean_row)
        noisy = {g.name: self.row(unit, only_part(self.by, g.name)) for g in self.groups}
        return {"": clean, **noisy}

    def _filled_alone(self, block: "_Block", name: str, row: Row) -> Row:
        # With the row goes what a reader of rows needs: how many
        # blocks, groups and products there are.
        facts: dict[str, float] = {"blocks": self.units.per_pass}
        if name:
            own = [group for group in self.groups if group.name == name]
            facts = {"groups": len(self.groups), **costs(own)}
        found = block.alone[name]
        # Groups of a block are measured in turns, batch by batch: each
        # row has its own part of the time.
        return self.filled(row, found.result, facts, found.seconds)

    def _filled_without(self, block: "_Block", names: Sequence[str], row: Row) -> Row:
        digital = [group for group in self.groups if group.name in names]
        noisy = [group for group in self.groups if group.name not in names]
        found = block.noisy_in(noisy)
        return self.filled(row, found.result, costs(digital), found.seconds)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Images of a block with their dice."""

    of: ImageParts
    images: Split
    x: Inputs
    noise: State
    signs: Signs

    def outputs(self, noisy: Sequence[TensorGroup]) -> Any:
        """What the network returns with noise in these groups; clean without any."""
        names = [name for group in noisy for name in group.tensors]
        chips = self.of.chips
        # Noise is drawn for all tensors once; a group sees its part,
        # so all groups have the same dice.
        noise = {name: self.noise[name] for name in names if name in self.noise}
        # `base(names)`: a deterministic stage acts where the noise does, and nowhere else.
        return chips.outputs(chips.base(names), noise, self.signs, self.x)

    def found(self, compute: Callable[[], Any]) -> _Found:
        started = time.perf_counter()
        output = compute()
        # In one batch: the output is there already, and the task only has to count.
        result = self.of.evaluator.result(lambda _: output, self.images, len(self.images))
        return _Found(result=result, seconds=time.perf_counter() - started)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """The images and dice of one unit."""

    of: ImageParts
    unit: int

    @cached_property
    def alone(self) -> dict[str, _Found]:
        """By group, and the clean network by "": all from one recording of each batch."""
        found: dict[str, list[_Found]] = {}
        with Replay(self.of.chips.skeleton) as replay:
            for batch in self._batches():
                # First: recording is the clean pass itself, and every group resumes from it.
                clean = partial(replay.record, partial(batch.outputs, ()))
                found.setdefault("", []).append(batch.found(clean))
                starts = replay.starts
                for group in self.of.groups:
                    run = partial(batch.outputs, [group])
                    # Else the whole pass: 1 instead of about 0.53 of it (measured:
                    # LOG.md, 2026-11-21, "which layers").
                    if group.is_replayable:
                        run = partial(_resumed, replay, run, group.first_call(starts))
                    found.setdefault(group.name, []).append(batch.found(run))
        return {name: _joined(parts) for name, parts in found.items()}

    def noisy_in(self, groups: Sequence[TensorGroup]) -> _Found:
        """Noise in all of these groups."""
        return _joined([b.found(partial(b.outputs, groups)) for b in self._batches()])

    def _batches(self) -> Iterator[_Batch]:
        evaluator, size = self.of.evaluator, self.of.evaluator.batch_size
        for start in range(0, len(self._images), size):
            part = self._images.part(start, start + size)
            yield _Batch(
                of=self.of,
                images=part,
                x=evaluator.ready(part.inputs),
                noise=self._noise,
                signs=self._signs.rows(start, start + len(part)),
            )

    @cached_property
    def _images(self) -> Split:
        images = self.of.units.test_of(self.of.row(self.unit, CLEAN))
        assert images is not None
        return images

    @cached_property
    def _noise(self) -> State:
        return self.of.chips.noise(self.of.seed, self.unit, self.of.evaluator.device)

    @cached_property
    def _signs(self) -> Signs:
        return self.of.chips.signs(self.of.seed, self.unit, len(self._images))


def _resumed(replay: Replay, run: Callable[[], Any], start: str) -> Any:
    try:
        return replay.resume(run, start)
    except ValueError:  # the noise has modules called in another order
        return run()


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
