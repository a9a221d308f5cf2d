"""What shares an axis: curves under the same kind of noise, traces along the same stream."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from noiseproof.report.looks import (
    Look,
    is_remedied,
    is_step,
    looks_of_networks,
    looks_of_ways,
    order_of,
    relabelled,
)
from noiseproof.report.splitting import Split, splits_of
from noiseproof.report.words import NOTHING_RENAMED, Network, short_noises
from noiseproof.results import (
    Curve,
    Role,
    Row,
    Swept,
    Trace,
    further,
    in_order,
    key_of,
    network_key,
    reach_text,
    stream_key,
    way_of,
    where_of,
)
from noiseproof.specs import Chips, Design, ScoreFacts, parse_stream
from noiseproof.stats import Unit

Names = Mapping[Network, str]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves of one kind of noise, targets, task and design, each with its look. `network` names
    the only one, where there are others on the page; `condition` is what tells the noise and its
    targets from those of other panels; `by_way`: the labels name ways to recalibrate, not networks;
    `rivals` are pairs of networks to compare."""

    curves: tuple[Curve, ...]
    looks: tuple[Look, ...]
    network: str = ""
    condition: str = ""
    by_way: bool = False
    rivals: tuple[tuple[Curve, Curve], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return self.curves[0].family

    @property
    def swept(self) -> Swept:
        """What the points differ in: levels, or times."""
        return self.curves[0].swept

    @property
    def where(self) -> str:
        """What the noise is on."""
        return where_of(self.curves[0].first)

    @property
    def reach(self) -> str:
        """What the noise reaches, of several networks the least."""
        text = reach_text(*(curve.first for curve in self.curves))
        return text[:1].upper() + text[1:]

    @property
    def clean(self) -> Row:
        """A clean row: what its score is holds for all of them."""
        return self.curves[0].clean

    @property
    def facts(self) -> ScoreFacts:
        return self.clean.facts

    @property
    def metric(self) -> str:
        return self.clean.metric

    @property
    def unit(self) -> Unit:
        return self.clean.unit

    @property
    def design(self) -> Design:
        return self.curves[0].points[0].design

    @cached_property
    def is_for_new_images(self) -> bool:
        """Are all intervals of the score for new images too?"""
        return all(point.is_for_new_images for curve in self.curves for point in curve.points)

    @cached_property
    def paces(self) -> list[str]:
        """What decided the number of chips, where it was not fixed beforehand."""
        rows = (row for c in self.curves for point in c.points for row in point.rows)
        return sorted({row.pace for row in rows if row.pace})

    @cached_property
    def alone(self) -> bool:
        """Is the stage that has the level all that happens, so that level 0 means no noise? At 0 s
        devices have been programmed and read."""
        only = len(self.swept.spec.stages) == 1 and not self.curves[0].first.mvm
        return only and not self.swept.is_time

    @cached_property
    def has_hits(self) -> bool:
        """Did all chips see the same images, each right or wrong, as in classification?"""
        return all_have_hits(self.curves)

    @property
    def has_chance(self) -> bool:
        """Is there a share of what lies between chance and the clean score?"""
        stated = self.facts.chance is not None and not self.clean.hits
        return self.has_hits or stated

    @cached_property
    def levels(self) -> list[float | None]:
        """All that were measured, ascending; times in seconds."""
        return in_order({level for curve in self.curves for level in curve.levels})

    @cached_property
    def splits(self) -> list[Split]:
        """The axes on which the curves are drawn: one pair, or small ones for many curves."""
        rows = [curve.first for curve in self.curves]
        clean = [curve.clean for curve in self.curves]
        return splits_of(self.looks, rows, clean, self.renamed)

    @cached_property
    def drawn(self) -> list[Look]:
        """The looks of the curves as they are drawn, in which small panels may differ."""
        found = {
            p: look for one in self.splits for p, look in zip(one.places, one.looks, strict=True)
        }
        return [replace(found[p], label=look.label) for p, look in enumerate(self.looks)]

    @cached_property
    def pairs(self) -> list[tuple[Curve, Curve, Look]]:
        """(nothing done about the noise, something done, its look), of the same network."""
        plain = {network_of(c): c for c in self.curves if not is_remedied(c.first)}
        return [
            (plain[network_of(curve)], curve, look)
            for curve, look in zip(self.curves, self.looks, strict=True)
            if is_remedied(curve.first) and network_of(curve) in plain
        ]

    @cached_property
    def remedies(self) -> list[str]:
        """What is done about the noise, in words."""
        rows = [curve.first for curve in self.curves]
        found = ["recalibration"] if any(row.recalibrate != "off" for row in rows) else []
        return found + (["compensation"] if any(row.compensate for row in rows) else [])

    @cached_property
    def steps(self) -> list[tuple[Curve, Curve, str]]:
        """(one remedy, the same and a second, what the label calls them): what recalibration adds
        to compensation, and compensation to recalibration, of the same network."""
        labelled = list(zip(self.curves, self.looks, strict=True))
        return [
            (before, after, f"{look.label} minus {of_before.label}")
            for after, look in labelled
            for before, of_before in labelled
            if network_of(before) == network_of(after) and is_step(before.first, after.first)
        ]

    @cached_property
    def clean_points(self) -> list[tuple[Row, int]]:
        """The clean row of each network that is its value at level 0, or that all its times are
        compared with, and the place of a curve of the network; none where another stage acts at
        level 0 too, or level 0 was measured."""
        # Another stage, as quantisation, acts at level 0 too: the clean
        # network is no point of the curve.
        if not self.swept.is_time and (not self.alone or self.levels == [None]):
            return []
        measured = {network_of(c) for c in self.curves if self.alone and 0 in c.levels}
        found: dict[Network, tuple[Row, int]] = {}
        for place, curve in enumerate(self.curves):
            if network_of(curve) not in measured:
                found.setdefault(network_of(curve), (curve.clean, place))
        return list(found.values())


@dataclass(frozen=True, kw_only=True)
class StreamPanel:
    """Traces along the same stream of noise, of the same network and windows."""

    traces: tuple[Trace, ...]
    looks: tuple[Look, ...]
    network: str
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Row:
        return self.traces[0].first

    @property
    def unit(self) -> Unit:
        return self.first.unit

    @property
    def clean(self) -> Row | None:
        """The clean network's row; None where nobody measured it."""
        return self.traces[0].clean

    @cached_property
    def off(self) -> Trace | None:
        """The trace with frozen statistics."""
        return next((t for t in self.traces if t.first.recalibrate == "off"), None)

    @cached_property
    def splits(self) -> list[Split]:
        """As of a `Panel`."""
        rows = [trace.first for trace in self.traces]
        return splits_of(self.looks, rows, rows, self.renamed)

    @cached_property
    def length(self) -> int:
        """Images in the stream."""
        return max(t.positions[-1] for t in self.traces) + self.first.images

    @cached_property
    def changes(self) -> list[int]:
        """After how many images the noise changes; none where the stream's text is not known."""
        try:
            every = parse_stream(self.first.stream).every
        except ValueError:
            return []
        # More lines than the figure has pixels would be a grey area.
        return list(range(every, self.length, every)) if self.length // every < 1000 else []


def network_of(curve: Curve) -> Network:
    """What tells one network on one test set from all others."""
    return network_key(curve.clean)


def clean_rows(curves: Sequence[Curve], traces: Sequence[Trace]) -> dict[Network, Row]:
    """The clean row of each network; a row of a stream where there is no clean one."""
    found = {network_key(trace.first): trace.clean or trace.first for trace in traces}
    clean = {network_of(curve): curve.clean for curve in curves}
    return clean | {network: row for network, row in found.items() if network not in clean}


def all_have_hits(curves: Sequence[Curve]) -> bool:
    """Did all chips see the same images, each right or wrong, as in classification?"""
    if any(not isinstance(point.design, Chips) for c in curves for point in c.points):
        return False
    rows = [row for curve in curves for point in curve.points for row in (*point.rows, point.clean)]
    return all(row.hits for row in rows)


def panels_of(
    curves: Sequence[Curve], names: Names, renamed: Mapping[str, str] = NOTHING_RENAMED
) -> list[Panel]:
    """The curves by task and all that happens to their chips, in the order in which they come;
    networks apart where one of them is recalibrated in several ways. `renamed`: labels of one's
    own, by label."""
    groups: dict[tuple[object, ...], list[Curve]] = {}
    for curve in curves:
        same = key_of(curve.first, Role.CONDITION, without=("noise",))
        # All conditions but the level, which is in `noise`: its kind is in the family.
        place = (curve.family, curve.clean.task, curve.clean.score_is, *same)
        groups.setdefault(place, []).append(curve)
    conditions = _conditions([group[0] for group in groups.values()])
    found = []
    for condition, group in zip(conditions, groups.values(), strict=True):
        for panel in _panels(group, names, curves):
            found.append(replace(panel, condition=renamed.get(condition, condition)))
    return [_relabelled(panel, renamed) for panel in found]


def _panels(curves: Sequence[Curve], names: Names, every: Sequence[Curve]) -> list[Panel]:
    """`every`: all curves of the page, so that a line looks the same in all of its panels."""
    networks: dict[Network, list[Curve]] = {}
    for curve in curves:
        networks.setdefault(network_of(curve), []).append(curve)
    against = tuple(rivals(curves))
    counts = [sum(is_remedied(c.first) for c in part) for part in networks.values()]
    # At most one way for each network: colour tells networks, dashes say recalibrated. Otherwise
    # colour is needed for the ways, and networks get a panel each.
    if max(counts) < 2 and (len(names) > 1 or len(curves) == 1):
        places = {network: place for place, network in enumerate(names)}
        looks = looks_of_networks(
            [curve.first for curve in curves],
            [names[network_of(curve)] for curve in curves],
            [places[network_of(curve)] for curve in curves],
        )
        looks = _told_apart(looks, [curve.first for curve in curves])
        return [Panel(curves=tuple(curves), looks=tuple(looks), rivals=against)]
    found = []
    for network, part in networks.items():
        ordered = sorted(part, key=lambda curve: order_of(curve.first))
        looks = _looks_of_ways([c.first for c in ordered], [c.first for c in every])
        name = names[network] if len(names) > 1 else ""
        found.append(Panel(curves=tuple(ordered), looks=tuple(looks), network=name, by_way=True))
    # Networks are compared once, under the last of their panels.
    return [*found[:-1], replace(found[-1], rivals=against)]


def stream_panels_of(
    traces: Sequence[Trace], names: Names, renamed: Mapping[str, str] = NOTHING_RENAMED
) -> list[StreamPanel]:
    """The traces by stream, network and window, in the order in which they come. Left out: traces
    of which no chip was followed to the end."""
    groups: dict[tuple[object, ...], list[Trace]] = {}
    for trace in traces:
        if trace.chips:
            groups.setdefault((stream_key(trace.first), trace.first.images), []).append(trace)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda trace: order_of(trace.first))
        looks = _looks_of_ways([t.first for t in ordered], [t.first for t in traces])
        name = names[network_key(ordered[0].first)]
        found.append(StreamPanel(traces=tuple(ordered), looks=tuple(looks), network=name))
    return [_relabelled(panel, renamed) for panel in found]


