"""Detectors on the small backbone: one battery for each, with each normalisation."""

from typing import Any

import pytest
import torch
from torch import nn

from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.models import building as models
from noiseproof.models.backbones import WIDTHS, SmallBackbone
from noiseproof.models.detectors import AsGiven
from noiseproof.network.norms import NORMS, is_batch_norm, norm_layers, replace_norms
from noiseproof.specs import catalog
from noiseproof.tasks.table import TASKS

X = torch.rand(2, 3, 64, 96, generator=stream(0, "x"))
TRUTH = [
    {"boxes": torch.tensor([[4.0, 4, 40, 50], [50, 8, 90, 60]]), "labels": torch.tensor([1, 3])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]


def test_the_backbone_gives_its_stages_at_strides_4_to_32() -> None:
    names = {f"stage{i}": str(i) for i in (1, 2, 3, 4)}
    found = SmallBackbone(names).eval()(X)
    shapes = [tuple(found[str(i)].shape[1:]) for i in (1, 2, 3, 4)]
    assert shapes == [(w, 64 // s, 96 // s) for w, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)]
    dilated = SmallBackbone({"stage4": "out"}, dilated=True).eval()(X)
    assert {name: tuple(x.shape) for name, x in dilated.items()} == {"out": (2, WIDTHS[-1], 4, 6)}


def test_the_last_stage_sees_further_where_it_is_dilated() -> None:
    backbone = SmallBackbone({"stage4": "out"}, dilated=True)
    kernels = [m.dilation for m in backbone.get_submodule("stage4").modules()
               if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]  # fmt: skip
    assert kernels == [(2, 2), (2, 2)]


def test_images_and_boxes_reach_a_detector_as_they_are() -> None:
    images, _ = AsGiven()(list(X), None)
    assert images.image_sizes == [(64, 96)] * 2
    assert torch.allclose(images.tensors, (X - 0.5) / 0.25)
    odd, targets = AsGiven()([X[0, :, :50, :70]], [TRUTH[0]])
    assert odd.image_sizes == [(50, 70)]
    assert odd.tensors.shape == (1, 3, 64, 96)  # padded to a multiple of 32
    assert torch.equal(targets[0]["boxes"], TRUTH[0]["boxes"])


def run(model: nn.Module) -> tuple[list[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Detections in evaluation mode, and the losses of one backward pass in training mode."""
    with torch.no_grad():
        found = model.eval()(X)
    with seeded(0, "proposals"):
        losses: dict[str, Any] = model.train()(list(X), TRUTH)
    sum(losses.values()).backward()
    return found, losses


@pytest.mark.parametrize("norm", sorted(NORMS))
@pytest.mark.parametrize("name", sorted(catalog.DETECTORS))
def test_each_detector_runs_and_learns_with_each_norm(name: str, norm: str) -> None:
    model = models.build(name, classes=4)
    assert any(is_batch_norm(module) for module in model.modules())
    model = replace_norms(model, norm)
    with torch.no_grad():
        for module in model.modules():  # a detector starts by saying nothing
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.add_(0.1 * torch.randn(module.bias.shape, generator=stream(0, "bias")))
    found, losses = run(model)
    assert len(found) == 2
    for one in found:
        assert {"boxes", "labels", "scores"} <= one.keys()
        assert one["boxes"].shape == (len(one["scores"]), 4)
        lowest = name in ("faster_rcnn", "ssdlite")  # the others have a sigmoid for class 0 too
        assert ((one["labels"] >= lowest) & (one["labels"] < 4)).all()
        limit = torch.tensor([96, 64, 96, 64])
        assert ((one["boxes"] >= 0) & (one["boxes"] <= limit)).all()
    assert losses
    assert all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert len(norm_layers(model)) == 0 or norm != "none"


@pytest.mark.parametrize("name", sorted(catalog.DETECTORS))
def test_a_detector_has_the_size_that_the_catalog_says(name: str) -> None:
    millions = sum(p.numel() for p in models.build(name, classes=4).parameters()) / 1e6
    assert f"{millions:.1f} M" in catalog.DETECTORS[name]
    assert name == "faster_rcnn" or millions < 2


@pytest.mark.parametrize("name", sorted(catalog.DETECTORS))
def test_a_detectors_output_fits_the_task(name: str) -> None:
    with torch.no_grad():
        TASKS["detect"].check(models.build(name, classes=4).eval()(X), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(catalog.DETECTORS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_weights_that_a_chip_has_ruined_find_nothing_and_stop_nothing(
    name: str, value: float
) -> None:
    model = models.build(name, classes=4).eval()
    truth = tuple(Boxes(corners=one["boxes"], classes=one["labels"]) for one in TRUTH)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
        found = TASKS["detect"].evaluate(model, Split(inputs=X, labels=truth), 1)
    assert found.score == 0
