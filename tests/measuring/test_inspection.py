"""What is found of a network before it is measured."""

import json
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import noiseproof as npf
from noiseproof.data import Split
from noiseproof.results import Inspection

IMAGES, CLASSES = 60, 3


class Told(nn.Module):
    """Says what its input says, by a layer of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(CLASSES, CLASSES, bias=False)
        nn.init.eye_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x)
        return out


class Loose(Told):
    """With dropout that never ends."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, training=True)


class Broken(Told):
    """The outputs of inputs of class 0 are not finite."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return torch.where(x[:, :1] > 0.5, out * math.nan, out)


class Kept(nn.Module):
    """Statistics of its own, and a table without a name."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.told = nn.BatchNorm1d(CLASSES), Told()
        self.layer, self.group = nn.LayerNorm(CLASSES), nn.GroupNorm(1, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.group(self.told(self.norm(x))))
        return out


def data(shift: int = 0) -> Split:
    labels = torch.arange(IMAGES) % CLASSES
    return Split(inputs=F.one_hot(labels).float(), labels=(labels + shift) % CLASSES)


def inspected(model: nn.Module, shift: int = 0) -> Inspection:
    found = npf.inspect_network(model, data(shift))
    json.dumps(found.as_json(), allow_nan=False)
    return found


def test_a_good_network_has_no_warnings_and_one_screen() -> None:
    found = inspected(Told())
    assert found.warnings == []
    assert (found.clean.score, found.clean.images, found.clean.nonfinite) == (1.0, IMAGES, 0)
    assert (found.macs, found.weights, found.left_out, found.layers) == (1.0, 1.0, "", 1)
    assert found.randomness == "none"
    assert found.dtypes == (("float32", CLASSES**2),)
    text = str(found)
    assert len(text.splitlines()) <= 24
    for words in ("100.00 [94.0, 100.0] % of 60 test images", "33.3 %", "3 classes, 0 to 2"):
        assert words in text


def test_layers_of_any_class_are_reached_and_what_is_no_parameter_is_told() -> None:
    class Own(Told):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.eye(CLASSES))
            self.register_buffer("fixed", torch.eye(CLASSES))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x @ self.kernel @ self.get_buffer("fixed"))

    found = inspected(Own())
    assert (found.macs, found.weights, found.layers) == (2 / 3, 2 / 3, 2)
    assert "66.7 % of the multiply-accumulates" in found.warnings[0]
    assert "left out fixed, whose weights are no parameter" in found.warnings[0]


def test_the_score_is_that_of_measure() -> None:
    spec = npf.specs.parse("gaussian(0.1)")
    curve = npf.measure(Told(), data(), spec, chips=2)
    assert inspected(Told()).clean.hits == curve.clean.hits


def test_labels_with_other_numbers_are_noticed() -> None:
    found = inspected(Told(), shift=1)
    assert found.clean.score == 0
    assert any("its classes in another order it scores 100" in text for text in found.warnings)


def test_a_network_that_calls_everything_alike_is_no_matter_of_numbers() -> None:
    model = Told()
    with torch.no_grad():
        model.head.weight.zero_()
    found = inspected(model)
    assert found.labels is not None
    assert found.labels.predicted == 1
    assert not any("another order it" in text for text in found.warnings)
    assert any("one class is predicted for every input" in text for text in found.warnings)


def test_a_random_pass_and_outputs_that_are_not_finite_are_said() -> None:
    found = inspected(Loose())
    assert found.randomness == "seeded"
    assert any("random by itself" in text for text in found.warnings)
    broken = inspected(Broken())
    assert broken.clean.nonfinite == IMAGES // CLASSES
    assert f"{IMAGES // CLASSES} clean outputs are not finite" in broken.warnings


def test_normalisation_layers_are_listed_with_where_their_statistics_lie() -> None:
    found = {kind: (count, where) for kind, count, where in inspected(Kept()).norms}
    assert found["BatchNorm1d"] == (1, "running statistics in running_mean, running_var")
    for kind in ("GroupNorm", "LayerNorm"):
        assert found[kind] == (1, "statistics of each input, none stored")


def test_every_design_has_a_cost_or_a_reason() -> None:
    for model in (Told(), Loose(), Kept()):
        costs = inspected(model).costs
        assert [one.design for one in costs] == ["chips", "nested", "per-image"]
        for one in costs:
            assert (one.seconds is None) == bool(one.refused)
            assert one.seconds is None or one.seconds > 0
    assert "per-image" in inspected(Loose()).costs[2].refused


def test_a_score_of_ones_own_has_no_labels_and_one_design() -> None:
    found = npf.inspect_network(Told(), 7, score=lambda model, test: 0.5)
    assert (found.labels, found.clean.score) == (None, 0.5)
    assert [one.design for one in found.costs] == ["chips"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be a Split, a pair"):
        npf.inspect_network(Told(), 7)
    with pytest.raises(TypeError, match="inspect_network has no keyword 'chips'"):
        npf.inspect_network(Told(), data(), chips=3)  # type: ignore[call-arg]
