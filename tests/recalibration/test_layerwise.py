"""Recalibration layer by layer, and blended with the clean statistics."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.network.chip import Chip
from noiseproof.network.norms import by_channel
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.recalibration.statistics import blended, layerwise, recalibrated
from tests.recalibration.toys import BATCH_KINDS, images, network, shifted, stats

# --- layerwise -----------------------------------------------------------------------------------


def slowly_layerwise(net: nn.Module, x: Tensor) -> nn.Module:
    """Set the first layer's statistics from all images at once, then the second's."""
    slow = copy.deepcopy(net)
    for place in (1, 5):
        with torch.no_grad():
            values = by_channel(slow[:place](x)).double()
        slow[place].running_mean.copy_(values.mean(1))
        slow[place].running_var.copy_(values.var(1, correction=0))
    return slow


@pytest.mark.parametrize("batch_size", [None, 50, 49, 16, 7, 1])
def test_layerwise_is_exact_whatever_the_batches(batch_size: int | None) -> None:
    net, x = shifted(network()), images(50)
    fixed = npf.recalibrate(net, x, estimator="layerwise(50)", batch_size=batch_size)
    for name, value in stats(slowly_layerwise(net, x)).items():
        torch.testing.assert_close(stats(fixed)[name], value, rtol=1e-5, atol=1e-6)


def test_pooled_in_batches_is_not_what_layerwise_gives() -> None:
    """The difference between the two is there to be seen, so the test above can fail."""
    net, x = shifted(network()), images(50)
    pooled = npf.recalibrate(net, x, batch_size=2)
    exact = npf.recalibrate(net, x, estimator="layerwise(50)", batch_size=2)
    assert torch.equal(stats(pooled)["1.running_var"], stats(exact)["1.running_var"])
    gap = (stats(pooled)["5.running_var"] / stats(exact)["5.running_var"] - 1).abs().max()
    assert gap > 1e-3


def test_layerwise_with_all_images_in_one_batch_is_one_pooled_pass() -> None:
    net, x = shifted(network()), images(50)
    passes = []
    counting = skeleton_of(net)
    counting[0].register_forward_hook(lambda *_: passes.append(1))
    fixed = layerwise(counting, Chip(state_of(counting)), x).state
    assert len(passes) == 1
    for name, value in stats(npf.recalibrate(net, x)).items():
        assert torch.equal(fixed[name], value)


def test_layerwise_ends_each_pass_at_the_layer_it_looks_for() -> None:
    net, x = network(), images(40)
    runs = {0: 0, 4: 0, 8: 0}
    counting = skeleton_of(net)
    for place in runs:

        def count(*_: object, place: int = place) -> None:
            runs[place] += 1

        counting[place].register_forward_hook(count)
    layerwise(counting, Chip(state_of(counting)), x, batch_size=10)
    assert runs == {0: 1 + 4 + 4, 4: 1 + 4, 8: 1}  # a pilot, then four batches per layer
    assert not any(module._forward_pre_hooks for module in counting.modules())


class Pyramid(nn.Module):
    """A head (norm, ReLU, norm) shared by two levels, and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.BatchNorm1d(2)  # not in order of execution
        self.first = nn.BatchNorm1d(2)
        self.unused = nn.BatchNorm1d(2)

    def head(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        return [{"level": self.head(x[:, 0])}, {"level": self.head(3 * x[:, 1] - 2)}]


@pytest.mark.parametrize("batch_size", [None, 30, 8])
def test_layerwise_pools_all_calls_of_a_shared_layer(batch_size: int | None) -> None:
    x = torch.randn(30, 2, 2, generator=stream(0, "levels"))
    net = Pyramid().eval()
    fixed = npf.recalibrate(net, x, estimator="layerwise(30)", batch_size=batch_size)
    both = torch.cat([x[:, 0], 3 * x[:, 1] - 2]).double()
    torch.testing.assert_close(fixed.first.running_mean.double(), both.mean(0))
    torch.testing.assert_close(fixed.first.running_var.double(), both.var(0, correction=0))
    inner = ((both - both.mean(0)) / (both.var(0, correction=0) + 1e-5).sqrt()).relu()
    torch.testing.assert_close(
        fixed.second.running_mean.double(), inner.mean(0), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        fixed.second.running_var.double(), inner.var(0, correction=0), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(fixed.unused.running_mean, net.unused.running_mean)
    assert torch.equal(fixed.unused.running_var, net.unused.running_var)


# --- blend ---------------------------------------------------------------------------------------


def test_blend_is_the_pooled_variance_of_clean_and_new_values() -> None:
    """The clean statistics as pseudo-images: values with exactly that mean and variance."""
    new = np.random.default_rng(0).normal(3.0, 2.0, (40, 3))
    net = nn.Sequential(nn.BatchNorm1d(3)).eval()
    mean, sd = np.array([-1.0, 0.0, 5.0]), np.array([0.5, 1.0, 3.0])
    net[0].running_mean.copy_(torch.tensor(mean))
    net[0].running_var.copy_(torch.tensor(sd**2))
    pseudo = np.concatenate([np.tile(mean - sd, (12, 1)), np.tile(mean + sd, (12, 1))])
    both = np.concatenate([pseudo, new])
    fixed = npf.recalibrate(net, torch.tensor(new).float(), estimator="blend(40, prior=24)")
    np.testing.assert_allclose(fixed[0].running_mean, both.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fixed[0].running_var, both.var(0), rtol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in BATCH_KINDS if kind != "batch"])
def test_blend_of_other_scales_is_the_plain_weighted_mean(kind: str) -> None:
    net, x = network(kind), images(30)
    pooled = stats(npf.recalibrate(net, x))
    fixed = stats(npf.recalibrate(net, x, estimator="blend(30, prior=10)"))
    for name in ("1.running_mean", "1.running_var"):
        expected = 0.25 * stats(net)[name] + 0.75 * pooled[name]
        torch.testing.assert_close(fixed[name], expected, rtol=1e-5, atol=1e-6)


def test_blend_lies_between_the_clean_and_the_pooled_statistics() -> None:
    net, x = shifted(network()), images(30)
    skeleton, state = skeleton_of(net), state_of(net)
    clean = {name: state[name] for name in stats(net)}
    tiny = blended(skeleton, Chip(state), x, prior=1).state
    huge = blended(skeleton, Chip(state), x, prior=10**12).state
    pooled = recalibrated(skeleton, Chip(state), x).state
    for name, value in clean.items():
        torch.testing.assert_close(huge[name], value, rtol=1e-6, atol=1e-6)
        assert (tiny[name] - pooled[name]).norm() < 0.2 * (value - pooled[name]).norm()


def test_a_blended_layer_runs_with_its_blended_statistics() -> None:
    net, x = shifted(network()), images(30)
    fixed = npf.recalibrate(net, x, estimator="blend(30, prior=30)")
    with torch.no_grad():
        second = by_channel(fixed[:5](x)).double()  # behind the first layer as it is now
    mean = (stats(net)["5.running_mean"].double() + second.mean(1)) / 2
    torch.testing.assert_close(fixed[5].running_mean.double(), mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [30, 11])
def test_blend_weighs_by_all_images_however_they_are_batched(batch_size: int) -> None:
    net, x = network(), images(30)
    whole = npf.recalibrate(net, x, estimator="blend(30, prior=10)")
    parts = npf.recalibrate(net, x, estimator="blend(30, prior=10)", batch_size=batch_size)
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(stats(parts)[name], stats(whole)[name], rtol=1e-5, atol=1e-6)
