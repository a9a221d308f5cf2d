"""Recalibration: closed forms, and the traps of torch's own update_bn."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.norms import SCALES, by_channel
from noiseproof.network.state import skeleton_of, state_of
from tests.recalibration.toys import BATCH_KINDS, images, network, stats


@pytest.mark.parametrize("kind", BATCH_KINDS)
def test_each_layer_gets_the_pooled_statistics_of_its_corrected_input(kind: str) -> None:
    net, x = network(kind), images(37)
    fixed = npf.recalibrate(net, x)
    first = net[0](x)
    expected = by_channel(first).double()
    mean = expected.mean(1)
    torch.testing.assert_close(fixed[1].running_mean.double(), mean, rtol=1e-6, atol=1e-7)
    scale = SCALES[kind](expected - mean[:, None])
    torch.testing.assert_close(fixed[1].running_var.double(), scale**2, rtol=1e-6, atol=0)
    second = by_channel(fixed[:5](x)).double()  # behind the first layer as it is now
    torch.testing.assert_close(fixed[5].running_mean.double(), second.mean(1), rtol=1e-5, atol=1e-6)
    scale = SCALES[kind](second - second.mean(1, keepdim=True))
    torch.testing.assert_close(fixed[5].running_var.double(), scale**2, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["batch_topk", "batch_linf", "batch_range"])
def test_estimates_from_extremes_are_taken_over_groups_as_large_as_a_batch(kind: str) -> None:
    net, x = network(kind), images(256)
    fixed = npf.recalibrate(net, x)
    values = by_channel(net[0](x)).double()
    d = values - values.mean(1, keepdim=True)
    halves = [SCALES[kind](half) for half in d.chunk(2, dim=1)]
    expected = ((halves[0] + halves[1]) / 2) ** 2
    torch.testing.assert_close(fixed[1].running_var.double(), expected, rtol=1e-6, atol=0)


def test_an_affine_change_in_front_of_a_layer_is_undone_exactly() -> None:
    net, x = network(), images(50)
    for layer in npf.recalibration.running_layers(net).values():
        layer.eps = 0.0  # eps has a fixed weight beside the variance, and so is not undone
    reference = npf.recalibrate(net, x)
    shifted = copy.deepcopy(net)
    with torch.no_grad():
        shifted[0].weight.mul_(1.7)
        shifted[0].bias.mul_(1.7).add_(0.3)
    fixed = npf.recalibrate(shifted, x)
    torch.testing.assert_close(fixed(x), reference(x), rtol=1e-5, atol=1e-6)  # float32 rounding


def test_sorted_images_give_the_same_statistics_as_shuffled_ones() -> None:
    net = network()
    x = images(64) + torch.linspace(-2, 2, 64)[:, None, None, None]  # sorted by brightness
    order = torch.randperm(64, generator=stream(0, "shuffle"))
    one, other = npf.recalibrate(net, x), npf.recalibrate(net, x[order])
    for name, value in stats(one).items():
        torch.testing.assert_close(stats(other)[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [16, 30, 49, 50])
def test_a_ragged_last_batch_weighs_by_its_images(batch_size: int) -> None:
    """The first layer's input does not depend on batches, so its statistics must not either."""
    net, x = network(), images(50)
    whole, parts = npf.recalibrate(net, x), npf.recalibrate(net, x, batch_size=batch_size)
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(stats(parts)[name], stats(whole)[name], rtol=1e-5, atol=1e-6)


def test_batches_in_a_row_are_nearly_as_good_as_all_images_at_once() -> None:
    net, x = network(), images(400)
    whole, parts = npf.recalibrate(net, x), npf.recalibrate(net, x, batch_size=100)
    # The mean of 400 images has a standard error of at most sd / 20; the approximation must stay
    # below that error, or it would be the larger of the two.
    error = stats(whole)["5.running_var"].sqrt() / 20
    assert ((stats(parts)["5.running_mean"] - stats(whole)["5.running_mean"]).abs() < error).all()


