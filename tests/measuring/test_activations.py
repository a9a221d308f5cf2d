"""Explaining, against activations that are all kept and compared by numpy, layer by layer."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from scipy import stats as sps
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.measuring import activations as explaining
from noiseproof.measuring.activations import explain
from noiseproof.models import building as models
from noiseproof.network.activations import listening, sites_of
from noiseproof.network.state import state_of
from noiseproof.results.activations import RATIO, SHIFT, SNR, TINY, Activations
from noiseproof.specs.noise import parse
from tests.networks import small_vit

NOISE = parse("gaussian(0.4, reference=std)")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "x"))


IMAGES = normal(30, 3, 8, 8)
TEST = Split(inputs=IMAGES, labels=torch.arange(30) % 4)


def conv_net() -> nn.Module:
    with seeded(1, "net"):
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 5, 3, bias=False),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(80, 4),
        )
    net(IMAGES)  # running statistics
    return net.eval()


class Twice(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).mean(2)
        return self.layer(self.layer(torch.cat([x, x[:, :1]], 1)).relu())


def reference(model: nn.Module, images: Tensor, layers: list[str]) -> dict[str, np.ndarray]:
    """Each layer's output (C, values) in float64, in the order of images and positions."""
    held: dict[str, np.ndarray] = {}
    hooks = []
    for name in layers:

        def keep(module: nn.Module, args: object, y: Tensor, name: str = name) -> None:
            held[name] = y.detach().double().numpy().copy().swapaxes(0, 1).reshape(y.shape[1], -1)

        hooks.append(model.get_submodule(name).register_forward_hook(keep))
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return held


def expected(clean: np.ndarray, noisy: np.ndarray) -> tuple[float, float, float]:
    """Slow and obvious; arrays (C, values)."""
    signal = sum(np.var(channel) for channel in clean)
    noise = sum(np.mean((b - a) ** 2) for a, b in zip(clean, noisy, strict=True))
    sds = [np.std(channel) for channel in clean]
    kept = [c for c, sd in enumerate(sds) if sd > TINY * math.sqrt(np.mean(np.square(sds)))]
    shifts = [(noisy[c].mean() - clean[c].mean()) / sds[c] for c in kept]
    ratios = [np.log(np.var(noisy[c]) / np.var(clean[c])) for c in kept]
    snr = 10 * math.log10(signal / noise)
    return snr, math.sqrt(np.mean(np.square(shifts))), math.exp(np.mean(ratios))


LAYERS = ["0", "1", "3", "6"]


@pytest.mark.parametrize("batch_size", [7, 30])
def test_each_value_is_that_of_activations_compared_by_hand(batch_size: int) -> None:
    net = conv_net()
    found = explain(net, TEST, NOISE, chips=3, seed=5, batch_size=batch_size)
    assert [point.name for point in found.points] == LAYERS
    assert [point.role for point in found.points] == ["analog", "norm", "analog", "analog"]
    clean = reference(net, IMAGES, LAYERS)
    for chip in range(3):
        noisy = reference(npf.manufacture(net, NOISE, seed=5, chip=chip), IMAGES, LAYERS)
        for place, name in enumerate(LAYERS):
            values = [found.off.values[q.key][chip, place] for q in (SNR, SHIFT, RATIO)]
            assert values == pytest.approx(expected(clean[name], noisy[name]), rel=1e-5), name


def test_recalibrated_chips_are_those_of_recalibrate() -> None:
    net, calibration = conv_net(), normal(20, 3, 8, 8, seed=9)
    ways = ["pooled(20)", "match(12)"]
    found = explain(net, TEST, NOISE, recalibrate=ways, calibration=calibration, chips=2)
    assert [way.label for way in found.ways] == ["off", *ways]
    clean = reference(net, IMAGES, LAYERS)
    for way in found.ways[1:]:
        for chip in range(2):
            made = npf.manufacture(net, NOISE, chip=chip)
            fixed = npf.recalibrate(made, calibration, estimator=way.label, clean=net)
            noisy = reference(fixed, IMAGES, LAYERS)
            for place, name in enumerate(LAYERS):
                values = [way.values[q.key][chip, place] for q in (SNR, SHIFT, RATIO)]
                assert values == pytest.approx(expected(clean[name], noisy[name]), rel=1e-4), name


def test_recalibration_puts_back_the_moments_that_it_estimates() -> None:
    """All of them, on the calibration images themselves and in one batch."""
    found = explain(
        conv_net(), IMAGES, NOISE, recalibrate=["match(30)"], calibration=IMAGES, chips=3
    )
    match = found.ways[1]
    assert match.values["shift"].max() < 1e-4
    assert np.abs(np.log(match.values["variance_ratio"])).max() < 1e-4
    assert found.off.values["shift"].min() > 1e-3, "there was something to put back"
    assert (match.values["snr_db"] > found.off.values["snr_db"]).all()


