"""A score of the user's own: what it returns, and whatever goes wrong in it."""

from typing import Any

import pytest
from torch import nn

from noiseproof.tasks.own import owned, unscored
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
