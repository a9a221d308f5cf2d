"""Flipped noise: one pass gives every image exactly what its own literal chip gives."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from scipy.stats import chi2, norm
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import SwinTransformer, VisionTransformer, mobilenet_v2
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.rng import seeded, stream
from noiseproof.models.building import build
from noiseproof.network.norms import ScaledBatchNorm
from noiseproof.network.state import State, outputs, places, skeleton_of, state_of
from noiseproof.noise.flipout import FLIPPED_ROLES, Flipout, Signs, check_flipout, flipped_tensor
from noiseproof.noise.perturbation import Programme
from noiseproof.specs.noise import parse

IMAGES = 3
FALSE_FAIL = 1e-6


class Call(nn.Module):
    """`use(layer, x)`: a layer that is called in a way of its own."""

    def __init__(self, layer: nn.Module, use: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self.layer, x)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "x"), dtype=torch.float64)


def filled(model: nn.Module) -> nn.Module:
    """`model` in float64, with no tensor at the 0 or 1 where its initialiser left it."""
    model = model.double().eval()
    with seeded(1), torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.1)
    return model


def noise_on(model: nn.Module, *, roles: tuple[str, ...] = FLIPPED_ROLES) -> State:
    state = state_of(model)
    where = places(model)
    return {
        name: normal(*tensor.shape, seed=i).to(tensor) * 0.1
        for i, (name, tensor) in enumerate(state.items())
        if where[name].role in roles
    }


def literal(model: nn.Module, noise: State, signs: Signs, x: Tensor) -> Tensor:
    """The slow, obvious reference: each image alone, through its own chip."""
    base = state_of(model)
    chips = [
        base | {n: flipped_tensor(n, base, noise, signs, i) for n in noise} for i in range(len(x))
    ]
    skeleton = skeleton_of(model)
    return torch.cat([outputs(skeleton, c, x[i : i + 1]) for i, c in enumerate(chips)])


def same_as_literal(model: nn.Module, x: Tensor, noise: State | None = None) -> None:
    noise = noise_on(model) if noise is None else noise
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(0, 0, len(x))
    wanted = literal(model, noise, signs, x)
    kept = x.clone()
    got = flipout.outputs(state_of(model), noise, signs, x)
    size = wanted.abs().max()
    assert (wanted - outputs(skeleton_of(model), state_of(model), x)).abs().max() > 1e-3 * size
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11 * float(size))
    assert torch.equal(x, kept)


# --- contract: every layer -----------------------------------------------------------------------


def itself(layer: nn.Module, x: Tensor) -> Any:
    return layer(x)


def tokens_first(m: Any, x: Tensor) -> Any:
    """Layers whose batch is on axis 1."""
    y = x.transpose(0, 1)
    return (m(y, y, y) if isinstance(m, nn.MultiheadAttention) else m(y))[0].transpose(0, 1)


def attend(**options: Any) -> Callable[[Any, Tensor], Tensor]:
    return lambda m, x: m(x, x, x, **options)[0]


def masked(m: Any, x: Tensor) -> Any:
    padding = torch.tensor([False, False, False, True, True]).expand(len(x), 5)
    causal = torch.ones(5, 5, dtype=torch.bool).triu(1)
    return m(x, x, x, key_padding_mask=padding, attn_mask=causal, need_weights=False)[0]


def per_head_masks(m: Any, x: Tensor) -> Any:
    mask = torch.linspace(-1, 1, 50, dtype=x.dtype).view(2, 5, 5).repeat(len(x), 1, 1)
    return m(x, x, x, attn_mask=mask)[0]


Attention = nn.MultiheadAttention
CONVS = ((nn.Conv1d, nn.ConvTranspose1d), (nn.Conv2d, nn.ConvTranspose2d))
CONVS += ((nn.Conv3d, nn.ConvTranspose3d),)  # type: ignore[assignment]
SIZES = (7, 6, 5)
IDS = torch.tensor([[1, 0, 5, 5], [2, 3, 1, 0], [6, 6, 4, 1]])
Row = tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[Any, Tensor], Any]]
LAYERS: dict[str, Row] = {
    "linear": (lambda: nn.Linear(4, 5), (4,), itself),
    "linear of tokens": (lambda: nn.Linear(4, 5), (2, 7, 4), itself),
    "linear of windows": (
        lambda: nn.Linear(4, 5),
        (6, 2, 4),
        lambda m, x: m(x.flatten(0, 1)).view(len(x), 6, 2, 5),
    ),
    "bilinear": (lambda: nn.Bilinear(4, 4, 5), (4,), lambda m, x: m(x, x.flip(-1))),
    "attention": (lambda: Attention(8, 2, batch_first=True), (5, 8), attend(need_weights=False)),
    "attention masks": (lambda: Attention(8, 2, batch_first=True), (5, 8), masked),
    "attention head masks": (lambda: Attention(8, 2, batch_first=True), (5, 8), per_head_masks),
    "attention tokens first": (
        lambda: Attention(8, 2, add_bias_kv=True, add_zero_attn=True),
        (5, 8),
        tokens_first,
    ),
    "attention cross": (
        lambda: Attention(8, 2, batch_first=True, kdim=6, vdim=5),
        (5, 8),
        lambda m, x: m(x, x[:, :3, :6], x[:, 1:4, :5])[0],
    ),
    "attention packed cross": (
        lambda: Attention(8, 2, batch_first=True, bias=False),
        (5, 8),
        lambda m, x: m(x, x[:, :3], x[:, 1:4])[0],
    ),
    "attention weights": (
        lambda: Attention(8, 2, batch_first=True),
        (5, 8),
        lambda m, x: m(x, x, x, average_attn_weights=False)[1],
    ),
    "gru cell": (lambda: nn.GRUCell(4, 4), (2, 4), lambda m, x: m(x[:, 0], x[:, 1])),
    "lstm cell": (
        lambda: nn.LSTMCell(4, 4),
        (3, 4),
        lambda m, x: torch.stack(m(x[:, 0], (x[:, 1], x[:, 2])), dim=1),
    ),
    "lstm states": (
        lambda: nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True),
        (6, 4),
        lambda m, x: torch.cat(m(x)[1], dim=2).transpose(0, 1),
    ),
    "transposed to size": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2),
        (4, 6, 5),
        lambda m, x: m(x, output_size=[14, 12]),
    ),
    "batch norm of vectors": (lambda: nn.BatchNorm1d(4), (4,), itself),
}
for kind in (nn.RNN, nn.LSTM, nn.GRU):
    LAYERS[kind.__name__] = (
        lambda kind=kind: kind(4, 5, batch_first=True),
        (6, 4),
        lambda m, x: m(x)[0],
    )
    LAYERS[f"{kind.__name__} tokens first"] = (lambda kind=kind: kind(4, 5), (6, 4), tokens_first)
for dims, (conv, transposed) in enumerate(CONVS, start=1):
    place = (4, *SIZES[:dims])
    LAYERS |= {
        f"conv{dims}d": (
            lambda conv=conv: conv(4, 6, 3, stride=2, padding=2, dilation=2),
            place,
            itself,
        ),
        f"conv{dims}d groups": (
            lambda conv=conv: conv(4, 6, 3, groups=2, padding=1, padding_mode="circular"),
            place,
            itself,
        ),
        f"conv{dims}d depthwise": (lambda conv=conv: conv(4, 8, 3, groups=4), place, itself),
        f"transposed{dims}d": (lambda t=transposed: t(4, 6, 3), place, itself),
        f"transposed{dims}d groups": (
            lambda t=transposed: t(4, 6, 3, groups=2, stride=2, padding=1, output_padding=1),
            place,
            itself,
        ),
    }
NORMS: dict[str, Callable[[], nn.Module]] = {
    "batch": lambda: nn.BatchNorm2d(4),
    "batch_l1": lambda: ScaledBatchNorm(4, kind="batch_l1"),
    "frozen": lambda: FrozenBatchNorm2d(4),
    "group": lambda: nn.GroupNorm(2, 4),
    "instance": lambda: nn.InstanceNorm2d(4, affine=True),
    "instance tracked": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "layer": lambda: nn.LayerNorm(6),
    "layer of maps": lambda: nn.LayerNorm([4, 5, 6]),
    "rms": lambda: nn.RMSNorm([5, 6]),
}
LAYERS |= {f"norm {name}": (make, (4, 5, 6), itself) for name, make in NORMS.items()}


@pytest.mark.parametrize("name", LAYERS)
def test_every_image_sees_its_own_literal_chip(name: str) -> None:
    make, shape, use = LAYERS[name]
    model = filled(Call(make(), use))
    same_as_literal(model, normal(IMAGES, *shape))
    for tensor, noise in noise_on(model).items():  # each tensor alone, the others clean
        if not name.startswith("attention"):  # a key's bias moves all scores alike: no effect
            same_as_literal(model, normal(IMAGES, *shape), {tensor: noise})


@pytest.mark.parametrize("layer", [nn.Embedding(7, 4, padding_idx=0), nn.EmbeddingBag(7, 4)])
def test_embeddings_see_the_signs_of_their_rows(layer: nn.Module) -> None:
    same_as_literal(filled(layer), IDS)


@pytest.mark.parametrize("tensor", ["in_proj_weight", "in_proj_bias", "out_proj.weight"])
def test_tensors_of_an_attention_are_noisy_alone(tensor: str) -> None:
    model = filled(Call(Attention(8, 2, batch_first=True), attend()))
    name = f"layer.{tensor}"
    same_as_literal(model, normal(IMAGES, 5, 8), {name: noise_on(model)[name]})


# --- contract: whole networks --------------------------------------------------------------------


class Tied(nn.Module):
    """A decoder that shares its weight with the embedding; one layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.mix = nn.Linear(6, 6)
        self.decoder = nn.Linear(6, 7, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.mix(torch.relu(self.mix(self.embedding(x)))))  # type: ignore[no-any-return]


