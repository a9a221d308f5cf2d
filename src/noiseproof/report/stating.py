"""What the chips of a page state: ten lines on what their numbers mean."""

from collections.abc import Sequence

from noiseproof.hardware import statements
from noiseproof.results import Row
from noiseproof.specs import parse, parse_mapping


def chip_lines(rows: Sequence[Row]) -> dict[str, str]:
    """The lines of chips on hardware (`hardware.statements`), of rows under one condition, which
    may differ in how drift is compensated; none for plain noise on the weights."""
    row = rows[0]
    noise = parse(row.noise)
    if noise.sweeps != "time" and not row.mvm:
        return {}
    mapping, folds = parse_mapping(row.mapping)
    compensated = list(dict.fromkeys(one.compensate or "off" for one in rows))
    try:
        said = [
            statements(noise, mapping, mvm=row.mvm, compensate=one, digital=row.digital)
            for one in compensated
        ]
    except ValueError:  # a device file of somebody's own, which rows name by what it holds
        return {"devices": f"of a file of one's own that is not at hand here: {row.noise}"}
    found = said[0]
    if len(said) > 1:
        pairs = zip(compensated, said, strict=True)
        found["compensation"] = "; ".join(f"{name}: {one['compensation']}" for name, one in pairs)
    if folds:
        found["wires and cells"] += "; batch normalisation is folded into the kernels first"
    return found
