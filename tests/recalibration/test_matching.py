"""Matching: what was done to a channel is undone exactly, and nothing is done where nothing was."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.moments import moments_of
from noiseproof.network.state import State, places, skeleton_of, state_of
from noiseproof.recalibration.affine import (
    Affine,
    folded,
    matched_maps,
    with_bias_zeros,
    with_biases,
)
from noiseproof.recalibration.matching import Signature, correction, matched, signature_of
from tests.networks import small_vit

TOKENS, WIDTH = 5, 8


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "x"))


class Attention(nn.Module):
    """Self-attention with a residual, or attention to other tokens of another number."""

    def __init__(self, *, to_other: bool = False, **options: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, **options)
        self.to_other = to_other

    def forward(self, x: Tensor) -> Tensor:
        if self.to_other:
            other = x.flip(0)[:, :3]
            y, _ = self.attention(x, key=other, value=other * 2)
        else:
            y, _ = self.attention(x, x, x, need_weights=False)
        return x + y


def small_timm_vit() -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=16,
        patch_size=8,
        embed_dim=12,
        depth=2,
        num_heads=2,
        num_classes=4,
    )


def conv_net(norm: str) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3)
    )
    net.append(nn.Flatten()).append(nn.Linear(8 * 12 * 12, 4))
    return npf.replace_norms(net, norm)


def tokens_in(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Embedding(11, WIDTH), *layers)


Case = tuple[Callable[[], nn.Module], Callable[[], Tensor]]
IMAGES: Callable[[], Tensor] = lambda: normal(24, 3, 16, 16)  # noqa: E731  # one word in the table
VECTORS: Callable[[], Tensor] = lambda: normal(24, TOKENS, WIDTH)  # noqa: E731
WORDS: Callable[[], Tensor] = lambda: torch.arange(24 * TOKENS).reshape(24, TOKENS) % 11  # noqa: E731
CASES: dict[str, Case] = {
    "conv 1d without bias": (lambda: nn.Conv1d(TOKENS, 6, 3, bias=False), VECTORS),
    "conv 2d": (lambda: nn.Conv2d(3, 6, 3, padding=1), IMAGES),
    "conv 3d": (lambda: nn.Conv3d(1, 4, 2), lambda: normal(6, 1, 4, 4, 4)),
    "depthwise conv": (lambda: nn.Conv2d(3, 6, 3, groups=3, bias=False), IMAGES),
    "transposed conv": (lambda: nn.ConvTranspose2d(3, 5, 3, stride=2, bias=False), IMAGES),
    "transposed conv in groups": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 4, 2, groups=2)),
        IMAGES,
    ),
    "transposed conv 1d": (lambda: nn.ConvTranspose1d(TOKENS, 3, 2), VECTORS),
    "linear on tokens": (lambda: nn.Linear(WIDTH, 6, bias=False), VECTORS),
    "linear on vectors": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(40, 6)), VECTORS),
    "embedding": (lambda: tokens_in(nn.ReLU(), nn.Linear(WIDTH, 3)), WORDS),
    "attention": (lambda: Attention(batch_first=True), VECTORS),
    "attention, sequence first": (Attention, VECTORS),
    "attention without bias": (lambda: Attention(bias=False, batch_first=True), VECTORS),
    "attention to others": (lambda: Attention(to_other=True, batch_first=True), VECTORS),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), VECTORS),
    "batch norm": (lambda: conv_net("batch"), IMAGES),
    "group norm": (lambda: conv_net("group"), IMAGES),
    "no norm": (lambda: conv_net("none"), IMAGES),
    "resnet18": (lambda: resnet18(num_classes=4), IMAGES),
    "our resnet without norm": (lambda: npf.models.build("resnet8", norm="none"), IMAGES),
    "torchvision vit": (small_vit, IMAGES),
    "timm vit": (small_timm_vit, IMAGES),
}


def prepared(name: str) -> tuple[nn.Module, State, Tensor]:
    make, images = CASES[name]
    with seeded(0, name):
        net = make()
    skeleton = with_biases(skeleton_of(net))
    return skeleton, state_of(skeleton), images()


def disturbed(skeleton: nn.Module, state: State, signature: Signature) -> State:
    """A gain in [0.5, 1.5) and a normal offset in every output channel of every analog layer."""
    chip = dict(state)
    for name, one in matched_maps(skeleton).items():
        channels = len(signature.batches[0][name][0].mean)
        g = stream(0, "disturbed", name)
        gain = torch.rand(channels, generator=g).double() + 0.5
        offset = torch.randn(channels, generator=g).double()
        chip |= folded(state, one, Affine(gain=gain, offset=offset))
    return chip


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("name", CASES)
def test_a_gain_and_an_offset_of_each_channel_are_undone(name: str, batch_size: int | None) -> None:
    skeleton, state, x = prepared(name)
    signature = signature_of(skeleton, Chip(state), x, batch_size=batch_size)
    assert set(signature.batches[0]) == set(matched_maps(skeleton)), "a layer was not seen"
    chip = disturbed(skeleton, state, signature)
    clean = outputs(skeleton, Chip(state), x)
    scale = clean.abs().max()
    assert (outputs(skeleton, Chip(chip), x) - clean).abs().max() > 0.1 * scale
    fixed = matched(skeleton, Chip(chip), x, signature, batch_size=batch_size).state
    assert (
        outputs(skeleton, Chip(fixed), x) - clean
    ).abs().max() < 1e-5 * scale  # float32 rounding
    for one in matched_maps(skeleton).values():
        wanted = state[one.weight]
        rounding = 1e-5 * float(wanted.abs().max())
        torch.testing.assert_close(fixed[one.weight], wanted, rtol=1e-4, atol=rounding)


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("name", CASES)
def test_without_noise_nothing_changes(name: str, batch_size: int | None) -> None:
    skeleton, state, x = prepared(name)
    signature = signature_of(skeleton, Chip(state), x, batch_size=batch_size)
    fixed = matched(skeleton, Chip(state), x, signature, batch_size=batch_size).state
    for key, tensor in state.items():
        tolerance = 1e-6 * float(tensor.abs().max() + 1)
        torch.testing.assert_close(fixed[key], tensor, rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("name", ["no norm", "batch norm", "torchvision vit", "embedding"])
def test_on_a_noisy_chip_every_layer_gets_the_clean_moments(name: str) -> None:
    """The folded state itself, run again, has the signature: folding and correcting agree."""
    skeleton, state, x = prepared(name)
    signature = signature_of(skeleton, Chip(state), x)
    spec = npf.noise.parse("gaussian(0.2)")
    chip = npf.noise.perturb(state, places(skeleton), spec, seed=0, chip=0)
    again = signature_of(skeleton, Chip(matched(skeleton, Chip(chip), x, signature).state), x)
    for one, (wanted,) in signature.batches[0].items():
        (actual,) = again.batches[0][one]
        size = float((wanted.var + wanted.mean.square()).sqrt().max())
        torch.testing.assert_close(actual.mean, wanted.mean, rtol=1e-4, atol=1e-5 * size)
        torch.testing.assert_close(actual.var, wanted.var, rtol=1e-3, atol=1e-5 * size**2)


def test_the_signature_is_the_mean_and_variance_over_images_and_positions() -> None:
    skeleton, state, x = prepared("linear on tokens")
    (calls,) = signature_of(skeleton, Chip(state), x).batches
    y = outputs(skeleton, Chip(state), x).double().reshape(-1, 6)
    (moments,) = calls[""]
    torch.testing.assert_close(moments.mean, y.mean(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(moments.var, y.var(0, correction=0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch_size", [24, 12, 7])
def test_the_map_of_the_first_layer_does_not_depend_on_the_batches(batch_size: int) -> None:
    skeleton, state, x = prepared("conv 2d")
    spec = npf.noise.parse("gaussian(0.5)")
    chip = npf.noise.perturb(state, places(skeleton), spec, seed=0, chip=0)
    whole = matched(skeleton, Chip(chip), x, signature_of(skeleton, Chip(state), x)).state
    signature = signature_of(skeleton, Chip(state), x, batch_size=batch_size)
    parts = matched(skeleton, Chip(chip), x, signature, batch_size=batch_size).state
    for key in ("weight", "bias"):
        torch.testing.assert_close(parts[key], whole[key], rtol=1e-5, atol=1e-6)


class Shared(nn.Module):
    """One linear head on two levels, then another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, 4, bias=False)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        return [{"level": self.last(self.head(level).relu())} for level in (x, 3 * x - 1)]


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_layer_called_twice_gets_the_map_of_both_calls(batch_size: int | None) -> None:
    with seeded(0, "shared"):
        skeleton = with_biases(skeleton_of(Shared()))
    state, x = state_of(skeleton), normal(24, WIDTH)
    signature = signature_of(skeleton, Chip(state), x, batch_size=batch_size)
    assert all(len(batch["head"]) == 2 for batch in signature.batches)
    chip = disturbed(skeleton, state, signature)
    fixed = matched(skeleton, Chip(chip), x, signature, batch_size=batch_size).state
    for key, tensor in state.items():  # a map that is the same for both calls is undone
        torch.testing.assert_close(fixed[key], tensor, rtol=1e-4, atol=1e-5)
    noisy = {**state, "head.weight": state["head.weight"] + 0.3 * normal(4, WIDTH, seed=1)}
    fixed = matched(skeleton, Chip(noisy), x, signature, batch_size=batch_size).state
    both = torch.cat([x, 3 * x - 1])
    y, wanted = both @ fixed["head.weight"].T + fixed["head.bias"], both @ state["head.weight"].T
    torch.testing.assert_close(y.mean(0), wanted.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.std(0), wanted.std(0), rtol=1e-5, atol=1e-5)


