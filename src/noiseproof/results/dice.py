"""Have two rows of one chip number the same dice? Only then are they a pair."""

from collections.abc import Sequence

from noiseproof import stats
from noiseproof.results.rows import Row
from noiseproof.stats import Interval

UNPAIRED = (
    "the dice of the two are unequal (their noisy tensors have other names, shapes or another "
    "order), so chips of one number are no pairs: the difference is that of independent chips"
)


def have_same_dice(a: Row, b: Row) -> bool:
    """Are the draws of both those of the same tensors, as far as they have roles in common? Of
    older rows nothing is known, and they count as the same."""
    ours, theirs = _by_role(a), _by_role(b)
    shared = ours.keys() & theirs.keys()
    if not ours or not theirs:
        return True
    return bool(shared) and all(ours[role] == theirs[role] for role in shared)


def difference_of_chips(
    a: Sequence[float], b: Sequence[float], *, paired: bool, confidence: float = stats.CONFIDENCE
) -> Interval:
    """Mean of a minus b: over pairs in the same order, or of independent chips (Welch)."""
    interval = stats.paired_interval if paired else stats.welch_interval
    return interval(a, b, confidence=confidence)


def _by_role(row: Row) -> dict[str, str]:
    """The hash of each role's tensors."""
    parts = (part.partition(":") for part in row.dice.split(",") if part)
    return {role: found for role, _, found in parts}
