"""How a line looks: one colour and marker for a network where each has at most one way to
recalibrate, else one for each way, shades of one hue for ways of one kind; dashed where drift is
compensated."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from noiseproof.results import Role, Row, further, key_of, way_of

# Okabe and Ito 2008: told apart by colour-blind readers, in print and on screen.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
OFF = "#000000"
KINDS = {  # one hue for a kind of estimator, the same in all figures
    "pooled": "#0072B2",
    "layerwise": "#D55E00",
    "blend": "#009E73",
    "match": "#CC79A7",
    "ema": "#E69F00",
    "batch": "#666666",
}
OTHER = "#56B4E9"
COMPENSATE = "compensate"
DASHES = ("solid", "dash", "dashdot", "longdash")
SHADES = 5  # of one hue; more than these cannot be told apart
# Five, and seven colours: 35 networks before both come again together.
MARKERS = ("circle", "square", "diamond", "triangle-up", "x")


@dataclass(frozen=True, kw_only=True)
class Look:
    """A line's label and style; `dash` and `marker` are words of plotly's. `is_open`: its markers
    are rings, so that it is seen where it lies on another line."""

    label: str
    colour: str
    dash: str = "solid"
    marker: str = "circle"
    is_open: bool = False
    kind: str = ""  # of the estimator; "" without recalibration
    network: str = ""  # that the label begins with; "" where it names a way alone
    way: str = ""  # to recalibrate, where the label begins with a network


def is_remedied(row: Row) -> bool:
    """Is anything done about the noise?"""
    return row.recalibrate != "off" or bool(further(row, Role.REMEDY))


def is_step(before: Row, after: Row) -> bool:
    """Is the second what the first is, with one remedy more: recalibration or compensation?"""
    ours, theirs = _remedies(before), _remedies(after)
    return bool(ours) and len(theirs) > len(ours) and ours.items() <= theirs.items()


def _remedies(row: Row) -> dict[str, object]:
    """What is done about the noise, by axis, the calibration images beside the estimator."""
    found: dict[str, object] = dict(further(row, Role.REMEDY))
    if row.recalibrate != "off":
        found["recalibrate"] = (row.recalibrate, row.calibration, row.calibration_sha256)
    return found


def kind_of(row: Row) -> str:
    """The estimator's name without its values, or what a later axis does beside it; "" for none.
    Compensation is no kind: it goes with all of them, and a dash says it."""
    own = "" if row.recalibrate == "off" else row.recalibrate.split("(", 1)[0]
    later = [name for name in further(row, Role.REMEDY) if name != COMPENSATE]
    return " ".join([own, *later]).strip()


def order_of(row: Row) -> tuple[int, str, list[float], str]:
    """Sorts ways for legends and tables: off first, then by kind, then by size; without
    compensation first."""
    kind, known = kind_of(row), ["", *KINDS]
    # As numbers, since pooled(1000) would come before pooled(64) as a text.
    sizes = [float(number) for number in re.findall(r"\d{1,18}(?:\.\d{1,18})?", row.recalibrate)]
    return (known.index(kind) if kind in known else len(known), kind, sizes, row.compensate)


def looks_of_ways(rows: Sequence[Row], labels: Sequence[str]) -> list[Look]:
    """One look for each row's way to recalibrate: off black; the others by kind, from light to dark
    in the order of `order_of`; dotted where the way sees test images, else dashed where drift is
    compensated, whose markers are rings: recalibration may come to the same without it."""
    kinds: dict[str, dict[tuple[object, ...], list[int]]] = {}
    for place in sorted(range(len(rows)), key=lambda place: order_of(rows[place])):
        # Ways that differ in compensation alone have one colour.
        way = key_of(rows[place], Role.REMEDY, without=(COMPENSATE,))
        kinds.setdefault(kind_of(rows[place]), {}).setdefault(way, []).append(place)
    means = sorted({row.compensate for row in rows} - {""})
    found: dict[int, Look] = {}
    for number, (kind, ways) in enumerate(kinds.items()):
        for step, places in enumerate(ways.values()):
            hue = _shade(KINDS.get(kind, OTHER), step % SHADES, min(SHADES, len(ways)))
            for place in places:
                row = rows[place]
                further_on = 1 + means.index(row.compensate) if row.compensate else 0
                # Dotted is kept for ways that see test images: a reader must not miss these. Beyond
                # SHADES of them a kind goes on with its first shade in another dash.
                dash = DASHES[(step // SHADES + further_on) % len(DASHES)]
                found[place] = Look(
                    label=labels[place],
                    colour=hue if kind else OFF,
                    dash="dot" if row.calibration == "test" else dash,
                    marker=MARKERS[(number + step) % len(MARKERS)],
                    is_open=further_on > 0,
                    kind=kind,
                )
    return [found[place] for place in range(len(rows))]


def looks_of_networks(
    rows: Sequence[Row], names: Sequence[str], places: Sequence[int]
) -> list[Look]:
    """One look for each row, in the hue of its network, whose name and place among all are given;
    dashed where it is recalibrated."""
    return [
        Look(
            label=way_label(row, name),
            colour=COLOURS[place % len(COLOURS)],
            dash="dash" if is_remedied(row) else "solid",
            marker=MARKERS[place % len(MARKERS)],
            is_open=bool(row.compensate),
            kind=kind_of(row),
            network=name,
            way=way_of(row),
        )
        for row, name, place in zip(rows, names, places, strict=True)
    ]


def way_label(row: Row, name: str = "") -> str:
    """What the legend calls a line: the network's name, where that is needed, and the way."""
    if not name:
        return way_of(row)
    return f"{name}, {way_of(row)}" if is_remedied(row) else name


def relabelled(look: Look, renamed: Mapping[str, str]) -> Look:
    """The look with a label of one's own: of the whole, or of the way behind the network's name,
    which is renamed already."""
    way = renamed.get(look.way, look.way)
    # The name alone where nothing is done about the noise.
    both = look.network and look.label != look.network
    label = f"{look.network}, {way}" if both else look.label
    return replace(look, way=way, label=renamed.get(look.label, label))


def _shade(colour: str, step: int, count: int) -> str:
    """Shade `step` of `count` of one hue, from light to dark; the hue itself where it is alone."""
    # Shares of the way to white (negative) and to black.
    light, dark = (-0.62, 0.3) if count > 2 else (-0.4, 0.2)
    place = 0.0 if count == 1 else light + (dark - light) * step / (count - 1)
    target = 255 if place < 0 else 0
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (target - p) * abs(place)):02X}" for p in parts)