def test_constant_channels() -> None:
    """Constant on the chip: only shifted. Constant on the clean network: becomes that constant."""
    values = normal(50, 4) + 1
    clean, chip = values.clone(), 3 * values.clone()
    chip[:, 1] = 0.1  # not representable: its mean rounds, and what is left is no deviation
    clean[:, 2] = 5.0
    clean[:, 3] = chip[:, 3] = 7.0
    map_ = correction(moments_of(clean), moments_of(chip))
    assert map_.gain[1:].tolist() == [1.0, 0.0, 1.0]
    torch.testing.assert_close(map_.gain[0], torch.tensor(1 / 3).double(), rtol=1e-6, atol=0)
    y = chip.double() * map_.gain + map_.offset
    torch.testing.assert_close(y.mean(0), clean.double().mean(0), rtol=1e-6, atol=1e-6)
    assert torch.equal(y[:, 2], torch.full((50,), 5.0).double())


@pytest.mark.parametrize("value", [0.1, 1e4, -1e-6])
def test_a_channel_without_weights_is_not_blown_up(value: float) -> None:
    with seeded(0, "stuck"):
        skeleton = skeleton_of(nn.Conv2d(3, 4, 3))
    state, x = state_of(skeleton), normal(24, 3, 17, 19)
    signature = signature_of(skeleton, Chip(state), x)
    dead = {"weight": torch.zeros(4, 3, 3, 3), "bias": torch.full((4,), value)}
    fixed = matched(skeleton, Chip(dead), x, signature).state
    (wanted,) = signature.batches[0][""]
    assert torch.equal(fixed["weight"], dead["weight"])
    torch.testing.assert_close(fixed["bias"].double(), wanted.mean, rtol=1e-5, atol=1e-6)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH)
        self.decoder = nn.Linear(WIDTH, 11, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, words: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.middle(self.embedding(words)))
        return y


