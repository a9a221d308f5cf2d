"""Flipped noise: its law, its properties, and the networks that it refuses."""

import copy
from collections.abc import Callable

import pytest
import torch
from scipy.stats import chi2, norm
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import SwinTransformer

from noiseproof.core.rng import seeded
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import skeleton_of, state_of
from noiseproof.noise.flipout import Flipout
from noiseproof.noise.flipout_check import check_flipout
from noiseproof.noise.signs import Signs, flipped_tensor
from tests.networks import small_vit
from tests.noise.signs import (
    IDS,
    IMAGES,
    Call,
    filled,
    literal,
    noise_on,
    normal,
    programme_of,
)

FALSE_FAIL = 1e-6


# --- the law -------------------------------------------------------------------------------------


def quantile(comparisons: int) -> float:
    """How many standard errors one of so many comparisons may be off, at the false-fail rate."""
    return float(norm.isf(FALSE_FAIL / 2 / comparisons))


def test_signs_are_even_and_the_elements_of_a_tensor_are_uncorrelated() -> None:
    model = nn.Conv2d(4, 4, 1, groups=2, bias=True)
    images = 10_000
    base = {name: torch.zeros_like(tensor) for name, tensor in state_of(model).items()}
    ones = {name: torch.ones_like(tensor) for name, tensor in base.items()}
    signs = Flipout(model, list(ones)).signs(0, 0, images)
    rows = [
        torch.cat([flipped_tensor(name, base, ones, signs, i).flatten() for name in ones])
        for i in range(images)
    ]
    effective = torch.stack(rows).double()  # (images, 8 weights and 4 biases)
    assert torch.equal(effective.abs(), torch.ones_like(effective))
    elements = effective.shape[1]
    allowed = quantile(elements * (elements + 1) // 2) / images**0.5  # sd of each term is 1
    assert allowed < 0.06, "underpowered: a correlation of 0.06 would pass"
    assert effective.mean(0).abs().max() < allowed
    correlation = effective.T @ effective / images - torch.eye(elements, dtype=torch.float64)
    assert correlation.abs().max() < allowed


def test_the_weights_of_an_image_have_the_law_of_chips_and_images_are_uncorrelated() -> None:
    model = nn.Linear(2, 3, bias=False)
    programme = programme_of(model, "gaussian(0.5, reference=absolute)")
    flipout = Flipout(model, programme.names)
    chips = 2_000
    drawn = []
    for chip in range(chips):
        noise, signs = programme.noise(0, chip), flipout.signs(0, chip, 2)
        own = [flipped_tensor("weight", programme.base, noise, signs, i) for i in range(2)]
        drawn.append(torch.stack([(w - programme.base["weight"]).flatten() for w in own]))
    noise = torch.stack(drawn).double().flatten(1) / 0.5  # (chips, 6 of image 0 and 6 of image 1)
    moments = noise.T @ noise
    comparisons = 12 + 12 * 13 // 2
    allowed = quantile(comparisons) / chips**0.5  # a product of independent normals has sd 1
    assert allowed < 0.15, "underpowered: a correlation of 0.15 would pass"
    assert noise.mean(0).abs().max() < allowed
    low, high = chi2.interval(1 - FALSE_FAIL / comparisons, chips)  # sums of squared normals
    assert low < moments.diag().min()
    assert moments.diag().max() < high
    across = (moments - torch.diag(moments.diag())) / chips
    assert across.abs().max() < allowed


# --- properties ----------------------------------------------------------------------------------


def small() -> tuple[nn.Module, Tensor]:
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
        )
    return filled(model), normal(8, 3, 5, 5)


def test_with_every_sign_plus_all_images_see_the_chip() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, list(noise))
    drawn = flipout.signs(0, 0, len(x)).tables
    plus = Signs(
        images=len(x),
        tables={name: tuple(map(torch.ones_like, tables)) for name, tables in drawn.items()},
    )
    chip = base | {name: base[name] + noise[name] for name in noise}
    torch.testing.assert_close(
        flipout.outputs(Chip(base), noise, plus, x), outputs(skeleton_of(model), Chip(chip), x)
    )


