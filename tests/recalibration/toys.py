"""A small network with batch normalisation, and its statistics."""

import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.network.norms import SCALES

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


def shifted(net: nn.Module, by: float = 2.0) -> nn.Module:
    """`net` with kernels changed so that its statistics are far off."""
    with torch.no_grad():
        for place in (0, 4):
            noise = torch.randn(net[place].weight.shape, generator=stream(place, "shift"))
            net[place].weight.add_(noise * by * net[place].weight.std())
    return net
