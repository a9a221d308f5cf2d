"""Signs and noise by name, and the slow pass of one chip per image."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.norms import ScaledBatchNorm
from noiseproof.network.state import State, places, skeleton_of, state_of
from noiseproof.noise.flipout import FLIPPED_ROLES
from noiseproof.noise.perturbation import Programme
from noiseproof.noise.signs import Signs, flipped_tensor
from noiseproof.specs.noise import parse

IMAGES = 3


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
    return torch.cat([outputs(skeleton, Chip(c), x[i : i + 1]) for i, c in enumerate(chips)])


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


def programme_of(model: nn.Module, text: str = "gaussian(0.1, reference=rms)") -> Programme:
    spec = parse(text)
    return Programme(state=state_of(model), places=places(model), spec=spec, targets=FLIPPED_ROLES)
