"""Statistics that follow the test batches: closed forms, and torch's own training mode."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.norms import SCALES, by_channel
from noiseproof.network.state import State, skeleton_of, state_of
from noiseproof.recalibration.following import followed, following
from noiseproof.specs.estimators import Batch, Ema

BATCH_KINDS = sorted(SCALES)


def images(n: int, *, seed: int = 0, size: tuple[int, ...] = (6, 6)) -> Tensor:
    return torch.randn(n, 3, *size, generator=stream(seed, "images")) * 2 + 0.5


def network(kind: str = "batch", *, dims: int = 2) -> nn.Module:
    """Convolution, norm, ReLU, dropout, norm, in evaluation mode; statistics as if trained."""
    conv = {1: nn.Conv1d, 2: nn.Conv2d}[dims]
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims]
    with npf.rng.seeded(0, "net"):
        net = nn.Sequential(conv(3, 4, 3), norm(4), nn.ReLU(), nn.Dropout(0.5), norm(4))
        for layer in (net[1], net[4]):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
    return npf.replace_norms(net, kind).eval()


def prepared(net: nn.Module) -> tuple[nn.Module, State]:
    skeleton = skeleton_of(net)
    return skeleton, state_of(skeleton)


def running(state: State, layer: str) -> tuple[Tensor, Tensor]:
    return state[f"{layer}.running_mean"], state[f"{layer}.running_var"]


def statistics(x: Tensor, kind: str = "batch") -> tuple[Tensor, Tensor]:
    """(mean, squared scale) of x (N, C, ...), in float64."""
    values = by_channel(x.double())
    mean = values.mean(1)
    return mean, SCALES[kind](values - mean[:, None]).square()


@pytest.mark.parametrize("kind", BATCH_KINDS)
@pytest.mark.parametrize("dims", [1, 2])
def test_ema_is_a_geometric_sum_of_the_batches_statistics(kind: str, dims: int) -> None:
    """After T batches: (1-m)^T r0 + m sum (1-m)^(T-1-t) s_t. The first layer's input does not
    depend on any statistics."""
    m, total = 0.3, 5
    skeleton, state = prepared(network(kind, dims=dims))
    batches = [images(8 + t, seed=t, size=(6,) * dims) for t in range(total)]
    final = followed(skeleton, Chip(state), batches, Ema(momentum=m)).state
    seen = [statistics(skeleton[0](batch), kind) for batch in batches]
    for which in (0, 1):
        expected = (1 - m) ** total * running(state, "1")[which].double()
        expected += m * sum((1 - m) ** (total - 1 - t) * s[which] for t, s in enumerate(seen))
        actual = running(final, "1")[which].double()
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_ema_accumulates_beyond_the_precision_of_the_state() -> None:
    """A momentum below float32's eps moves nothing batch by batch if it is added in float32."""
    skeleton, state = prepared(nn.Sequential(nn.BatchNorm1d(1)))
    batch = torch.full((4, 1), 100.0)
    with following(
        skeleton, Chip({**state, "0.running_mean": torch.ones(1)}), Ema(momentum=2e-10)
    ) as live:
        for _ in range(1000):
            outputs(skeleton, live, batch)
    expected = 1 + 99 * 2e-7  # first order in the momentum
    torch.testing.assert_close(
        live.state["0.running_mean"], torch.tensor([expected]), rtol=6e-8, atol=0
    )


@pytest.mark.parametrize("kind", BATCH_KINDS)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("size", [2, 9])
def test_batch_is_the_forward_pass_of_training(kind: str, dims: int, size: int) -> None:
    net = network(kind, dims=dims)
    skeleton, state = prepared(net)
    net[1].train()
    net[4].train()  # dropout stays off
    with following(skeleton, Chip(state), Batch(batch=size)) as live:
        for seed in range(3):
            x = images(size, seed=seed, size=(6,) * dims)
            torch.testing.assert_close(outputs(skeleton, live, x), net(x), rtol=1e-4, atol=1e-5)


def test_ema_with_momentum_one_is_batch() -> None:
    skeleton, state = prepared(network())
    x = images(7)
    with following(skeleton, Chip(state), Ema(momentum=1)) as live:
        one = outputs(skeleton, live, x)
    with following(skeleton, Chip(state), Batch(batch=7)) as live:
        torch.testing.assert_close(outputs(skeleton, live, x), one, rtol=0, atol=0)