class Standardised(nn.Conv2d):
    """A layer with a forward of its own, in which the output is not linear in the weight."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight / self.weight.std(), self.bias)


class Nested(nn.Linear):
    """A layer with a forward of its own and another layer inside."""

    def __init__(self) -> None:
        super().__init__(4, 5)
        self.inner = nn.Linear(5, 5)

    def forward(self, input: Tensor) -> Tensor:
        return self.inner(torch.tanh(F.linear(input, self.weight, self.bias)))  # type: ignore[no-any-return]


def encoder(*, layers: int = 0) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, layers) if layers else layer


def windows() -> nn.Module:
    return timm.models.SwinTransformer(  # type: ignore[no-any-return]
        img_size=16, patch_size=2, window_size=4, embed_dim=8, depths=(2,), num_heads=(2,),
        num_classes=5,
    )  # fmt: skip


def vit() -> nn.Module:
    return VisionTransformer(  # type: ignore[no-any-return]
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=5,
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "resnet8": (lambda: build("resnet8"), normal(IMAGES, 3, 32, 32)),
    "mobilenet": (lambda: mobilenet_v2(num_classes=5), normal(IMAGES, 3, 32, 32)),
    "vit": (vit, normal(IMAGES, 3, 32, 32)),
    "swin": (windows, normal(IMAGES, 3, 16, 16)),
    "convnext": (  # its channels-first LayerNorm2d has a forward of its own
        lambda: ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5),
        normal(IMAGES, 3, 32, 32),
    ),
    "encoder layer": (encoder, normal(IMAGES, 5, 8)),
    "encoder": (lambda: encoder(layers=2), normal(IMAGES, 5, 8)),
    "tied": (Tied, IDS),
    "standardised": (lambda: Standardised(3, 4, 3), normal(IMAGES, 3, 5, 5)),
    "nested": (Nested, normal(IMAGES, 2, 4)),
}


def programme_of(model: nn.Module, text: str = "gaussian(0.1, reference=rms)") -> Programme:
    spec = parse(text)
    return Programme(state=state_of(model), places=places(model), spec=spec, targets=FLIPPED_ROLES)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_see_their_literal_chips_and_pass_the_check(name: str) -> None:
    make, x = NETWORKS[name]
    with seeded(0):
        model = filled(make())
    programme = programme_of(model)
    same_as_literal(model, x, programme.noise(0, 0))
    floating = x.float() if x.is_floating_point() else x
    check_flipout(model.float(), programme_of(model), floating)


# --- the law -------------------------------------------------------------------------------------


def quantile(comparisons: int) -> float:
    """How many standard errors one of so many comparisons may be off, at the false-fail rate."""
    return float(norm.isf(FALSE_FAIL / 2 / comparisons))


def test_signs_are_even_and_the_elements_of_a_tensor_are_uncorrelated() -> None:
    model = nn.Conv2d(4, 4, 1, groups=2, bias=True)
    images = 10_000
    base = {name: torch.zeros_like(tensor) for name, tensor in state_of(model).items()}
    ones = {name: torch.ones_like(tensor) for name, tensor in base.items()}
    signs = Flipout(model, list(ones)).signs(0, 0, images)
    rows = [
        torch.cat([flipped_tensor(name, base, ones, signs, i).flatten() for name in ones])
        for i in range(images)
    ]
    effective = torch.stack(rows).double()  # (images, 8 weights and 4 biases)
    assert torch.equal(effective.abs(), torch.ones_like(effective))
    elements = effective.shape[1]
    allowed = quantile(elements * (elements + 1) // 2) / images**0.5  # sd of each term is 1
    assert allowed < 0.06, "underpowered: a correlation of 0.06 would pass"
    assert effective.mean(0).abs().max() < allowed
    correlation = effective.T @ effective / images - torch.eye(elements, dtype=torch.float64)
    assert correlation.abs().max() < allowed


def test_the_weights_of_an_image_have_the_law_of_chips_and_images_are_uncorrelated() -> None:
    model = nn.Linear(2, 3, bias=False)
    programme = programme_of(model, "gaussian(0.5, reference=absolute)")
    flipout = Flipout(model, programme.names)
    chips = 2_000
    drawn = []
    for chip in range(chips):
        noise, signs = programme.noise(0, chip), flipout.signs(0, chip, 2)
        own = [flipped_tensor("weight", programme.base, noise, signs, i) for i in range(2)]
        drawn.append(torch.stack([(w - programme.base["weight"]).flatten() for w in own]))
    noise = torch.stack(drawn).double().flatten(1) / 0.5  # (chips, 6 of image 0 and 6 of image 1)
    moments = noise.T @ noise
    comparisons = 12 + 12 * 13 // 2
    allowed = quantile(comparisons) / chips**0.5  # a product of independent normals has sd 1
    assert allowed < 0.15, "underpowered: a correlation of 0.15 would pass"
    assert noise.mean(0).abs().max() < allowed
    low, high = chi2.interval(1 - FALSE_FAIL / comparisons, chips)  # sums of squared normals
    assert low < moments.diag().min()
    assert moments.diag().max() < high
    across = (moments - torch.diag(moments.diag())) / chips
    assert across.abs().max() < allowed


# --- properties ----------------------------------------------------------------------------------


def small() -> tuple[nn.Module, Tensor]:
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
        )
    return filled(model), normal(8, 3, 5, 5)


def test_with_every_sign_plus_all_images_see_the_chip() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, list(noise))
    drawn = flipout.signs(0, 0, len(x)).tables
    plus = Signs(
        images=len(x),
        tables={name: tuple(map(torch.ones_like, tables)) for name, tables in drawn.items()},
    )
    chip = base | {name: base[name] + noise[name] for name in noise}
    torch.testing.assert_close(
        flipout.outputs(base, noise, plus, x), outputs(skeleton_of(model), chip, x)
    )


def test_batches_and_longer_blocks_change_nothing() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(3, 5, len(x))
    whole = flipout.outputs(base, noise, signs, x)
    parts = [
        flipout.outputs(base, noise, signs.rows(a, b), x[a:b]) for a, b in ((0, 1), (1, 6), (6, 8))
    ]
    torch.testing.assert_close(torch.cat(parts), whole)
    longer = flipout.signs(3, 5, 50).rows(0, len(x))
    for name, tables in signs.tables.items():
        assert all(map(torch.equal, tables, longer.tables[name]))
    for other in (flipout.signs(3, 6, 50), flipout.signs(4, 5, 50)):
        assert not torch.equal(other.tables["0.weight"][0][:8], signs.tables["0.weight"][0])


def test_the_model_is_left_as_it_is_and_clean_layers_run_as_ever() -> None:
    model, x = small()
    model.train()
    before, attributes = copy.deepcopy(model.state_dict()), dict(model[0].__dict__)
    noise = noise_on(model)
    flipout = Flipout(model, list(noise))
    base = copy.deepcopy(state_of(model))
    signs = flipout.signs(0, 0, len(x))
    flipout.outputs(base, noise, signs, x)
    clean = flipout.outputs(base, {}, signs, x)
    assert torch.equal(clean, outputs(skeleton_of(model), base, x))
    assert all(torch.equal(base[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert model.training
    assert model[0].__dict__.keys() == attributes.keys()


def test_bfloat16_states_keep_their_type_and_stay_within_its_rounding() -> None:
    model, x = small()
    noise = noise_on(model)
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(0, 0, len(x))
    half = {
        name: t.bfloat16() if t.is_floating_point() else t for name, t in state_of(model).items()
    }
    coarse = {name: t.bfloat16() for name, t in noise.items()}
    got = flipout.outputs(half, coarse, signs, x.bfloat16())
    exact = flipout.outputs(
        {name: t.double() if t.is_floating_point() else t for name, t in half.items()},
        {name: t.double() for name, t in coarse.items()},
        signs,
        x.bfloat16().double(),
    )
    assert got.dtype == torch.bfloat16
    roundings = 12  # in a row: of three layers, of the noise's part of each and of the signs' sums
    error = (got.double() - exact).abs().max()
    assert error < roundings * 2**-8 * exact.abs().max()


def test_channels_last_images_stay_so() -> None:
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model = model.to(memory_format=torch.channels_last)
    x = normal(2, 3, 8, 8).float().contiguous(memory_format=torch.channels_last)
    noise = {name: n.contiguous() for name, n in noise_on(model).items()}
    flipout = Flipout(model, list(noise))
    y = flipout.outputs(state_of(model), noise, flipout.signs(0, 0, 2), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    wanted = literal(model, noise, flipout.signs(0, 0, 2), x)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


# --- refusals ------------------------------------------------------------------------------------


class Bypassing(nn.Module):
    """Uses a weight outside of its layer's forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.relu(self.first(x)), self.second.weight, self.second.bias)


