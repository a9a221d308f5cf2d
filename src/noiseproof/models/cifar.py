"""Classifiers for 32x32 images: ResNets, VGGs, and torchvision's small networks at full resolution.

The networks that torchvision made for 224x224 images halve the resolution five times; here they
halve it three times (four in VGGs), as is usual on CIFAR.
"""

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

# --- CIFAR ResNets (He et al. 2015, section 4.2) ------------------------------------------------


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut without parameters (option A: subsample, pad channels)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.padding = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1 or self.padding:
            # Option A of He et al. 2015: no parameters, so noise on
            # weights never meets the shortcut.
            x = x[:, :, :: self.stride, :: self.stride]
            # F.pad counts axes from the last: nothing at width and
            # height, zeros around the channels.
            x = F.pad(x, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    """6n+2 layers: a stem, three stages of n blocks with 16, 32, 64 channels, one linear layer."""

    def __init__(self, n: int, *, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(n, 16, 16, stride=1)
        self.layer2 = self._stage(n, 16, 32, stride=2)
        self.layer3 = self._stage(n, 32, 64, stride=2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(n: int, inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
        rest = [BasicBlock(outputs, outputs, 1) for _ in range(n - 1)]
        return nn.Sequential(BasicBlock(inputs, outputs, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, H, W) -> (N, classes)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        # (N, 64, H, W) -> (N, 64): any size of image that three stages leave something of.
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


def resnet(n: int, classes: int, channels: int) -> nn.Module:
    """A CIFAR ResNet of 6n+2 layers."""
    return CifarResNet(n, classes=classes, channels=channels)


# --- VGGs for 32x32 images ----------------------------------------------------------------------

VGG_STAGES = {
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg13": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


class CifarVGG(nn.Module):
    """The convolutions of a VGG, a normalisation after each, and one linear layer."""

    def __init__(self, stages: tuple[tuple[int, ...], ...], *, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in stages:
            for width in stage:
                layers += [_conv3x3(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, 32, 32) -> (N, classes)
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]


def vgg(name: str, classes: int, channels: int, *, width: float = 1.0) -> nn.Module:
    """A VGG for 32x32 images, each layer with `width` times its channels."""
    stages = tuple(tuple(int(width * one) for one in stage) for stage in VGG_STAGES[name])
    return CifarVGG(stages, classes=classes, channels=channels)


# --- torchvision's small networks ---------------------------------------------------------------

MOBILENET_V2 = (  # expansion, channels, blocks, stride of the first; two strides fewer than in 2018
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(classes: int, channels: int, *, width: float = 1.0) -> nn.Module:
    """MobileNetV2 (Sandler et al. 2018) with `width` times its channels."""
    setting = [list(row) for row in MOBILENET_V2]
    model = models.MobileNetV2(
        num_classes=classes, width_mult=width, inverted_residual_setting=setting
    )
    stem = model.features[0]
    assert isinstance(stem, nn.Sequential)
    # Stride 1 instead of 2, and as many channels as the images have.
    stem[0] = _conv3x3(channels, _outputs(stem[0]))
    return model  # type: ignore[no-any-return]


def shufflenet_v2(classes: int, channels: int) -> nn.Module:
    """ShuffleNetV2 1x (Ma et al. 2018) without the first pooling."""
    model = models.shufflenet_v2_x1_0(num_classes=classes)
    model.conv1[0] = _conv3x3(channels, _outputs(model.conv1[0]))
    model.maxpool = nn.Identity()
    return model  # type: ignore[no-any-return]


def densenet40(classes: int, channels: int) -> nn.Module:
    """DenseNet-BC of 40 layers, growth 12 (Huang et al. 2017)."""
    model = models.DenseNet(
        growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=classes
    )
    model.features.conv0 = _conv3x3(channels, 24)
    model.features.pool0 = nn.Identity()
    return model  # type: ignore[no-any-return]


def _outputs(convolution: nn.Module) -> int:
    assert isinstance(convolution, nn.Conv2d)
    return convolution.out_channels
