"""Flipped noise: one pass gives every image exactly what its own chip would."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from noiseproof.core.rng import seeded
from noiseproof.models.building import build
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import State, skeleton_of, state_of
from noiseproof.noise.flipout import Flipout
from noiseproof.noise.flipout_check import check_flipout
from tests.networks import small_vit
from tests.noise.signs import (
    IDS,
    IMAGES,
    LAYERS,
    Attention,
    Call,
    attend,
    filled,
    literal,
    noise_on,
    normal,
    programme_of,
)


def same_as_literal(model: nn.Module, x: Tensor, noise: State | None = None) -> None:
    noise = noise_on(model) if noise is None else noise
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(0, 0, len(x))
    wanted = literal(model, noise, signs, x)
    kept = x.clone()
    got = flipout.outputs(Chip(state_of(model)), noise, signs, x)
    size = wanted.abs().max()
    assert (
        wanted - outputs(skeleton_of(model), Chip(state_of(model)), x)
    ).abs().max() > 1e-3 * size
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11 * float(size))
    assert torch.equal(x, kept)


# --- contract: every layer -----------------------------------------------------------------------


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


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "resnet8": (lambda: build("resnet8"), normal(IMAGES, 3, 32, 32)),
    "mobilenet": (lambda: mobilenet_v2(num_classes=5), normal(IMAGES, 3, 32, 32)),
    "vit": (small_vit, normal(IMAGES, 3, 16, 16)),
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


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_see_their_literal_chips_and_pass_the_check(name: str) -> None:
    make, x = NETWORKS[name]
    with seeded(0):
        model = filled(make())
    programme = programme_of(model)
    same_as_literal(model, x, programme.noise(0, 0))
    floating = x.float() if x.is_floating_point() else x
    check_flipout(model.float(), programme_of(model), floating)
