"""Units of one noise at one level -> estimates, by the design that they were measured with."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noiseproof import stats
from noiseproof.results.clean import over_clean, sees_nothing
from noiseproof.results.rows import Row
from noiseproof.results.showing import number_or_none
from noiseproof.results.swept import Swept, swept_by
from noiseproof.specs import (
    Chips,
    Design,
    PerImage,
    ScoreFacts,
    blocks_of,
    is_share,
    key_of_score,
    parse,
    parse_design,
)
from noiseproof.stats import (
    FIRST,
    Interval,
    Spread,
    Unit,
    block_interval,
    chip_spread,
    stein_interval,
)

Json = dict[str, Any]
NOTHING = Interval(mean=math.nan, low=math.nan, high=math.nan)
NEW_CHIPS, NEW_BOTH = "new chips, this test set", "new chips and new images"


@dataclass(frozen=True, kw_only=True, repr=False)
class Estimate:
    """K units of one noise at one level, and the clean network on the same images. A unit is a
    chip; with per-image chips it is a block of images, each on a chip of its own."""

    rows: tuple[Row, ...]  # by seed and number
    clean: Row

    def __repr__(self) -> str:
        score = f"{self.metric} {self.unit.text(self.score)}{self.unit.sign}"
        return f"<{self.noise}: {score}, {self.chips} chips>"

    @cached_property
    def design(self) -> Design:
        return parse_design(self.rows[0].design)

    @property
    def noise(self) -> str:
        return self.rows[0].noise

    @property
    def level(self) -> float | None:
        """The value of the field that its curve sweeps: a level, or seconds since programming."""
        return self.rows[0].level

    @property
    def swept(self) -> Swept:
        """What that field is."""
        return swept_by(self.noise)

    @property
    def chips(self) -> int:
        """How many simulated chips; with per-image chips as many as images."""
        if isinstance(self.design, PerImage):
            return self.image_passes
        return len(self.rows)

    @property
    def images(self) -> int:
        """How many test images a chip saw."""
        return 1 if isinstance(self.design, PerImage) else self.rows[0].images

    @property
    def image_passes(self) -> int:
        """Images that passed a noisy network, over all units together."""
        return sum(row.images for row in self.rows)

    @property
    def nonfinite(self) -> int:
        """Images with a non-finite output, over all chips together."""
        return sum(row.nonfinite for row in self.rows)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """(K, N)"""
        return np.stack([row.unpacked() for row in self.rows])

    @cached_property
    def by_chip(self) -> tuple[float, ...]:
        return tuple(row.score for row in self.rows)

    @property
    def facts(self) -> ScoreFacts:
        """Which way the score is better, in what unit, and what chance would score."""
        return self.clean.facts

    @property
    def metric(self) -> str:
        """What the score is called: `accuracy`, `mAP`, `mIoU`, or the name of one of the user's."""
        return self.clean.metric

    @property
    def unit(self) -> Unit:
        """How the score is printed."""
        return self.clean.unit

    @cached_property
    def score(self) -> Interval:
        """Mean over chips; new chips, this test set (t interval). Of per-image chips that saw each
        image once at most: new chips and new images. Valid under the stopping of `pace`."""
        if isinstance(self.design, PerImage):
            return self._bounded(self._by_block[0])
        return self._bounded(self._over_units)

    @property
    def is_for_new_images(self) -> bool:
        """Is `score` for new images too?"""
        return isinstance(self.design, PerImage) and not self._has_replicates

    @property
    def is_adaptive(self) -> bool:
        """Did the first units decide how many there are? Not told for several seeds together."""
        return any(row.pace for row in self.rows) and len({row.seed for row in self.rows}) == 1

    @property
    def _over_units(self) -> Interval:
        if not self.is_adaptive:
            return stats.t_interval(self.by_chip)
        # Each score is the share of hits among so many images: where all units score the same,
        # their spread is still not zero.
        images = self.rows[0].images if self.rows[0].hits and self.design.needs_hits else None
        return stein_interval(self.by_chip, first=FIRST[self.design.kind], images=images)

    @property
    def _has_replicates(self) -> bool:
        assert isinstance(self.design, PerImage)
        return len(self.rows) > blocks_of(self.design, self.clean.images)

    @cached_property
    def _by_block(self) -> tuple[Interval, Interval]:
        """(score, crossed) of per-image chips."""
        assert isinstance(self.design, PerImage)
        blocks = blocks_of(self.design, self.clean.images)
        # Where the units decided when to stop, Stein's interval covers (measured:
        # LOG.md, 2026-11-21, "how to stop"). With blocks seen twice it is for these
        # images, and there is none for new ones.
        if self.is_adaptive:
            whole = self._over_units
            nothing = Interval(mean=whole.mean, low=math.nan, high=math.nan)
            return whole, nothing if self._has_replicates else whole
        found = block_interval(
            self.by_chip,
            # Unit b, B + b, 2 B + b, ... see block b, each on dice of its own.
            [row.chip % blocks for row in self.rows],
            [row.images for row in self.rows],
            total_blocks=blocks,
        )
        here = found.this_test_set if self._has_replicates else found.new_images
        return here, found.new_images

    @property
    def accuracy(self) -> Interval:
        """The score, by the name it has for a classifier."""
        return self.score

    @cached_property
    def crossed(self) -> Interval:
        """The same mean; new chips and new images. No ends (nan) where single images have no hit
        or miss, as in mAP and mIoU."""
        if isinstance(self.design, PerImage):
            return self._by_block[1].within(0, 1)
        # It takes a full table, chips by images: every chip on the same images.
        if not self._has_table:
            return Interval(mean=self.score.mean, low=math.nan, high=math.nan)
        return stats.crossed_interval(self.hits).within(0, 1)

    @cached_property
    def spread(self) -> Spread | None:
        """How the chips differ, the images' part removed; None where chips are not told apart."""
        if isinstance(self.design, PerImage):
            return None
        total = max(1, self.clean.images)
        # `seen` of `total`: where all are seen, the images have no
        # part in the spread to be removed.
        seen = total if isinstance(self.design, Chips) else self.rows[0].images
        return chip_spread(self.by_chip, images=seen, of=total)

    @property
    def normalised(self) -> Interval:
        """Score / clean score of the same checkpoint; new chips, this test set. nan where that is
        no share: of scores that are no shares themselves, and of a clean network near chance."""
        if not has_share(self.clean):
            return NOTHING
        return over_clean(self.score, self.clean)

    @cached_property
    def chance_corrected(self) -> Interval:
        """0 at chance, 1 when nothing is lost, whichever way is better. Of hits for new chips and
        new images, clean accuracy's too; of a score with a stated chance level for new chips, this
        test set. nan for other scores, and of a clean network near chance."""
        chance = self.facts.chance
        if chance is None or sees_nothing(self.clean):
            return NOTHING
        if self._has_table and self.clean.hits:
            return stats.chance_corrected(self.hits, self.clean.unpacked(), chance=chance)
        if self.rows[0].hits:  # each chip on images of its own
            return NOTHING
        whole = self.clean.score - chance
        mean, *ends = ((v - chance) / whole for v in (self.score.mean, *self.score.ends))
        # Where lower is better the division turns the ends round.
        return Interval(mean=mean, low=min(ends), high=max(ends))

    @property
    def _has_table(self) -> bool:
        """Did every chip see the same images, each right or wrong?"""
        return bool(self.rows[0].hits) and isinstance(self.design, Chips)

    def figure(self, name: str) -> Interval:
        """The mean over chips of a further figure, as `mAP@.5`."""
        return self._bounded(stats.t_interval([row.figures[name] for row in self.rows]))

    def _bounded(self, interval: Interval) -> Interval:
        """Scores of named tasks lie between 0 and 1; of the user's own nothing is known."""
        return interval.within(0, 1) if is_share(self.clean.task) else interval

    @property
    def sd(self) -> float:
        """Standard deviation over chips, the images' part removed; nan where chips are not told
        apart."""
        if isinstance(self.design, Chips):
            return stats.sd(self.by_chip)
        return math.nan if self.spread is None else self.spread.sd.mean

    @property
    def worst(self) -> float:
        """The worst score of a chip; nan where no chip saw all test images, or nobody knows which
        way the score is better."""
        return self.facts.worst(self.by_chip) if isinstance(self.design, Chips) else math.nan

    @property
    def low_quantile(self) -> float:
        """The 5 % quantile over chips, where lower is better the 95 % one: a description of those
        that were measured."""
        share = self.facts.bad_share
        if isinstance(self.design, Chips):
            return stats.low_quantile(self.by_chip, share)
        return math.nan if self.spread is None else self.spread.quantile(share).mean

    def as_json(self, above: float | None = None) -> Json:
        """`above`: also the share of chips whose score is at least that good."""
        first = self.rows[0]
        tail = f"quantile_{round(100 * self.facts.bad_share):02}"
        # What an interval holds for depends on the design: so each says it itself.
        here = NEW_BOTH if self.is_for_new_images else NEW_CHIPS
        crossed = {"low": number_or_none(self.crossed.low)}
        crossed |= {"high": number_or_none(self.crossed.high)}
        return {
            "noise": self.noise,
            "targets": first.targets.split(",") if first.targets else [],
            "digital": first.digital,
            "stats_as": first.stats_as or "variance",
            "mapping": first.mapping,
            "mvm": first.mvm,
            "compensate": first.compensate,
            "hardware": first.hardware,
            "dtype": first.dtype,
            "reached": {"macs": first.reached_macs, "weights": first.reached_weights},
            "seeds": sorted({row.seed for row in self.rows}),
            "recalibrate": first.recalibrate,
            "calibration": first.calibration,
            "calibration_sha256": first.calibration_sha256,
            "extra_images": first.extra_images,
            **self.swept.as_json(self.level),
            "wnr_db": parse(self.noise).wnr_db,
            "design": first.design,
            "pace": first.pace,
            "chips": self.chips,
            "images": self.images,
            "image_passes": self.image_passes,
            "nonfinite": self.nonfinite,
            "interval_for": here,
            key_of_score(self.clean.task): _told(self.score, here)
            | {"sd": number_or_none(self.sd)},
            "figures": {name: _told(self.figure(name), NEW_CHIPS) for name in first.figures},
            "worst": number_or_none(self.worst),
            tail: number_or_none(self.low_quantile),
            "spread": self._spread_json(above, tail),
            "crossed": crossed | {"for": NEW_BOTH},
            "normalised": _told(self.normalised, here),
            "chance_corrected": _told(
                self.chance_corrected, NEW_BOTH if self._has_table else NEW_CHIPS
            ),
        }

    def _spread_json(self, above: float | None, tail: str) -> Json | None:
        if self.spread is None:
            return None
        found: Json = {
            "sd": _told(self.spread.sd, NEW_CHIPS),
            tail: _told(self.spread.quantile(self.facts.bad_share), NEW_CHIPS),
        }
        if above is not None:
            share = _told(self.yields(above), NEW_CHIPS)
            found["above"] = {"score": above, "better": self.facts.better} | share
        return found

    def yields(self, least: float) -> Interval:
        """The share of chips that score at least as well as `least`: at or above it, or at or below
        it where lower is better. nan where chips are not told apart, or nobody knows which way is
        better."""
        if self.spread is None or not self.facts.sign:
            return NOTHING
        return self.spread.above(least) if self.facts.sign > 0 else self.spread.below(least)


def has_share(clean: Row) -> bool:
    """Is score / this clean score the share that is left?"""
    return clean.facts.has_share and clean.score > 0 and not sees_nothing(clean)


def _told(interval: Interval, whom: str) -> Json:
    """Mean and ends, and what they hold for."""
    return stats.as_json(interval) | {"for": whom}
