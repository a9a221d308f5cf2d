"""What can be named: models, normalisations and data sets, with the facts that need no torch.

`models.BUILDERS`, `norms.NORMS` and `data.READERS` hold one function for each of these names.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from noiseproof.core.checks import one_of

MODELS = {
    "resnet8": "CIFAR ResNet, 6n+2 layers, n = 1",
    "resnet14": "CIFAR ResNet, n = 2",
    "resnet20": "CIFAR ResNet, n = 3 (He et al. 2015)",
    "resnet32": "CIFAR ResNet, n = 5",
    "resnet44": "CIFAR ResNet, n = 7",
    "resnet56": "CIFAR ResNet, n = 9",
    "resnet110": "CIFAR ResNet, n = 18",
    "vgg11": "VGG-11 for 32x32 images, one linear layer",
    "vgg13": "VGG-13 for 32x32 images",
    "vgg16": "VGG-16 for 32x32 images (Simonyan and Zisserman 2014)",
    "vgg19": "VGG-19 for 32x32 images",
    "vgg16_x0_25": "VGG-16 for 32x32 images with a quarter of its channels",
    "mobilenet_v2": "MobileNetV2 for 32x32 images (Sandler et al. 2018)",
    "mobilenet_v2_x0_5": "MobileNetV2 for 32x32 images with half of its channels",
    "shufflenet_v2": "ShuffleNetV2 1x for 32x32 images (Ma et al. 2018)",
    "densenet40": "DenseNet-BC for 32x32 images, 40 layers, growth 12 (Huang et al. 2017)",
}
DETECTORS = {
    "fcos": "FCOS on a small residual backbone (Tian et al. 2019), 1.5 M parameters",
    "retinanet": "RetinaNet on the same (Lin et al. 2017), 1.7 M",
    "faster_rcnn": "Faster R-CNN on the same (Ren et al. 2015), 5.7 M",
    "ssdlite": "SSDlite on the same (Sandler et al. 2018), 1.3 M",
}
SEGMENTERS = {
    "fcn": "FCN on a small residual backbone (Long et al. 2015), 1.3 M parameters",
    "deeplabv3": "DeepLabV3 on the same (Chen et al. 2017), 3.6 M",
    "lraspp": "Lite R-ASPP on the same (Howard et al. 2019), 1.3 M",
}
MODELS |= DETECTORS | SEGMENTERS
OUTSIDE_MODELS = {
    "torchvision:NAME": "any of torchvision: classifiers, detectors, segmenters; vit_b_16, say",
    "timm:NAME": "any timm classifier, if timm is installed",
    "package.module:builder": "your own function that returns an nn.Module",
}
NORMS = {
    "none": "no normalisation (our ResNets scale their branches instead)",
    "batch": "BatchNorm, L2: sqrt(mean d^2)",
    "batch_l1": "L1 BatchNorm: sqrt(pi/2) mean|d| (Hoffer et al. 2018)",
    "batch_topk": "Top-k BatchNorm, k = 10: mean of the k largest |d| times C(n)",
    "batch_linf": "L-inf BatchNorm: Top-k with k = 1",
    "batch_range": "Range BatchNorm over 16 chunks (Banner et al. 2018)",
    "group": "GroupNorm, at most 8 groups",
    "layer": "LayerNorm over channels and positions (GroupNorm with one group)",
    "instance": "InstanceNorm with affine parameters",
}


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """`mean` and `std` are of the training images per channel, in units of pixel / 255."""

    about: str
    classes: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: int  # augmentation: random crop after padding by this many pixels
    flip: bool  # augmentation: horizontal flips
    files: str | None  # the folder that has to be there; None where nothing has to be
    task: str = "classify"
    size: tuple[int, int] | None = None  # height, width that images are fitted to; None: as found


def of_classes(classes: int) -> float | None:
    """One over their number; None where that is not known."""
    return 1 / classes if classes else None


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """`metric`: what the score is called. `better`: higher or lower. `unit`: `%` for a share
    between 0 and 1, else what stands behind the number. `blind`: from the number of classes, what
    a network that sees nothing may score. `has_hits`: the score is the mean over single samples
    that are right or wrong. `is_of_scenes`: labels lie in their images, which may be of any size.
    `recipe`: what the usual training of a task does otherwise than the default."""

    about: str
    metric: str
    better: str = "higher"
    unit: str = "%"
    blind: Callable[[int], float | None] = of_classes
    has_hits: bool = False
    is_of_scenes: bool = False
    recipe: Mapping[str, int | float] = field(default_factory=dict)


TASKS = {
    "classify": TaskFacts(
        about="one class for a sample: accuracy", metric="accuracy", has_hits=True
    ),
    "detect": TaskFacts(
        about="boxes: COCO's mean average precision, mAP@[.5:.95] and mAP@.5",
        metric="mAP",
        # No guess finds a box, so this is what noise in the scores may hit.
        blind=lambda classes: 0.01,
        is_of_scenes=True,
        recipe={"epochs": 120, "batch_size": 8, "lr": 0.02, "weight_decay": 1e-4},
    ),
    "regress": TaskFacts(
        about="real numbers: R squared, and the root mean square error",
        metric="R2",
        unit="",
        # Of one that always says the mean label.
        blind=lambda classes: 0.0,
    ),
    "segment": TaskFacts(
        about="a class for each pixel: mean intersection over union",
        metric="mIoU",
        # Of one class everywhere: its share of the pixels, at most 1, over the number of classes.
        blind=of_classes,
        is_of_scenes=True,
        recipe={"epochs": 120, "batch_size": 8, "lr": 0.05},
    ),
    "tokens": TaskFacts(
        about="a token for each place of a sequence: the share that is right",
        metric="token accuracy",
    ),
}
BCCD_CLASSES = ("RBC", "WBC", "Platelets")
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
DATASETS = {
    "bccd": DatasetFacts(
        about="BCCD blood cells, 205 + 72 images of 480x640, boxes of 3 classes",
        classes=len(BCCD_CLASSES) + 1,
        channels=3,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        shift=0,
        flip=True,
        files="bccd",
        task="detect",
        size=None,
    ),
    "camvid": DatasetFacts(
        about="CamVid, 367 + 233 street scenes of 360x480, masks of 11 classes",
        classes=11,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        shift=0,
        flip=True,
        files="camvid",
        task="segment",
        size=None,
    ),
    "cifar10": DatasetFacts(
        about="CIFAR-10, 50,000 + 10,000 images of 32x32",
        classes=10,
        channels=3,
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        shift=4,
        flip=True,
        files="cifar-10-batches-py",
    ),
    "cifar100": DatasetFacts(
        about="CIFAR-100, 50,000 + 10,000 images of 32x32",
        classes=100,
        channels=3,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        shift=4,
        flip=True,
        files="cifar-100-python",
    ),
    "coco": DatasetFacts(
        about="COCO 2017, train and val, boxes by COCO's 90 category numbers",
        classes=91,
        channels=3,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        shift=0,
        flip=True,
        files="coco",
        task="detect",
        size=(480, 480),
    ),
    "digits": DatasetFacts(
        about="scikit-learn's handwritten digits, 1,297 + 500 images of 8x8; inside the package",
        classes=10,
        channels=1,
        mean=(0.3053,),
        std=(0.3760,),
        shift=1,
        flip=False,
        files=None,
    ),
    "fashion_mnist": DatasetFacts(
        about="Fashion-MNIST, 60,000 + 10,000 images, padded to 32x32",
        classes=10,
        channels=1,
        mean=(0.2190,),
        std=(0.3318,),
        shift=2,
        flip=True,
        files="FashionMNIST",
    ),
    "mnist": DatasetFacts(
        about="MNIST, 60,000 + 10,000 images, padded to 32x32",
        classes=10,
        channels=1,
        mean=(0.1000,),
        std=(0.2752,),
        shift=2,
        flip=False,
        files="MNIST",
    ),
    "voc_detect": DatasetFacts(
        about="Pascal VOC 2012, train and val, boxes of 20 classes",
        classes=len(VOC_CLASSES) + 1,
        channels=3,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        shift=0,
        flip=True,
        files="VOCdevkit",
        task="detect",
        size=(480, 480),
    ),
    "voc_segment": DatasetFacts(
        about="Pascal VOC 2012, train and val, masks of 21 classes",
        classes=len(VOC_CLASSES) + 1,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        shift=0,
        flip=True,
        files="VOCdevkit",
        task="segment",
        size=(480, 480),
    ),
}
OUTSIDE_DATASETS = {
    "folder:PATH": "PATH/train/CLASS/*.jpg and PATH/test (or val); --resize 256, --crop 224",
    "masks:PATH": "PATH/{train,test} with PATH/{train,test}annot, or PATH/{images,masks}/...",
    "voc:PATH": "PATH/{JPEGImages,Annotations} and PATH/ImageSets/Main/{train,test}.txt",
    "NAME@HxW": "any of the scenes above, fitted into H x W pixels: camvid@180x240",
    "package.module:loader": "your own function that returns a noiseproof.data.Dataset",
}
PIXEL_SCALES = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "cifar10": (CIFAR10_MEAN, CIFAR10_STD),
    "half": ((0.5,), (0.5,)),
    "none": ((0.0,), (1.0,)),
}
MIN_SIDE, MAX_SIDE = 2, 8192


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """Images reach the network as (pixel / 255 - mean) / std, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must be equally long, got {len(self.mean)} and {len(self.std)}"
            )
        for value in (*self.mean, *self.std):
            if not abs(value) < float("inf"):
                raise ValueError(f"mean and std must be finite, got {value}")
        if not min(self.std) > 0:
            raise ValueError(f"std must be > 0, got {min(self.std)}")

    def __str__(self) -> str:
        return ",".join(repr(value) for value in (*self.mean, *self.std))


