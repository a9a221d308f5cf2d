"""Networks that take several tensors, or name their inputs, or wrap their logits: measured as the
same network is that takes one tensor and returns the logits themselves."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.inputs import Inputs, rows
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Split
from noiseproof.specs.streams import Stream

IMAGES, TRAINING = 60, 40
NOISE = npf.noise.parse("gaussian(0.4)")
ESTIMATORS = [
    *("off", "pooled(20)", "layerwise(20)", "blend(prior=8, images=20)", "match(20)"),
    *("ema(0.2, batch=16)", "batch(20)"),
]


class Two(nn.Module):
    """A pair of images (N, 2, 6, 6) and (N, 1, 6, 6), each with a convolution of its own."""

    wrap: Callable[[Tensor], Any] = staticmethod(lambda logits: logits)

    def __init__(self) -> None:
        super().__init__()
        self.left, self.left_norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.right, self.right_norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 7)

    def forward(self, one: Tensor, two: Tensor) -> Any:
        left, right = self.left_norm(self.left(one)), self.right_norm(self.right(two))
        return self.wrap(self.head((left.relu() + right.relu()).mean((2, 3))))


class Single(Two):
    """The same network, with the images in one tensor (N, 3, 6, 6)."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x[:, :2], x[:, 2:])


X = torch.randn(IMAGES + TRAINING, 3, 6, 6, generator=stream(0, "images"))


def network(kind: type[Two], wrap: Callable[[Tensor], Any] = lambda logits: logits) -> Two:
    """With a bias that makes every class the largest for some of the images."""
    with seeded(0, "two"):
        model = kind().eval()
        for norm in (model.left_norm, model.right_norm):
            nn.init.normal_(norm.running_mean, std=0.1)
    with torch.no_grad():
        model.head.bias.sub_(Two.forward(model, X[:, :2], X[:, 2:]).mean(0))
    model.wrap = wrap
    return model


with torch.no_grad():
    LABELS = network(Single)(X).argmax(1)

FORMS: dict[str, Callable[[Tensor], Inputs]] = {
    "tuple": lambda x: (x[:, :2], x[:, 2:]),
    "dict": lambda x: {"two": x[:, 2:], "one": x[:, :2]},  # in another order than in `forward`
}
WRAPS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda logits: logits,
    "dict": lambda logits: {"logits": logits},
    "object": lambda logits: SimpleNamespace(logits=logits, loss=None),
}


def single() -> tuple[nn.Module, Split, Tensor]:
    return network(Single), Split(inputs=X[:IMAGES], labels=LABELS[:IMAGES]), X[IMAGES:]


def several(form: str, wrap: str = "tensor") -> tuple[nn.Module, Split, Inputs]:
    test = Split(inputs=FORMS[form](X[:IMAGES]), labels=LABELS[:IMAGES])
    return network(Two, wrap=WRAPS[wrap]), test, FORMS[form](X[IMAGES:])


def measured(case: tuple[nn.Module, Split, Inputs], **options: Any) -> list[list[bool]]:
    """The hits of every row."""
    model, test, calibration = case
    options = {"chips": 3, "batch_size": 16, **options}
    if options.get("recalibrate", "off") not in ("off", "ema(0.2, batch=16)", "batch(20)"):
        options["calibration"] = calibration
    curve = npf.measure(model, test, NOISE, **options)
    return [row.unpacked().tolist() for point in curve.points for row in (curve.clean, *point.rows)]


# --- the commands, each against the network with one tensor ---


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_chips_score_as_those_of_the_network_with_one_tensor(form: str, estimator: str) -> None:
    wanted = measured(single(), recalibrate=estimator)
    assert measured(several(form), recalibrate=estimator) == wanted
    assert len({tuple(hits) for hits in wanted}) > 1, "the noise should tell chips apart"


@pytest.mark.parametrize("wrap", sorted(WRAPS))
@pytest.mark.parametrize("design", ["chips", "nested(20)", "per-image(20)"])
def test_logits_count_wherever_they_are(design: str, wrap: str) -> None:
    options: dict[str, Any] = {"chips": None} if design.startswith("per") else {}
    wanted = measured(single(), design=design, **options)
    assert measured(several("dict", wrap), design=design, **options) == wanted


@pytest.mark.parametrize("estimator", ["pooled(20)", "layerwise(20)", "ema(0.2, batch=16)"])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_chip_is_recalibrated_on_several_tensors(form: str, estimator: str) -> None:
    model, _, calibration = single()
    wanted = npf.recalibrate(npf.manufacture(model, NOISE), calibration, estimator=estimator)
    other, _, inputs = several(form)
    chip = npf.manufacture(other, NOISE)
    found = npf.recalibrate(chip, inputs, estimator=estimator)
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert not torch.equal(found.left_norm.running_mean, chip.left_norm.running_mean)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_chip_is_matched_on_several_tensors_in_batches(form: str) -> None:
    options: dict[str, Any] = {"estimator": "match(30)", "batch_size": 8}
    model, _, calibration = single()
    chip = npf.manufacture(model, NOISE)
    wanted = npf.recalibrate(chip, calibration, clean=model, **options).state_dict()
    other, _, inputs = several(form)
    found = npf.recalibrate(npf.manufacture(other, NOISE), inputs, clean=other, **options)
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in wanted.items())


