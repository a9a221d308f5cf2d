"""Units of replication: which images a unit sees, on which chip, and what it scores there."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from noiseproof.core.rng import stream
from noiseproof.data import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.network import Chip
from noiseproof.noise import ImageChips, Programme, check_flipout
from noiseproof.results import Row, key_of
from noiseproof.specs import (
    Auto,
    Chips,
    Design,
    Nested,
    PerImage,
    Spec,
    auto_design,
    blocks_of,
    catalog,
    check_design,
    sized,
)
from noiseproof.tasks import Result

# Few and round: two machines, or two runs, whose timings differ a little choose the same.
SIZES = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # of a nested chip's sample
USUAL_RATIO = 10.0  # sd of images on a chip over sd of chips: .5 over .05, as at a curve's cliff
TIMED_IMAGES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """The units of one evaluator under one design: `evaluate` fills the row that names one."""

    evaluator: Evaluator
    design: Design
    targets: tuple[str, ...]
    ahead: "Ahead" = field(default_factory=lambda: Ahead())

    def programme(self, spec: Spec) -> Programme:
        """What all chips of `spec` share, made once."""
        # A measurement with a budget goes from level to level and back, so each level's is kept.
        if spec not in self._programmes:
            self._programmes[spec] = self.evaluator.programme(spec, self.targets)
        return self._programmes[spec]

    @cached_property
    def _programmes(self) -> dict[Spec, Programme]:
        return {}

    @property
    def per_pass(self) -> int:
        """How many units see every test image once, of per-image chips."""
        assert isinstance(self.design, PerImage)
        return blocks_of(self.design, len(self.evaluator.test))

    def evaluate(self, spec: Spec, row: Row) -> Row:
        """The row with its results: make the chip, recalibrate if asked, score it."""
        self.evaluator.prepare_()
        programme, test = self.programme(spec), self.test_of(row)
        started = time.perf_counter()
        # Without the level: a network that is random by itself has the same dice at all of them.
        with self.evaluator.seeded(row.seed, row.chip):
            if isinstance(self.design, PerImage):
                result = self._per_image(row, spec, test)
            # Nothing is drawn ahead on a CPU: the draw takes 2 % of a chip, on the same cores
            # (measured: LOG.md, 2026-11-21, "what makes a chip fast").
            elif self.evaluator.device.type == "cpu":
                chip = programme.chip(row.seed, row.chip)
                result = self.evaluator.score(self.evaluator.at_products(chip, row), test)
            else:
                chip = self.ahead.chip(programme, row.seed, row.chip)
                result = self.evaluator.score(self.evaluator.at_products(chip, row), test)
        return self.evaluator.filled(replace(row, dice=programme.origin), result, started)

    def images(self, unit: int) -> int:
        """How many test images unit number `unit` sees."""
        total = len(self.evaluator.test) if isinstance(self.evaluator.test, Split) else 0
        if isinstance(self.design, PerImage):
            first, last = _ends(self.design, unit, total)
            return last - first
        if isinstance(self.design, Nested):
            assert self.design.images is not None
            return self.design.images
        return self.evaluator.clean_row.images

    def test_of(self, row: Row) -> Split | None:
        """The test images of the row's unit; None: all of them, as they are."""
        if isinstance(self.design, Chips):
            return None
        total = len(self.evaluator.test)
        if isinstance(self.design, PerImage):
            first, last = _ends(self.design, row.chip, total)
            return self._shuffled(row.seed).part(first, last)
        # A sample of its own for each chip, without replacement, the same at every level.
        places = places_of(self.design, row.seed, row.chip, total)
        return self.evaluator.test.take(places)  # type: ignore[no-any-return]

    def _shuffled(self, seed: int) -> Split:
        """The test images in the order in which blocks are cut from them: a part of the blocks is
        then a random part of the images, in whatever order a data set has them."""
        if seed not in self._orders:
            # One order is a copy of the whole test set: that of the last seed is enough.
            self._orders.clear()
            self._orders[seed] = self.evaluator.test.take(_order_of(seed, len(self.evaluator.test)))
        return self._orders[seed]

    @cached_property
    def _orders(self) -> dict[int, Split]:
        return {}

    def _per_image(self, row: Row, spec: Spec, test: Split | None) -> Result:
        assert test is not None
        if spec not in self._image_chips:
            self._image_chips[spec] = ImageChips(
                self.evaluator.skeleton, self.evaluator.passes, self.programme(spec)
            )
        device = self.evaluator.device
        block = self._image_chips[spec].block(row.seed, row.chip, len(test), device)
        return self.evaluator.result(lambda inputs: block(self.evaluator.ready(inputs)), test)

    @cached_property
    def _image_chips(self) -> dict[Spec, ImageChips]:
        return {}


def places_of(design: Design, seed: int, unit: int, total: int) -> torch.Tensor:
    """Which of `total` test images unit number `unit` sees, in its order (n,)."""
    if isinstance(design, PerImage):
        first, last = _ends(design, unit, total)
        return _order_of(seed, total)[first:last]
    if isinstance(design, Nested):
        # The unit is in the stream's name, so that more chips change nothing of the first ones.
        return torch.randperm(total, generator=stream(seed, "nested images", unit))[: design.images]
    return torch.arange(total)


def _order_of(seed: int, total: int) -> torch.Tensor:
    return torch.randperm(total, generator=stream(seed, "blocks of images"))


