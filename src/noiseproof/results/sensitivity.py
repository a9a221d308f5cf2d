"""Rows of noise in parts of a network (see `parts`) -> which parts lose the score.

The units of replication are blocks of images, each image on a chip of its own, or whole chips. No
torch here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noiseproof import stats
from noiseproof.results import drawing
from noiseproof.results.axes import Role
from noiseproof.results.blocks import Units, picked, scores_of, sizes_of, together
from noiseproof.results.curves import network_line, where_of, words_of
from noiseproof.results.estimates import NOTHING
from noiseproof.results.pairing import OverBlocks, OverChips, Pairing, beside
from noiseproof.results.rows import Row, further, is_clean, key_of, network_key
from noiseproof.results.showing import MOST, Shown, Summary, count_of, share_text, spelled
from noiseproof.specs import CLEAN, PerImage, but_part, only_part, parse_design
from noiseproof.stats import CONFIDENCE, Interval, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Group:
    """Noise in one group alone. `drop`: clean minus noisy score on the same images, where lower is
    better noisy minus clean; `ahead`: the
    drop minus the next group's on the same images and dice, nan for the last. What both hold for
    says `Ranking.whom`. `macs`: multiply-accumulates per image."""

    name: str
    drop: Interval
    ahead: Interval
    weights: int
    macs: int
    nonfinite: int

    @property
    def is_told_apart(self) -> bool:
        """From the next group, by this one comparison."""
        return self.ahead.low > 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """Noise in all groups but `kept`, the first of the ranking. `accuracy`: the score; `gain`:
    paired, over none kept. The last step, all kept, is the clean network. `units`: how many."""

    kept: tuple[str, ...]
    accuracy: Interval
    gain: Interval
    weights: int
    macs: int
    units: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The fewest groups that, kept digital, bring back more than half of what the noise takes."""

    step: Step
    before: Interval  # the score with none of them kept


@dataclass(frozen=True, kw_only=True, repr=False)
class Ranking(Shown):
    """The groups of one network under one noise, the most sensitive first."""

    by: str
    first: Row  # of noise in one group: what all rows share
    clean: Row  # of all images together, without hits
    clean_accuracy: Interval  # the score; for new images, of whole chips without ends
    groups: tuple[Group, ...]
    steps: tuple[Step, ...]  # by number of groups kept; empty until one was measured
    units: int  # blocks of images, or chips, that met every group
    finding: Finding | None

    @property
    def is_per_image(self) -> bool:
        """Is every image on a chip of its own?"""
        return isinstance(parse_design(self.first.design), PerImage)

    @property
    def metric(self) -> str:
        """What the score is called."""
        return self.clean.metric

    @property
    def unit(self) -> Unit:
        """How the score is printed."""
        return self.clean.unit

    @property
    def what(self) -> str:
        """The unit of replication."""
        return "block" if self.is_per_image else "chip"

    @property
    def whom(self) -> str:
        """What the intervals are for."""
        return _pairing(self.first).whom

    @property
    def over(self) -> str:
        """What the intervals are over."""
        if self.is_per_image:
            return f"{count_of(self.units, 'block')} of images, each image on its own chip"
        return f"{count_of(self.units, 'chip')}, each with all images"

    def text(self, interval: Interval) -> str:
        """A score of this ranking, or a difference of two; the clean network's on whole chips is a
        number without an interval."""
        if interval == self.clean_accuracy and math.isnan(interval.low):
            return self.unit.value(interval.mean, places=2)
        return self.unit.text(interval)

    @cached_property
    def weights(self) -> int:
        """The targeted elements of all groups."""
        return sum(group.weights for group in self.groups)

    @cached_property
    def macs(self) -> int:
        return sum(group.macs for group in self.groups)

    def weight_share(self, part: Group | Step) -> float:
        """nan where there are none."""
        return part.weights / self.weights if self.weights else math.nan

    def mac_share(self, part: Group | Step) -> float:
        return part.macs / self.macs if self.macs else math.nan

    def summary(self) -> Summary:
        """A line for each group, the most sensitive first."""
        row = self.first
        return Summary(
            title=[
                network_line(self.clean),
                f"{row.noise} on {where_of(row)}, in one {self.by} alone, "
                + ("each image on its chip" if self.is_per_image else "whole chips"),
            ],
            heads=["#", self.by, f"drop{self.unit.points}", "weights %", "mult.-acc. %"],
            lines=[
                [
                    str(rank),
                    group.name,
                    self.text(group.drop),
                    share_text(self.weight_share(group)),
                    share_text(self.mac_share(group)),
                ]
                for rank, group in enumerate(self.groups, start=1)
            ],
            note=f"drop: {self.drop}; [..]: {100 * CONFIDENCE:.0f} % interval "
            f"for {self.whom}, over {count_of(self.units, self.what)}",
        )

    def records(self) -> list[dict[str, Any]]:
        """An entry for each group; mean and ends are those of the drop, `n` is the units."""
        return [
            {
                "rank": rank,
                "by": self.by,
                "group": group.name,
                **spelled(group.drop),
                "n": self.units,
                "weights": group.weights,
                "macs": group.macs,
                "nonfinite": group.nonfinite,
                "clean": self.clean_accuracy.mean,
                **words_of(self.first),
            }
            for rank, group in enumerate(self.groups, start=1)
        ]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """A bar for the drop of each of the first groups, with its 95 % interval, on `ax` or on new
        axes, which come back."""
        axes, shown = drawing.axes_or_new(ax), self.groups[:MOST]
        drops = [group.drop for group in shown]
        drawing.bars(axes, [group.name for group in shown], drops, unit=self.unit)
        axes.set_xlabel(self.drop_axis)
        return axes

    @property
    def drop(self) -> str:
        """What a drop is."""
        pair = ("clean", "noisy") if self.clean.facts.sign > 0 else ("noisy", "clean")
        return f"{pair[0]} minus {pair[1]} {self.metric}"

    @property
    def drop_axis(self) -> str:
        """The label of an axis of drops."""
        what = "lost" if self.clean.facts.sign > 0 else "added"
        unit = self.unit.points.removeprefix(", ")
        return f"{self.metric} {what} with noise in one {self.by} alone" + f" ({unit})" * bool(unit)

    def as_json(self) -> dict[str, Any]:
        row = self.first
        return {
            "by": self.by,
            "noise": row.noise,
            "targets": row.targets.split(","),
            "kept_digital": row.digital,
            "stats_as": row.stats_as or "variance",
            "mapping": row.mapping,
            "reached": {"macs": row.reached_macs, "weights": row.reached_weights},
            "design": row.design,
            "seed": row.seed,
            "images": self.clean.images,
            f"{self.what}s": self.units,
            "metric": self.metric,
            "interval_for": self.whom,
            "weights": self.weights,
            "macs": self.macs,
            "clean": stats.as_json(self.clean_accuracy),
            "ranking": [self._group_json(rank, g) for rank, g in enumerate(self.groups, start=1)],
            "digital": [self._step_json(step) for step in self.steps],
            "finding": None if self.finding is None else len(self.finding.step.kept),
        }

    def _group_json(self, rank: int, group: Group) -> dict[str, Any]:
        return {
            "rank": rank,
            "name": group.name,
            "drop": stats.as_json(group.drop),
            "ahead_of_next": stats.as_json(group.ahead),
            "weights": group.weights,
            "macs": group.macs,
            "nonfinite": group.nonfinite,
        }

    def _step_json(self, step: Step) -> dict[str, Any]:
        return {
            "kept": list(step.kept),
            "accuracy": stats.as_json(step.accuracy),
            "gain": stats.as_json(step.gain),
            "weights": step.weights,
            "macs": step.macs,
            f"{self.what}s": step.units,
        }