@pytest.mark.parametrize("form", sorted(FORMS))
def test_what_flows_out_of_the_layers_is_explained(form: str) -> None:
    model, test, calibration = single()
    options: dict[str, Any] = {"recalibrate": ["pooled(20)"], "chips": 2, "batch_size": 16}
    wanted = npf.explain(model, test, NOISE, calibration=calibration, **options)
    other, pair, inputs = several(form, "object")
    found = npf.explain(other, pair, NOISE, calibration=inputs, **options)
    assert [p.layer for p in found.points] == [p.layer for p in wanted.points]
    for one, two in zip(found.ways, wanted.ways, strict=True):
        for quantity, values in two.values.items():
            assert np.array_equal(one.values[quantity], values, equal_nan=True), quantity
        assert one.scores is not None
        assert two.scores is not None
        assert one.scores.tolist() == two.scores.tolist()


def test_named_inputs_without_labels_are_explained() -> None:
    model, test, _ = several("dict")
    assert isinstance(test.inputs, dict)
    found = npf.explain(model, test.inputs, NOISE, chips=1)
    assert found.ways[0].scores is None
    labelled = npf.explain(model, test, NOISE, chips=1)
    for quantity, values in labelled.ways[0].values.items():
        assert np.array_equal(found.ways[0].values[quantity], values, equal_nan=True)


@pytest.mark.parametrize("wrap", sorted(WRAPS))
@pytest.mark.parametrize("form", sorted(FORMS))
def test_layers_are_ranked(form: str, wrap: str) -> None:
    def hits(case: tuple[nn.Module, Split, Inputs]) -> list[tuple[str, bytes, str]]:
        seen: list[tuple[str, bytes, str]] = []
        model, test, _ = case
        npf.rank_layers(
            model, test, NOISE, batch_size=16,
            on_row=lambda row, done, total: seen.append((row.part, row.hits, row.details)),
        )  # fmt: skip
        return seen

    wanted = hits(single())
    assert hits(several(form, wrap)) == wanted
    assert {part for part, _, _ in wanted} >= {"only:layer:left", "only:layer:right"}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_streams_are_tracked(form: str) -> None:
    ways = ["off", "pooled(20)", "ema(0.2, batch=10)"]

    def scores(case: tuple[nn.Module, Split, Inputs]) -> list[bytes]:
        model, test, calibration = case
        traces = npf.track(
            model, test, NOISE, Stream(every=20), images=60, chips=2, recalibrate=ways,
            calibration=calibration,
        )  # fmt: skip
        return [row.hits for trace in traces for row in trace.rows]

    assert scores(several(form)) == scores(single())


# --- words of a sentence ---


class Words(nn.Module):
    """Mean of the embedded words that `mask` keeps, normalised, then one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(11, 6), nn.BatchNorm1d(6)
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> SimpleNamespace:
        kept = self.embedding(ids) * mask[:, :, None]
        mean = kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return SimpleNamespace(logits=self.head(self.norm(self.first(mean)).relu()))


def test_a_network_of_words_scores_as_its_manufactured_chips() -> None:
    with seeded(0, "words"):
        model = Words().eval()
    dice = stream(0, "sentences")
    words = {
        "ids": torch.randint(0, 11, (70, 5), generator=dice),
        "mask": torch.randint(0, 2, (70, 5), generator=dice),
    }
    with torch.no_grad():
        labels = model(**words).logits.argmax(1)
    few = rows(words, slice(0, 50))
    curve = npf.measure(
        model, (few, labels[:50]), NOISE, chips=2, recalibrate="pooled(20)",
        calibration=rows(words, slice(50, 70)),
    )  # fmt: skip
    assert curve.clean.score == 1
    for row in curve.points[0].rows:
        chip = npf.manufacture(model, NOISE, chip=row.chip)
        fixed = npf.recalibrate(chip, rows(words, slice(50, 70)))
        with torch.no_grad():
            expected = fixed(**few).logits.argmax(1) == labels[:50]
        assert row.unpacked().tolist() == expected.tolist()


# --- what does not fit is one sentence ---


def test_inputs_that_a_network_does_not_take_are_one_sentence() -> None:
    model, test, _ = several("dict")
    assert isinstance(test.inputs, dict)
    wrong = Split(
        inputs={"one": test.inputs["one"], "other": test.inputs["two"]}, labels=test.labels
    )
    shapes = r"one \(2, 2, 6, 6\), other \(2, 1, 6, 6\): .*unexpected keyword argument 'other'"
    with pytest.raises(ValueError, match=f"the network fails on inputs of shape {shapes}"):
        npf.measure(model, wrong, NOISE)


def test_calibration_inputs_that_are_none_are_refused() -> None:
    model, test, _ = several("tuple")
    with pytest.raises(ValueError, match="calibration must be a tensor, or a tuple or"):
        npf.measure(model, test, NOISE, calibration=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"equally many, got tensors \(3,\) and \(4,\)"):
        npf.measure(model, test, NOISE, calibration=(torch.zeros(3), torch.zeros(4)))
