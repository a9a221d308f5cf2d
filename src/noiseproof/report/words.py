"""The words that the page and the paper figure share."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from types import MappingProxyType

from noiseproof.results import Role, Row, further, named, network_key
from noiseproof.specs import PIXEL_SCALES, Additive, Spec, parse_pixel_scale

Network = tuple[str, ...]
NOTHING_RENAMED: Mapping[str, str] = MappingProxyType({})
SHORTEST = ("norm", "model", "data", "task", "images", "scale")
HASHES = {"checkpoint": "weights", "data_sha256": "data", "computes": "code"}
"""What tells networks apart where nothing else does, since it says nothing to a reader."""


def short_names(
    rows: Iterable[Row], renamed: Mapping[str, str] = NOTHING_RENAMED
) -> dict[Network, str]:
    """For each network the shortest name that tells it from the others: norm before model, data and
    pixel scale, hashes only where nothing else differs; model and norm where it is alone. `rows`
    are clean rows, or others where there are none; `renamed`: words of one's own for parts."""
    found = {network_key(row): row for row in rows}
    if len(found) == 1:
        return {network: f"{row.model} {row.norm}" for network, row in found.items()}
    parts = [
        {part: renamed.get(text, text) for part, text in said.items()}
        for said in name_parts(found.values())
    ]
    names = {
        network: _joined({part: text for part, text in said.items() if part not in HASHES})
        for network, said in zip(found, parts, strict=True)
    }
    for place in range(1, len(HASHES) + 1):
        alike = Counter(names.values())
        # Only names that are still alike get a hash, which says nothing to a reader.
        for network, said in zip(found, parts, strict=True):
            if alike[names[network]] > 1 or not names[network]:
                shown = {k: v for k, v in said.items() if k not in list(HASHES)[place:]}
                names[network] = _joined(shown)
    return names


def name_parts(rows: Iterable[Row]) -> list[dict[str, str]]:
    """What tells each of these networks from the others, in the order in which a name says it: the
    fewest parts that a reader knows, and where these do not do, all hashes that differ."""
    said = [_parts(row) for row in rows]
    differ = [part for part in said[0] if len({one[part] for one in said}) > 1]
    known = [part for part in differ if part not in HASHES]
    most = len({tuple(one[part] for part in known) for one in said})
    chosen = next(
        some
        for count in range(len(known) + 1)
        for some in combinations(sorted(known, key=_effort), count)
        if len({tuple(one[part] for part in some) for one in said}) == most
    )
    # A hash differs with almost anything else, and then tells nothing more.
    hashes = [part for part in differ if part in HASHES] if most < len(said) else []
    return [{k: v for k, v in one.items() if k in (*chosen, *hashes)} for one in said]


def _parts(row: Row) -> dict[str, str]:
    """All that names the network of a row, in short; the hashes last."""
    later = further(row, Role.NETWORK)
    said = {
        "model": row.model,
        "norm": row.norm,
        "data": row.data,
        "images": f"{row.images:,} images",
        "scale": f"scale {scale_name(row.scale)}",
        "task": row.task,
    }
    for name in named(row, Role.NETWORK):
        if name not in (*said, *HASHES):
            said[name] = f"{name} {later[name]}" if name in later else ""
    for name, word in HASHES.items():
        said[name] = f"{word} {str(getattr(row, name, ''))[:6]}"
    return said


def _effort(part: str) -> int:
    return SHORTEST.index(part) if part in SHORTEST else len(SHORTEST)


def _joined(parts: Mapping[str, str]) -> str:
    """`resnet8 batch on digits, 400 images`."""
    named = " ".join(parts[part] for part in ("model", "norm") if part in parts)
    rest = [text for part, text in parts.items() if part not in ("model", "norm") and text]
    if named and "data" in parts:
        named = f"{named} on {rest.pop(0)}"
    return ", ".join([named, *rest] if named else rest)


def scale_name(scale: str) -> str:
    """A pixel scale by its name where it has one, else with three digits."""
    known = {str(parse_pixel_scale(name)): name for name in PIXEL_SCALES}
    numbers = scale.split(",")
    try:
        # Of three channels: the means and standard deviations of one, where all are the same.
        values = [float(number) for number in numbers]
    except ValueError:
        return scale
    half = len(values) // 2
    if len(set(values[:half])) == 1 == len(set(values[half:])):
        values = [values[0], values[-1]]
    plain = ",".join(repr(value) for value in values)
    return known.get(scale) or known.get(plain) or ",".join(f"{value:.3g}" for value in values)


def short_noises(specs: Iterable[Spec]) -> dict[str, str]:
    """Short names for noises, by family, that are one additive stage each, as `std per tensor`,
    with the kind where kinds differ or there is but one noise; empty where some noise is none of
    these. `specs`: each at any level."""
    found = {spec.family: spec for spec in specs}
    stages = [spec.stages for spec in found.values()]
    added = [one[0] for one in stages if len(one) == 1 and isinstance(one[0], Additive)]
    if not found or len(added) < len(found):
        return {}
    kind = len({stage.kind for stage in added}) > 1 or len(found) == 1
    short = [
        (f"{stage.kind}, " if kind else "") + _relative_to(stage.reference, stage.scope)
        for stage in added
    ]
    if len(set(short)) < len(short):
        return {}
    return dict(zip(found, short, strict=True))


def _relative_to(reference: str, scope: str) -> str:
    if reference == "absolute":
        return reference
    return f"{reference}, global" if scope == "global" else f"{reference} per {scope}"


def title_of(metrics: Iterable[str]) -> str:
    """What the page is about."""
    found = sorted(set(metrics))
    name = found[0] if len(found) == 1 else "score"
    return f"{name[0].upper()}{name[1:]}" if name in ("accuracy", "score") else name


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
