"""The table of two public networks in docs/quickstart.md, from a store:

python benchmarks/markdown_table.py STORE
"""

import sys

from noiseproof import stats
from noiseproof.results.curves import curves_of
from noiseproof.results.store import Store


def main(path: str) -> None:
    with Store(path, read_only=True) as store:
        curves = curves_of(store.rows())
    levels = [point.level for point in curves[0].points]
    print("| network | clean |", " | ".join(f"level {level:g}" for level in levels), "|")
    print("|---" * (len(levels) + 2) + "|")
    for curve in curves:
        row, off = curve.first, curve.first.recalibrate == "off"
        name = row.model if off else f"{row.model}, {row.recalibrate}"
        clean = f"{100 * curve.clean.score:.2f}" if off else ""
        cells = (stats.percent(point.score) for point in curve.points)
        print(f"| {name} | {clean} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1])