def _pairing(row: Row) -> Pairing:
    return OverBlocks() if isinstance(parse_design(row.design), PerImage) else OverChips()


def rankings_of(rows: Iterable[Row]) -> list[Ranking]:
    """The rankings in `rows`: one per network, noise, targets, design, seed and grouping, in the
    order in which they come. Rows of whole networks are left out, but for the clean one, which
    chips are compared to; and so are units that some group has not met yet, as after a kill."""
    blocks: dict[tuple[Any, ...], dict[int, Row]] = {}
    whole: dict[tuple[Any, ...], dict[int, Row]] = {}
    found: dict[tuple[Any, ...], dict[str, dict[int, Row]]] = {}
    for row in rows:
        kind, _, rest = row.part.partition(":")
        images = (network_key(row), row.design, row.seed)
        if row.part == CLEAN and not further(row, Role.CONDITION, Role.REMEDY):
            blocks.setdefault(images, {})[row.chip] = row
        elif row.part == "all" and not row.stream and is_clean(row):
            whole.setdefault(network_key(row), {})[row.chip] = row
        elif kind in ("only", "but"):
            same = key_of(row, Role.CONDITION, Role.REMEDY, without=("design", "part"))
            place = (*images, same, rest.partition(":")[0])
            found.setdefault(place, {}).setdefault(row.part, {})[row.chip] = row
    made = []
    for place, parts in found.items():
        start = only_part(place[-1], "")
        alone = {p.removeprefix(start): units for p, units in parts.items() if p.startswith(start)}
        clean = blocks.get(place[:3], {})
        if place[0] in whole and not isinstance(parse_design(place[1]), PerImage):
            clean = beside(whole[place[0]], (chip for units in alone.values() for chip in units))
        made.append(_ranking(place[-1], alone, parts, clean))
    return [ranking for ranking in made if ranking is not None]


