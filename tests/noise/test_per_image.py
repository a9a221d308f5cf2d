"""Blocks of images at their fastest are literal chips, image by image."""

import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.passes import Passes
from noiseproof.network.state import places, skeleton_of, state_of
from noiseproof.noise.flipout import Flipout
from noiseproof.noise.per_image import ImageChips
from noiseproof.noise.perturbation import Programme
from noiseproof.noise.signs import flipped_tensor

CPU = torch.device("cpu")
SLACK = 1e-4  # of the largest logit: float32, folded and not


def network() -> nn.Module:
    with seeded(0, "network"):
        model = npf.models.build("resnet8").eval()
    x = torch.randn(20, 3, 16, 16, generator=stream(0, "calibration"))
    return npf.recalibrate(model, x)  # statistics that are no zeros and ones


def chips(targets: tuple[str, ...], noise: str) -> tuple[ImageChips, Programme, nn.Module]:
    skeleton = skeleton_of(network())
    state = state_of(skeleton)
    programme = Programme(
        state=state, places=places(skeleton), spec=npf.noise.parse(noise), targets=targets
    )
    example = torch.randn(2, 3, 16, 16, generator=stream(0, "example"))
    passes = Passes(skeleton, state, example)
    assert passes.fold is not None
    return ImageChips(skeleton, passes, programme), programme, skeleton


@pytest.mark.parametrize("targets", [("kernel",), ("kernel", "bias"), ("kernel", "norm_affine")])
@pytest.mark.parametrize("noise", ["gaussian(0.3)", "quantize(bits=4) + uniform(0.2)"])
def test_every_image_sees_its_own_literal_chip(targets: tuple[str, ...], noise: str) -> None:
    own, programme, skeleton = chips(targets, noise)
    x = torch.randn(5, 3, 16, 16, generator=stream(0, "images"))
    forward = own.block(7, 3, len(x), CPU)
    together = torch.cat([forward(x[:2]), forward(x[2:])])
    signs = Flipout(skeleton, programme.names).signs(7, 3, len(x))
    base, drawn = programme.base, programme.noise(7, 3)

    def literal(i: int) -> Tensor:
        chip = {name: flipped_tensor(name, base, drawn, signs, i) for name in programme.names}
        logits: Tensor = outputs(skeleton, Chip({**base, **chip}), x[i : i + 1])
        return logits[0]

    expected = torch.stack([literal(i) for i in range(len(x))])
    clean = outputs(skeleton, Chip(base), x)
    assert (expected - clean).abs().max() > 100 * SLACK * expected.abs().max()
    assert (together - expected).abs().max() < SLACK * expected.abs().max()


def test_noise_on_a_normalisation_keeps_it_unfolded() -> None:
    folded, *_ = chips(("kernel",), "gaussian(0.3)")
    unfolded, *_ = chips(("kernel", "norm_affine"), "gaussian(0.3)")
    assert len(folded.base(()).state) < len(unfolded.base(()).state)
