"""What the clean network scores, and whether that says anything. No torch here."""

import math

from noiseproof.results.rows import Row
from noiseproof.results.showing import count_of, number_or_none, or_dash
from noiseproof.specs import has_hits, key_of_score
from noiseproof.stats import CONFIDENCE, Interval, as_json, binomial_interval

NEAR_CHANCE = "not told apart from chance"


def clean_interval(row: Row) -> Interval:
    """The clean score for new images, by Clopper and Pearson; no ends (nan) where single images
    have no hit or miss."""
    hits = _hits_of(row)
    if hits is None:
        return Interval(mean=row.score, low=math.nan, high=math.nan)
    found = binomial_interval(hits, row.images)
    # The score itself, since hits of several blocks were rounded from it.
    return Interval(mean=row.score, low=found.low, high=found.high)


def _hits_of(row: Row) -> int | None:
    if not has_hits(row.task) or not row.images or math.isnan(row.score):
        return None
    return round(row.score * row.images)


def sees_nothing(row: Row) -> bool:
    """May the clean score come from a network that sees nothing? Of hits by their interval; of mean
    IoU where one class everywhere could score as much, of mAP where next to no box was found, of a
    score of one's own where it is no better than its chance level."""
    facts = row.facts
    if facts.blind is None or math.isnan(row.score):
        return False
    found = clean_interval(row)
    edge = row.score if math.isnan(found.low) else found.low if facts.sign > 0 else found.high
    return facts.sign * (edge - facts.blind) <= 0


def clean_value(row: Row) -> str:
    """The clean score with its unit, and with its interval where it has one; `-` without a score.
    Said of it where it is near chance."""
    return _value(row) + (f", {NEAR_CHANCE}" if sees_nothing(row) else "")


def _value(row: Row) -> str:
    unit, found = row.unit, clean_interval(row)
    value = unit.value(row.score, places=2)
    if not math.isnan(found.low):
        low, high = (unit.value(end) for end in (found.low, found.high))
        value += f" [{low}, {high}]"
    return or_dash(row.score, value + unit.sign)


def clean_sentence(row: Row) -> str:
    """`clean accuracy 91.20 [88.4, 93.5] % of 500 test images`, and whether it is near chance."""
    images = f" of {count_of(row.images, 'test image')}" if row.images else ""
    direction = f" ({row.facts.hint})" if row.facts.hint else ""
    near = f", {NEAR_CHANCE}" if sees_nothing(row) else ""
    return f"clean {row.metric}{direction} {_value(row)}{images}{near}"


def clean_document(row: Row) -> dict[str, object]:
    """The clean score for a document, under its name, with its figures and what it means."""
    found, facts = clean_interval(row), row.facts
    return {
        key_of_score(row.task): number_or_none(row.score),
        **{name: end for name, end in as_json(found).items() if name != "mean"},
        "for": "new images",
        "confidence": CONFIDENCE,
        "images": row.images,
        "better": facts.better or None,
        "unit": facts.unit,
        "near_chance": sees_nothing(row),
        **row.figures,
    }
