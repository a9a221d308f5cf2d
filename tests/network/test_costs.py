"""Weights and multiply-accumulates against closed forms, and against torch's own counter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as tv

from noiseproof.models import building as models
from noiseproof.network.costs import Cost, costs_of
from noiseproof.network.state import skeleton_of, state_of


def costs(model: nn.Module, *shape: int, dtype: torch.dtype = torch.float32) -> dict[str, Cost]:
    skeleton = skeleton_of(model)
    return costs_of(skeleton, state_of(skeleton), torch.zeros(shape, dtype=dtype))


def total(found: dict[str, Cost]) -> tuple[int, int]:
    return sum(c.weights for c in found.values()), sum(c.macs for c in found.values())


class Attention(nn.Module):
    """Keys and values from the first 3 of the 5 tokens, in the order in which people write them."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:  # (N, 5, 8)
        key = x[:, :3, : self.mha.kdim]
        value = x[:, :3, : self.mha.vdim]
        return self.mha(x, value=value, key=key, need_weights=False)[0]


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Bilinear(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(x, x)


class Packed(nn.Module):
    """Sequences of 5 and 2 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # (2, 5, 8)
        return self.lstm(pack_padded_sequence(x, torch.tensor([5, 2]), batch_first=True))[1][0]


Row = tuple[Callable[[], nn.Module], tuple[int, ...], int, int]
LAYERS: dict[str, Row] = {  # the shape of an example, weights, macs per image
    "convolution": (lambda: nn.Conv2d(4, 6, 3, stride=2), (2, 4, 9, 9), 6 * 4 * 9, 16 * 6 * 4 * 9),
    "1-d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9), 6 * 4 * 3, 7 * 6 * 4 * 3),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 9, 9), 6 * 2 * 9, 49 * 6 * 2 * 9),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), (2, 4, 9, 9), 4 * 9, 49 * 4 * 9),
    "dilated": (lambda: nn.Conv2d(4, 6, 3, dilation=2), (2, 4, 9, 9), 6 * 4 * 9, 25 * 6 * 4 * 9),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2),
        (2, 4, 5, 5),
        4 * 6 * 9,
        25 * 4 * 6 * 9,
    ),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        (2, 4, 5, 5),
        4 * 3 * 9,
        25 * 4 * 3 * 9,
    ),
    "linear": (lambda: nn.Linear(8, 3), (2, 8), 24, 24),
    "linear on tokens": (lambda: nn.Linear(8, 3, bias=False), (2, 5, 7, 8), 24, 35 * 24),
    "bilinear": (Pair, (2, 5, 8), 3 * 64, 5 * 3 * 64),
    "attention": (Attention, (2, 5, 8), 4 * 64, (5 + 3 + 3 + 5) * 64),
    "attention of other widths": (
        lambda: Attention(kdim=2, vdim=6),
        (2, 5, 8),
        64 + 2 * 8 + 6 * 8 + 64,
        5 * 64 + 3 * 2 * 8 + 3 * 6 * 8 + 5 * 64,
    ),
    "gru": (lambda: nn.GRU(8, 6, batch_first=True), (2, 5, 8), 3 * 6 * 14, 5 * 3 * 6 * 14),
    "lstm, both directions, two levels": (
        lambda: nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True),
        (2, 5, 8),
        2 * 4 * 6 * (8 + 6) + 2 * 4 * 6 * (12 + 6),
        5 * (2 * 4 * 6 * (8 + 6) + 2 * 4 * 6 * (12 + 6)),
    ),
    "lstm with projections": (
        lambda: nn.LSTM(8, 6, proj_size=3, batch_first=True),
        (2, 5, 8),
        4 * 6 * (8 + 3) + 3 * 6,
        5 * (4 * 6 * (8 + 3) + 3 * 6),
    ),
    "packed sequences": (Packed, (2, 5, 8), 4 * 8 * 16, round(7 * 4 * 8 * 16 / 2)),
    "cell": (lambda: nn.GRUCell(8, 6), (2, 8), 3 * 6 * 14, 3 * 6 * 14),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_its_closed_form(name: str) -> None:
    build, shape, weights, macs = LAYERS[name]
    found = costs(build(), *shape)
    assert list(found.values()) == [Cost(weights=weights, macs=macs)]


BLIND = ("attention", "attention of other widths", "bilinear", "packed sequences")
BLIND += ("lstm, both directions, two levels", "lstm with projections")  # torch's counter, to these


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in BLIND])
def test_torch_counts_the_same(name: str) -> None:
    build, shape, _, macs = LAYERS[name]
    model = build().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(shape))
    assert counter.get_total_flops() == 2 * shape[0] * macs


def cifar_resnet(n: int) -> tuple[int, int]:
    """Weights and macs of the convolutions and the linear layer of a ResNet of 6n + 2 layers on
    32x32 images (He et al. 2015, section 4.2), written out."""
    kernels = [(3, 16, 32)]  # inputs, outputs, side of the output
    for inputs, width, side in ((16, 16, 32), (16, 32, 16), (32, 64, 8)):
        kernels += [(inputs, width, side), *[(width, width, side)] * (2 * n - 1)]
    weights = [9 * a * b for a, b, _ in kernels]
    return sum(weights) + 640, sum(
        w * s**2 for w, (*_, s) in zip(weights, kernels, strict=True)
    ) + 640


@pytest.mark.parametrize("n", [1, 3, 7])
def test_a_cifar_resnet_costs_its_closed_form(n: int) -> None:
    found = costs(models.build(f"resnet{6 * n + 2}"), 2, 3, 32, 32)
    assert total(found) == cifar_resnet(n)
    assert len(found) == 6 * n + 2


def test_resnet20_has_40_55_million_macs() -> None:
    assert cifar_resnet(3) == (268_336, 40_551_040)
    assert costs(models.build("resnet20"), 1, 3, 32, 32)["layer3.2.conv2"] == Cost(
        weights=9 * 64 * 64, macs=64 * 9 * 64 * 64
    )


def mobilenet_v2() -> tuple[int, int]:
    """Weights and macs on 224x224 images from table 2 of Sandler et al. 2018."""
    side, width = 112, 32
    weights, macs = [27 * 32], [112**2 * 27 * 32]
    for t, c, n, s in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for stride in (s, *[1] * (n - 1)):
            wide = t * width
            expand = width * wide if t > 1 else 0
            weights += [expand, 9 * wide, wide * c]
            macs += [side**2 * expand]
            side, width = side // stride, c
            macs += [side**2 * 9 * wide, side**2 * wide * c]
    weights += [320 * 1280, 1280 * 1000]
    macs += [49 * 320 * 1280, 1280 * 1000]
    return sum(weights), sum(macs)


def test_mobilenet_v2_has_300_million_macs() -> None:
    found = costs(tv.mobilenet_v2(), 1, 3, 224, 224)
    assert total(found) == mobilenet_v2()
    assert mobilenet_v2()[1] == 300_774_272


def test_a_vision_transformer_costs_its_closed_form() -> None:
    """Patches, then per block four projections and two layers of an MLP on 5 tokens, one head."""
    found = costs(tv.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5), 2, 3, 16, 16)
    per_block = 4 * 64 + 2 * 8 * 16
    assert total(found) == (192 * 8 + 2 * per_block + 40, 4 * 192 * 8 + 2 * 5 * per_block + 40)
    attention = "encoder.layers.encoder_layer_0.self_attention"
    assert found[attention] == Cost(weights=4 * 64, macs=5 * 4 * 64)
    assert f"{attention}.out_proj" not in found


def test_torch_transformer_layers_are_counted_on_and_off_their_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = costs(nn.TransformerEncoder(layer, 2), 2, 5, 8)
    assert total(found) == (2 * (4 * 64 + 2 * 128), 2 * 5 * (4 * 64 + 2 * 128))


class Tied(nn.Module):
    """An embedding whose weight the decoder shares, a layer used twice and one left idle."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.mix = nn.Linear(4, 4)
        self.decoder = nn.Linear(4, 10)
        self.decoder.weight = self.embed.weight
        self.idle = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3) -> (N, 3, 10)
        return self.decoder(self.mix(self.mix(self.embed(x))))


def test_tied_repeated_and_idle_layers_count_once_each() -> None:
    assert costs(Tied(), 2, 3, dtype=torch.long) == {
        "embed": Cost(weights=40, macs=3 * 40),
        "mix": Cost(weights=16, macs=2 * 3 * 16),
        "idle": Cost(weights=16, macs=0),
    }


def test_the_skeleton_keeps_no_hooks_even_where_the_pass_fails() -> None:
    skeleton = skeleton_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(8, 2)))
    with pytest.raises(ValueError, match="the network fails on inputs of shape"):
        costs_of(skeleton, state_of(skeleton), torch.zeros(1, 3, 5, 5))
    assert not any(module._forward_hooks for module in skeleton.modules())
