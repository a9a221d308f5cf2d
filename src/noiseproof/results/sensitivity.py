"""Rows of noise in parts of a network (see `parts`) -> which parts lose the accuracy.

The images stand in blocks, each image on a chip of its own; the unit of replication is the block.
No torch here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noiseproof import stats
from noiseproof.results import drawing
from noiseproof.results.axes import Role
from noiseproof.results.blocks import (
    Units,
    accuracy_of,
    difference_of,
    over_blocks,
    picked,
    scores_of,
    sizes_of,
    together,
)
from noiseproof.results.curves import network_line, where_of, words_of
from noiseproof.results.estimates import NOTHING
from noiseproof.results.rows import Row, further, key_of, network_key
from noiseproof.results.showing import MOST, Shown, Summary, count_of, or_dash, spelled
from noiseproof.specs import CLEAN, but_part, only_part
from noiseproof.stats import CONFIDENCE, PERCENT, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Group:
    """Noise in one group alone. `drop`: clean minus noisy accuracy on the same images; `ahead`: the
    drop minus the next group's on the same images and dice, nan for the last. Both for new chips
    and new images. `macs`: multiply-accumulates per image."""

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
    """Noise in all groups but `kept`, the first of the ranking. `gain`: paired, over none kept;
    for new chips and new images, as `accuracy`. The last step, all kept, is the clean network."""

    kept: tuple[str, ...]
    accuracy: Interval
    gain: Interval
    weights: int
    macs: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The fewest groups that, kept digital, bring back more than half of what the noise takes."""

    step: Step
    before: Interval  # the accuracy with none of them kept


