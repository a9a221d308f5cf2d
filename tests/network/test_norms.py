"""Normalisation layers against formulas written out one channel at a time."""

import copy
import math
from itertools import permutations

import pytest
import torch
from scipy import stats as sps
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.network.norms import (
    SCALES,
    ScaledBatchNorm,
    by_channel,
    replace_norms,
)
from tests.network.toys import INPUTS, KINDS, filled, normal

RATE = 1e-6


def c(n: int) -> float:
    """C(n) of Hoffer et al. 2018."""
    return (1 + math.sqrt(math.pi * math.log(4))) / (2 * math.sqrt(2 * math.log(n)))


def literal_scale(kind: str, d: Tensor) -> Tensor:
    """The scale estimate of one channel's deviations d (n,), written out."""
    n = len(d)
    magnitudes = sorted(d.abs(), reverse=True)
    if kind == "batch":
        return torch.sqrt(sum(v * v for v in d) / n)
    if kind == "batch_l1":
        return math.sqrt(math.pi / 2) * sum(magnitudes) / n
    if kind == "batch_topk":
        return sum(magnitudes[:10]) / min(10, n) * c(n)
    if kind == "batch_linf":
        return magnitudes[0] * c(n)
    assert kind == "batch_range"
    chunks = 16 if n >= 32 else n // 2
    m = n // chunks
    parts = [d[k * m : (k + 1) * m] for k in range(chunks)]
    spread = sum(max(part) for part in parts) - sum(min(part) for part in parts)
    factor = 0.175 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(m))
    return spread / chunks * factor


def literal_forward(kind: str, x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float) -> Tensor:
    """(x - mean) / sqrt(scale^2 + eps) * gamma + beta over the batch, one channel after another."""
    channels = []
    for k in range(x.shape[1]):
        values = x[:, k]
        mean = values.sum() / values.numel()
        scale = literal_scale(kind, (values - mean).flatten())
        channels.append((values - mean) / torch.sqrt(scale**2 + eps) * gamma[k] + beta[k])
    return torch.stack(channels, dim=1)


# --- scale estimates ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 9, 31, 32, 47, 117, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scale_estimate_is_its_formula_for_each_channel(kind: str, n: int) -> None:
    d = normal(3, n) * torch.tensor([[1.0], [10.0], [0.1]])
    expected = torch.stack([literal_scale(kind, row) for row in d])
    torch.testing.assert_close(SCALES[kind](d), expected, rtol=1e-12, atol=0)


def test_scale_estimates_in_closed_form() -> None:
    d = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    expected = {
        "batch": math.sqrt(12.5),
        "batch_l1": 3.5 * math.sqrt(math.pi / 2),
        "batch_topk": 3.5 * c(2),
        "batch_linf": 4 * c(2),
        "batch_range": 0.35 * 7 * c(2),
    }
    assert set(expected) == set(SCALES)
    for kind, value in expected.items():
        assert float(SCALES[kind](d)) == pytest.approx(value, rel=1e-12)


def test_range_takes_its_16_chunks_in_memory_order() -> None:
    d = torch.arange(32.0).reshape(1, 32).double()  # neighbours: every chunk spans 1
    assert float(SCALES["batch_range"](d)) == pytest.approx(0.35 * c(2), rel=1e-12)
    apart = d.reshape(16, 2).T.reshape(1, 32)  # 0, 2, 4, ...: every chunk spans 2
    assert float(SCALES["batch_range"](apart)) == pytest.approx(0.7 * c(2), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_a_scale_estimate_scales_with_the_data(kind: str, factor: float) -> None:
    d = normal(4, 50)
    torch.testing.assert_close(SCALES[kind](factor * d), factor * SCALES[kind](d))
    torch.testing.assert_close(SCALES[kind](-d), SCALES[kind](d))


def half_width(sd: float, n: int, *, detect: float) -> float:
    """By how much a mean of n draws may miss; n must be enough to show an error of `detect`."""
    width = float(sps.norm.isf(RATE / 2)) * sd / math.sqrt(n)
    assert 2 * width < detect, f"underpowered: n = {n} leaves +-{width:.3g}, to show {detect:g}"
    return width


def test_l1_and_l2_are_unbiased_on_gaussian_data() -> None:
    n, sigma = 1_000_000, 2.5
    d = sigma * normal(1, n)
    l1, l2 = (float(SCALES[kind](d)) / sigma for kind in ("batch_l1", "batch"))
    assert abs(l1 - 1) < half_width(math.sqrt(math.pi / 2 - 1), n, detect=0.02)
    assert abs(l2**2 - 1) < half_width(math.sqrt(2), n, detect=0.02)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5)])
