"""A small residual backbone for detectors and segmenters, to train from scratch on a CPU."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 192)
DEPTHS = (1, 2, 2, 1)
STEM = 32


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity, or a 1x1 projection where the shapes differ."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, dilation: int = 1) -> None:
        super().__init__()
        around = {"padding": dilation, "dilation": dilation, "bias": False}
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, **around)  # type: ignore[arg-type]
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, **around)  # type: ignore[arg-type]
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SmallBackbone(nn.Module):
    """A stem and four stages of residual blocks at strides 4, 8, 16 and 32 (or, where `dilated`,
    16 again in the last): images (N, 3, H, W) -> the stages' outputs that `names` asks for, each
    under the name it is given there. 1.5 million parameters."""

    def __init__(self, names: dict[str, str], *, dilated: bool = False) -> None:
        super().__init__()
        self.names = names
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(STEM),
            nn.ReLU(),
        )
        widths = (STEM, *WIDTHS)
        for stage, depth in enumerate(DEPTHS):
            spread = dilated and stage == len(DEPTHS) - 1
            blocks: list[nn.Module] = [
                Residual(
                    widths[stage + (place > 0)],
                    widths[stage + 1],
                    # Dilated instead of strided: the same field of view at twice the resolution.
                    stride=1 if place or spread else 2,
                    dilation=2 if spread else 1,
                )
                for place in range(depth)
            ]
            self.add_module(f"stage{stage + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        found: OrderedDict[str, Tensor] = OrderedDict()
        x = self.stem(x)
        for stage in range(1, len(DEPTHS) + 1):
            x = self.get_submodule(f"stage{stage}")(x)
            if f"stage{stage}" in self.names:
                found[self.names[f"stage{stage}"]] = x
        return found
