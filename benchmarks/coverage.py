"""Do the 95 % intervals cover? Simulated experiments with known truth, for each kind of interval.

    python benchmarks/coverage.py [--experiments 2000] [--chips 8]

Hits of K chips on N images: a probit model with a random effect of the chip and one of the image;
the clean network has the same image effects. The truth is the population's, over new chips for t
and the naive interval (this test set), over new chips and images for crossed and Fieller's. Prints
one line for each ratio of chip to image effects, with the standard error; the last line is JSON.
"""

import argparse
import json

import numpy as np
from scipy import stats as sps

from noiseproof.stats.intervals import Interval, chance_corrected, crossed_interval, t_interval

IMAGES, CHANCE, MEAN, CLEAN_MEAN = 100, 0.1, 0.3, 1.5
EFFECTS = ((0.2, 1.0), (0.5, 0.5), (0.5, 1.0), (1.0, 0.5))  # sd of chips, sd of images


def naive(y: np.ndarray) -> Interval:
    """Chips x images as if they were that many independent trials."""
    half = 1.96 * (y.mean() * (1 - y.mean()) / y.size) ** 0.5
    return Interval(mean=y.mean(), low=y.mean() - half, high=y.mean() + half)


def experiment(
    rng: np.random.Generator, chips: int, chip_sd: float, image_sd: float
) -> dict[str, bool]:
    image = image_sd * rng.standard_normal(IMAGES)
    chip = chip_sd * rng.standard_normal(chips)
    y = MEAN + chip[:, None] + image + rng.standard_normal((chips, IMAGES)) > 0
    clean = CLEAN_MEAN + image + rng.standard_normal(IMAGES) > 0
    # Given the images, an image is hit on a new chip with probability Phi(...), independently.
    here = sps.norm.cdf((MEAN + image) / np.hypot(1, chip_sd)).mean()
    noisy = sps.norm.cdf(MEAN / np.sqrt(1 + chip_sd**2 + image_sd**2))
    best = sps.norm.cdf(CLEAN_MEAN / np.hypot(1, image_sd))
    ratio = (noisy - CHANCE) / (best - CHANCE)
    intervals = {
        "t": (t_interval(y.mean(1)), here),
        "naive": (naive(y), here),
        "crossed": (crossed_interval(y), noisy),
        "fieller": (chance_corrected(y, clean, chance=CHANCE), ratio),
    }
    return {name: i.low <= truth <= i.high for name, (i, truth) in intervals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--chips", type=int, default=8)
    options = parser.parse_args()
    n, chips = options.experiments, options.chips
    rows = []
    print(f"{chips} chips, {IMAGES} images")
    for chip_sd, image_sd in EFFECTS:
        rng = np.random.default_rng([int(10 * chip_sd), int(10 * image_sd)])
        runs = [experiment(rng, chips, chip_sd, image_sd) for _ in range(n)]
        covered = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
        shown = "  ".join(f"{name} {100 * share:.1f} %" for name, share in covered.items())
        print(f"sd of chips {chip_sd}, of images {image_sd}: {shown}")
        rows.append({"chip_sd": chip_sd, "image_sd": image_sd, **covered})
    error = (0.95 * 0.05 / n) ** 0.5
    print(f"standard error of a share of 95 % over {n} experiments: {100 * error:.2f} points")
    print(json.dumps({"experiments": n, "chips": chips, "images": IMAGES, "coverage": rows}))


if __name__ == "__main__":
    main()
