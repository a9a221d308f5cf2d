"""A score of the user's own: what it returns, and whatever goes wrong in it."""

from typing import Any

import pytest
from torch import nn

from noiseproof.tasks.own import Score, facts_of_score, owned, unscored
from tests.tasks.toys import INF, NAN, Fails


def test_a_score_of_ones_own_is_what_it_returns() -> None:
    asked: list[object] = []

    def score(model: nn.Module, test: object) -> float:
        asked.append((model, test))
        return 7

    model, data = nn.Identity(), {"any": "thing"}
    found = owned(score, model, data)
    assert (found.score, found.hits, found.classes, found.details) == (7.0, None, 0, {})
    assert asked == [(model, data)]


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (lambda model, test: test.images, "the score <lambda> failed: AttributeError: .*images"),
        (lambda model, test: "cat", "the score <lambda> failed: ValueError: could not convert"),
        (lambda model, test: NAN, "the score <lambda> must be finite, got nan: return a number"),
        (lambda model, test: INF, "must be finite, got inf"),
        (Fails(RuntimeError("odd")), "the score Fails failed: RuntimeError: odd"),
        (unscored, "the score unscored must be finite, got nan"),
    ],
)
def test_a_score_that_fails_is_one_sentence(score: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        owned(score, nn.Identity(), object())


def rmse(model: nn.Module, test: object) -> float:
    return 2.0


def test_a_score_that_says_how_it_is_read_is_called_as_its_function() -> None:
    score = Score(rmse, better="lower", unit="m", chance=5.0)
    assert owned(score, nn.Identity(), None).score == 2.0
    facts = facts_of_score(score)
    assert (facts.metric, facts.sign, facts.unit, facts.blind) == ("rmse", -1, "m", 5.0)
    assert facts_of_score(Score(rmse, better="lower", name="depth error")).metric == "depth error"
    assert facts_of_score(rmse).sign == 0, "of a bare function nobody knows it"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"better": "up"}, "unknown direction of a score 'up': expected one of higher, lower"),
        ({"better": ""}, "unknown direction of a score ''"),
        ({"better": "lower", "chance": INF}, "chance level of a score must be finite, got inf"),
        ({"better": "lower", "unit": "\n"}, "the unit of a score must be at most 40 printable"),
    ],
)
def test_a_score_refuses_what_it_cannot_mean(given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Score(rmse, **given)
