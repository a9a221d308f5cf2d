"""Data, noise and networks in the forms that people have: each scores as the same in tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.data import Split

NOISE = npf.noise.parse("gaussian(0.4)")
X = torch.randn(150, 5, generator=stream(0, "x"))


def network() -> nn.Module:
    with seeded(0, "net"):
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()


with torch.no_grad():
    Y = network()(X).argmax(1)


class Samples(Dataset[Any]):
    """As many people's datasets are; `form` says how a sample looks."""

    def __init__(self, form: str = "pair") -> None:
        self.form = form

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, place: int) -> Any:
        x, y = X[place], int(Y[place])
        forms: dict[str, Callable[[], Any]] = {
            "pair": lambda: (x, y),
            "numpy": lambda: (x.numpy(), np.int64(y)),
            "dict": lambda: {"input": x, "labels": y},
            "random": lambda: (x + torch.rand(5), y),
            "bare": lambda: x,
            "ragged": lambda: (torch.zeros(5 + place % 2), y),
        }
        return forms[self.form]()


def hits(data: object, model: nn.Module | None = None, **options: Any) -> list[list[bool]]:
    curve = npf.measure(model or network(), data, NOISE, chips=3, **options)
    return [r.unpacked().tolist() for point in curve.points for r in (curve.clean, *point.rows)]


WANTED = hits((X, Y))