def test_each_layer_normalises_with_what_it_has_just_become() -> None:
    m = 0.4
    net = network()
    skeleton, state = prepared(net)
    x = images(6)
    with following(skeleton, Chip(state), Ema(momentum=m)) as live:
        actual = outputs(skeleton, live, x)
    for place in (1, 4):  # the slow way: set one layer, run up to the next
        mean, var = statistics(net[:place](x).detach())
        net[place].running_mean.lerp_(mean.float(), m)
        net[place].running_var.lerp_(var.float(), m)
    torch.testing.assert_close(actual, net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", BATCH_KINDS)
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)], ids=str)
def test_a_single_value_per_channel_gives_beta(kind: str, shape: tuple[int, ...]) -> None:
    norm = npf.replace_norms(nn.Sequential(nn.BatchNorm1d(3)), kind).eval()
    with torch.no_grad():
        norm[0].bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    skeleton, state = prepared(norm)
    with following(skeleton, Chip(state), Batch(batch=1)) as live:
        y = outputs(skeleton, live, torch.full(shape, 7.25))
    rounding = 7.25 / 1e-5**0.5 * torch.finfo(torch.float32).eps  # x and mean are scaled apart
    torch.testing.assert_close(y.flatten(), torch.tensor([1.0, 2.0, 3.0]), rtol=0, atol=rounding)


def test_one_image_at_a_time_is_instance_normalisation() -> None:
    skeleton, state = prepared(nn.Sequential(nn.BatchNorm2d(3)))
    x = images(4)
    with following(skeleton, Chip(state), Batch(batch=1)) as live:
        ys = torch.cat([outputs(skeleton, live, image[None]) for image in x])
    torch.testing.assert_close(ys, nn.functional.instance_norm(x), rtol=1e-5, atol=1e-6)


class Shared(nn.Module):
    """One head on two pyramid levels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.norm(x[:, 0]), self.norm(x[:, 1] * 5 + 1)])


def test_a_layer_that_runs_twice_moves_twice_or_takes_each_call_s_own() -> None:
    x = torch.randn(10, 2, 2, generator=stream(0, "levels"))
    skeleton, state = prepared(Shared())
    m = 0.25
    final = followed(skeleton, Chip(state), [x], Ema(momentum=m)).state
    first, second = statistics(x[:, 0]), statistics(x[:, 1] * 5 + 1)
    for which, start in ((0, 0.0), (1, 1.0)):
        expected = (1 - m) * ((1 - m) * start + m * first[which]) + m * second[which]
        actual = running(final, "norm")[which].double()
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)
    with following(skeleton, Chip(state), Batch(batch=10)) as live:
        y = outputs(skeleton, live, x)
    own = nn.BatchNorm1d(2)
    expected_y = torch.stack([own(x[:, 0]), own(x[:, 1] * 5 + 1)])
    torch.testing.assert_close(y, expected_y, rtol=1e-4, atol=1e-5)


def test_a_frozen_batch_norm_follows_too() -> None:
    skeleton, state = prepared(nn.Sequential(FrozenBatchNorm2d(3)))
    x = images(5)
    with following(skeleton, Chip(state), Batch(batch=5)) as live:
        y = outputs(skeleton, live, x)
    torch.testing.assert_close(y, nn.BatchNorm2d(3)(x), rtol=1e-5, atol=1e-5)


def test_statistics_that_overflowed_do_not_outlive_the_first_batch() -> None:
    skeleton, state = prepared(nn.Sequential(nn.BatchNorm2d(3)))
    broken = {**state, "0.running_var": torch.full((3,), torch.inf)}
    with following(skeleton, Chip(broken), Batch(batch=5)) as live:
        assert outputs(skeleton, live, images(5)).isfinite().all()


def test_the_given_state_and_the_skeleton_come_out_as_they_went_in() -> None:
    skeleton, state = prepared(network())
    kept = {name: tensor.clone() for name, tensor in state.items()}
    before = outputs(skeleton, Chip(state), images(3))
    with following(skeleton, Chip(state), Ema(momentum=0.5)) as live:
        outputs(skeleton, live, images(20))
        moved = live.state["1.running_mean"].clone()
    assert not torch.equal(moved, kept["1.running_mean"])
    outputs(skeleton, live, images(20, seed=1))  # outside the block nothing moves
    assert torch.equal(live.state["1.running_mean"], moved)
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())
    assert torch.equal(outputs(skeleton, Chip(state), images(3)), before)
    assert live.state["0.weight"].data_ptr() == state["0.weight"].data_ptr()


def test_the_hooks_go_when_the_block_fails() -> None:
    skeleton, state = prepared(network())
    with pytest.raises(KeyError), following(skeleton, Chip(state), Batch(batch=2)):
        raise KeyError
    assert not any(module._forward_pre_hooks for module in skeleton.modules())


def test_a_network_without_running_statistics_runs_as_it_is() -> None:
    skeleton, state = prepared(npf.replace_norms(network(), "group"))
    x = images(4)
    with following(skeleton, Chip(state), Ema(momentum=0.1)) as live:
        assert torch.equal(outputs(skeleton, live, x), outputs(skeleton, Chip(state), x))