def test_scores_are_those_of_measure() -> None:
    net, calibration = conv_net(), normal(20, 3, 8, 8, seed=9)
    options = {"chips": 3, "seed": 2, "calibration": calibration}
    found = explain(net, TEST, NOISE, recalibrate=["20"], batch_size=7, **options)  # type: ignore[arg-type]
    for way, name in zip(found.ways, ("off", "pooled(20)"), strict=True):
        curve = npf.measure(net, TEST, NOISE, recalibrate=name, **options)  # type: ignore[arg-type]
        assert way.scores is not None
        assert way.scores.tolist() == [row.score for row in curve.points[0].rows]
        assert found.clean.score == curve.clean.score
        assert way.row.calibration_sha256 == curve.first.calibration_sha256


def test_noise_of_a_known_strength_gives_its_snr() -> None:
    """On inputs of covariance 1 and mean 0 a linear layer's signal is sum w^2 and its noise
    (eta rms)^2 sum z^2, so noise over signal is eta^2 times the mean of z^2 over all weights."""
    fan_in, channels, eta, chips = 40, 50, 0.5, 8
    layer = nn.Linear(fan_in, channels, bias=False)
    with torch.no_grad():
        layer.weight.copy_(normal(channels, fan_in, seed=3))
    x = torch.linalg.qr(normal(400, fan_in + 1, seed=4))[0]
    x = (x - x.mean(0)) @ torch.eye(fan_in + 1)[:, :fan_in]
    white = torch.linalg.qr(x)[0] * math.sqrt(len(x))  # means 0, covariance exactly the identity
    noise = parse(f"gaussian({eta}, reference=rms)")
    found = explain(nn.Sequential(layer), white, noise, chips=chips)
    squares = 10 ** (-found.off.values["snr_db"][:, 0] / 10) / eta**2
    n = fan_in * channels * chips
    tolerance = sps.norm.isf(0.5e-6) * math.sqrt(2 / n)  # the variance of z^2 is 2
    assert tolerance < 0.1, "10 % more noise would show"
    assert abs(squares.mean() - 1) < tolerance


def test_images_alone_have_no_score() -> None:
    found = explain(conv_net(), IMAGES, NOISE, chips=2)
    assert found.off.scores is None
    assert math.isnan(found.clean.score)
    assert found.clean.images == 30
    with_labels = explain(conv_net(), TEST, NOISE, chips=2)
    for quantity in (SNR, SHIFT, RATIO):
        assert np.array_equal(found.off.values[quantity.key], with_labels.off.values[quantity.key])
    assert found.as_json()["ways"][0]["score"] is None


def test_the_model_and_its_hooks_stay_as_they_are() -> None:
    net = conv_net().train()
    before = {name: tensor.clone() for name, tensor in state_of(net).items()}
    explain(net, TEST, NOISE, recalibrate=["match(8)"], calibration=IMAGES, chips=1)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in state_of(net).items())
    assert not any(module._forward_hooks for module in net.modules())


def test_each_call_of_a_layer_is_a_point() -> None:
    found = explain(Twice(), TEST, NOISE, chips=1)
    assert [point.name for point in found.points] == ["layer", "layer#2"]
    first, second = found.off.values["snr_db"][0]
    assert first != second


def test_more_chips_keep_the_prefix_and_a_chip_of_no_randomness_is_made_once() -> None:
    three, five = (explain(conv_net(), TEST, NOISE, chips=chips) for chips in (3, 5))
    assert np.array_equal(five.off.values["snr_db"][:3], three.off.values["snr_db"])
    done: list[tuple[str, int, int]] = []
    fixed = explain(
        conv_net(), TEST, parse("quantize(bits=4)"), chips=3, on_pass=lambda *a: done.append(a)
    )
    assert done == [("off", 1, 1)]
    assert fixed.chips == 3
    assert np.ptp(fixed.off.values["snr_db"], axis=0).max() == 0


def test_where_noise_changes_nothing_the_comparison_is_exact() -> None:
    with pytest.warns(NoEffectWarning, match="changes no tensor"):
        found = explain(
            nn.Sequential(nn.Flatten(), nn.Linear(192, 4, bias=False)),
            TEST,
            NOISE,
            targets=["norm_affine"],
            chips=2,
        )
    assert found.off.estimate(SNR, 0).mean == math.inf
    assert found.off.estimate(SHIFT, 0).mean == 0
    assert found.off.estimate(RATIO, 0).mean == 1


def test_an_overflow_on_a_chip_leaves_no_estimate() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    found = explain(net, TEST, parse("gaussian(1e38, reference=absolute)"), chips=2)
    assert math.isnan(found.off.estimate(SNR, 0).mean)
    assert found.as_json()["ways"][0]["snr_db"][0]["mean"] is None