@dataclass(frozen=True, kw_only=True, repr=False)
class Ranking(Shown):
    """The groups of one network under one noise, the most sensitive first."""

    by: str
    first: Row  # of noise in one group: what all rows share
    clean: Row  # of all images together, without hits
    clean_accuracy: Interval  # new images
    groups: tuple[Group, ...]
    steps: tuple[Step, ...]  # by number of groups kept; empty until one was measured
    blocks: int
    finding: Finding | None

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
        row, blocks = self.first, count_of(self.blocks, "block")
        return Summary(
            title=[
                network_line(self.clean),
                f"{row.noise} on {where_of(row)}, in one {self.by} alone, each image on its chip",
            ],
            heads=["#", self.by, "drop, points", "weights %", "mult.-acc. %"],
            lines=[
                [
                    str(rank),
                    group.name,
                    stats.percent(group.drop),
                    _share_text(self.weight_share(group)),
                    _share_text(self.mac_share(group)),
                ]
                for rank, group in enumerate(self.groups, start=1)
            ],
            note=f"drop: clean minus noisy accuracy; [..]: {100 * CONFIDENCE:.0f} % interval for "
            f"new chips and new images, over {blocks}",
        )

    def records(self) -> list[dict[str, Any]]:
        """An entry for each group; mean and ends are those of the drop, `n` is the blocks."""
        return [
            {
                "rank": rank,
                "by": self.by,
                "group": group.name,
                **spelled(group.drop),
                "n": self.blocks,
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
        drawing.bars(axes, [group.name for group in shown], drops, unit=PERCENT)
        axes.set_xlabel(f"accuracy lost with noise in one {self.by} alone (points)")
        return axes

    def as_json(self) -> dict[str, Any]:
        row = self.first
        return {
            "by": self.by,
            "noise": row.noise,
            "targets": row.targets.split(","),
            "design": row.design,
            "seed": row.seed,
            "images": self.clean.images,
            "blocks": self.blocks,
            "interval_for": "new chips and images",
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
            "blocks": step.blocks,
        }


def _share_text(share: float) -> str:
    return or_dash(share, f"{100 * share:.2g}")


def rankings_of(rows: Iterable[Row]) -> list[Ranking]:
    """The rankings in `rows`: one per network, noise, targets, design, seed and grouping, in the
    order in which they come. Rows of whole networks are left out, and so are blocks that some
    group has not met yet, as after a kill."""
    clean: dict[tuple[Any, ...], dict[int, Row]] = {}
    found: dict[tuple[Any, ...], dict[str, dict[int, Row]]] = {}
    for row in rows:
        kind, _, rest = row.part.partition(":")
        images = (network_key(row), row.design, row.seed)
        if row.part == CLEAN and not further(row, Role.CONDITION, Role.REMEDY):
            clean.setdefault(images, {})[row.chip] = row
        elif kind in ("only", "but"):
            same = key_of(row, Role.CONDITION, Role.REMEDY, without=("design", "part"))
            place = (*images, same, rest.partition(":")[0])
            found.setdefault(place, {}).setdefault(row.part, {})[row.chip] = row
    made = [_ranking(p[-1], parts, clean.get(p[:3], {})) for p, parts in found.items()]
    return [ranking for ranking in made if ranking is not None]


def _ranking(by: str, parts: Mapping[str, Units], clean: Units) -> Ranking | None:
    """None while no block was met by every group."""
    start = only_part(by, "")
    alone = {p.removeprefix(start): units for p, units in parts.items() if p.startswith(start)}
    # Only blocks that all groups have met: else two drops would be of different images.
    complete = sorted(set(clean).intersection(*alone.values())) if alone else []
    # A kill before the last group's first row leaves fewer groups than the rows themselves tell of.
    if not complete or len(alone) < next(iter(alone.values()))[complete[0]].figures["groups"]:
        return None
    by_block = {name: picked(units, complete) for name, units in alone.items()}
    reference = picked(clean, complete)
    drops = {name: scores_of(reference) - scores_of(rows) for name, rows in by_block.items()}
    sizes = sizes_of(reference)  # (B,)
    # A stable sort: equals stay in the order of the network.
    order = sorted(drops, key=lambda name: -float(sizes @ drops[name]))
    groups = tuple(
        Group(
            name=name,
            drop=difference_of(reference, by_block[name]),
            ahead=difference_of(by_block[after], by_block[name]) if after else NOTHING,
            weights=int(by_block[name][0].figures["weights"]),
            macs=int(by_block[name][0].figures["macs"]),
            nonfinite=sum(row.nonfinite for row in by_block[name]),
        )
        for name, after in zip(order, [*order[1:], ""], strict=True)
    )
    kept = _kept(by, order, parts)
    return Ranking(
        by=by,
        first=by_block[order[0]][0],
        clean=together(reference),
        clean_accuracy=accuracy_of(reference),
        groups=groups,
        steps=_steps(groups, kept, reference),
        blocks=len(complete),
        finding=_finding(groups, kept, {row.chip: row for row in reference}),
    )


def _kept(by: str, order: Sequence[str], parts: Mapping[str, Units]) -> dict[int, Units]:
    """The units of each number of groups kept digital, the first of this ranking, ascending."""
    # A store may hold rows of another order, from fewer blocks: they answer another question.
    wanted = {but_part(by, order[:k]): k for k in range(len(order))}
    return {k: parts[part] for part, k in wanted.items() if part in parts}


def _steps(
    groups: Sequence[Group], kept: Mapping[int, Units], clean: Sequence[Row]
) -> tuple[Step, ...]:
    if not kept:
        return ()
    return tuple(
        Step(
            kept=tuple(group.name for group in groups[:k]),
            accuracy=accuracy_of(list(units.values())),
            gain=_gain(units, kept.get(0, {})),
            weights=sum(group.weights for group in groups[:k]),
            macs=sum(group.macs for group in groups[:k]),
            blocks=len(units),
        )
        for k, units in {**kept, len(groups): _again(clean)}.items()
    )


def _again(clean: Sequence[Row]) -> dict[int, Row]:
    """The clean rows under the numbers of the units that see their blocks the second time."""
    total = round(clean[0].figures["blocks"])
    # Without noise there are no dice, so the second time would be the same hits.
    return {row.chip + total: row for row in clean}


def _gain(units: Units, none: Units) -> Interval:
    shared = sorted(set(units) & set(none))
    return difference_of(picked(units, shared), picked(none, shared)) if shared else NOTHING


def _finding(
    groups: Sequence[Group], kept: Mapping[int, Units], clean: Mapping[int, Row]
) -> Finding | None:
    """None where no number of groups does so, as far as these blocks tell: the interval of what
    comes back beyond a half excludes zero, at a confidence that holds for all numbers together."""
    tried = [k for k in kept if k and 0 in kept]
    every = _again(list(clean.values()))
    for k in tried:
        shared = sorted(set(kept[k]) & set(kept[0]) & set(every))
        if not shared:
            continue
        with_k, with_none, free = (picked(one, shared) for one in (kept[k], kept[0], every))
        # (B,); above zero: more than half of the way from none kept to the clean network.
        beyond = scores_of(with_k) - (scores_of(with_none) + scores_of(free)) / 2
        # Bonferroni: the first of several numbers that passes is singled out.
        confidence = 1 - (1 - CONFIDENCE) / len(tried)
        if over_blocks(beyond, sizes_of(free), confidence=confidence).low > 0:
            step = next(s for s in _steps(groups, kept, list(clean.values())) if len(s.kept) == k)
            return Finding(step=step, before=accuracy_of(list(kept[0].values())))
    return None
