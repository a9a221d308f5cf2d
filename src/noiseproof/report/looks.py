"""How a line looks: one colour for a network where each has at most one way to recalibrate, else
one for each way, shades of one hue for ways of one kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from noiseproof.results import Role, Row, further, way_of

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
DASHES = ("solid", "dash", "dashdot", "longdash")
SHADES = 5  # of one hue; more than these cannot be told apart


@dataclass(frozen=True, kw_only=True)
class Look:
    """A line's label and style; `dash` is a word of plotly's: solid, dash, dot, dashdot."""

    label: str
    colour: str
    dash: str = "solid"
    kind: str = ""  # of the estimator; "" without recalibration


def kind_of(row: Row) -> str:
    """The estimator's name without its values, or what a later axis does beside it; "" for none."""
    own = "" if row.recalibrate == "off" else row.recalibrate.split("(", 1)[0]
    return " ".join([own, *further(row, Role.REMEDY)]).strip()


def order_of(row: Row) -> tuple[int, str, list[float]]:
    """Sorts ways for legends and tables: off first, then by kind, then by size."""
    kind, known = kind_of(row), ["", *KINDS]
    # As numbers, since pooled(1000) would come before pooled(64) as a text.
    sizes = [float(number) for number in re.findall(r"\d{1,18}(?:\.\d{1,18})?", row.recalibrate)]
    return (known.index(kind) if kind in known else len(known), kind, sizes)


def looks_of_ways(rows: Sequence[Row], labels: Sequence[str]) -> list[Look]:
    """One look for each row's way to recalibrate: off black; the others by kind, from light to dark
    in the order of `order_of`; dotted where the way sees test images."""
    kinds: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: order_of(rows[place])):
        kinds.setdefault(kind_of(rows[place]), []).append(place)
    found: dict[int, Look] = {}
    for kind, places in kinds.items():
        for step, place in enumerate(places):
            within = step % SHADES
            count = min(SHADES, len(places))
            # Dotted is kept for ways that see test images: a reader must not miss these. Beyond
            # SHADES of them a kind goes on with its first shade in another dash.
            dash = "dot" if rows[place].calibration == "test" else DASHES[step // SHADES % 4]
            hue = _shade(KINDS.get(kind, OTHER), within, count) if kind else OFF
            found[place] = Look(label=labels[place], colour=hue, dash=dash, kind=kind)
    return [found[place] for place in range(len(rows))]


def looks_of_networks(
    rows: Sequence[Row], labels: Sequence[str], hues: Sequence[str]
) -> list[Look]:
    """One look for each row, in the hue of its network; dashed where it is recalibrated."""
    return [
        Look(label=label, colour=hue, dash="dash" if kind_of(row) else "solid", kind=kind_of(row))
        for row, label, hue in zip(rows, labels, hues, strict=True)
    ]


def way_label(row: Row, name: str = "") -> str:
    """What the legend calls a line: the network's name, where that is needed, and the way."""
    if not name:
        return way_of(row)
    return name if not kind_of(row) else f"{name}, {way_of(row)}"


def _shade(colour: str, step: int, count: int) -> str:
    """Shade `step` of `count` of one hue, from light to dark; the hue itself where it is alone."""
    # Shares of the way to white (negative) and to black.
    light, dark = (-0.62, 0.3) if count > 2 else (-0.4, 0.2)
    place = 0.0 if count == 1 else light + (dark - light) * step / (count - 1)
    target = 255 if place < 0 else 0
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (target - p) * abs(place)):02X}" for p in parts)