def _ranking(
    by: str, alone: Mapping[str, Units], parts: Mapping[str, Units], clean: Units
) -> Ranking | None:
    """None while no unit was met by every group."""
    # Only units that all groups have met: else two drops would be of different images or dice.
    complete = sorted(set(clean).intersection(*alone.values())) if alone else []
    # A kill before the last group's first row leaves fewer groups than the rows themselves tell of.
    if not complete or len(alone) < next(iter(alone.values()))[complete[0]].figures["groups"]:
        return None
    by_unit = {name: picked(units, complete) for name, units in alone.items()}
    first = next(iter(by_unit.values()))[0]
    over, reference = _pairing(first), picked(clean, complete)
    drops = {
        name: first.facts.sign * (scores_of(reference) - scores_of(rows))
        for name, rows in by_unit.items()
    }
    sizes = sizes_of(reference)  # (B,); 0 where nobody knows how many inputs there are
    sizes = sizes if sizes.any() else sizes + 1
    # A stable sort: equals stay in the order of the network.
    order = sorted(drops, key=lambda name: -float(sizes @ drops[name]))
    groups = tuple(
        Group(
            name=name,
            drop=_gain(reference, by_unit[name], over),
            ahead=_gain(by_unit[after], by_unit[name], over) if after else NOTHING,
            weights=int(by_unit[name][0].figures["weights"]),
            macs=int(by_unit[name][0].figures["macs"]),
            nonfinite=sum(row.nonfinite for row in by_unit[name]),
        )
        for name, after in zip(order, [*order[1:], ""], strict=True)
    )
    kept = _kept(by, order, parts)
    again = _again({unit: clean[unit] for unit in complete}, kept)
    steps = _steps(groups, kept, again, over)
    return Ranking(
        by=by,
        first=by_unit[order[0]][0],
        clean=together(reference) if isinstance(over, OverBlocks) else reference[0],
        clean_accuracy=over.score(reference),
        groups=groups,
        steps=steps,
        units=len(complete),
        finding=_finding(steps, kept, again, over),
    )


def _kept(by: str, order: Sequence[str], parts: Mapping[str, Units]) -> dict[int, Units]:
    """The units of each number of groups kept digital, the first of this ranking, ascending."""
    # A store may hold rows of another order, from fewer units: they answer another question.
    wanted = {but_part(by, order[:k]): k for k in range(len(order))}
    return {k: parts[part] for part, k in wanted.items() if part in parts}


def _again(clean: Units, kept: Mapping[int, Units]) -> dict[int, Row]:
    """The clean rows under the numbers of the units on fresh dice."""
    first = next(iter(clean.values()))
    if first.part != CLEAN:
        known = {row.chip: row for row in clean.values()}
        return beside(known, (chip for units in kept.values() for chip in units))
    # Without noise there are no dice, so the second time would be the same hits.
    return {chip + round(first.figures["blocks"]): row for chip, row in clean.items()}


def _steps(
    groups: Sequence[Group], kept: Mapping[int, Units], clean: Units, over: Pairing
) -> tuple[Step, ...]:
    if not kept:
        return ()
    return tuple(
        Step(
            kept=tuple(group.name for group in groups[:k]),
            accuracy=over.score(list(units.values())),
            gain=_shared_gain(units, kept.get(0, {}), over),
            weights=sum(group.weights for group in groups[:k]),
            macs=sum(group.macs for group in groups[:k]),
            units=len(units),
        )
        for k, units in {**kept, len(groups): clean}.items()
    )


def _gain(a: Sequence[Row], b: Sequence[Row], over: Pairing) -> Interval:
    """How much better a is than b."""
    return over.difference(a, b) if a[0].facts.sign > 0 else over.difference(b, a)


def _shared_gain(units: Units, none: Units, over: Pairing) -> Interval:
    shared = sorted(set(units) & set(none))
    return _gain(picked(units, shared), picked(none, shared), over) if shared else NOTHING


def _finding(
    steps: Sequence[Step], kept: Mapping[int, Units], clean: Units, over: Pairing
) -> Finding | None:
    """None where no number of groups does so, as far as these units tell: the interval of what
    comes back beyond a half excludes zero, at a confidence that holds for all numbers together."""
    tried = [k for k in kept if k and 0 in kept]
    for k in tried:
        shared = sorted(set(kept[k]) & set(kept[0]) & set(clean))
        if not shared:
            continue
        with_k, with_none, free = (picked(one, shared) for one in (kept[k], kept[0], clean))
        # (B,); above zero: more than half of the way from none kept to the clean network.
        beyond = scores_of(with_k) - (scores_of(with_none) + scores_of(free)) / 2
        beyond = with_k[0].facts.sign * beyond
        # Bonferroni: the first of several numbers that passes is singled out.
        confidence = 1 - (1 - CONFIDENCE) / len(tried)
        if over.mean(beyond, with_k, confidence=confidence).low > 0:
            step = next(step for step in steps if len(step.kept) == k)
            return Finding(step=step, before=over.score(list(kept[0].values())))
    return None
