"""What computing in another dtype changes by itself, measured on the clean network."""

from dataclasses import replace

from noiseproof.measuring.evaluator import Evaluator
from noiseproof.stats import t_interval


def rounding_text(evaluator: Evaluator) -> str:
    """A line with the difference of the clean network in the chips' dtype from that in its own, on
    the same images, with its interval; "" where both are one."""
    if not evaluator.dtype:
        return ""
    plain = replace(evaluator, estimator=None, calibration=None)
    own, cast = plain.clean_score(), plain.score(plain.clean)
    start = f"{evaluator.dtype}: the clean network scores"
    if own.hits is None or cast.hits is None:
        unit = evaluator.clean_row.unit
        return f"{start} {unit.value(cast.score)}, and {unit.value(own.score)} in its own dtype"
    moved = cast.hits.astype(int) - own.hits.astype(int)
    found = t_interval(100.0 * moved)
    return (
        f"{start} {found.mean:+.2f} [{found.low:.2f}, {found.high:.2f}] points more than in its "
        f"own dtype; {int((moved != 0).sum())} of {len(moved):,} images are right in one alone"
    )
