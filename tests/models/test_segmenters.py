"""Segmenters on the small backbone: one battery for each, with each normalisation."""

import pytest
import torch

from noiseproof.core.rng import stream
from noiseproof.models import building as models
from noiseproof.network.norms import NORMS, is_batch_norm, norm_layers, replace_norms
from noiseproof.specs import catalog

X = torch.randn(2, 3, 48, 64, generator=stream(0, "x"))


@pytest.mark.parametrize("norm", sorted(NORMS))
@pytest.mark.parametrize("name", sorted(catalog.SEGMENTERS))
def test_each_segmenter_runs_and_learns_with_each_norm(name: str, norm: str) -> None:
    model = models.build(name, classes=5)
    assert any(is_batch_norm(module) for module in model.modules())
    model = replace_norms(model, norm)
    if name == "deeplabv3" and norm == "instance":
        with pytest.raises(ValueError, match="Expected more than 1 spatial element"):
            model.train()(X)  # its image pooling leaves one position
        return
    with torch.no_grad():
        assert model.eval()(X)["out"].shape == (2, 5, 48, 64)
    out = model.train()(X)["out"]
    assert out.shape == (2, 5, 48, 64)
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert len(norm_layers(model)) == 0 or norm != "none"


@pytest.mark.parametrize("name", sorted(catalog.SEGMENTERS))
def test_a_segmenter_has_the_size_that_the_catalog_says(name: str) -> None:
    millions = sum(p.numel() for p in models.build(name, classes=11).parameters()) / 1e6
    assert f"{millions:.1f} M" in catalog.SEGMENTERS[name]
    assert name == "deeplabv3" or millions < 2


@pytest.mark.parametrize("name", sorted(catalog.SEGMENTERS))
def test_an_image_of_any_size_gets_logits_of_that_size(name: str) -> None:
    model = models.build(name, classes=3).eval()
    with torch.no_grad():
        assert model(X[:1, :, :45, :37])["out"].shape == (1, 3, 45, 37)


def test_torchvisions_segmenters_are_trained_with_a_second_head() -> None:
    name = "torchvision:fcn_resnet50"
    plain = models.build(name, classes=3).state_dict()
    two = models.build(name, classes=3, auxiliary=True).state_dict()
    assert {key.split(".")[0] for key in two.keys() - plain.keys()} == {"aux_classifier"}
