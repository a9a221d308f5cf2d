"""Which pictures public weights were trained for."""

import pytest

from noiseproof.models.own_pictures import pictures_of
from noiseproof.specs import Cropping, PixelScale

IMAGENET = PixelScale(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("model", "file", "cropping"),
    [
        ("resnet50", "resnet50-0676ba61.pth", Cropping(resize=256, crop=224)),
        ("resnet50", "resnet50-11ad3fa6.pth", Cropping(resize=232, crop=224)),
        (
            "vit_b_16",
            "vit_b_16_swag-9ac1b537.pth",
            Cropping(resize=384, crop=384, interpolation="bicubic"),
        ),
    ],
)
def test_weights_of_torchvision_are_known_by_their_file(
    model: str, file: str, cropping: Cropping
) -> None:
    found = pictures_of(f"torchvision:{model}", file)
    assert found is not None
    assert (found.cropping, found.scale) == (cropping, IMAGENET)


def test_weights_of_timm_are_known_by_the_model() -> None:
    timm = pytest.importorskip("timm")
    name = "vit_base_patch16_224"
    found = pictures_of(f"timm:{name}", "model.safetensors")
    config = timm.data.resolve_data_config({}, model=timm.create_model(name), use_test_size=True)
    assert found is not None
    assert found.scale == PixelScale(mean=config["mean"], std=config["std"])
    assert found.cropping.crop == config["input_size"][1]
    assert found.cropping.resize == int(config["input_size"][1] / config["crop_pct"])
    assert found.cropping.interpolation == config["interpolation"] == "bicubic"


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("torchvision:resnet50", "mine.pth"),
        ("torchvision:no_such_network", "resnet50-11ad3fa6.pth"),
        ("torchvision:fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
        ("timm:no_such_network", "m.pth"),
        ("resnet20", "resnet50-11ad3fa6.pth"),
        ("package.module:builder", "resnet50-11ad3fa6.pth"),
    ],
)
def test_of_other_weights_nothing_is_known(model: str, file: str) -> None:
    assert pictures_of(model, file) is None