UNSCALED = PixelScale(mean=(0.0,), std=(1.0,))


def parse_pixel_scale(text: str) -> PixelScale:
    """`imagenet`, `cifar10`, `half`, `none`, or 2C numbers: C means, then C standard deviations.

    Raises:
        ValueError: for any other text.
    """
    if text in PIXEL_SCALES:
        mean, std = PIXEL_SCALES[text]
        return PixelScale(mean=mean, std=std)
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or len(values) % 2:
        known = ", ".join(PIXEL_SCALES)
        raise ValueError(
            f"unknown normalisation of pixels {text!r}: expected one of {known}, or six numbers "
            "(three means, three standard deviations; two numbers for one channel)"
        )
    half = len(values) // 2
    return PixelScale(mean=values[:half], std=values[half:])


def check_model(name: str) -> str:
    """`name`, if it can be a model; raises ValueError otherwise. Outside names are not opened."""
    return name if ":" in name else one_of("model", name, [*MODELS, *OUTSIDE_MODELS])


def check_norm(name: str) -> str:
    """`name`, if it is a normalisation; raises ValueError otherwise."""
    return one_of("norm", name, NORMS)


def check_norm_where(norm: str | None, where: str) -> None:
    """Raise ValueError for an unknown normalisation, or a part of the layers without one; None is
    the model's own."""
    if norm is not None:
        check_norm(norm)
    elif where != "all":
        raise ValueError(f"--norm-where {where} needs --norm, which says what goes there")


