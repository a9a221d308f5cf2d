"""What shares an axis: curves under the same kind of noise, traces along the same stream."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from noiseproof.report.looks import (
    COLOURS,
    Look,
    kind_of,
    looks_of_networks,
    looks_of_ways,
    order_of,
    way_label,
)
from noiseproof.report.words import Network
from noiseproof.results import Curve, Role, Row, Trace, key_of, network_key, stream_key, where_of
from noiseproof.specs import Chips, Design, parse, parse_stream
from noiseproof.stats import Unit, unit_of

Names = Mapping[Network, str]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves of one kind of noise, targets, task and design, each with its look. `network` names
    the only one, where there are others on the page; `by_way`: the labels name ways to recalibrate,
    not networks; `rivals` are pairs of networks to compare."""

    curves: tuple[Curve, ...]
    looks: tuple[Look, ...]
    network: str = ""
    by_way: bool = False
    rivals: tuple[tuple[Curve, Curve], ...] = ()

    @property
    def family(self) -> str:
        return self.curves[0].family

    @property
    def where(self) -> str:
        """What the noise is on."""
        return where_of(self.curves[0].first)

    @property
    def metric(self) -> str:
        return self.curves[0].points[0].metric

    @property
    def unit(self) -> Unit:
        return unit_of(self.metric)

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
        """Is the stage that has the level the only one, so that level 0 means no noise?"""
        return len(parse(self.curves[0].first.noise).stages) == 1

    @cached_property
    def has_hits(self) -> bool:
        """Did all chips see the same images, each right or wrong, as in classification?"""
        return all_have_hits(self.curves)

    @cached_property
    def levels(self) -> list[float | None]:
        """All that were measured, ascending."""
        found = {level for curve in self.curves for level in curve.levels}
        # Levels are never negative; None cannot be compared with them.
        return sorted(found, key=lambda level: -1 if level is None else level)

    @cached_property
    def pairs(self) -> list[tuple[Curve, Curve, Look]]:
        """(not recalibrated, recalibrated, its look), of the same network."""
        plain = {network_of(c): c for c in self.curves if not kind_of(c.first)}
        return [
            (plain[network_of(curve)], curve, look)
            for curve, look in zip(self.curves, self.looks, strict=True)
            if kind_of(curve.first) and network_of(curve) in plain
        ]

    @cached_property
    def clean_points(self) -> list[tuple[Row, Look]]:
        """The clean row of each network that is its value at level 0, with a look of the network;
        none where another stage acts at level 0 too, or level 0 was measured."""
        # Another stage, as quantisation, acts at level 0 too: the clean
        # network is no point of the curve.
        if not self.alone or self.levels == [None]:
            return []
        measured = {network_of(curve) for curve in self.curves if 0 in curve.levels}
        found: dict[Network, tuple[Row, Look]] = {}
        for curve, look in zip(self.curves, self.looks, strict=True):
            if network_of(curve) not in measured:
                found.setdefault(network_of(curve), (curve.clean, look))
        return list(found.values())


@dataclass(frozen=True, kw_only=True)
class StreamPanel:
    """Traces along the same stream of noise, of the same network and windows."""

    traces: tuple[Trace, ...]
    looks: tuple[Look, ...]
    network: str

    @property
    def first(self) -> Row:
        return self.traces[0].first

    @property
    def unit(self) -> Unit:
        return unit_of(self.traces[0].metric)

    @cached_property
    def off(self) -> Trace | None:
        """The trace with frozen statistics."""
        return next((t for t in self.traces if t.first.recalibrate == "off"), None)

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
    found = {network_key(trace.first): trace.first for trace in traces}
    clean = {network_of(curve): curve.clean for curve in curves}
    return clean | {network: row for network, row in found.items() if network not in clean}


def all_have_hits(curves: Sequence[Curve]) -> bool:
    """Did all chips see the same images, each right or wrong, as in classification?"""
    if any(not isinstance(point.design, Chips) for c in curves for point in c.points):
        return False
    rows = [row for curve in curves for point in curve.points for row in (*point.rows, point.clean)]
    return all(row.hits for row in rows)


def panels_of(curves: Sequence[Curve], names: Names) -> list[Panel]:
    """The curves by task and all that happens to their chips, in the order in which they come;
    networks apart where one of them is recalibrated in several ways."""
    groups: dict[tuple[object, ...], list[Curve]] = {}
    for curve in curves:
        same = key_of(curve.first, Role.CONDITION, without=("noise",))
        # All conditions but the level, which is in `noise`: its kind is in the family.
        place = (curve.family, curve.clean.task, *same)
        groups.setdefault(place, []).append(curve)
    return [panel for group in groups.values() for panel in _panels(group, names)]


def _panels(curves: Sequence[Curve], names: Names) -> list[Panel]:
    networks: dict[Network, list[Curve]] = {}
    for curve in curves:
        networks.setdefault(network_of(curve), []).append(curve)
    against = tuple(rivals(curves))
    # At most one way for each network: colour tells networks, dashes say recalibrated. Otherwise
    # colour is needed for the ways, and networks get a panel each.
    if max(sum(bool(kind_of(c.first)) for c in part) for part in networks.values()) < 2:
        # By all names on the page, so that a network has one colour in all of its panels.
        hues = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
        rows = [curve.first for curve in curves]
        labels = _labels(rows, [names[network_of(curve)] for curve in curves])
        looks = looks_of_networks(rows, labels, [hues[network_of(curve)] for curve in curves])
        return [Panel(curves=tuple(curves), looks=tuple(looks), rivals=against)]
    found = []
    for network, part in networks.items():
        ordered = sorted(part, key=lambda curve: order_of(curve.first))
        rows = [curve.first for curve in ordered]
        looks = looks_of_ways(rows, _labels(rows, [""] * len(rows)))
        name = names[network] if len(names) > 1 else ""
        panel = Panel(curves=tuple(ordered), looks=tuple(looks), network=name, by_way=True)
        found.append(panel)
    # Networks are compared once, under the last of their panels.
    return [*found[:-1], replace(found[-1], rivals=against)]


def stream_panels_of(traces: Sequence[Trace], names: Names) -> list[StreamPanel]:
    """The traces by stream, network and window, in the order in which they come. Left out: traces
    of which no chip was followed to the end."""
    groups: dict[tuple[object, ...], list[Trace]] = {}
    for trace in traces:
        if trace.chips:
            groups.setdefault((stream_key(trace.first), trace.first.images), []).append(trace)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda trace: order_of(trace.first))
        rows = [trace.first for trace in ordered]
        looks = looks_of_ways(rows, _labels(rows, [""] * len(rows)))
        name = names[network_key(rows[0])]
        found.append(StreamPanel(traces=tuple(ordered), looks=tuple(looks), network=name))
    return found


def _labels(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """What the legend calls each row's line; the calibration images tell equal ones apart."""
    labels = [way_label(row, name) for row, name in zip(rows, names, strict=True)]
    counts = Counter(labels)
    return [
        # Two draws of calibration images under one estimator differ in nothing else.
        f"{label}, calibration {row.calibration_sha256[:6]}" if counts[label] > 1 else label
        for row, label in zip(rows, labels, strict=True)
    ]


def rivals(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """(first, other) curves of different networks on the same test images, none recalibrated."""
    plain = [curve for curve in curves if not kind_of(curve.first)]
    return [
        (plain[0], other)
        for other in plain[1:]
        # On other images the difference would be that of the images too.
        if other.clean.data_sha256 == plain[0].clean.data_sha256
    ]