class Standardised(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight / self.weight.norm(), self.bias)


def test_which_layers_are_matched() -> None:
    net = nn.ModuleDict(
        {
            "tied": Tied(),
            "standardised": Standardised(3, 3, 1),
            "renormalised": nn.Embedding(3, 3, max_norm=1.0),
            "recurrent": nn.LSTM(3, 3),
            "cell": nn.GRUCell(3, 3),
            "bilinear": nn.Bilinear(3, 3, 3),
            "attention": nn.MultiheadAttention(4, 2),
            "other widths": nn.MultiheadAttention(4, 2, kdim=3),
            "norm": nn.BatchNorm2d(3),
        }
    )
    assert list(matched_maps(net)) == [
        "tied.middle",
        "attention.in_proj",
        "attention.out_proj",
        "other widths.out_proj",
    ]


def test_tied_weights_stay_tied_and_as_they_are() -> None:
    with seeded(0, "tied"):
        skeleton = with_biases(skeleton_of(Tied()))
    state, words = state_of(skeleton), WORDS()
    signature = signature_of(skeleton, Chip(state), words)
    chip = npf.noise.perturb(
        state, places(skeleton), npf.noise.parse("gaussian(0.2)"), seed=0, chip=0
    )
    fixed = matched(skeleton, Chip(chip), words, signature).state
    changed = {key for key in chip if not torch.equal(fixed[key], chip[key])}
    assert changed == {"middle.weight", "middle.bias"}
    assert skeleton.decoder.bias is None


