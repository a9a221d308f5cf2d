"""torchvision's detectors on a small backbone. Inputs (N, 3, H, W) are pixel / 255; outputs are
one dictionary of boxes, labels and scores for each image. `classes` counts the background."""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from noiseproof.models.backbones import WIDTHS, SmallBackbone

PYRAMID = 64  # channels of every pyramid level
STRIDES = (8, 16, 32)
HEAD_CONVOLUTIONS = 2


class AsGiven(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Normalises pixels and leaves the size of images as it is."""

    def __init__(self) -> None:
        # The sizes (0, 0) are of `resize`, which does nothing here.
        super().__init__(0, 0, image_mean=[0.5, 0.5, 0.5], image_std=[0.25, 0.25, 0.25])

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


def _as_given(detector: nn.Module) -> nn.Module:
    detector.transform = AsGiven()
    return detector


class PyramidBackbone(nn.Module):
    """The small backbone's last three stages as a feature pyramid (Lin et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = SmallBackbone({"stage2": "0", "stage3": "1", "stage4": "2"})
        self.fpn = FeaturePyramidNetwork(list(WIDTHS[1:]), PYRAMID)
        self.out_channels = PYRAMID

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        levels: OrderedDict[str, Tensor] = self.fpn(self.body(x))
        return levels


def _octaves(side: int) -> tuple[int, ...]:
    # Three anchors to an octave, as in the paper: each level's boxes reach up to the next one's.
    return tuple(round(side * 2 ** (step / 3)) for step in range(3))


def fcos(classes: int) -> nn.Module:
    """FCOS (Tian et al. 2019); its head normalises by groups."""
    anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES))
    head = FCOSHead(PYRAMID, 1, classes, num_convs=HEAD_CONVOLUTIONS)
    return _as_given(
        FCOS(PyramidBackbone(), classes, anchor_generator=anchors, head=head, score_thresh=0.05)
    )


def retinanet(classes: int) -> nn.Module:
    """RetinaNet (Lin et al. 2017); its head has no normalisation."""
    anchors = AnchorGenerator(
        tuple(_octaves(3 * stride) for stride in STRIDES), ((0.5, 1.0, 2.0),) * len(STRIDES)
    )
    return _as_given(RetinaNet(PyramidBackbone(), classes, anchor_generator=anchors))


def faster_rcnn(classes: int) -> nn.Module:
    """Faster R-CNN (Ren et al. 2015) on the same pyramid."""
    anchors = AnchorGenerator(
        tuple((3 * stride,) for stride in STRIDES), ((0.5, 1.0, 2.0),) * len(STRIDES)
    )
    pool = MultiScaleRoIAlign(["0", "1", "2"], output_size=7, sampling_ratio=2)
    return _as_given(
        FasterRCNN(PyramidBackbone(), classes, rpn_anchor_generator=anchors, box_roi_pool=pool)
    )


def ssdlite(classes: int) -> nn.Module:
    """SSDlite (Sandler et al. 2018): batch normalisation in the head too."""
    body = SmallBackbone({"stage2": "0", "stage3": "1", "stage4": "2"})
    anchors = DefaultBoxGenerator([[2], [2], [2]], min_ratio=15, max_ratio=45)
    head = SSDLiteHead(
        list(WIDTHS[1:]), anchors.num_anchors_per_location(), classes, nn.BatchNorm2d
    )
    return _as_given(SSD(body, anchors, (320, 320), classes, head=head, nms_thresh=0.5))