def test_dropout_stays_off() -> None:
    net = network().train()
    x = images(40)
    quiet = copy.deepcopy(net)
    quiet[3].p = 0.0
    for name, value in stats(npf.recalibrate(net, x)).items():
        torch.testing.assert_close(value, stats(npf.recalibrate(quiet, x))[name], rtol=0, atol=0)


def test_modes_flags_and_everything_but_the_statistics_carry_over() -> None:
    net = network().train()
    net[1].eval()  # frozen by hand, as in fine-tuning
    net[5].weight.requires_grad_(False)
    before = copy.deepcopy(net)
    fixed = npf.recalibrate(net, images(20))
    for old, new, original in zip(net.modules(), fixed.modules(), before.modules(), strict=True):
        assert old.training == new.training == original.training
        assert not new._forward_pre_hooks
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == fixed.get_parameter(name).requires_grad
        assert torch.equal(parameter, fixed.get_parameter(name))
    for name, value in before.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), "the input model has changed"
        if "running_" not in name:
            assert torch.equal(fixed.state_dict()[name], value)


def test_a_frozen_batch_norm_is_recalibrated_as_any_other() -> None:
    net = network()
    frozen = FrozenBatchNorm2d(5)
    frozen.running_mean.fill_(0.25)
    thawed = copy.deepcopy(net)
    thawed[5].running_mean.fill_(0.25)
    net[5] = frozen
    fixed, expected = npf.recalibrate(net, images(20)), npf.recalibrate(thawed, images(20))
    assert isinstance(fixed[5], FrozenBatchNorm2d)
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(fixed[5], name), getattr(expected[5], name))
    assert (frozen.running_mean == 0.25).all()


def test_a_layer_used_twice_pools_both_of_its_inputs() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x[:, 0]) + self.norm(x[:, 1])

    x = torch.randn(30, 2, 2, generator=stream(0, "twice")) * 3
    fixed = npf.recalibrate(Twice().eval(), x)
    together = x.transpose(0, 1).reshape(60, 2).double()
    torch.testing.assert_close(fixed.norm.running_mean.double(), together.mean(0))
    torch.testing.assert_close(fixed.norm.running_var.double(), together.var(0, correction=0))


@pytest.mark.parametrize("text", ["pooled(30)", "layerwise(30)", "blend(30, prior=1000000000)"])
def test_a_layer_may_get_no_value_or_its_input_by_name(text: str) -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)
            self.without_statistics = nn.BatchNorm1d(2, track_running_stats=False)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.norm(input=x[:0]), self.without_statistics(self.norm(input=x))

    x = torch.randn(30, 2, generator=stream(0, "sometimes"))
    fixed = npf.recalibrate(Sometimes().eval(), x, estimator=text)
    expected = torch.zeros(2).double() if "blend" in text else x.double().mean(0)
    torch.testing.assert_close(fixed.norm.running_mean.double(), expected, rtol=1e-6, atol=1e-7)


def test_a_network_without_running_statistics_is_said_to_be_unchanged() -> None:
    net = npf.replace_norms(network(), "group")
    with pytest.warns(NoEffectWarning, match="no running statistics to recalibrate"):
        fixed = npf.recalibrate(net, images(4))
    assert all(torch.equal(v, fixed.state_dict()[k]) for k, v in net.state_dict().items())


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="recalibration needs at least 1 image, got 0"):
        npf.recalibrate(network(), images(4)[:0])


def test_recalibrated_leaves_the_given_state_alone() -> None:
    skeleton = skeleton_of(network())
    state = state_of(skeleton)
    kept = {name: tensor.clone() for name, tensor in state.items()}
    fresh = npf.recalibration.recalibrated(skeleton, Chip(state), images(20)).state
    assert all(torch.equal(state[name], kept[name]) for name in state)
    assert not torch.equal(fresh["1.running_mean"], state["1.running_mean"])
    assert torch.equal(outputs(skeleton, Chip(state), images(3)), network()(images(3)))