class Pinned(Bypassing):
    """Runs in float32 only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


def torchvision_swin() -> nn.Module:
    return SwinTransformer([2, 2], 8, [2], [2], [4, 4], num_classes=5)  # type: ignore[no-any-return]


REFUSED: dict[str, tuple[Callable[[], nn.Module], Tensor, str]] = {
    "bypass": (Bypassing, normal(IMAGES, 4), "first 'second.weight' (its layer is bypassed"),
    "pinned bypass": (Pinned, normal(IMAGES, 4), "first 'second.weight' (its layer is bypassed"),
    "swin": (torchvision_swin, normal(IMAGES, 3, 16, 16), "qkv.weight' (its layer is bypassed"),
    "mixing": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x - x.mean(0))),
        normal(IMAGES, 4),
        "the output of an image depends on the other images of its batch",
    ),
    "no statistics": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        normal(IMAGES, 3, 5, 5),
        "the output of an image depends on the other images of its batch",
    ),
    "moved": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x.transpose(0, 1)).transpose(0, 1)),
        normal(IMAGES, 6, 4),
        "first 'layer.weight' (its layer is bypassed, or gets images on another axis than 0)",
    ),
    "rows": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x.transpose(0, 1)).transpose(0, 1)),
        normal(IMAGES, 7, 4),
        "must have the images on axis 0 of its input, got (7, 3, 4) for 3 images",
    ),
    "max_norm": (lambda: nn.Embedding(7, 4, max_norm=1), IDS, "max_norm rescales its rows"),
    "dead": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x) * 0),
        normal(IMAGES, 4),
        "the noise changes no output, so nothing can be checked",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_check_refuses_in_one_line_and_names_the_fault(name: str) -> None:
    make, x, sentence = REFUSED[name]
    with seeded(0):
        model = make().eval()
    x = x.float() if x.is_floating_point() else x
    with pytest.raises(ValueError) as caught:
        check_flipout(model, programme_of(model), x)
    text = str(caught.value)
    assert sentence in text
    assert text.startswith("per-image chips do not hold for this network: ")
    assert text.endswith(": use the design `chips`")
    assert "\n" not in text


def test_a_network_of_fixed_precision_passes_the_check() -> None:
    with seeded(0):
        model = Call(nn.Linear(4, 5), lambda m, x: m(x.float()))
    check_flipout(model, programme_of(model), normal(IMAGES, 4).float())


def test_the_check_reads_dictionaries_and_passes_without_noise() -> None:
    with seeded(0):
        model = Call(nn.Linear(4, 5), lambda m, x: {"out": m(x), "aux": [m(x * 2)]})  # type: ignore[arg-type, return-value]
    check_flipout(model, programme_of(model), normal(IMAGES, 4).float())
    check_flipout(model, programme_of(model, "gaussian(0)"), normal(IMAGES, 4).float())


def test_a_single_image_checks_nothing() -> None:
    model = nn.Linear(4, 5)
    with pytest.raises(ValueError, match="needs at least 2 images, got 1"):
        check_flipout(model, programme_of(model), normal(1, 4).float())


@pytest.mark.parametrize(
    ("model", "name", "sentence"),
    [
        (nn.Linear(4, 5), "wieght", "noise must be on a tensor of the network, got 'wieght'"),
        (vit(), "class_token", "do not hold for noise on 'class_token' \\(role other; only kernel"),
        (nn.BatchNorm2d(4), "running_var", "'running_var' \\(role norm_stats; .*: use the design"),
    ],
)
def test_tensors_that_cannot_be_flipped_are_refused(
    model: nn.Module, name: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Flipout(model, [name])


def test_wrong_noise_signs_and_rows_are_refused() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, ["0.weight"])
    signs = flipout.signs(0, 0, len(x))
    with pytest.raises(ValueError, match="tensors of this Flipout, got '0.bias'"):
        flipout.outputs(base, noise, signs, x)
    with pytest.raises(ValueError, match="signs must be of the 7 images, got those of 8"):
        flipout.outputs(base, {"0.weight": noise["0.weight"]}, signs, x[:7])
    with pytest.raises(ValueError, match="rows must be within 0 to 8, got 6 to 9"):
        signs.rows(6, 9)
    linear = nn.Linear(4, 5)
    single = Flipout(linear, ["weight"])
    with pytest.raises(ValueError, match="a layer with noise must get a batch"):
        single.outputs(
            state_of(linear), {"weight": torch.ones(5, 4)}, single.signs(0, 0, 4), torch.ones(4)
        )
