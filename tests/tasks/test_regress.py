"""Real numbers as labels: R squared beside scikit-learn's, and what is refused."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import Tensor

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.data import Split
from noiseproof.tasks import TASKS
from tests.tasks.toys import INF, NAN, Says

REGRESS = TASKS["regress"]
DICE = stream(0, "regression")
LABELS = 5 + 3 * torch.randn(23, 4, generator=DICE, dtype=torch.float64)
SAID = LABELS + torch.randn(23, 4, generator=DICE, dtype=torch.float64)


def scored(said: Tensor, labels: Tensor, batch_size: int = 5) -> npf.tasks.Result:
    """Of a network that says `said`."""
    places = torch.arange(len(labels), dtype=torch.float64)[:, None]
    split = Split(inputs=places, labels=labels)
    return REGRESS.evaluate(lambda x: said[torch.as_tensor(x)[:, 0].long()], split, batch_size)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
@pytest.mark.parametrize("columns", [1, 4])
def test_the_score_is_r_squared_over_all_numbers(columns: int, batch_size: int) -> None:
    said, labels = SAID[:, :columns], LABELS[:, :columns]
    found = scored(said, labels, batch_size)
    wanted = r2_score(labels, said, multioutput="variance_weighted")
    assert found.score == pytest.approx(wanted, rel=1e-12)
    rmse = float(np.sqrt(np.mean((said.numpy() - labels.numpy()) ** 2)))
    assert found.details["root mean square error"] == pytest.approx(rmse, rel=1e-12)
    assert found.hits is None


def test_a_network_that_says_the_mean_scores_zero_and_one_that_is_right_one() -> None:
    mean = LABELS.mean(0).expand_as(LABELS)
    assert scored(mean, LABELS).score == pytest.approx(0, abs=1e-12)
    assert scored(LABELS, LABELS).score == 1
    assert scored(-LABELS, LABELS).score < 0


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_sample_that_is_not_finite_counts_as_the_mean_label(bad: float) -> None:
    said = SAID.clone()
    said[7, 2] = bad
    mean = SAID.clone()
    mean[7] = LABELS.mean(0)
    found = scored(said, LABELS)
    assert found.nonfinite == 1
    assert found.score == pytest.approx(scored(mean, LABELS).score, rel=1e-12)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: y,
        lambda y: (y, None),
        lambda y: {"logits": y},
        lambda y: {"reconstruction": y, "code": y[:, :1]},
        lambda y: SimpleNamespace(predictions=y),
        lambda y: y[:, None, :],
    ],
)
def test_numbers_are_found_in_what_networks_return(wrap: Any) -> None:
    split = Split(inputs=torch.zeros(23, 1), labels=LABELS)
    assert REGRESS.evaluate(lambda x: wrap(SAID), split, 23).score == scored(SAID, LABELS).score


def test_a_column_is_never_compared_with_a_row() -> None:
    """(N, 1) against (N,) would be broadcast to each with each."""
    one = LABELS[:, 0]
    assert scored(SAID[:, :1], one).score == scored(SAID[:, 0], one).score
    assert scored(SAID[:, 0], one[:, None]).score == scored(SAID[:, 0], one).score


@pytest.mark.parametrize(
    ("labels", "output", "sentence"),
    [
        (LABELS[:2], torch.zeros(2, 10), r"returns \(2, 10\) for real labels \(2, 4\)"),
        (LABELS[:2, 0], torch.zeros(2, 10), r"whole numbers \(labels.long\(\)\) where they are cl"),
        (LABELS[:2], {"x": torch.zeros(2, 4)}, "a regressor must return a tensor, .* got dict"),
        (torch.full((2, 4), 0.3), torch.zeros(2, 4), "must differ from sample to sample"),
    ],
)
def test_an_output_that_does_not_fit_is_one_sentence(
    labels: Tensor, output: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        REGRESS.check(output, Split(inputs=torch.zeros(2, 1), labels=labels))


def test_the_loss_is_the_mean_squared_error() -> None:
    loss, share = REGRESS.loss(Says(SAID), torch.zeros(23, 1), LABELS)
    assert float(loss) == pytest.approx(float((SAID - LABELS).square().mean()))
    assert share.isnan()


def test_an_autoencoder_is_measured_on_its_own_inputs() -> None:
    x = torch.randn(40, 6, generator=stream(0, "codes")) @ torch.randn(
        6, 6, generator=stream(0, "mix")
    )
    with seeded(0, "autoencoder"):
        net = torch.nn.Linear(6, 6, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.eye(6))
    curve = npf.measure(net, (x, x), npf.noise.parse("gaussian(0.3)").at([0.1, 0.3]), chips=4)
    assert curve.clean.score == 1
    assert curve.clean.task == "regress"
    small, large = (point.score.mean for point in curve.points)
    assert 1 > small > large


# --- tokens ---

TOKENS = TASKS["tokens"]
NEXT = torch.tensor([[1, 2, -100], [0, -100, 3]])


def test_tokens_are_right_one_by_one_and_void_counts_nowhere() -> None:
    logits = torch.randn(2, 3, 5, generator=DICE)
    logits[0, 0, 1] = logits[1, 2, 3] = 9.0
    logits[0, 1, 4] = logits[1, 0, 4] = 9.0
    split = Split(inputs=torch.zeros(2, 3, dtype=torch.int64), labels=NEXT)
    found = TOKENS.evaluate(lambda x: {"logits": logits}, split, 2)
    assert found.score == 0.5
    places = [(0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 2, 3)]
    log = logits.double().log_softmax(2)
    wanted = -sum(float(log[place]) for place in places) / 4
    assert found.details["cross-entropy"] == pytest.approx(wanted, rel=1e-6)
    logits[1, 2] = NAN
    found = TOKENS.evaluate(lambda x: logits, split, 2)
    assert (found.score, found.nonfinite) == (0.25, 1)


@pytest.mark.parametrize(
    ("labels", "output", "sentence"),
    [
        (NEXT, torch.zeros(2, 3, 3), "the labels go up to 3, the network knows 3 classes"),
        (NEXT, torch.zeros(2, 5), r"tokens must return logits \(N, 3, V\)"),
        (torch.full((2, 3), -100), torch.zeros(2, 3, 5), "must name a token somewhere"),
        (torch.tensor([[4, 1, 2]] * 2), torch.zeros(2, 3, 5), "got its own inputs: for the next"),
    ],
)
def test_tokens_that_do_not_fit_are_one_sentence(
    labels: Tensor, output: Tensor, sentence: str
) -> None:
    split = Split(inputs={"ids": torch.tensor([[4, 1, 2]] * 2)}, labels=labels)
    with pytest.raises(ValueError, match=sentence):
        TOKENS.check(output, split)
