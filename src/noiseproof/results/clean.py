"""What the clean network scores, and whether that says anything. No torch here."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

from noiseproof.results.rows import Row
from noiseproof.results.showing import count_of, number_or_none, or_dash
from noiseproof.specs import has_hits, key_of_score
from noiseproof.stats import CONFIDENCE, Interval, as_json, binomial_interval, t_interval

NEAR_CHANCE = "not told apart from chance"


PASSES, HALF_WIDTH = "passes", "half-width over passes"
"""Figures of the clean row of a network that is random by itself: how many passes its score is the
mean of, and how far that mean may be from the one of all passes."""


def mean_of_passes(rows: Sequence[Row]) -> Row:
    """The clean network as one row: of several passes, which a network has that is random by
    itself, the mean; its hits are those of the first."""
    if len(rows) == 1:
        return rows[0]
    found = t_interval([row.score for row in rows])
    means = {name: mean(row.figures[name] for row in rows) for name in rows[0].figures}
    told = means | {PASSES: float(len(rows)), HALF_WIDTH: found.high - found.mean}
    return replace(rows[0], score=found.mean, details=json.dumps(told))


def over_clean(interval: Interval, clean: Row) -> Interval:
    """An interval divided by the clean score, which is a number without an error of its own, unless
    it is the mean of passes that differ."""
    share = interval.scaled(1 / clean.score)
    error = share.mean * clean.figures.get(HALF_WIDTH, 0.0) / clean.score
    if not error:
        return share
    # Independent of the chips' own spread, to first order.
    low, high = (math.hypot(end - share.mean, error) for end in (share.low, share.high))
    return Interval(mean=share.mean, low=share.mean - low, high=share.mean + high)


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
    if PASSES in row.figures:
        half = row.unit.value(row.figures[HALF_WIDTH], places=2)
        images += f", the mean of {row.figures[PASSES]:.0f} passes that differ (+- {half})"
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