def test_attention_with_keys_of_another_width_is_matched_at_its_output() -> None:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(WIDTH, 2, kdim=3, vdim=3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.attention(x, x[..., :3], x[..., :3])[0]
            return y

    with seeded(0, "cross"):
        skeleton = with_biases(skeleton_of(Cross()))
    state, x = state_of(skeleton), VECTORS()
    signature = signature_of(skeleton, Chip(state), x)
    chip = disturbed(skeleton, state, signature)
    fixed = matched(skeleton, Chip(chip), x, signature).state
    torch.testing.assert_close(
        outputs(skeleton, Chip(fixed), x), outputs(skeleton, Chip(state), x), rtol=1e-4, atol=1e-6
    )


def test_a_layer_that_gets_no_value_at_all_is_left_out_of_the_moments() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(WIDTH, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.head(x[:0]), self.head(x)

    with seeded(0, "sometimes"):
        skeleton = skeleton_of(Sometimes())
    state, x = state_of(skeleton), normal(9, WIDTH)
    signature = signature_of(skeleton, Chip(state), x)
    assert len(signature.batches[0]["head"]) == 1
    fixed = matched(
        skeleton, Chip({**state, "head.weight": state["head.weight"] * 2}), x, signature
    ).state
    assert all(tensor.isfinite().all() for tensor in fixed.values())


def test_a_sequence_without_a_batch_has_its_channels_in_the_same_place() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(TOKENS, 6, 3)
            self.linear = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.linear(self.conv(one)[:, 0]) for one in x])

    with seeded(0, "single"):
        skeleton = skeleton_of(Single())
    state, x = state_of(skeleton), normal(9, TOKENS, WIDTH)
    signature = signature_of(skeleton, Chip(state), x)
    assert len(signature.batches[0]["conv"]) == len(signature.batches[0]["linear"]) == 9
    assert len(signature.batches[0]["conv"][0].mean) == 6
    chip = {**state, "conv.weight": state["conv.weight"] * 2, "conv.bias": state["conv.bias"] * 2}
    fixed = matched(skeleton, Chip(chip), x, signature).state
    torch.testing.assert_close(fixed["conv.weight"], state["conv.weight"], rtol=1e-4, atol=1e-6)


def test_added_biases_change_nothing_and_are_all_there() -> None:
    net = conv_net("batch").train()
    net[0].weight.requires_grad_(False)
    biased = with_biases(net)
    assert net[0].bias is None
    assert torch.equal(biased[0].bias, torch.zeros(8))
    assert not biased[0].bias.requires_grad
    assert all(module.training for module in biased.modules())
    state = with_bias_zeros(state_of(net), biased)
    assert set(state) - set(state_of(net)) == {"0.bias"}
    assert state["3.weight"].data_ptr() == net[3].weight.data_ptr()
    x = IMAGES()
    same = outputs(skeleton_of(biased), Chip(state), x)
    torch.testing.assert_close(
        same, outputs(skeleton_of(net), Chip(state_of(net)), x), rtol=0, atol=0
    )


def test_recalibrate_with_match_gives_a_module_with_biases() -> None:
    with seeded(0, "net"):
        clean = conv_net("none").train()
    x = IMAGES()
    chip = npf.manufacture(clean, npf.noise.parse("gaussian(0.3)"), seed=0, chip=1)
    kept = {key: tensor.clone() for key, tensor in chip.state_dict().items()}
    fixed = npf.recalibrate(chip, x, estimator="match(20)", clean=clean)
    assert fixed[0].bias is not None
    assert chip[0].bias is None
    assert fixed.training == chip.training
    assert all(torch.equal(chip.state_dict()[key], tensor) for key, tensor in kept.items())
    y, wanted = fixed.eval()(x[:20]), clean.eval()(x[:20])
    torch.testing.assert_close(y.mean(0), wanted.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y.std(0), wanted.std(0), rtol=1e-4, atol=1e-5)


def test_a_signature_of_other_images_is_refused() -> None:
    skeleton, state, x = prepared("conv 2d")
    signature = signature_of(skeleton, Chip(state), x, batch_size=12)
    reason = "^the signature must be of the same images, got 24 images in 2 batches for 20 in 1$"
    with pytest.raises(ValueError, match=reason):
        matched(skeleton, Chip(state), x[:20], signature)


def test_a_layer_without_a_bias_is_refused_by_name() -> None:
    skeleton = skeleton_of(conv_net("none"))
    state, x = state_of(skeleton), IMAGES()
    signature = signature_of(skeleton, Chip(state), x)
    with pytest.raises(ValueError, match="^layer '0' must have a bias to be matched: use with_bia"):
        matched(skeleton, Chip(state), x, signature)


def test_the_state_and_the_hooks_are_as_before() -> None:
    skeleton, state, x = prepared("torchvision vit")
    kept = {key: tensor.clone() for key, tensor in state.items()}
    signature = signature_of(skeleton, Chip(state), x, batch_size=10)
    chip = disturbed(skeleton, state, signature)
    chip_kept = {key: tensor.clone() for key, tensor in chip.items()}
    matched(skeleton, Chip(chip), x, signature, batch_size=10)
    assert all(torch.equal(state[key], tensor) for key, tensor in kept.items())
    assert all(torch.equal(chip[key], tensor) for key, tensor in chip_kept.items())
    for module in skeleton.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