def _looks_of_ways(rows: Sequence[Row], every: Sequence[Row]) -> list[Look]:
    """The looks of these ways among `every` way of the page."""
    ways = {key_of(row, Role.REMEDY): row for row in (*every, *rows)}
    looks = looks_of_ways(list(ways.values()), [way_of(row) for row in ways.values()])
    by_way = dict(zip(ways, looks, strict=True))
    return _told_apart([by_way[key_of(row, Role.REMEDY)] for row in rows], rows)


def _told_apart(looks: Sequence[Look], rows: Sequence[Row]) -> list[Look]:
    """Where labels are alike, the calibration images tell them apart."""
    counts = Counter(look.label for look in looks)
    return [
        # Two draws of calibration images under one estimator differ in nothing else.
        replace(look, label=f"{look.label}, calibration {row.calibration_sha256[:6]}")
        if counts[look.label] > 1
        else look
        for row, look in zip(rows, looks, strict=True)
    ]


def _conditions(firsts: Sequence[Curve]) -> list[str]:
    """For each panel what tells its chips' lot from those of the others, in few words."""
    noises = short_noises(curve.swept.spec for curve in firsts)
    rows = [curve.first for curve in firsts]
    later = dict.fromkeys(name for row in rows for name in further(row, Role.CONDITION))
    words = [
        (
            noises.get(curve.family, curve.family),
            row.targets,
            row.hardware and f"hardware {row.hardware}",
            *(_later_words(row, name) for name in later),
            "" if row.design == "chips" else row.design,
            row.task,
        )
        for curve, row in zip(firsts, rows, strict=True)
    ]
    differ = [len(set(column)) > 1 for column in zip(*words, strict=True)]
    return [
        ", ".join(word for word, tells in zip(one, differ, strict=True) if tells and word)
        for one in words
    ]


def _later_words(row: Row, name: str) -> str:
    """What a later axis says, where it differs."""
    value = getattr(row, name)
    return f"{name} {value}" if value else {"mvm": "exact products"}.get(name, "")


AnyPanel = TypeVar("AnyPanel", Panel, StreamPanel)


def _relabelled(panel: AnyPanel, renamed: Mapping[str, str]) -> AnyPanel:
    """The panel with labels of one's own: of whole labels, of networks, or of ways within them."""
    looks = tuple(relabelled(look, renamed) for look in panel.looks)
    return replace(panel, looks=looks, renamed=renamed)


def rivals(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """(first, other) curves of different networks on the same test images, none recalibrated."""
    plain = [curve for curve in curves if not is_remedied(curve.first)]
    return [
        (plain[0], other)
        for other in plain[1:]
        # On other images the difference would be that of the images too.
        if other.clean.data_sha256 == plain[0].clean.data_sha256
    ]
