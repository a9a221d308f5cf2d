"""Many curves on one pair of axes are read by nobody: small axes side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from noiseproof.report.looks import COLOURS, MARKERS, Look, looks_of_ways
from noiseproof.report.words import (
    HASHES,
    NOTHING_RENAMED,
    SHORTEST,
    Network,
    name_parts,
    short_names,
)
from noiseproof.results import Role, Row, key_of, network_key, way_of

CROWD = 6  # more lines than these on one pair of axes need other means


@dataclass(frozen=True, kw_only=True)
class Split:
    """One pair of axes of a panel: the places of its lines and their looks here, and the places of
    the others, which stand pale behind them. `title`: "" where it has all lines."""

    title: str
    places: tuple[int, ...]
    looks: tuple[Look, ...]
    behind: tuple[int, ...] = ()


def splits_of(
    looks: Sequence[Look],
    rows: Sequence[Row],
    clean: Sequence[Row],
    renamed: Mapping[str, str] = NOTHING_RENAMED,
) -> list[Split]:
    """All lines together where they are few; else a pair of axes for each kind of recalibration of
    a network, for each model (or data set, ...) where norms repeat in all of them, or for each
    network.

    - `rows`: one of each line.
    - `clean`: that of each line's network.
    - `renamed`: words of one's own for parts of names.
    """
    everything = Split(title="", places=tuple(range(len(looks))), looks=tuple(looks))
    if len(looks) <= CROWD:
        return [everything]
    networks = {network_key(row): row for row in clean}
    if len(networks) == 1:
        return _by_kind(looks) or [everything]
    keys = [network_key(row) for row in clean]
    return _grid(looks, keys, networks, renamed) or _alone(looks, rows, keys, _in_order(networks))


def _by_kind(looks: Sequence[Look]) -> list[Split]:
    """One for each kind of way, without recalibration in all of them; nothing for one kind."""
    kinds = dict.fromkeys(look.kind for look in looks if look.kind)
    # Ways of one kind are shades of one hue and would stay together anyway.
    if len(kinds) < 2:
        return []
    return [
        _picked(kind, looks, [i for i, look in enumerate(looks) if look.kind in ("", kind)])
        for kind in kinds
    ]


def _grid(
    looks: Sequence[Look],
    keys: Sequence[Network],
    networks: dict[Network, Row],
    renamed: Mapping[str, str],
) -> list[Split]:
    """Where two things name the networks, as model and norm: one for each value of the first, the
    second by colour; nothing where values do not repeat."""
    parts = dict(zip(networks, name_parts(networks.values()), strict=True))
    named = {part for one in parts.values() for part in one}
    names = short_names(networks.values(), renamed).values()
    # Whole names of one's own tell no parts.
    if len(named) != 2 or named & set(HASHES) or any(look.network not in names for look in looks):
        return []
    inner, outer = sorted(named, key=lambda part: (*SHORTEST, part).index(part))
    titles = list(dict.fromkeys(one[outer] for one in parts.values()))
    inside = list(dict.fromkeys(one[inner] for one in parts.values()))
    whole = len(titles) * len(inside) == len(parts)
    if not whole or len(inside) > CROWD or min(len(titles), len(inside)) < 2:
        return []
    found = []
    for title in titles:
        places = [i for i, key in enumerate(keys) if parts[key][outer] == title]
        shown = []
        for look, key in ((looks[place], keys[place]) for place in places):
            part = parts[key][inner]
            label = renamed.get(part, part) + look.label.removeprefix(look.network)
            shown.append(_like(look, label, inside.index(part)))
        name = renamed.get(title, title)
        found.append(Split(title=name, places=tuple(places), looks=tuple(shown)))
    return found


def _alone(
    looks: Sequence[Look], rows: Sequence[Row], keys: Sequence[Network], order: Sequence[Network]
) -> list[Split]:
    """One for each network in `order`, all the others pale behind it."""
    ways = {key_of(row, Role.REMEDY): row for row in rows}
    styles = looks_of_ways(list(ways.values()), [way_of(row) for row in ways.values()])
    by_way = dict(zip(ways, styles, strict=True))
    found = []
    for network in order:
        places = [i for i, key in enumerate(keys) if key == network]
        shown = [by_way[key_of(rows[place], Role.REMEDY)] for place in places]
        shown = [
            replace(
                look, label=looks[place].way, colour=COLOURS[0] if len(ways) == 1 else look.colour
            )
            for look, place in zip(shown, places, strict=True)
        ]
        behind = tuple(i for i in range(len(rows)) if i not in places)
        title = looks[places[0]].network or looks[places[0]].label
        split = Split(title=title, places=tuple(places), looks=tuple(shown), behind=behind)
        found.append(split)
    return found


def _in_order(networks: dict[Network, Row]) -> list[Network]:
    """As they come, but those beside each other that only hashes tell apart."""
    parts = name_parts(networks.values())
    known = [tuple(v for k, v in one.items() if k not in HASHES) for one in parts]
    by_place = sorted(zip(networks, known, strict=True), key=lambda one: known.index(one[1]))
    return [network for network, _ in by_place]


def _picked(title: str, looks: Sequence[Look], places: Sequence[int]) -> Split:
    shown = tuple(looks[place] for place in places)
    return Split(title=title, places=tuple(places), looks=shown)


def _like(look: Look, label: str, place: int) -> Look:
    """The same in the colour of another place."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    return replace(look, label=label, colour=colour, marker=marker)
