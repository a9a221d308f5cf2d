"""How a network lies on the chip: the form of its statistics, folding, eps."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.network import replace_norms
from noiseproof.specs import OWN_FORMS, Stored
from tests.measuring.toys import network as even

SPEC = "gaussian(0.6, reference=std)"
STATS = {"targets": ("norm_stats",), "chips": 6}


def network() -> nn.Module:
    """One whose variances differ, as those of trained networks do."""
    net = even()
    net[1].running_var.copy_(torch.tensor([0.02, 0.1, 0.3, 1.0, 2.0, 6.0]))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([0.2, -0.4, 0.6, 1.0, 1.3, 2.0]))
    return net


def own_answers(n: int = 60) -> Split:
    images = torch.randn(n, 2, 5, 5, generator=stream(0, "test"))
    with torch.no_grad():
        return Split(inputs=images, labels=network()(images).argmax(1))


def noisy(tensor: Tensor, chip: int, name: str, *, level: float = 0.6) -> Tensor:
    """The tensor with the noise of its own dice, as the docs say it."""
    dice = torch.randn(tensor.shape, generator=stream(0, chip, name, "gaussian0"))
    return tensor + level * tensor.std(correction=0) * dice


def literal_scores(form: str) -> list[float]:
    """What chips score whose BatchNorm holds `form`, by a forward pass written out."""
    net, test = network(), own_answers()
    conv, norm, *_, last = net
    found = []
    for chip in range(STATS["chips"]):  # type: ignore[arg-type]
        mean = noisy(norm.running_mean, chip, "1.running_mean")
        d = (norm.running_var + norm.eps).sqrt()
        stored = {"variance": norm.running_var, "deviation": d, "inverse": 1 / d}[form]
        stored = noisy(stored, chip, "1.running_var")
        by = {
            "variance": lambda v: 1 / (v + norm.eps).sqrt(),
            "deviation": lambda v: 1 / v,
            "inverse": lambda v: v,
        }[form](stored)
        with torch.no_grad():
            x = conv(test.inputs)
            x = (x - mean[:, None, None]) * by[:, None, None] * norm.weight[:, None, None]
            out = last(F.relu(x + norm.bias[:, None, None]).flatten(1))
        right = (out.argmax(1) == test.labels) & out.isfinite().all(1)
        found.append(float(right.float().mean()))
    return found


@pytest.mark.parametrize("form", ["variance", "deviation", "inverse"])
def test_noise_is_on_the_statistic_as_it_is_stored(form: str) -> None:
    curve = npf.measure(network(), own_answers(), SPEC, stats_as=form, **STATS)
    measured = [row.score for row in curve.points[0].rows]
    assert measured == pytest.approx(literal_scores(form))
    assert np.std(measured) > 0
    assert {row.stats_as for row in curve.points[0].rows} == {form if form != "variance" else ""}
    assert curve.points[0].as_json()["stats_as"] == form


def test_signs_turn_under_this_noise_so_that_a_gamma_must_take_them() -> None:
    d = (network()[1].running_var + 1e-5).sqrt()
    turned = [bool((noisy(d, chip, "1.running_var", level=3.0) < 0).any()) for chip in range(6)]
    assert any(turned)
    curve = npf.measure(
        network(), own_answers(), "gaussian(3, reference=std)", stats_as="deviation", **STATS
    )
    assert curve.points[0].nonfinite == 0
    variance = npf.measure(network(), own_answers(), "gaussian(3, reference=std)", **STATS)
    assert variance.points[0].nonfinite > 0


@pytest.mark.parametrize("kind", list(OWN_FORMS))
def test_own_is_the_form_of_each_normalisation(kind: str) -> None:
    net, test = replace_norms(network(), kind).eval(), own_answers()
    own = npf.measure(net, test, SPEC, stats_as="own", **STATS).points[0]
    alike = npf.measure(net, test, SPEC, stats_as=OWN_FORMS[kind], **STATS).points[0]
    assert [row.hits for row in own.rows] == [row.hits for row in alike.rows]


def test_without_noise_on_the_statistics_their_form_is_no_other_condition() -> None:
    with pytest.warns(NoEffectWarning, match="stats_as inverse changes nothing .* got kernel"):
        kernels = npf.measure(network(), own_answers(), SPEC, chips=3, stats_as="inverse").points[0]
    plain = npf.measure(network(), own_answers(), SPEC, chips=3).points[0]
    assert [npf.records.key_of(r) for r in kernels.rows] == [
        npf.records.key_of(r) for r in plain.rows
    ]
    assert [r.hits for r in kernels.rows] == [r.hits for r in plain.rows]


def test_at_level_0_a_stored_form_changes_nothing() -> None:
    exact = npf.measure(
        network(), own_answers(), "gaussian(0, reference=std)", stats_as="inverse", **STATS
    )
    assert [row.score for row in exact.points[0].rows] == [1.0] * len(exact.points[0].rows)


def test_noise_is_on_folded_kernels() -> None:
    net, test = network(), own_answers()
    conv, norm, *_, last = net
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel = conv.weight.detach() * scale[:, None, None, None].detach()
    bias = (norm.bias + (conv.bias - norm.running_mean) * scale).detach()
    expected = []
    for chip in range(4):
        w = noisy(kernel, chip, "0.weight")
        with torch.no_grad():
            hidden = F.relu(F.conv2d(test.inputs, w, bias)).flatten(1)
            out = F.linear(hidden, noisy(last.weight.detach(), chip, "4.weight"), last.bias)
        expected.append(float((out.argmax(1) == test.labels).float().mean()))
    folded = npf.measure(net, test, SPEC, chips=4, fold_norm=True)
    assert [row.score for row in folded.points[0].rows] == pytest.approx(expected)
    assert folded.clean.score == 1.0
    assert folded.first.mapping == "fold_norm=yes"
    plain = npf.measure(net, test, SPEC, chips=4)
    assert npf.records.network_key(plain.clean) == npf.records.network_key(folded.clean)
    assert [r.score for r in plain.points[0].rows] != expected


def test_normalisation_that_cannot_be_folded_is_said_to_stay() -> None:
    class Before(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(x))

    x = torch.randn(12, 4, generator=stream(2, "x"))
    data = Split(inputs=x, labels=Before().eval()(x).argmax(1))
    with pytest.warns(NoEffectWarning, match=r"1 of 1 normalisation layers stay .*\(norm\)"):
        npf.measure(Before(), data, SPEC, chips=2, fold_norm=True)


def test_folding_a_network_without_normalisation_changes_nothing_and_says_so() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(50, 4))
    with pytest.warns(NoEffectWarning, match="the Sequential has no normalisation"):
        npf.measure(net, own_answers(), SPEC, chips=2, fold_norm=True)


def test_eps_is_another_network_and_is_computed_with() -> None:
    net, test = network(), own_answers()
    wide = npf.measure(net, test, SPEC, chips=2, eps=5.0)
    own = npf.measure(net, test, SPEC, chips=2)
    other = network()
    other[1].eps = 5.0
    assert wide.clean.score == pytest.approx(
        float((other(test.inputs).argmax(1) == test.labels).float().mean())
    )
    assert wide.clean.norm == "own (eps=5)"
    assert npf.records.network_key(wide.clean) != npf.records.network_key(own.clean)
    assert net[1].eps == 1e-5
    assert Stored(eps=1e-3).norm_text("none (last:1/3)") == "none (last:1/3, eps=0.001)"


def test_eps_of_a_network_without_statistics_changes_nothing_and_says_so() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(50, 4))
    with pytest.warns(NoEffectWarning, match="eps=0.001 changes nothing: no layer of the Seq"):
        npf.measure(net, own_answers(), SPEC, chips=2, eps=1e-3)


def test_a_sign_without_a_gamma_to_take_it_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6, affine=False), nn.Flatten())
    net = nn.Sequential(net, nn.Linear(54, 4)).eval()
    with pytest.raises(ValueError, match="stats_as deviation needs a gamma, .* layer '0.1' has"):
        npf.measure(net, own_answers(), SPEC, stats_as="deviation", **STATS)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"stats_as": "std"},
            "unknown stats_as .std.: expected one of variance, deviation, inverse,",
        ),
        ({"eps": 0.0}, "eps must be a number above 0, got 0"),
        ({"eps": float("nan")}, "eps must be a number above 0, got nan"),
    ],
)
def test_a_way_to_store_that_there_is_not_is_refused(
    wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(network(), own_answers(), SPEC, chips=2, **wrong)  # type: ignore[arg-type]


def test_folding_is_silent_where_all_is_folded() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoEffectWarning)
        npf.measure(network(), own_answers(), SPEC, chips=2, fold_norm=True)


def test_a_chip_to_take_away_is_stored_so_too() -> None:
    net, test = network(), own_answers()
    rows = npf.measure(net, test, SPEC, stats_as="deviation", **STATS).points[0].rows
    for row in rows:
        chip = npf.manufacture(
            net, SPEC, chip=row.chip, targets=("norm_stats",), stats_as="deviation"
        )
        assert int((chip(test.inputs).argmax(1) == test.labels).sum()) == row.correct
