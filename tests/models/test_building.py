"""Networks by name: shapes, parameter counts, public checkpoints' keys, initialisation."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from noiseproof.core.rng import stream
from noiseproof.models import building as models
from noiseproof.models.backbones import Residual
from noiseproof.models.cifar import BasicBlock
from noiseproof.network.norms import norm_layers
from noiseproof.specs import catalog


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_model_of_the_catalog_has_a_builder() -> None:
    assert {*models.BUILDERS, *models.SCENE_BUILDERS} == set(catalog.MODELS)
    assert not models.BUILDERS.keys() & models.SCENE_BUILDERS.keys()


@pytest.mark.parametrize(
    ("name", "millions"),
    # He et al. 2015, table 6, in millions of parameters
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
)
def test_resnets_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    assert round(parameters(models.build(name)) / 1e6, 2) == millions


def test_resnet110_has_the_published_number_of_parameters() -> None:
    assert round(parameters(models.build("resnet110")) / 1e6, 1) == 1.7


@pytest.mark.parametrize("name", sorted(n for n in models.BUILDERS if "_v2" not in n))
def test_the_number_in_a_name_counts_convolutions_and_linear_layers(name: str) -> None:
    layers = [m for m in models.build(name).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    # a VGG has three linear layers in its name and one for 32x32 images
    assert len(layers) + 2 * name.startswith("vgg") == int(
        re.sub(r"\D", "", name.partition("_")[0])
    )


@pytest.mark.parametrize("norm", sorted(catalog.NORMS))
@pytest.mark.parametrize("name", ["resnet8", "vgg11"])
def test_each_model_runs_forward_and_backward_with_each_norm(name: str, norm: str) -> None:
    model = models.build(name, norm=norm, classes=7, channels=1)
    x = torch.randn(4, 1, 32, 32, generator=stream(0, "x"))
    output = model(x)
    assert output.shape == (4, 7)
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_keys_are_those_of_the_public_checkpoints() -> None:
    keys = set(models.build("resnet20").state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer2.0.conv1.weight", "linear.bias"} <= keys
    assert not [key for key in keys if "shortcut" in key]


def test_the_shortcut_subsamples_and_pads_channels_on_both_sides() -> None:
    block = BasicBlock(4, 8, 2).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 4, 6, 6, generator=stream(0, "x"))
    expected = torch.zeros(2, 8, 3, 3)
    expected[:, 2:6] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), expected)


def test_one_seed_gives_one_initialisation_and_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same = models.build("resnet8", seed=3), models.build("resnet8", seed=3)
    other = models.build("resnet8", seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)


def test_without_norm_each_convolution_has_a_bias_and_each_branch_is_scaled() -> None:
    model, normed = models.build("resnet20", norm="none"), models.build("resnet20")
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert all(c.bias is not None for c in convolutions)
    assert not norm_layers(model)
    blocks = [m for m in model.modules() if isinstance(m, BasicBlock)]
    originals = [m for m in normed.modules() if isinstance(m, BasicBlock)]
    assert len(blocks) == 9
    for block, original in zip(blocks, originals, strict=True):
        torch.testing.assert_close(block.conv2.weight, original.conv2.weight / 3)
        assert torch.equal(block.conv1.weight, original.conv1.weight)


@pytest.mark.parametrize("name", ["resnet20", "resnet56", "resnet110"])
def test_without_norm_the_signal_keeps_its_size_whatever_the_depth(name: str) -> None:
    """What the scaling is for. B branches of variance v / B add at most (1 + 1/B)^B < e to a
    signal of variance v; unscaled ones would double it at each of the B blocks."""
    model = models.build(name, norm="none")
    x = torch.randn(4, 3, 32, 32, generator=stream(0, "x"))
    with torch.no_grad():
        stem = torch.relu(model.conv1(x))
        stage = model.layer1(stem)
    assert 1 <= float(stage.square().mean() / stem.square().mean()) < 3


def test_a_part_of_the_norms_can_go() -> None:
    model = models.build("resnet20", norm="none", where="first:7")
    assert len(norm_layers(model)) == 12
    assert model.conv1.bias is not None
    assert model.layer3[2].conv2.bias is None


def test_any_torchvision_classifier_can_be_built_by_name() -> None:
    model = models.build("torchvision:mobilenet_v2", norm="batch_l1", classes=5).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
    assert {layer.kind for layer in norm_layers(model).values()} == {"batch_l1"}


def test_torchvisions_segmenters_and_detectors_can_be_built_by_name() -> None:
    x = torch.rand(1, 3, 64, 64, generator=stream(0, "x"))
    with torch.no_grad():
        segmenter = models.build("torchvision:lraspp_mobilenet_v3_large", classes=5).eval()
        assert segmenter(x)["out"].shape == (1, 5, 64, 64)
        detector = models.build("torchvision:ssdlite320_mobilenet_v3_large", classes=5).eval()
        (found,) = detector(x)
    assert found.keys() == {"boxes", "labels", "scores"}


@pytest.mark.parametrize("name", ["fcos", "lraspp"])
def test_scene_models_have_one_initialisation_for_each_seed(name: str) -> None:
    one, same, other = (models.build(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(tensor, same[key]) for key, tensor in one.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in one.items())


@pytest.mark.parametrize("name", sorted(models.SCENE_BUILDERS))
def test_scene_models_without_norm_are_prepared_for_it(name: str) -> None:
    model, normed = models.build(name, norm="none"), models.build(name)
    blocks = [m for m in model.modules() if isinstance(m, Residual)]
    originals = [m for m in normed.modules() if isinstance(m, Residual)]
    assert len(blocks) == 6
    for block, original in zip(blocks, originals, strict=True):
        assert block.conv1.bias is not None
        assert block.conv2.bias is not None
        torch.testing.assert_close(block.conv2.weight, original.conv2.weight / 6**0.5)


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_any_timm_classifier_can_be_built_by_name() -> None:
    model = models.build("timm:resnet10t", classes=5).eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(ValueError, match="timm cannot make 'nonesuch'"):
        models.build("timm:nonesuch")


def test_a_model_of_ones_own_comes_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\n\n\ndef tiny():\n    return nn.Linear(2, 3)\n\n\n"
        "def wrong():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert isinstance(models.build("my_networks:tiny"), nn.Linear)
    with pytest.raises(ValueError, match="my_networks:wrong must return an nn.Module, got int"):
        models.build("my_networks:wrong")
    with pytest.raises(ValueError, match="'my_networks' has no function 'other'"):
        models.build("my_networks:other")
    with pytest.raises(ValueError, match="cannot import 'nowhere' for 'nowhere:tiny'"):
        models.build("nowhere:tiny")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet21", "unknown model 'resnet21': expected one of resnet8, "),
        ("torchvision:resnet51", "unknown torchvision model 'resnet51': .* resnet50"),
        ("torchvision:fcos_resnet51_fpn", "unknown torchvision model .* fcos_resnet50_fpn"),
        ("torchvision:raft_small", "unknown torchvision model 'raft_small'"),
        ("fcoss", "unknown model 'fcoss': expected one of resnet8, .*fcos, .*lraspp, "),
    ],
)
def test_an_unknown_model_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        models.build(name)


# --- small networks for 32x32 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "source"),
    [
        # Huang et al. 2017: 176,122 at depth 40, k = 12; torchvision adds a norm after the stem
        ("densenet40", 176_122 + 2 * 24, "Huang et al. 2017: 0.18 M"),
        # torchvision's at 1000 classes, less 990 classes and the stem's stride, which has no weight
        ("mobilenet_v2", 3_504_872 - 990 * 1281, "Sandler et al. 2018: 3.4 M"),
        ("shufflenet_v2", 2_278_604 - 990 * 1025, "Ma et al. 2018: 2.3 M"),
    ],
)
def test_small_networks_have_the_published_number_of_parameters(
    name: str, count: int, source: str
) -> None:
    assert parameters(models.build(name)) == count, source


def vgg_parameters(widths: tuple[int, ...], *, channels: int, classes: int) -> int:
    """Kernels of 3x3 without bias, a scale and a shift after each, one linear layer."""
    pairs = zip((channels, *widths), widths, strict=False)
    return sum(9 * a * b + 2 * b for a, b in pairs) + (widths[-1] + 1) * classes


@pytest.mark.parametrize(("name", "width"), [("vgg16", 1), ("vgg16_x0_25", 4)])
def test_a_quarter_of_a_vgg_has_a_quarter_of_its_channels(name: str, width: int) -> None:
    whole = (64,) * 2 + (128,) * 2 + (256,) * 3 + (512,) * 6
    widths = tuple(one // width for one in whole)
    model = models.build(name, classes=10)
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == list(widths)
    assert parameters(model) == vgg_parameters(widths, channels=3, classes=10)


def test_half_a_mobilenet_has_half_of_its_channels() -> None:
    whole, half = (models.build(name) for name in ("mobilenet_v2", "mobilenet_v2_x0_5"))
    widths = [
        [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)][1:-1]
        for model in (whole, half)
    ]
    assert len(widths[0]) == len(widths[1])
    ratios = [b / a for a, b in zip(*widths, strict=True)]
    assert all(0.45 <= ratio <= 0.67 for ratio in ratios)  # rounded to multiples of 8


SMALL = {"mobilenet_v2": 4, "shufflenet_v2": 4, "densenet40": 8, "vgg16_x0_25": 1}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "side"), SMALL.items())
def test_the_last_feature_map_of_a_small_network_has_this_resolution(
    name: str, side: int, channels: int
) -> None:
    model = models.build(name, classes=7, channels=channels).eval()
    sides: list[tuple[int, ...]] = []

    def see(module: nn.Module, args: object, output: torch.Tensor) -> None:
        sides.append(tuple(output.shape[2:]))

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            module.register_forward_hook(see)
    x = torch.randn(2, channels, 32, 32, generator=stream(0, "x"))
    with torch.no_grad():
        output = model(x)
    assert output.shape == (2, 7)
    assert output.isfinite().all()
    assert sides[0] == (32, 32), "the first layer keeps the resolution"
    assert sides[-1] == (side, side)


@pytest.mark.parametrize("norm", ["none", "batch_l1", "group"])
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_take_any_normalisation(name: str, norm: str) -> None:
    model = models.build(name, norm=norm, classes=5, channels=1)
    x = torch.randn(2, 1, 32, 32, generator=stream(0, "x"))
    output = model(x)
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_have_one_initialisation_for_each_seed(name: str) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (models.build(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(tensor, same[key]) for key, tensor in one.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in one.items())
