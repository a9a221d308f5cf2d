"""The public face of recalibration: every estimator on every kind of network."""

from collections.abc import Callable
from typing import Any

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
from noiseproof.network.chip import Chip
from noiseproof.network.state import State, skeleton_of, state_of
from noiseproof.recalibration.affine import with_bias_zeros, with_biases
from noiseproof.recalibration.following import followed
from noiseproof.recalibration.matching import signature_of
from noiseproof.recalibration.statistics import calibrated
from noiseproof.specs.estimators import Batch, Ema, Estimator, parse_estimator
from tests.recalibration.toys import images, network, stats

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
        calibrated(skeleton, Chip(state_of(skeleton)), images(10), estimator)


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
    state = calibrated(skeleton, Chip(state_of(skeleton)), images(10), estimator).state
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
        return followed(skeleton, Chip(state), x.split(estimator.batch), estimator).state
    signature = signature_of(skeleton, Chip(state), x)
    biased = with_biases(skeleton)
    extended = with_bias_zeros(state, biased)
    return calibrated(biased, Chip(extended), x, estimator, signature=signature).state


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