def open_units(
    evaluator: Evaluator,
    design: Design,
    specs: Sequence[Spec],
    targets: tuple[str, ...],
    *,
    seen: tuple[Row, Sequence[Row]],
) -> tuple[Units, str]:
    """The units under `design`, its sizes chosen, and the reason for what was chosen. From `seen`,
    a blank row and the rows of a store, comes the size of nested samples that a former measurement
    has chosen.

    Raises:
        ValueError: where the design does not hold for the noise, the score or this network.
    """
    estimator, has_hits = evaluator.estimator, catalog.has_hits(evaluator.clean_row.task)
    reason = ""
    if isinstance(design, Auto) and evaluator.products is not None:
        design, reason = Chips(), "per-image chips do not hold for what happens at products"
    if isinstance(design, Auto):
        design, reason = auto_design(specs, targets, estimator=estimator, has_hits=has_hits)
        if isinstance(design, PerImage):
            design, reason = _per_image_or_chips(evaluator, design, specs, targets, reason)
    check_design(design, specs, targets, estimator=estimator, has_hits=has_hits)
    strongest = max(specs, key=lambda spec: spec.level or 0)
    units = Units(evaluator=evaluator, design=design, targets=targets)
    if isinstance(design, Nested) and design.images is None:
        images, reason = _size_of(*seen) or nested_images(evaluator, units.programme(strongest))
        design = Nested(images=images)
    units = replace(units, design=sized(design, len(evaluator.test) if design.needs_hits else 0))
    if isinstance(design, PerImage):
        _check_flipout(units, strongest)
    return units, reason


def _per_image_or_chips(
    evaluator: Evaluator,
    design: Design,
    specs: Sequence[Spec],
    targets: tuple[str, ...],
    reason: str,
) -> tuple[Design, str]:
    strongest = max(specs, key=lambda spec: spec.level or 0)
    try:
        _check_flipout(Units(evaluator=evaluator, design=design, targets=targets), strongest)
    except ValueError as error:
        # `auto` falls back and says why, where an explicit per-image is refused.
        return Chips(), str(error)
    return design, reason


def _check_flipout(units: Units, spec: Spec) -> None:
    """Raise ValueError where per-image chips do not hold for this network."""
    evaluator = units.evaluator
    # Three images: `flipout.CHECKED_IMAGES` of them run beside their literal chips.
    x = evaluator.ready(evaluator.test.part(0, 3).inputs)
    check_flipout(evaluator.skeleton, units.programme(spec), x)


def _size_of(blank: Row, rows: Sequence[Row]) -> tuple[int, str] | None:
    """How many images the nested chips have that were measured before."""

    def same(row: Row) -> tuple[Any, ...]:
        # The noise may differ, so that its levels and kinds are measured on the same images.
        return key_of(row, without=("noise", "design", "calibration_sha256", "chip", "images"))

    for row in rows:
        # Timings differ from run to run, and rows of another size would start from zero.
        if row.design.startswith("nested") and same(row) == same(blank):
            return row.images, "as measured before"
    return None


def _ends(design: PerImage, unit: int, total: int) -> tuple[int, int]:
    """Where the block of unit number `unit` starts and ends; blocks differ by at most one image."""
    blocks = blocks_of(design, total)
    block = unit % blocks
    return block * total // blocks, (block + 1) * total // blocks


def nested_images(evaluator: Evaluator, programme: Programme) -> tuple[int, str]:
    """How many images a nested chip sees, and why: where the time for making a chip and for its
    images buy the same, n = (sd of images / sd of chips) sqrt(cost of a chip / cost of an image)
    (two-stage sampling; Cochran, Sampling Techniques, 1977), with the ratio that is usual where
    accuracy falls, and rounded to a few sizes so that timing noise changes it seldom."""
    total = len(evaluator.test)
    part = evaluator.test.part(0, min(TIMED_IMAGES, total))
    # Untimed: computes what all chips share.
    programme.chip(0, 0)
    evaluator.prepare_()

    def chip(images: Split) -> float:
        return _seconds(lambda: evaluator.score(programme.chip(0, 0), images))

    few, many = part.part(0, max(1, len(part) // 4)), part
    # The first pass allocates, and lets libraries choose their algorithms.
    chip(few)
    # The least of three: whatever else the machine does only adds.
    small, large = min(chip(few) for _ in range(3)), min(chip(many) for _ in range(3))
    # Two sizes tell the cost of an image apart from that of a chip, which both contain. Noisy
    # clocks may have the larger one end first.
    image = max((large - small) / max(1, len(many) - len(few)), 1e-9)
    cost = max(small / image - len(few), 0.0)  # of a chip, in images
    ideal = USUAL_RATIO * cost**0.5
    size = min(min(SIZES, key=lambda one: abs(one - ideal)), total)
    return size, f"making a chip takes the time of {cost:.0f} images"


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Ahead:
    """Makes the next chip in a thread of its own while a GPU evaluates this one."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[tuple[int, int, int], Future[Chip]] | None = None

    def chip(self, programme: Programme, seed: int, chip: int) -> Chip:
        """That chip; the one after it is then being made."""
        if self._pool is None:
            # One: a second chip ahead would only hold its weights for longer.
            self._pool = ThreadPoolExecutor(max_workers=1)
        # By identity: `Units` keeps its programmes, so the id of one is not used again.
        name = (id(programme), seed, chip)
        made = self._next[1].result() if self._next and self._next[0] == name else None
        # Named dice: a chip that was drawn ahead is the same as one that is drawn now.
        now = programme.chip(seed, chip) if made is None else made
        following = (id(programme), seed, chip + 1)
        self._next = (following, self._pool.submit(programme.chip, seed, chip + 1))
        return now
