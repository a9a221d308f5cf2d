"""How a score is read."""

import math
from typing import Any

import pytest

from noiseproof.specs.catalog import TASKS
from noiseproof.specs.scores import ScoreFacts, facts_of

MADE = ScoreFacts(metric="rmse", better="lower", unit="m", chance=2.5, blind=2.5)


@pytest.mark.parametrize("facts", [MADE, ScoreFacts(), ScoreFacts(better="higher", chance=0.0)])
def test_what_rows_carry_reads_as_it_was_said(facts: ScoreFacts) -> None:
    assert facts_of("my:score", score_is=facts.text()) == facts


def test_nothing_said_is_nothing_in_the_rows() -> None:
    assert ScoreFacts().text() == ""
    assert (ScoreFacts().sign, ScoreFacts().best([1.0, 2.0])) == (0, None)
    assert math.isnan(ScoreFacts().worst([1.0, 2.0]))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_of_the_house_says_direction_unit_and_what_sees_nothing(task: str) -> None:
    facts = facts_of(task, classes=10)
    assert facts.metric == TASKS[task].metric
    assert facts.sign != 0
    assert facts.blind is None or math.isfinite(facts.blind)


def test_guessing_has_one_over_the_classes_right() -> None:
    assert facts_of("classify", classes=8).chance == 0.125
    assert facts_of("classify").chance is None


BAD: dict[str, dict[str, Any]] = {
    "unknown direction of a score 'up'": {"better": "up"},
    "the unit of a score must be at most 40 printable": {"unit": "m\n"},
    "the name of a score must be at most 40 printable": {"metric": "x" * 41},
    "the chance level of a score must be finite, got nan": {"chance": math.nan},
}


@pytest.mark.parametrize("sentence", BAD)
def test_what_a_score_cannot_be_is_refused(sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ScoreFacts(**BAD[sentence])


@pytest.mark.parametrize("text", ["[1]", "{", '{"unit": 5}', '{"chance": "x"}', '{"foo": 1}', "7"])
def test_a_text_that_no_score_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the facts of a score"):
        facts_of("my:score", score_is=text)
