"""Where the noise bites, as a table for a terminal, by rich."""

import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from noiseproof import stats
from noiseproof.results import QUANTITIES, TINY, Activations, Quantity, Way, where_of
from noiseproof.results.clean import clean_value
from noiseproof.stats import Interval

HEADS = {"snr_db": "SNR dB", "shift": "shift", "variance_ratio": "var ratio"}
WAYS_BESIDE = 2  # in 120 columns
MOST_DECIMALS = 3


def anatomy_tables(activations: Activations) -> Iterator[Table]:
    """A line for each point; the ways side by side, two to a table."""
    for start in range(0, len(activations.ways), WAYS_BESIDE):
        last = start + WAYS_BESIDE >= len(activations.ways)
        yield _table(activations, activations.ways[start : start + WAYS_BESIDE], last=last)


def _table(activations: Activations, ways: Sequence[Way], *, last: bool) -> Table:
    row = activations.off.row
    heading = f"{row.model} on {row.data}, {row.images} images, {activations.chips} chips\n"
    heading += f"{row.noise} on {where_of(row)}: " + " | ".join(way.label for way in ways)
    table = Table(
        title=heading, caption=_caption(activations) if last else None, box=box.SIMPLE_HEAD
    )
    table.pad_edge = False
    table.title_justify = table.caption_justify = "left"
    table.add_column("layer", overflow="fold")
    table.add_column("role", no_wrap=True)
    for way in ways:
        for quantity in QUANTITIES:
            label = way.label if quantity is QUANTITIES[0] else ""
            table.add_column(f"{label}\n{HEADS[quantity.key]}", justify="right", no_wrap=True)
    for place, point in enumerate(activations.points):
        cells = [short(way.estimate(q, place), q) for way in ways for q in QUANTITIES]
        table.add_row(point.name, point.role, *cells)
    return table


def _caption(activations: Activations) -> str:
    text = (
        f"a +-b: a - b to a + b is the {100 * stats.CONFIDENCE:.0f} % interval over chips (t); "
        "a x/b: a / b to a b, geometric. SNR: clean variance over mean squared difference. shift: "
        "root mean square over channels, in clean standard deviations. var ratio: geometric mean "
        "over channels, noisy over clean."
    )
    excluded = sum(point.excluded for point in activations.points)
    if excluded:
        text += (
            f" {excluded} of {sum(point.channels for point in activations.points)} channels count "
            f"in the SNR only: their clean sd is below {TINY:g} of their layer's."
        )
    return text


def short(interval: Interval, quantity: Quantity) -> str:
    """The mean and what stands on both sides of it: `4.73 +-0.31`, `1.42 x/1.05`; `exact` where
    no chip differs from the clean network, `-` where there is no value."""
    if interval.mean == math.inf:
        return "exact"
    if math.isnan(interval.mean):
        return "-"
    half = (interval.high - interval.low) / 2
    if not half > 1e-9 * abs(interval.mean):  # one chip, or all alike
        return f"{interval.mean:.3g}"
    # As many as the interval supports.
    digits = _digits(half)
    if not quantity.logarithmic:
        return f"{interval.mean:.{digits}f} +-{half:.{digits}f}"
    side = interval.high / interval.mean
    return f"{interval.mean:.{digits}f} x/{side:.{max(1, _digits(side - 1))}f}"


def _digits(half: float) -> int:
    """Decimals for two digits of `half`, within a column's width."""
    # / 0.95: what rounds up to the next power of ten, 0.096 to 0.10, counts as that.
    return min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(half / 0.95))))


def score_lines(activations: Activations) -> Iterator[str]:
    """A line on the score of each way; none where the images have no labels."""
    unit = activations.unit
    for way in activations.ways:
        if way.score is not None:
            text = f"{way.label}: {activations.metric} {unit.text(way.score)}{unit.sign}"
            yield f"{text}, clean {clean_value(activations.clean)}"
