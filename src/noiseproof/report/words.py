"""The words that the page and the paper figure share."""

from collections.abc import Iterable, Mapping

from noiseproof.results import Role, Row, further, network_key

Network = tuple[str, ...]


def short_names(rows: Iterable[Row]) -> dict[Network, str]:
    """For each network the shortest name that tells it from the others: from model and norm to all
    that names it. `rows` are clean rows, or others where there are none."""
    found = {network_key(row): row for row in rows}
    known = "{r.model} {r.norm} ({r.checkpoint:.6})"
    # A norm alone names one among several, but says nothing of a single network.
    forms = ["{r.norm}"] if len(found) > 1 else []
    forms += ["{r.model} {r.norm}", "{r.model} {r.norm} on {r.data}", known]
    forms += [known + ", {r.data}, {r.images} images"]
    forms += [forms[-1] + ", scale {r.scale}", forms[-1] + ", scale {r.scale}, {r.data_sha256:.6}"]
    forms += [forms[-1] + ", {r.task}", forms[-1] + ", {r.task}, {later}"]
    for form in forms:
        names = {
            network: form.format(r=row, later=_said(further(row, Role.NETWORK)))
            for network, row in found.items()
        }
        # The shortest form that tells all of them apart, not each: so their names stay alike.
        if len(set(names.values())) == len(names):
            break
    return names


def _said(axes: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in axes.items())


def title_of(metrics: Iterable[str]) -> str:
    """What the page is about."""
    found = sorted(set(metrics))
    name = found[0] if len(found) == 1 else "score"
    return f"{name[0].upper()}{name[1:]}" if name in ("accuracy", "score") else name


def level_text(level: float | None, *, alone: bool) -> str:
    """A level as a table's head and an axis' tick say it; level 0 is `no noise` where the stage
    that has the level is `alone`."""
    if level is None:
        return "no level"
    if level == 0:
        return "no noise" if alone else "level 0"
    return f"level {level:g}"


def origin_of(row: Row) -> str:
    """Where the images come from that the recalibration sees."""
    known = {"": "train" if row.calibration_sha256 else "-", "test": "sees test images"}
    if row.recalibrate == "off":
        return "-"
    return known.get(row.calibration, row.calibration)


def count_text(counts: Iterable[int]) -> str:
    """`25`, or `10 to 25`."""
    found = sorted(set(counts))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