def test_by_channel_gathers_what_one_channels_statistics_see(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    rows = by_channel(x)
    assert rows.shape == (3, x.numel() // 3)
    for k in range(3):
        assert torch.equal(rows[k], x[:, k].flatten())


# --- the layer in training ----------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "shape"), INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_output_and_gradients_are_those_of_the_formula(
    kind: str, dims: int, shape: tuple[int, ...]
) -> None:
    layer = ScaledBatchNorm(3, kind=kind, dims=dims, eps=1e-3)
    gamma, beta = normal(3, name="gamma"), normal(3, name="beta")
    with torch.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    x, downstream = normal(*shape), normal(*shape, name="downstream")
    single = x.float().requires_grad_()
    out = layer(single)
    (out * downstream.float()).sum().backward()

    exact = [t.float().double().requires_grad_() for t in (x, gamma, beta)]
    expected = literal_forward(kind, *exact, eps=1e-3)
    gradients = torch.autograd.grad((expected * downstream.float().double()).sum(), exact)
    torch.testing.assert_close(out, expected.float())
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    assert single.grad is not None
    for actual, exact_one in zip(
        (single.grad, layer.weight.grad, layer.bias.grad), gradients, strict=True
    ):
        torch.testing.assert_close(actual, exact_one.float(), rtol=1e-5, atol=1e-5)


def test_the_l2_variant_is_torchs_own_batch_norm_in_training() -> None:
    ours, torchs = ScaledBatchNorm(3, kind="batch"), nn.BatchNorm2d(3)
    x = normal(5, 3, 4, 4).float()
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_format_does_not_matter(kind: str) -> None:
    x = normal(5, 3, 4, 4).float()
    layer = ScaledBatchNorm(3, kind=kind)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x))


def test_the_output_has_the_dtype_of_the_input() -> None:
    layer = ScaledBatchNorm(3, kind="batch_l1")
    x = normal(5, 3, 4, 4).to(torch.bfloat16)
    assert layer(x).dtype == torch.bfloat16
    torch.testing.assert_close(layer(x), layer(x.float()).to(torch.bfloat16))


# --- running statistics -------------------------------------------------------------------------


def statistics(kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and squared scale estimate of each channel of one batch."""
    means = torch.stack([x[:, k].mean() for k in range(x.shape[1])])
    scales = [literal_scale(kind, (x[:, k] - mean).flatten()) ** 2 for k, mean in enumerate(means)]
    return means, torch.stack(scales)


@pytest.mark.parametrize("kind", KINDS)
def test_momentum_is_the_weight_of_the_new_batch(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, momentum=0.3)
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    for name in ("a", "b", "c"):
        x = 2 * normal(5, 3, 4, 4, name=name) + 1
        layer(x.float())
        batch_mean, batch_var = statistics(kind, x)
        mean, var = 0.7 * mean + 0.3 * batch_mean, 0.7 * var + 0.3 * batch_var
    torch.testing.assert_close(layer.running_mean, mean.float())
    torch.testing.assert_close(layer.running_var, var.float())
    assert layer.num_batches_tracked == 3


@pytest.mark.parametrize("kind", KINDS)
def test_without_momentum_the_running_statistics_are_plain_means(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, momentum=None)
    batches = [2 * normal(5, 3, 4, 4, name=name) + 1 for name in ("a", "b", "c")]
    for x in batches:
        layer(x.float())
    means, variances = zip(*(statistics(kind, x) for x in batches), strict=True)
    torch.testing.assert_close(layer.running_mean, torch.stack(means).mean(0).float())
    torch.testing.assert_close(layer.running_var, torch.stack(variances).mean(0).float())


def test_running_statistics_carry_no_gradient_and_rest_in_evaluation() -> None:
    layer = ScaledBatchNorm(3, kind="batch_l1")
    layer(normal(5, 3, 4, 4).float().requires_grad_())
    assert layer.running_var is not None
    assert not layer.running_var.requires_grad
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(normal(5, 3, 4, 4, name="other").float())
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(("dims", "shape"), INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_evaluation_every_variant_is_torchs_batch_norm(
    kind: str, dims: int, shape: tuple[int, ...]
) -> None:
    layer = filled(ScaledBatchNorm(3, kind=kind, dims=dims, eps=1e-3)).eval()
    x = normal(*shape).float()
    expected = F.batch_norm(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-3
    )
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_without_running_statistics_evaluation_uses_the_batch(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, track_running_stats=False, affine=False).eval()
    x = normal(5, 3, 4, 4)
    expected = literal_forward(kind, x, torch.ones(3), torch.zeros(3), eps=layer.eps)
    torch.testing.assert_close(layer(x.float()), expected.float())
    assert list(layer.state_dict()) == []


@pytest.mark.parametrize(("source", "target"), list(permutations(KINDS, 2)))
def test_a_state_dict_moves_between_variants(source: str, target: str) -> None:
    old, new = (replace_norms(nn.BatchNorm2d(3), kind) for kind in (source, target))
    new.load_state_dict(filled(old).state_dict())
    x = normal(5, 3, 4, 4).float()
    assert torch.equal(new.eval()(x), old.eval()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_one_value_per_channel_is_refused_in_training(kind: str) -> None:
    with pytest.raises(ValueError, match=r"expected more than 1 value per channel, got \(1, 3\)"):
        ScaledBatchNorm(3, kind=kind, dims=1)(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("dims", "shape"), [(1, (2, 3, 4, 4)), (2, (2, 3)), (2, (2, 3, 4)), (3, (2, 3, 4, 4))]
)
def test_inputs_with_other_positions_are_refused(dims: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected {dims} positions, got \(2, 3"):
        ScaledBatchNorm(3, kind="batch_l1", dims=dims)(torch.ones(shape))
