"""Recalibration: closed forms, and the traps of torch's own update_bn."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.ops import FrozenBatchNorm2d

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.network.norms import SCALES, by_channel
from noiseproof.network.state import State, outputs, skeleton_of, state_of
from noiseproof.recalibration.affine import with_bias_zeros, with_biases
from noiseproof.recalibration.following import followed
from noiseproof.recalibration.matching import signature_of
from noiseproof.recalibration.statistics import blended, calibrated, layerwise, recalibrated
from noiseproof.specs.estimators import Batch, Ema, Estimator, parse_estimator

BATCH_KINDS = sorted(SCALES)


def images(n: int, *, seed: int = 0, channels: int = 3, size: int = 6) -> Tensor:
    return torch.randn(n, channels, size, size, generator=stream(seed, "images")) + 0.5


def network(kind: str = "batch") -> nn.Module:
    """Two convolutions with normalisation, dropout between them, in evaluation mode."""
    with npf.rng.seeded(0, "net"):
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(4, 5, 3, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20, 3),
        )
    return npf.replace_norms(net, kind).eval()


def stats(net: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if "running_" in name}


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
    fresh = npf.recalibration.recalibrated(skeleton, state, images(20))
    assert all(torch.equal(state[name], kept[name]) for name in state)
    assert not torch.equal(fresh["1.running_mean"], state["1.running_mean"])
    assert torch.equal(outputs(skeleton, state, images(3)), network()(images(3)))


# --- layerwise -----------------------------------------------------------------------------------


def shifted(net: nn.Module, by: float = 2.0) -> nn.Module:
    """`net` with kernels changed so that its statistics are far off."""
    with torch.no_grad():
        for place in (0, 4):
            noise = torch.randn(net[place].weight.shape, generator=stream(place, "shift"))
            net[place].weight.add_(noise * by * net[place].weight.std())
    return net


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
    fixed = layerwise(counting, state_of(counting), x)
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
    layerwise(counting, state_of(counting), x, batch_size=10)
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
    tiny = blended(skeleton, state, x, prior=1)
    huge = blended(skeleton, state, x, prior=10**12)
    pooled = recalibrated(skeleton, state, x)
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


# --- the public face -----------------------------------------------------------------------------


def test_an_estimator_uses_its_number_of_images_from_the_first_on() -> None:
    net, x = network(), images(40)
    for estimator in ("pooled(25)", "25", parse_estimator("pooled(25)")):
        fixed = npf.recalibrate(net, x, estimator=estimator)
        for name, value in stats(npf.recalibrate(net, x[:25])).items():
            assert torch.equal(stats(fixed)[name], value)


def test_the_batch_of_pooled_is_its_batch_size() -> None:
    net, x = network(), images(40)
    fixed = npf.recalibrate(net, x, estimator="pooled(40, batch=16)")
    for name, value in stats(npf.recalibrate(net, x, batch_size=16)).items():
        assert torch.equal(stats(fixed)[name], value)


def test_off_is_said_to_change_nothing() -> None:
    net = network()
    with pytest.warns(NoEffectWarning, match="^recalibration is off$"):
        fixed = npf.recalibrate(net, images(4), estimator="off")
    assert all(torch.equal(v, fixed.state_dict()[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"estimator": "pooled(11)"}, "^pooled\\(11\\) needs 11 calibration images, got 10$"),
        ({"estimator": "match(5)"}, "^match needs the clean model: recalibrate\\(..., clean="),
        ({"estimator": "foo"}, "^unknown recalibration 'foo': expected one of batch, blend"),
        (
            {"estimator": "match(5)", "clean": nn.Sequential(nn.Conv2d(3, 7, 3))},
            "^the clean model must have the layers of the chip: '0.weight' differs$",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        npf.recalibrate(network(), images(10), **options)
    assert "\n" not in str(caught.value)


def test_match_without_a_signature_is_refused() -> None:
    estimator = parse_estimator("match(10)")
    assert estimator is not None
    skeleton = skeleton_of(network())
    with pytest.raises(ValueError, match="needs the clean network's"):
        calibrated(skeleton, state_of(skeleton), images(10), estimator)


def test_ema_treats_the_images_as_its_stream() -> None:
    """(1 - m)^2 clean + m (1 - m) first + m second, the statistics of its own first layer."""
    net, stream_of = nn.Sequential(nn.BatchNorm2d(3)).eval(), images(10)
    fixed = npf.recalibrate(net, stream_of, estimator="ema(0.25, batch=5)")
    first, second = (part.mean((0, 2, 3)) for part in stream_of.split(5))
    expected = 0.75 * 0.25 * first + 0.25 * second
    torch.testing.assert_close(fixed[0].running_mean, expected)
    last = npf.recalibrate(net, stream_of, estimator="batch(5)")
    torch.testing.assert_close(last[0].running_mean, second)


@pytest.mark.parametrize(
    "text",
    ["pooled(10)", "layerwise(10)", "blend(10, prior=5)", "ema(0.1, batch=4)", "batch(4)"],
)
def test_calibrated_gives_what_recalibrate_gives(text: str) -> None:
    net, estimator = network(), parse_estimator(text)
    assert estimator is not None
    skeleton = skeleton_of(net)
    state = calibrated(skeleton, state_of(skeleton), images(10), estimator)
    for name, value in stats(npf.recalibrate(net, images(10), estimator=estimator)).items():
        assert torch.equal(state[name], value)


def test_match_is_refused_a_network_without_analog_layers_politely() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3)).eval()
    with pytest.warns(NoEffectWarning, match="has no analog layers to recalibrate"):
        npf.recalibrate(net, images(4), estimator="match(4)", clean=net)


# --- every estimator on every kind of network ----------------------------------------------------


def detector() -> nn.Module:
    return ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)


class Backbone(nn.Sequential):
    out_channels = 32

    def __init__(self) -> None:
        norm = FrozenBatchNorm2d(32)
        super().__init__(nn.Conv2d(3, 32, 3, stride=8, bias=False), norm, nn.ReLU())


def anchor_free_detector() -> nn.Module:
    return FCOS(
        Backbone(),
        num_classes=3,
        min_size=32,
        max_size=32,
        anchor_generator=AnchorGenerator(sizes=((8,),), aspect_ratios=((1.0,),)),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "classifier": lambda: nn.Sequential(network("batch_l1")[:7], nn.Flatten(), nn.LazyLinear(3)),
    "detector": detector,
    "anchor-free detector": anchor_free_detector,
    "segmenter": lambda: lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    ),
}
EVERY = [
    "pooled(4)",
    "pooled(4, batch=2)",
    "layerwise(4)",
    "blend(4, prior=2)",
    "match(4)",
    "ema(0.2, batch=2)",
    "batch(2)",
]


def apply(estimator: Estimator, skeleton: nn.Module, state: State, x: Tensor) -> State:
    """As code that measures does it."""
    if isinstance(estimator, Ema | Batch):
        return followed(skeleton, state, x.split(estimator.batch), estimator)
    signature = signature_of(skeleton, state, x)
    biased = with_biases(skeleton)
    extended = with_bias_zeros(state, biased)
    return calibrated(biased, extended, x, estimator, signature=signature)


@pytest.mark.parametrize("text", EVERY)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_estimator_runs_on_every_network_and_leaves_it_alone(name: str, text: str) -> None:
    estimator, x = parse_estimator(text), torch.rand(4, 3, 32, 32, generator=stream(0, "pixels"))
    assert estimator is not None
    with npf.rng.seeded(0, "net"):
        net = NETWORKS[name]().eval()
        with torch.no_grad():
            net(x)  # lazy layers get their shapes
    net.train()  # the mode is the user's
    kept = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    skeleton, state = skeleton_of(net), state_of(net)
    fixed = apply(estimator, skeleton, state, x)
    for key, tensor in kept.items():
        assert torch.equal(net.state_dict()[key], tensor), key
        assert torch.equal(state[key], tensor), key
    changed = {key for key, tensor in kept.items() if not torch.equal(fixed[key], tensor)}
    if estimator.kind == "match":
        assert not changed  # the chip is the clean network
    else:
        assert changed
        assert {key.rpartition(".")[2] for key in changed} <= {"running_mean", "running_var"}
    assert all(module.training for module in net.modules())
    for module in (*net.modules(), *skeleton.modules()):
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