def test_batches_and_longer_blocks_change_nothing() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(3, 5, len(x))
    whole = flipout.outputs(Chip(base), noise, signs, x)
    parts = [
        flipout.outputs(Chip(base), noise, signs.rows(a, b), x[a:b])
        for a, b in ((0, 1), (1, 6), (6, 8))
    ]
    torch.testing.assert_close(torch.cat(parts), whole)
    longer = flipout.signs(3, 5, 50).rows(0, len(x))
    for name, tables in signs.tables.items():
        assert all(map(torch.equal, tables, longer.tables[name]))
    for other in (flipout.signs(3, 6, 50), flipout.signs(4, 5, 50)):
        assert not torch.equal(other.tables["0.weight"][0][:8], signs.tables["0.weight"][0])


def test_the_model_is_left_as_it_is_and_clean_layers_run_as_ever() -> None:
    model, x = small()
    model.train()
    before, attributes = copy.deepcopy(model.state_dict()), dict(model[0].__dict__)
    noise = noise_on(model)
    flipout = Flipout(model, list(noise))
    base = copy.deepcopy(state_of(model))
    signs = flipout.signs(0, 0, len(x))
    flipout.outputs(Chip(base), noise, signs, x)
    clean = flipout.outputs(Chip(base), {}, signs, x)
    assert torch.equal(clean, outputs(skeleton_of(model), Chip(base), x))
    assert all(torch.equal(base[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert model.training
    assert model[0].__dict__.keys() == attributes.keys()


def test_bfloat16_states_keep_their_type_and_stay_within_its_rounding() -> None:
    model, x = small()
    noise = noise_on(model)
    flipout = Flipout(model, list(noise))
    signs = flipout.signs(0, 0, len(x))
    half = {
        name: t.bfloat16() if t.is_floating_point() else t for name, t in state_of(model).items()
    }
    coarse = {name: t.bfloat16() for name, t in noise.items()}
    got = flipout.outputs(Chip(half), coarse, signs, x.bfloat16())
    exact = flipout.outputs(
        Chip({name: t.double() if t.is_floating_point() else t for name, t in half.items()}),
        {name: t.double() for name, t in coarse.items()},
        signs,
        x.bfloat16().double(),
    )
    assert got.dtype == torch.bfloat16
    roundings = 12  # in a row: of three layers, of the noise's part of each and of the signs' sums
    error = (got.double() - exact).abs().max()
    assert error < roundings * 2**-8 * exact.abs().max()


def test_channels_last_images_stay_so() -> None:
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model = model.to(memory_format=torch.channels_last)
    x = normal(2, 3, 8, 8).float().contiguous(memory_format=torch.channels_last)
    noise = {name: n.contiguous() for name, n in noise_on(model).items()}
    flipout = Flipout(model, list(noise))
    y = flipout.outputs(Chip(state_of(model)), noise, flipout.signs(0, 0, 2), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    wanted = literal(model, noise, flipout.signs(0, 0, 2), x)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


# --- refusals ------------------------------------------------------------------------------------


class Bypassing(nn.Module):
    """Uses a weight outside of its layer's forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.relu(self.first(x)), self.second.weight, self.second.bias)


class Pinned(Bypassing):
    """Runs in float32 only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


def torchvision_swin() -> nn.Module:
    return SwinTransformer([2, 2], 8, [2], [2], [4, 4], num_classes=5)  # type: ignore[no-any-return]


REFUSED: dict[str, tuple[Callable[[], nn.Module], Tensor, str]] = {
    "bypass": (Bypassing, normal(IMAGES, 4), "first 'second.weight' (its layer is bypassed"),
    "pinned bypass": (Pinned, normal(IMAGES, 4), "first 'second.weight' (its layer is bypassed"),
    "swin": (torchvision_swin, normal(IMAGES, 3, 16, 16), "qkv.weight' (its layer is bypassed"),
    "mixing": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x - x.mean(0))),
        normal(IMAGES, 4),
        "the output of an image depends on the other images of its batch",
    ),
    "no statistics": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        normal(IMAGES, 3, 5, 5),
        "the output of an image depends on the other images of its batch",
    ),
    "moved": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x.transpose(0, 1)).transpose(0, 1)),
        normal(IMAGES, 6, 4),
        "first 'layer.weight' (its layer is bypassed, or gets images on another axis than 0)",
    ),
    "rows": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x.transpose(0, 1)).transpose(0, 1)),
        normal(IMAGES, 7, 4),
        "must have the images on axis 0 of its input, got (7, 3, 4) for 3 images",
    ),
    "max_norm": (lambda: nn.Embedding(7, 4, max_norm=1), IDS, "max_norm rescales its rows"),
    "dead": (
        lambda: Call(nn.Linear(4, 5), lambda m, x: m(x) * 0),
        normal(IMAGES, 4),
        "the noise changes no output, so nothing can be checked",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_check_refuses_in_one_line_and_names_the_fault(name: str) -> None:
    make, x, sentence = REFUSED[name]
    with seeded(0):
        model = make().eval()
    x = x.float() if x.is_floating_point() else x
    with pytest.raises(ValueError) as caught:
        check_flipout(model, programme_of(model), x)
    text = str(caught.value)
    assert sentence in text
    assert text.startswith("per-image chips do not hold for this network: ")
    assert text.endswith(": use the design `chips`")
    assert "\n" not in text


def test_a_network_of_fixed_precision_passes_the_check() -> None:
    with seeded(0):
        model = Call(nn.Linear(4, 5), lambda m, x: m(x.float()))
    check_flipout(model, programme_of(model), normal(IMAGES, 4).float())


def test_the_check_reads_dictionaries_and_passes_without_noise() -> None:
    with seeded(0):
        model = Call(nn.Linear(4, 5), lambda m, x: {"out": m(x), "aux": [m(x * 2)]})  # type: ignore[arg-type, return-value]
    check_flipout(model, programme_of(model), normal(IMAGES, 4).float())
    check_flipout(model, programme_of(model, "gaussian(0)"), normal(IMAGES, 4).float())


def test_a_single_image_checks_nothing() -> None:
    model = nn.Linear(4, 5)
    with pytest.raises(ValueError, match="needs at least 2 images, got 1"):
        check_flipout(model, programme_of(model), normal(1, 4).float())


@pytest.mark.parametrize(
    ("model", "name", "sentence"),
    [
        (nn.Linear(4, 5), "wieght", "noise must be on a tensor of the network, got 'wieght'"),
        (
            small_vit(),
            "class_token",
            "do not hold for noise on 'class_token' \\(role other; only kernel",
        ),
        (nn.BatchNorm2d(4), "running_var", "'running_var' \\(role norm_stats; .*: use the design"),
    ],
)
def test_tensors_that_cannot_be_flipped_are_refused(
    model: nn.Module, name: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Flipout(model, [name])


def test_wrong_noise_signs_and_rows_are_refused() -> None:
    model, x = small()
    base, noise = state_of(model), noise_on(model)
    flipout = Flipout(model, ["0.weight"])
    signs = flipout.signs(0, 0, len(x))
    with pytest.raises(ValueError, match="tensors of this Flipout, got '0.bias'"):
        flipout.outputs(Chip(base), noise, signs, x)
    with pytest.raises(ValueError, match="signs must be of the 7 images, got those of 8"):
        flipout.outputs(Chip(base), {"0.weight": noise["0.weight"]}, signs, x[:7])
    exact = {"0": lambda linear_map, inputs, plain: plain(*inputs)}
    with pytest.raises(ValueError, match="something happens at the products of '0': use the des"):
        flipout.outputs(Chip(base, exact), {}, signs, x)
    with pytest.raises(ValueError, match="rows must be within 0 to 8, got 6 to 9"):
        signs.rows(6, 9)
    linear = nn.Linear(4, 5)
    single = Flipout(linear, ["weight"])
    with pytest.raises(ValueError, match="a layer with noise must get a batch"):
        single.outputs(
            Chip(state_of(linear)),
            {"weight": torch.ones(5, 4)},
            single.signs(0, 0, 4),
            torch.ones(4),
        )
