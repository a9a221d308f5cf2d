"""Layers of every kind with something at their products, each in a network of its own."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from noiseproof.core.rng import stream
from noiseproof.hardware.opening import products_at
from noiseproof.hardware.products import Products
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.layouts import as_matrix
from noiseproof.network.linear_maps import linear_maps
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.specs.mapping import parse_mapping
from noiseproof.specs.mvm import parse_mvm

SAMPLES, CHIPS = 6, 60


def dice(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, padding=1), (2, 7)),
    "strided": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1), (3, 6, 5)),
    "dilated": (lambda: nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 6, 6)),
    "same": (lambda: nn.Conv2d(2, 3, (2, 3), padding="same"), (2, 5, 4)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 4)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    "depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3), (3, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 4, 3, 3)),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, padding=1, output_padding=1),
        (4, 4, 3),
    ),
    "transposed1d": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=3, dilation=2), (2, 5)),
    "transposed3d": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 3, 2, 2)),
    "linear": (lambda: nn.Linear(5, 4), (5,)),
    "tokens": (lambda: nn.Linear(5, 4), (3, 5)),
}


class Case:
    """One layer in a network of its own, in float64, and the vectors that it multiplies."""

    def __init__(self, name: str) -> None:
        make, shape = LAYERS[name]
        self.layer = make().double()
        self.skeleton = skeleton_of(nn.Sequential(self.layer))
        self.state = {n: dice(*t.shape, name=n) for n, t in state_of(self.skeleton).items()}
        self.x = dice(SAMPLES, *shape)
        self.map = linear_maps(self.skeleton)["0"]
        self.kernel = self.state["0.weight"]
        matrix = as_matrix(self.kernel, self.map)  # (groups, outputs, inputs)
        self.scale = matrix.abs().amax(2).flatten()

    def products(self, text: str, images: Tensor | None = None, *, mapping: str = "") -> Products:
        mvm = parse_mvm(text)
        if mvm.needs_images:
            mvm = mvm.calibrated(len(self.x if images is None else images))
        return products_at(
            self.skeleton,
            self.state,
            mvm,
            analog=["0.weight"],
            example=self.x[:3],
            images=self.x if images is None else images,
            mapping=parse_mapping(mapping)[0],
        )

    def run(self, products: Products, x: Tensor | None = None, chip: int = 0) -> Tensor:
        """What the layer returns, without its bias."""
        made = products.on(Chip(self.state), 0, chip)
        forward = products.cursor.along(lambda z: outputs(self.skeleton, made, z))
        y: Tensor = forward(self.x if x is None else x)
        return y - self.bias

    @property
    def bias(self) -> Tensor:
        return self.state["0.bias"].view(-1, *[1] * (-1 - self.map.axis))

    def exact(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The layer's product of any inputs with any kernel, by torch."""
        state = {"0.weight": kernel, "0.bias": torch.zeros_like(self.state["0.bias"])}
        y: Tensor = outputs(self.skeleton, Chip(state), x)
        return y

    def by_output(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (-1 - self.map.axis))

    def vectors(self) -> list[tuple[int, tuple[int, ...], Tensor]]:
        """(sample, place of the output, inputs that reach it): found by what each input changes,
        one unit input after the other."""
        size = self.x[0].numel()
        found = []
        units = torch.eye(size, dtype=torch.float64).view(size, *self.x.shape[1:])
        reach = self.exact(units, torch.ones_like(self.kernel))  # (inputs, C, ...)
        for where in itertools.product(*map(range, reach.shape[1:])):
            reached = reach[(slice(None), *where)]
            for sample in range(len(self.x)):
                found.append((sample, where, reached * self.x[sample].flatten()))
        return found
