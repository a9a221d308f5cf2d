"""torchvision's segmenters on a small backbone: images (N, 3, H, W) -> {"out": (N, C, H, W)}."""

from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead
from torchvision.models.segmentation.lraspp import LRASPP

from noiseproof.models.backbones import WIDTHS, SmallBackbone


def fcn(classes: int) -> nn.Module:
    """FCN (Long et al. 2015) at stride 16."""
    model: nn.Module = FCN(
        SmallBackbone({"stage4": "out"}, dilated=True), FCNHead(WIDTHS[-1], classes)
    )
    return model


def deeplabv3(classes: int) -> nn.Module:
    """DeepLabV3 (Chen et al. 2017) at stride 16, with the rates of that stride."""
    head = DeepLabHead(WIDTHS[-1], classes, atrous_rates=(6, 12, 18))
    model: nn.Module = DeepLabV3(SmallBackbone({"stage4": "out"}, dilated=True), head)
    return model


def lraspp(classes: int) -> nn.Module:
    """Lite R-ASPP (Howard et al. 2019): the last stage at stride 16 and the first at stride 4."""
    body = SmallBackbone({"stage1": "low", "stage4": "high"}, dilated=True)
    model: nn.Module = LRASPP(
        body, low_channels=WIDTHS[0], high_channels=WIDTHS[-1], num_classes=classes
    )
    return model