FORMS: dict[str, Callable[[], object]] = {
    "split": lambda: Split(inputs=X, labels=Y),
    "list pair": lambda: [X, Y],
    "arrays": lambda: (X.numpy(), Y.numpy()),
    "doubles": lambda: (X.double().numpy(), Y.numpy()),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "list of tensors": lambda: (list(X), Y.tolist()),
    "one-hot": lambda: (X, nn.functional.one_hot(Y)),
    "column": lambda: (X, Y[:, None]),
    "dataset": Samples,
    "arrays in a dataset": lambda: Samples("numpy"),
    "samples in a list": lambda: [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "tensor dataset": lambda: TensorDataset(X, Y),
    "own dataset": lambda: npf.data.Dataset(test=Split(inputs=X, labels=Y), classes=3),
    "loader": lambda: DataLoader(Samples(), batch_size=7),
    "loader that drops the last": lambda: DataLoader(Samples(), batch_size=7, drop_last=True),
    "loader that shuffles": lambda: DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True),
    "loader of a subset": lambda: DataLoader(Subset(Samples(), range(len(X))), batch_size=40),
    "loader of chosen samples": lambda: DataLoader(
        Samples(), sampler=SubsetRandomSampler([*range(149, -1, -1)])
    ),
    "loader that collates": lambda: DataLoader(
        Samples("dict"), collate_fn=lambda batch: (
            torch.stack([one["input"] for one in batch]), [one["labels"] for one in batch]
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_scores_as_tensors_do(form: str) -> None:
    assert hits(FORMS[form]()) == WANTED


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, input: Tensor) -> Tensor:
        found: Tensor = self.net(input)
        return found


def test_samples_that_are_dictionaries_reach_the_network_by_name() -> None:
    named, whole = DataLoader(Samples("dict"), batch_size=9), {"input": X}
    assert hits(named, Named()) == hits((whole, Y), Named())


@pytest.mark.parametrize("design", ["nested(20)", "per-image(20)"])
def test_a_loader_is_read_in_any_order(design: str) -> None:
    options = {"chips": None} if design.startswith("per") else {"chips": 3}

    def found(data: object) -> list[bytes]:
        curve = npf.measure(network(), data, NOISE, design=design, **options)
        return [row.hits for row in curve.points[0].rows]

    assert found(DataLoader(Samples(), shuffle=True)) == found((X, Y))


def test_a_loader_has_the_fingerprint_of_its_tensors() -> None:
    split = npf.data.split_of(DataLoader(Samples(), batch_size=4))
    assert split.sha256() == Split(inputs=X, labels=Y).sha256()
    assert split.part(3, 9).sha256() == Split(inputs=X[3:9], labels=Y[3:9]).sha256()
    places = torch.tensor([4, 0, 99])
    assert torch.equal(torch.as_tensor(split.take(places).inputs), X[places])
    assert torch.equal(split.sample(5, seed=1), Split(inputs=X, labels=Y).sample(5, seed=1))


@pytest.mark.parametrize("calibration", [X, X.numpy(), DataLoader(Samples()), Samples()])
def test_calibration_data_may_have_labels_and_any_form(calibration: object) -> None:
    wanted = hits((X, Y), recalibrate="pooled(100)", calibration=X)
    assert hits((X, Y), recalibrate="pooled(100)", calibration=calibration) == wanted
    assert wanted != WANTED
    chip = npf.manufacture(network(), "gaussian(0.4)")
    fixed, other = (npf.recalibrate(chip, data).state_dict() for data in (X, calibration))
    assert all(torch.equal(tensor, other[name]) for name, tensor in fixed.items())


def test_noise_is_a_spec_or_its_text() -> None:
    curve = npf.measure(network(), (X, Y), "gaussian(0.4)", chips=3)
    assert [row.unpacked().tolist() for row in (curve.clean, *curve.points[0].rows)] == WANTED
    two = npf.measure(network(), (X, Y), ["gaussian(0.1)", "gaussian(0.2)"], chips=1)
    assert [point.level for point in two.points] == [0.1, 0.2]
    assert npf.rank_layers(network(), (X, Y), "gaussian(0.4)").groups
    assert npf.explain(network(), Samples(), "gaussian(0.4)", chips=1).points
    with pytest.raises(ValueError, match="noise must be a Spec or its text, .* got float"):
        npf.measure(network(), (X, Y), [0.1])  # type: ignore[list-item]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_network_is_measured_in_its_own_type(dtype: torch.dtype) -> None:
    model = network().to(dtype)
    with torch.no_grad():
        truth = model(X.to(dtype)).argmax(1)
    for inputs in (X, X.to(dtype)):
        curve = npf.measure(model, (inputs, truth), NOISE, chips=2)
        assert curve.clean.score == 1
        for row in curve.points[0].rows:
            chip = npf.manufacture(model, NOISE, chip=row.chip)
            with torch.no_grad():
                assert row.score == float((chip(X.to(dtype)).argmax(1) == truth).double().mean())


# --- what cannot go in ---


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X[0], 0)])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (3, "data must be a Split, a pair .* or a DataLoader, got int; other data needs a score"),
        (X, "data must be a Split, a pair .*, got Tensor"),
        ((X, "cat"), "must be tensors, arrays or lists of numbers"),
        ((X, ["cat"] * 150), "must be tensors, arrays or lists of numbers"),
        ((X, Y[:3]), "equally many, got 150 and 3"),
        (Samples("random"), "must give the same sample each time, .* leave random transforms out"),
        (Samples("bare"), "a sample must be a pair of inputs and label, .* got Tensor"),
        (Samples("ragged"), r"samples must be of one shape, got \(5,\) and others"),
        (DataLoader(Endless()), "must have a dataset with a length .* got Endless"),
        (
            DataLoader(Samples(), sampler=WeightedRandomSampler([1.0] * 150, 10)),
            "in order, got WeightedRandomSampler: leave the sampler out",
        ),
        ([], "images must be >= 1, got 0"),
    ],
)
def test_data_that_is_none_of_them_is_one_sentence(data: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(network(), data, NOISE)


def scripted() -> object:
    return torch.jit.trace(network(), X[:2])


def whole() -> object:
    model = nn.Sequential(nn.Linear(5, 3))
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (scripted, "got TorchScript, which hides its layers: give the module that it was made"),
        (whole, r"got int8 layers \(\w+\): give the network before its conversion, and 'quantize"),
        (lambda: lambda x: x, "got a function: give the module whose weights it uses"),
        (lambda: nn.Linear, "got a class: call it first"),
        (lambda: "resnet18", "must be an nn.Module, got str"),
    ],
)
def test_a_model_that_cannot_be_measured_is_one_sentence(
    make: Callable[[], Any], sentence: str
) -> None:
    model = make()
    for call in (
        lambda: npf.measure(model, (X, Y), NOISE),
        lambda: npf.manufacture(model, NOISE),
        lambda: npf.recalibrate(model, X),
        lambda: npf.explain(model, X, NOISE),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
