"""What a network gets right without noise on the very images that its noisy units saw.

A unit that sees a sample of the images has luck with them, and the clean network has the same luck:
the share of the clean accuracy that is kept is best taken on the same images.
"""

from collections.abc import Sequence

import torch

from noiseproof.measuring import places_of
from noiseproof.results import Row
from noiseproof.specs import Chips, has_hits, parse_design


def clean_hits(clean: Row, rows: Sequence[Row]) -> dict[str, list[int]]:
    """Design -> hits of the clean network on the images of unit 0, 1, ...; of those designs in
    `rows`, of one seed, whose units see a part of the images."""
    if not has_hits(clean.task):
        return {}
    units: dict[str, int] = {}
    for row in rows:
        units[row.design] = max(units.get(row.design, 0), row.chip + 1)
    hits = torch.from_numpy(clean.unpacked().copy())
    found = {}
    for text, count in units.items():
        design = parse_design(text)
        if not isinstance(design, Chips):
            places = (places_of(design, rows[0].seed, u, clean.images) for u in range(count))
            found[text] = [int(hits[own].sum()) for own in places]
    return found
