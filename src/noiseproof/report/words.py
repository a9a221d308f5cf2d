"""The words and colours that the page and the paper figure share."""

from collections.abc import Sequence

from noiseproof.curves import Curve, network_key
from noiseproof.spec import Additive, parse

# Okabe and Ito 2008: told apart by colour-blind readers, in print and on screen.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def panel_key(curve: Curve) -> tuple[str, str]:
    """Curves that share an axis: the same kind of noise on the same targets."""
    return (curve.family, curve.first.targets)


def panels(curves: Sequence[Curve]) -> dict[tuple[str, str], list[Curve]]:
    """The curves by panel, in the order in which they come."""
    found: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        found.setdefault(panel_key(curve), []).append(curve)
    return found


Network = tuple[str, ...]


def network_of(curve: Curve) -> Network:
    """What tells one network on one test set from all others."""
    return network_key(curve.clean)


def short_names(curves: Sequence[Curve]) -> dict[Network, str]:
    """For each network the shortest name that tells it from the others: from model and norm to all
    that names it."""
    rows = {network_of(curve): curve.clean for curve in curves}
    known = "{r.model} {r.norm} ({r.checkpoint:.6})"
    forms = ["{r.norm}"] if len(rows) > 1 else []
    forms += ["{r.model} {r.norm}", known, known + ", {r.data}, {r.images} images"]
    forms += [forms[-1] + ", scale {r.scale}", forms[-1] + ", scale {r.scale}, {r.data_sha256:.6}"]
    for form in forms:
        names = {network: form.format(r=row) for network, row in rows.items()}
        if len(set(names.values())) == len(names):
            break
    return names


def colours(curves: Sequence[Curve]) -> dict[Network, str]:
    """One colour for each network, the same in all figures."""
    networks = dict.fromkeys(network_of(curve) for curve in curves)
    return {network: COLOURS[place % len(COLOURS)] for place, network in enumerate(networks)}


def curve_label(curve: Curve, names: dict[Network, str]) -> str:
    """What the legend calls a curve."""
    count = curve.first.recalibrate
    return names[network_of(curve)] + (f", recalibrated ({count})" if count else "")


def level_axis(family: str) -> str:
    """The label of the level axis, with what the level is relative to."""
    stages = [stage for stage in parse(family.replace("(level", "(0")).stages if stage.swept]
    if not stages:
        return "no level"
    last = ([stage for stage in stages if stage.is_eta] or stages)[-1]
    if isinstance(last, Additive):
        if last.reference == "absolute":
            return "noise level (sigma, in units of the weights)"
        return f"noise level (sigma / {last.reference} per {last.scope})"
    return "noise level (sigma of log weight)" if last.is_eta else "probability stuck"


def clean_points(curves: Sequence[Curve]) -> list[Curve]:
    """One curve of each network whose clean accuracy is the curve's value at level 0; none where
    another stage acts at level 0 too."""
    alone = [curve for curve in curves if len(parse(curve.first.noise).stages) == 1]
    measured = [c for c in alone if 0 not in c.levels and c.levels != (None,)]
    return list({network_of(curve): curve for curve in reversed(measured)}.values())


def rivals(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """(first, other) curves of different networks on the same test images, none recalibrated."""
    plain = [curve for curve in curves if not curve.first.recalibrate]
    return [
        (plain[0], other)
        for other in plain[1:]
        if other.clean.data_sha256 == plain[0].clean.data_sha256
    ]


def pairs(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """(not recalibrated, recalibrated) curves of the same network under the same noise."""
    plain = {(network_of(c), panel_key(c)): c for c in curves if not c.first.recalibrate}
    return [
        (plain[network_of(c), panel_key(c)], c)
        for c in curves
        if c.first.recalibrate and (network_of(c), panel_key(c)) in plain
    ]
