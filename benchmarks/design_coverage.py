"""Do the intervals of the three designs cover? Simulated experiments with known truth.

    python benchmarks/design_coverage.py [--experiments 2000]

Chips have true accuracies from a beta or a probit-normal law, rounded to a test set of 10,000
images. `chips` sees them exactly, `nested` in a sample without replacement. Blocks are of images
with effects of their own (probit), each hit on a chip of its own, whose effect is partly its
block's. A row says how often the interval held the truth, how often its low end was at or below it
and its high end at or above it (a missing end counts as infinite), how often an end was missing,
the median width (0 to 1), and for stopping the mean number of units. Last line: JSON.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from scipy import special
from scipy import stats as sps
from scipy.optimize import brentq

from noiseproof.stats.intervals import Interval
from noiseproof.stats.spread import block_interval, chip_spread
from noiseproof.stats.stopping import FIRST, next_point, stein_interval, units_needed

OF, BLOCKS, BLOCK = 10_000, 50, 100
TARGET = 0.015  # either way from 95 %, or 97.5 % where one end is missing
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
Units = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Law:
    """The law of the chips' true accuracy."""

    kind: str
    accuracy: float
    sd: float

    def __str__(self) -> str:
        return f"{self.kind} {self.accuracy} sd {self.sd}"

    def ppf(self, share: np.ndarray | float) -> np.ndarray:
        if self.kind == "beta":
            size = self.accuracy * (1 - self.accuracy) / self.sd**2 - 1
            return sps.beta.ppf(share, self.accuracy * size, (1 - self.accuracy) * size)
        slope = brentq(lambda s: self._probit_sd(s) - self.sd, 1e-4, 5)
        return special.ndtr(self._probit(slope) + slope * special.ndtri(share))

    def draw(self, dice: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        hits = np.rint(OF * self.ppf(np.linspace(0.5, 1e5 - 0.5, 10**5) / 1e5))
        return hits[dice.integers(10**5, size=shape)].astype(int)

    def _probit(self, slope: float) -> float:
        return float(special.ndtri(self.accuracy)) * math.hypot(1, slope)

    def _probit_sd(self, slope: float) -> float:
        p = special.ndtr(self._probit(slope) + slope * NODES)
        square = float(WEIGHTS @ p**2 / WEIGHTS.sum())
        return math.sqrt(max(0.0, square - self.accuracy**2))


LAWS = (
    Law("beta", 0.1, 0.01),
    Law("beta", 0.1, 0.03),
    Law("beta", 0.5, 0.02),
    Law("beta", 0.5, 0.1),
    Law("beta", 0.9, 0.03),
    Law("probit", 0.9, 0.05),
    Law("beta", 0.9, 0.1),
)


def seen(dice: np.random.Generator, hits: np.ndarray, images: int) -> np.ndarray:
    """Accuracies as measured on so many of the test set's images."""
    if images == OF:
        return hits / OF
    return dice.hypergeometric(hits, OF - hits, images) / images


Row = dict[str, object]


def row(name: str, setting: str, intervals: list[Interval], truth: object, units: float) -> Row:
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    above, below = ~(low > truth), ~(high < truth)
    width = high - low
    known = width[np.isfinite(width)]
    return {
        "interval": name,
        "setting": setting,
        "covered": float((above & below).mean()),
        "low_ok": float(above.mean()),
        "high_ok": float(below.mean()),
        "missing": float(1 - len(known) / len(width)),
        "width": float(np.median(known)) if len(known) else None,
        "units": units,
    }


def spreads(n: int) -> Iterator[Row]:
    for chips, images in ((10, OF), (25, OF), (100, OF), (40, 100), (100, 100), (100, 500)):
        for index, law in enumerate(LAWS):
            dice = np.random.default_rng([1, chips, images, index])
            x = seen(dice, law.draw(dice, (n, chips)), images)
            found = [chip_spread(scores, images=images, of=OF) for scores in x]
            where = f"{law}, {chips} chips" + (f" x {images}" if images < OF else "")
            yield row("mean", where, [s.mean for s in found], law.accuracy, chips)
            yield row("sd", where, [s.sd for s in found], law.sd, chips)
            for share in (0.05, 0.25, 0.5):
                ends = [s.quantile(share) for s in found]
                yield row(f"quantile {share}", where, ends, law.ppf(share), chips)
            for share in (0.8, 0.95):
                ends = [s.above(float(law.ppf(1 - share))) for s in found]
                yield row(f"yield {share}", where, ends, share, chips)


def no_spread(n: int) -> Iterator[Row]:
    """Chips that are all alike: only the images of their samples differ."""
    for accuracy in (0.1, 0.5, 1.0):
        dice = np.random.default_rng([2, int(10 * accuracy)])
        x = seen(dice, np.full((n, 100), int(OF * accuracy)), 100)
        ends = [chip_spread(scores, images=100, of=OF).sd for scores in x]
        yield row("sd", f"all chips {accuracy} alike, 100 chips x 100", ends, 0.0, 100)


def block_units(
    dice: np.random.Generator, accuracy: float, effects: tuple[float, float, float], passes: int
) -> tuple[np.ndarray, float]:
    """Block scores (passes, BLOCKS) of one experiment, and the truth on this test set.

    `effects`: sd of images, sd of chips, correlation of the chips in a block.
    """
    image_sd, chip_sd, together = effects
    mean = float(special.ndtri(accuracy)) * math.sqrt(1 + image_sd**2 + chip_sd**2)
    image = mean + image_sd * dice.standard_normal((BLOCKS, BLOCK))
    block = chip_sd * math.sqrt(together) * dice.standard_normal((passes, BLOCKS, 1))
    chance = special.ndtr((image + block) / math.sqrt(1 + chip_sd**2 * (1 - together)))
    hits = dice.random(chance.shape) < chance
    return hits.mean(2), float(special.ndtr(image / math.hypot(1, chip_sd)).mean())


def per_image(n: int) -> Iterator[Row]:
    shapes = (("1 pass", BLOCKS), ("0.4 passes", 20), ("1.2 passes", 60), ("2 passes", 100),
              ("2.5 passes", 125))  # fmt: skip
    cases = [(a, e) for a in (0.1, 0.5, 0.9) for e in ((1.0, 0.5, 0.1), (2.0, 0.3, 0.0))]
    for index, (accuracy, effects) in enumerate([*cases, (0.9999, (0.5, 0.1, 0.0))]):
        dice = np.random.default_rng([3, index])
        runs = [block_units(dice, accuracy, effects, 3) for _ in range(n)]
        truths = np.array([here for _, here in runs])
        for name, count in shapes:
            where = f"{accuracy} image sd {effects[0]} chip sd {effects[1]} together {effects[2]}"
            blocks, sizes = np.arange(count) % BLOCKS, np.full(count, BLOCK)
            found = [
                block_interval(x.ravel()[:count], blocks, sizes, total_blocks=BLOCKS)
                for x, _ in runs
            ]
            ends = [estimate.new_images for estimate in found]
            yield row(f"new images, {name}", where, ends, accuracy, count)
            if count > BLOCKS:
                ends = [estimate.this_test_set for estimate in found]
                yield row(f"this test set, {name}", where, ends, truths, count)


def unit_table(dice: np.random.Generator, design: str, law: Law, shape: tuple[int, int]) -> tuple:
    """Values of units, and how many images each is a share of."""
    if design == "per-image":
        mean = float(special.ndtri(law.accuracy)) * math.hypot(1, 0.15)
        chance = special.ndtr(mean + 0.15 * dice.standard_normal(shape))
        return dice.binomial(BLOCK, chance) / BLOCK, BLOCK
    images = OF if design == "chips" else 100
    return seen(dice, law.draw(dice, shape), images), None if design == "chips" else images


def stopping(n: int) -> Iterator[Row]:
    """Measure until the half-width is small enough, for what 15, 40 or 150 units give."""
    for design, first in FIRST.items():
        for index, law in enumerate(LAWS):
            dice = np.random.default_rng([4, first, index])
            x, images = unit_table(dice, design, law, (n, 900))
            for wanted in (15, 40, 150):
                half = 1.96 * float(x.std()) / math.sqrt(wanted)
                counts = [units_needed(v[:first], half_width=half, images=images) for v in x]
                ends = [
                    stein_interval(v[:count], first=first, images=images)
                    for v, count in zip(x, counts, strict=True)
                ]
                name = f"{design}: Stein, {wanted} if sd known"
                yield row(name, str(law), ends, law.accuracy, float(np.mean(counts)))
    yield from rivals(n)


def rivals(n: int) -> Iterator[Row]:
    """Normal units: what the t interval does under stopping, beside Stein's, from 10 units on."""
    x = np.random.default_rng(5).standard_normal((n, 200))
    count = np.arange(1, 201)
    mean = x.cumsum(1) / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (np.square(x).cumsum(1) - count * mean**2) / (count - 1)
        half = special.stdtrit(count - 1, 0.975) * np.sqrt(variance / count)
    fixed = special.stdtrit(9, 0.975) * np.sqrt(variance[:, 9:10] / count)
    for name, shown in (("t", half), ("Stein", fixed)):
        small = shown <= 1.96 / math.sqrt(40)
        # Luck: stop where the width is smallest beside what a known sd would give there.
        lucky = (shown * np.sqrt(count))[:, 9:].argmin(1) + 9
        for rule, stop in (
            ("at a half-width", np.where(small[:, 9:].any(1), small[:, 9:].argmax(1) + 9, 199)),
            ("where luck looks best", lucky),
        ):
            at = (np.arange(n), stop)
            pairs = zip(mean[at], shown[at], strict=True)
            ends = [Interval(mean=m, low=m - h, high=m + h) for m, h in pairs]
            yield row(f"{name}, stopped {rule}", "normal units", ends, 0.0, float(stop.mean() + 1))


def budget(n: int) -> Iterator[Row]:
    """Three points share 100 chips by next_point; chip k is the same chip at every point."""
    laws, first = LAWS[2:5], FIRST["chips"]
    dice = np.random.default_rng(6)
    places = dice.random((n, 100))
    tables = [np.rint(OF * law.ppf(places)) / OF for law in laws]
    found: list[list[Interval]] = [[] for _ in laws]
    counts = np.zeros((n, len(laws)), dtype=int)
    for run in range(n):
        while counts[run].sum() < 100:
            measured = [t[run, :c] for t, c in zip(tables, counts[run], strict=True)]
            counts[run, next_point(measured, first=first)] += 1
        for ends, table, count in zip(found, tables, counts[run], strict=True):
            ends.append(stein_interval(table[run, :count], first=first))
    for index, law in enumerate(laws):
        units = float(counts[:, index].mean())
        yield row("chips: budget of 100", str(law), found[index], law.accuracy, units)


def inside(found: Row) -> bool:
    """Whether a coverage is on target. An end that is missing, or at the edge of what can be, never
    misses: then the other end alone is on trial, at 97.5 %."""
    one_sided = found["missing"] > 0.5 or max(found["low_ok"], found["high_ok"]) == 1
    return abs(found["covered"] - (0.975 if one_sided else 0.95)) <= TARGET


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2000)
    n = parser.parse_args().experiments
    error = 100 * (0.95 * 0.05 / n) ** 0.5
    print(f"python {platform.python_version()}, numpy {np.__version__}, scipy {version('scipy')}")
    print(f"{n} experiments a row; standard error of a coverage of 95 %: {error:.2f} points")
    print(
        "* outside 93.5 to 96.5 %, where one end misses never or is missing 96 to 99 %\n"
        "columns: covered %, (low ok / high ok), missing %, width, units\n"
    )
    started, rows = time.perf_counter(), []
    for part in (no_spread, per_image, stopping, budget, spreads):
        for found in part(n):
            rows.append(found)
            width = math.nan if found["width"] is None else found["width"]
            print(
                f"{found['interval']:<34} {found['setting']:<50} {100 * found['covered']:5.1f}"
                f"{' ' if inside(found) else '*'} ({100 * found['low_ok']:5.1f} /"
                f" {100 * found['high_ok']:5.1f}) {100 * found['missing']:5.1f}"
                f" {width:.4f} {found['units']:6.1f}",
                flush=True,
            )
    hits = sum(inside(found) for found in rows)
    seconds = time.perf_counter() - started
    print(f"\n{hits} of {len(rows)} rows without *; {seconds:.0f} s on one core")
    print(json.dumps({"experiments": n, "seconds": round(seconds), "rows": rows}))


if __name__ == "__main__":
    main()