def small_convnext() -> nn.Module:
    return timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), num_classes=4)


VIT = ["conv_proj", "ln_1", "self_attention", "ln_2", "mlp.0", "mlp.3", "encoder.ln", "heads.head"]
Case = tuple[Callable[[], nn.Module], Callable[[], Split]]
SCENES = normal(4, 3, 64, 64, seed=2).sigmoid()
MASKS = torch.arange(64 * 64).reshape(1, 64, 64).expand(4, -1, -1) % 3
BOXES = Boxes(corners=torch.tensor([[4.0, 4, 40, 40]]), classes=torch.tensor([1]))
CASES: dict[str, Case] = {
    "torchvision vit": (lambda: small_vit(8, 4, layers=1), lambda: TEST),
    "convnext": (small_convnext, lambda: Split(inputs=SCENES, labels=torch.arange(4))),
    "lraspp": (
        lambda: models.build("lraspp", classes=3),
        lambda: Split(inputs=SCENES, labels=MASKS),
    ),
    "faster_rcnn": (
        lambda: models.build("faster_rcnn", classes=2),
        lambda: Split(inputs=SCENES, labels=(BOXES,) * 4),
    ),
    "without norm": (lambda: models.build("resnet8", norm="none", classes=4), lambda: TEST),
}


def of_case(name: str) -> Activations:
    with seeded(0, name):
        model = CASES[name][0]()
    return explain(model, CASES[name][1](), NOISE, chips=2)


@pytest.mark.parametrize("name", CASES)
def test_any_network_has_an_anatomy(name: str) -> None:
    found = of_case(name)
    assert found.off.scores is not None
    known = np.isfinite(found.off.values["snr_db"]).all(0)
    shifts = found.off.values["shift"][:, known]
    assert known.mean() > 0.5
    assert (shifts > 0).all()
    assert json_is_sound(found)


def json_is_sound(found: Activations) -> bool:
    document = found.as_json()
    return len(document["points"]) == len(document["ways"][0]["snr_db"]) == len(found.points)


def test_a_vits_points_are_its_layers_in_order_with_the_attention_as_one() -> None:
    found = of_case("torchvision vit")
    names = [point.name for point in found.points]
    assert [next(n for n in names if n.endswith(end)) for end in VIT] == names
    kinds = {point.kind: point.channels for point in found.points}
    assert kinds["MultiheadAttention"] == kinds["LayerNorm"] == 8


def test_channels_lie_where_a_layer_norm_of_pictures_has_them() -> None:
    with seeded(0, "next"):
        net = small_convnext()
    sites, seen = sites_of(net), {}
    with listening(net, lambda key, y: seen.update({key[0]: y.shape[1]})), torch.no_grad():
        net(SCENES)
    norms = {name for name, site in sites.items() if site.role == "norm"}
    assert norms
    assert {seen[name] for name in norms} == {8}


def test_a_head_that_sees_other_proposals_has_no_snr_but_a_shift() -> None:
    class Chosen(nn.Module):
        """Keeps as many values as are positive."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x.flatten(2).mean(2))
            self.second(y[y > 0][:, None])
            return y

    with seeded(0, "chosen"):
        found = explain(Chosen(), TEST, NOISE, chips=2)
    assert np.isfinite(found.off.values["snr_db"][:, 0]).all()
    assert np.isnan(found.off.values["snr_db"][:, 1]).any()
    assert np.isfinite(found.off.values["shift"]).all()


def test_no_more_than_the_stated_values_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    net = conv_net()
    values = sum(x.size for x in reference(net, IMAGES[:1], LAYERS).values())
    monkeypatch.setattr(explaining, "MAX_VALUES", 5 * values)
    whole = explain(net, TEST, NOISE, chips=1)

    class Watched(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            return super().forward(x)

    again = explain(Watched(*net), TEST, NOISE, chips=1)
    assert max(sizes) == 5
    assert again.off.values["snr_db"] == pytest.approx(whole.off.values["snr_db"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chips": 0}, "chips must be >= 1, got 0"),
        ({"recalibrate": ["pooled(9)"]}, r"pooled\(9\) needs 9 calibration images, got 0"),
        ({"recalibrate": ["ema(0.1)"]}, r"ema\(0.1, batch=128\) follows the test batches"),
        ({"targets": ["weights"]}, "unknown target 'weights'"),
    ],
)
def test_what_cannot_be_is_one_sentence(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(conv_net(), TEST, NOISE, **options)  # type: ignore[arg-type]


def test_noise_without_a_stage_and_a_network_without_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to explain without noise"):
        explain(conv_net(), TEST, parse("none"))
    with pytest.raises(ValueError, match="needs layers with kernel weights"), pytest.warns():
        explain(nn.Flatten(), TEST, NOISE)
