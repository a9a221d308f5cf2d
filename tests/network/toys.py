"""Small networks and tensors."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.rng import stream
from noiseproof.network.norms import (
    SCALES,
    ScaledBatchNorm,
)

KINDS = sorted(SCALES)
SHAPES = {  # positions -> inputs
    1: [(8, 3), (5, 3, 7)],
    2: [(5, 3, 4, 4), (2, 3, 1, 1)],
    3: [(3, 3, 2, 4, 2)],
}
INPUTS = [(dims, shape) for dims, shapes in SHAPES.items() for shape in shapes]


def normal(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(*shape, generator=stream(0, name), dtype=torch.float64)


def filled(layer: nn.Module) -> nn.Module:
    """`layer` with gamma, beta and running statistics that are all different."""
    for k, name in enumerate(("weight", "bias", "running_mean", "running_var")):
        tensor = getattr(layer, name, None)
        if tensor is not None:
            values = 0.5 + torch.arange(len(tensor)) / 10 + k
            tensor.data.copy_(values)
    return layer


CLASSES: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm2d,
    "batch_l1": ScaledBatchNorm,
    "batch_topk": ScaledBatchNorm,
    "batch_linf": ScaledBatchNorm,
    "batch_range": ScaledBatchNorm,
    "group": nn.GroupNorm,
    "layer": nn.GroupNorm,
    "instance": nn.InstanceNorm2d,
}


OLD_LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch 1d": (lambda: nn.BatchNorm1d(4), (3, 4, 5)),
    "batch 1d of vectors": (lambda: nn.BatchNorm1d(4), (6, 4)),
    "batch 2d": (lambda: nn.BatchNorm2d(4), (3, 4, 5, 5)),
    "batch 3d": (lambda: nn.BatchNorm3d(4), (3, 4, 2, 3, 2)),
    "scaled 1d": (lambda: ScaledBatchNorm(4, kind="batch_l1", dims=1), (3, 4, 5)),
    "frozen": (lambda: FrozenBatchNorm2d(4), (3, 4, 5, 5)),
    "group": (lambda: nn.GroupNorm(2, 4), (3, 4, 5, 5)),
    "instance 1d": (lambda: nn.InstanceNorm1d(4, affine=True), (3, 4, 5)),
    "instance 2d": (lambda: nn.InstanceNorm2d(4), (3, 4, 5, 5)),
    "instance 3d": (lambda: nn.InstanceNorm3d(4, affine=True), (3, 4, 2, 3, 2)),
}


PAIRS = [(old, kind) for old in OLD_LAYERS for kind in CLASSES]
PAIRS.remove(("batch 1d of vectors", "instance"))  # one value per channel has no variance