def norm_text(norm: str | None, where: str) -> str:
    """How rows and messages call a normalisation: `batch_l1`, `none (last:3)`, `own`."""
    if norm is None:
        return "own"
    return norm if where == "all" else f"{norm} ({where})"


def check_dataset(name: str) -> str:
    """`name`, if it can be a data set; raises ValueError otherwise."""
    base, size = parse_size(name)
    kind, colon, place = base.partition(":")
    if colon and not place:
        raise ValueError(f"data set {name} has an empty path: name one, as in {kind}:PATH")
    if colon:
        return name
    one_of("data set", base, [*DATASETS, *(other for other in OUTSIDE_DATASETS if ":" in other)])
    if size is not None and not TASKS[DATASETS[base].task].is_of_scenes:
        raise ValueError(f"data set {base} has one size: leave @{size[0]}x{size[1]} out")
    return name


def parse_size(name: str) -> tuple[str, tuple[int, int] | None]:
    """`camvid@180x240` -> (camvid, (180, 240)): a data set's name and the size asked of it; `@` in
    the path of an image folder, or in the name of a loader of one's own, is a part of it.

    Raises:
        ValueError: for a size out of reason.
    """
    found = re.fullmatch(r"([^:]+|(?:masks|voc):.+)@(\d+)x(\d+)", name, flags=re.DOTALL)
    if found is None:
        return name, None
    size = int(found[2]), int(found[3])
    if not MIN_SIDE <= min(size) <= max(size) <= MAX_SIDE:
        raise ValueError(
            f"a size must be between {MIN_SIDE} and {MAX_SIDE} pixels, got {size[0]}x{size[1]}"
        )
    return found[1], size


def imagenet_scale() -> PixelScale:
    """The pixel scale of ImageNet's training images."""
    return PixelScale(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def metric_of(task: str) -> str:
    """What the score of a task is called; `score` where the task is the user's own."""
    return TASKS[task].metric if task in TASKS else "score"


def has_hits(task: str) -> bool:
    """Is the score of a task the mean over single samples that are right or wrong? Of a score of
    the user's own nothing is known."""
    return task in TASKS and TASKS[task].has_hits


def is_share(task: str) -> bool:
    """Does the score of a task lie between 0 and 1?"""
    return task in TASKS and TASKS[task].unit == "%"
