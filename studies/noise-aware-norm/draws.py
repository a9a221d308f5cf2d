"""How much does the draw of the calibration images matter? python .../draws.py STORE

The same chips, recalibrated on several draws of N images: the standard deviation over draws of the
mean over chips, beside the half width of the interval over chips that one draw gives.
"""

import sys

import numpy as np

from noiseproof import stats
from noiseproof.results.curves import Point, curves_of
from noiseproof.results.store import Store


def main(path: str) -> None:
    with Store(path, read_only=True) as store:
        curves = curves_of(store.rows())
    ways: dict[str, list[Point]] = {}
    for curve in curves:
        ways.setdefault(curve.first.recalibrate, []).append(curve.points[0])
    print("| recalibration | draws | chips | mean | sd over draws | half width over chips |")
    print("|---|---|---|---|---|---|")
    for way, points in ways.items():
        means = [100 * point.score.mean for point in points]
        half = np.mean([50 * (point.score.high - point.score.low) for point in points])
        print(
            f"| {way} | {len(points)} | {points[0].chips} | {np.mean(means):.2f} | "
            f"{stats.sd(means):.2f} | {half:.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1])
