"""Noise against a literal reference: W + level * r * z, one output channel at a time, in float64.

Statistical tests fail by chance with probability `RATE` at most. The half width they allow follows
from that and from n, and they refuse to run where it could not show the error that they look for.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats as sps
from torch import Tensor, nn

from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import Place, State, places, skeleton_of, state_of
from noiseproof.noise.perturbation import perturb, targeted, touched
from noiseproof.specs.noise import (
    REFERENCES,
    ROLES,
    SCOPES,
    Additive,
    Gaussian,
    Laplace,
    Quantize,
    Spec,
    Uniform,
    parse,
)

RATE = 1e-6
ADDITIVE = ("gaussian", "laplace", "uniform")
EVERY_KIND = ("gaussian", "laplace", "uniform", "lognormal", "stuck")
KERNEL = Place(role="kernel")

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv2d": lambda: nn.Conv2d(3, 4, 2),
    "grouped": lambda: nn.Conv2d(4, 6, 2, groups=2),
    "linear": lambda: nn.Linear(5, 3),
    "transposed": lambda: nn.ConvTranspose2d(4, 3, 2),
    "grouped_transposed": lambda: nn.ConvTranspose2d(4, 6, 2, groups=2),
    "embedding": lambda: nn.Embedding(7, 3),
}
INPUTS: dict[str, Tensor] = {
    "conv2d": torch.ones(1, 3, 4, 4),
    "grouped": torch.ones(1, 4, 4, 4),
    "linear": torch.ones(1, 5),
    "transposed": torch.ones(1, 4, 3, 3),
    "grouped_transposed": torch.ones(1, 4, 3, 3),
    "embedding": torch.arange(7),
}


def network() -> nn.ModuleDict:
    with seeded(0, "net"):
        return nn.ModuleDict({name: make() for name, make in LAYERS.items()}).double()


def output_channels(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """For each output channel, the mask of the weights that reach it: asked of autograd."""
    weight = layer.get_parameter("weight")
    x = x.to(weight) if x.is_floating_point() else x
    out: Tensor = layer(x)  # (N, channels, ...)
    sums = [out[:, channel].sum() for channel in range(out.shape[1])]
    return [torch.autograd.grad(one, weight, retain_graph=True)[0] != 0 for one in sums]


def reference(kind: str, values: NDArray[np.float64]) -> float:
    """What sigma is relative to, written out."""
    n = len(values)
    mean = sum(values) / n
    return {
        "absolute": 1.0,
        "max": max(abs(v) for v in values),
        "range": max(values) - min(values),
        "rms": math.sqrt(sum(v * v for v in values) / n),
        "std": math.sqrt(sum((v - mean) ** 2 for v in values) / n),
    }[kind]


def dice(kind: str, shape: torch.Size, name: str, *, seed: int, chip: int) -> Tensor:
    """z of the first stage of this kind: what it adds to zeros, in absolute units."""
    spec = parse(f"{kind}(1.0, reference=absolute)")
    zeros = {name: torch.zeros(shape)}
    return perturb(zeros, {name: KERNEL}, spec, seed=seed, chip=chip)[name]


def weights(*shape: int, name: str = "w") -> Tensor:
    return torch.randn(*shape, generator=stream(0, "weights", name), dtype=torch.float64)


def one(spec: str, w: Tensor, *, place: Place = KERNEL, seed: int = 0, chip: int = 0) -> Tensor:
    """The tensor w after `spec`."""
    targets = (place.role,)
    return perturb({"w": w}, {"w": place}, parse(spec), targets=targets, seed=seed, chip=chip)["w"]


def half_width(sd: float, n: int, *, detect: float) -> float:
    """By how much a mean of n draws may miss; n must be enough to show an error of `detect`."""
    width = float(sps.norm.isf(RATE / 2)) * sd / math.sqrt(n)
    assert 2 * width < detect, f"underpowered: n = {n} leaves +-{width:.3g}, to show {detect:g}"
    return width


# --- the literal reference ----------------------------------------------------------------------


def test_gaussian_dice_are_the_named_stream_of_seed_chip_tensor_and_stage() -> None:
    z = torch.randn(4, 3, generator=stream(5, 2, "conv.weight", "gaussian0"))
    assert torch.equal(dice("gaussian", torch.Size((4, 3)), "conv.weight", seed=5, chip=2), z)


def test_the_masks_of_output_channels_cut_every_weight_into_equal_parts() -> None:
    net = network()
    for name, layer in net.items():
        masks = output_channels(layer, INPUTS[name])
        assert torch.stack(masks).sum(0).eq(1).all()
        assert len({int(mask.sum()) for mask in masks}) == 1
        assert len(masks) == (4 if name == "conv2d" else 6 if "grouped" in name else 3)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("ref", REFERENCES)
@pytest.mark.parametrize("kind", ADDITIVE)
def test_additive_noise_is_level_times_reference_times_dice(
    kind: str, ref: str, scope: str
) -> None:
    cls: type[Additive] = {"gaussian": Gaussian, "laplace": Laplace, "uniform": Uniform}[kind]
    spec = Spec(stages=(cls(level=0.3, reference=ref, scope=scope),))
    net = network()
    state = state_of(net)
    maps = ("kernel", "embedding")
    noisy = perturb(state, places(net), spec, targets=maps, seed=4, chip=9)
    everything = torch.cat([state[f"{name}.weight"].flatten() for name in net]).numpy()
    for name, layer in net.items():
        key = f"{name}.weight"
        w = state[key]
        masks = output_channels(layer, INPUTS[name])
        if scope != "channel":
            masks = [torch.ones_like(w, dtype=torch.bool)]
        expected = torch.full_like(w, math.nan)
        for mask in masks:
            over = everything if scope == "global" else w[mask].numpy()
            z = dice(kind, w.shape, key, seed=4, chip=9).double()[mask]
            expected[mask] = w[mask] + 0.3 * reference(ref, over) * z
        torch.testing.assert_close(noisy[key], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scope", ["tensor", "channel"])
def test_noise_keeps_shape_and_dtype_and_does_not_see_the_memory_format(scope: str) -> None:
    w = weights(4, 3, 2, 2)
    spec = f"gaussian(0.3, reference=max, scope={scope}) + quantize(6, scope={scope})"
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        noisy = one(spec, w.to(dtype))
        assert (noisy.dtype, noisy.shape) == (dtype, w.shape)
    shuffled = one(spec, w.to(memory_format=torch.channels_last))
    torch.testing.assert_close(shuffled, one(spec, w), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ref", REFERENCES)
def test_a_vector_has_one_value_per_channel(ref: str) -> None:
    bias = torch.tensor([0.5, -2.0, 0.0], dtype=torch.float64)
    place = Place(role="bias")
    added = one(f"gaussian(0.1, reference={ref}, scope=channel)", bias, place=place) - bias
    size = {"absolute": torch.ones(3), "max": bias.abs(), "rms": bias.abs()}
    z = dice("gaussian", bias.shape, "w", seed=0, chip=0)
    expected = 0.1 * size.get(ref, torch.zeros(3)).double() * z
    torch.testing.assert_close(added, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scope", ["tensor", "channel"])
@pytest.mark.parametrize("ref", ["absolute", "max", "rms"])
def test_a_single_number_can_be_targeted(ref: str, scope: str) -> None:
    scale = torch.tensor(2.0)
    noisy = one(f"gaussian(0.1, reference={ref}, scope={scope})", scale, place=Place(role="other"))
    z = float(dice("gaussian", scale.shape, "w", seed=0, chip=0))
    size = 1.0 if ref == "absolute" else 2.0
    assert noisy.shape == ()
    assert float(noisy) == pytest.approx(2.0 + 0.1 * size * z, rel=1e-6)


# --- laws ---------------------------------------------------------------------------------------

LAWS = {
    "gaussian": sps.norm(),
    "laplace": sps.laplace(scale=1 / math.sqrt(2)),
    "uniform": sps.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
}
EVEN_MOMENTS = {  # E z^2, z^4, z^8 in closed form, for unit variance
    "gaussian": (1.0, 3.0, 105.0),
    "laplace": (1.0, 6.0, math.factorial(8) / 2**4),
    "uniform": (1.0, 9 / 5, 81 / 9),
}


@pytest.mark.parametrize("kind", ADDITIVE)
def test_dice_have_mean_zero_unit_variance_and_the_kurtosis_of_their_law(kind: str) -> None:
    n = 1_000_000
    z = dice(kind, torch.Size((n,)), "w", seed=0, chip=0).double()
    second, fourth, eighth = EVEN_MOMENTS[kind]
    sd_square, sd_fourth = math.sqrt(fourth - second**2), math.sqrt(eighth - fourth**2)
    assert abs(float(z.mean())) < half_width(1.0, n, detect=0.02)
    assert abs(float(z.square().mean()) - 1) < half_width(sd_square, n, detect=0.03)
    assert abs(float(z.pow(4).mean()) - fourth) < half_width(sd_fourth, n, detect=0.6)


@pytest.mark.parametrize("kind", ADDITIVE)
def test_dice_follow_their_law_and_no_other(kind: str) -> None:
    n = 100_000
    width = math.sqrt(math.log(2 / RATE) / (2 * n))  # Dvoretzky-Kiefer-Wolfowitz, Massart 1990
    z = dice(kind, torch.Size((n,)), "w", seed=0, chip=0).numpy()
    grid = np.linspace(-3, 3, 601)
    for law in LAWS:
        if law != kind:
            apart = np.abs(LAWS[law].cdf(grid) - LAWS[kind].cdf(grid)).max()
            assert apart > 2 * width, f"underpowered: {law} and {kind} are {apart:.3g} apart"
    assert sps.kstest(z, LAWS[kind].cdf).statistic < width


def test_lognormal_multiplies_each_weight_by_the_exponential_of_its_dice() -> None:
    w = weights(4, 5)
    z = torch.randn(4, 5, generator=stream(3, 1, "w", "lognormal0")).double()
    expected = w * torch.exp(0.4 * z)
    actual = one("lognormal(0.4)", w, seed=3, chip=1)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)


def test_dice_of_different_chips_tensors_and_stages_are_uncorrelated() -> None:
    n = 100_000
    width = half_width(1.0, n, detect=0.05)
    shape = torch.Size((n,))
    base = dice("gaussian", shape, "w", seed=0, chip=0).double()
    twice = one("gaussian(1, reference=absolute) + gaussian(1, reference=absolute)", torch.zeros(n))
    others = [
        dice("gaussian", shape, "w", seed=0, chip=1),
        dice("gaussian", shape, "w", seed=1, chip=0),
        dice("gaussian", shape, "v", seed=0, chip=0),
        twice - base.float(),
    ]
    for other in others:
        assert abs(float((base * other.double()).mean())) < width


# --- levels and chips ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_level_zero_is_the_identity(kind: str) -> None:
    net = network()
    noisy = perturb(state_of(net), places(net), parse(f"{kind}(0)"), seed=0, chip=0)
    for name, tensor in state_of(net).items():
        assert torch.equal(noisy[name], tensor)


@pytest.mark.parametrize("kind", ADDITIVE)
def test_a_chip_at_two_levels_is_the_same_dice_scaled(kind: str) -> None:
    w = weights(6, 7)
    small, large = (one(f"{kind}({level})", w, chip=3) - w for level in (0.1, 0.4))
    torch.testing.assert_close(large, 4 * small, rtol=1e-12, atol=1e-14)


def test_lognormal_noise_at_two_levels_is_the_same_dice_scaled() -> None:
    w = weights(6, 7)
    small, large = (torch.log(one(f"lognormal({level})", w) / w) for level in (0.1, 0.4))
    torch.testing.assert_close(large, 4 * small, rtol=1e-12, atol=1e-14)


def test_what_is_stuck_at_a_low_probability_is_stuck_at_a_high_one() -> None:
    few, many = (one(f"stuck({p})", weights(40, 40)) == 0 for p in (0.1, 0.3))
    assert 0 < few.sum() < many.sum()
    assert (few <= many).all()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_chip_does_not_depend_on_the_other_chips_or_on_the_order_of_tensors(kind: str) -> None:
    net = network()
    state, where, spec = state_of(net), places(net), parse(f"{kind}(0.3)")
    series = [perturb(state, where, spec, seed=0, chip=chip) for chip in range(4)]
    backwards = dict(reversed(where.items()))
    with seeded(99, "elsewhere"):
        alone = perturb(state, backwards, spec, seed=0, chip=3)
    for name in state:
        assert torch.equal(alone[name], series[3][name])
    assert not any(torch.equal(series[a]["linear.weight"], alone["linear.weight"]) for a in (0, 1))


def test_noise_leaves_the_default_generator_alone() -> None:
    before = torch.get_rng_state()
    for kind in EVERY_KIND:
        one(f"{kind}(0.3)", weights(3, 3))
    assert torch.equal(torch.get_rng_state(), before)


# --- targets ------------------------------------------------------------------------------------


class EveryRole(nn.Module):
    """One tensor or more of every role, none of them all zero."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0, "every role"):
            self.conv = nn.Conv2d(3, 4, 2)
            self.bn = nn.BatchNorm2d(4)
            self.scale = nn.Parameter(torch.full((4, 1, 1), 0.7))
            self.words = nn.Embedding(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x)) * self.scale
        return y


ROLE_TENSORS = {
    "kernel": {"conv.weight"},
    "embedding": {"words.weight"},
    "bias": {"conv.bias"},
    "norm_affine": {"bn.weight", "bn.bias"},
    "norm_stats": {"bn.running_mean", "bn.running_var"},
    "other": {"scale"},
}
SUBSETS = [(role,) for role in ROLES] + [("kernel", "norm_stats"), ROLES]


@pytest.mark.parametrize("targets", SUBSETS, ids=",".join)
def test_only_targeted_roles_change_and_all_others_are_the_same_tensors(
    targets: tuple[str, ...],
) -> None:
    net = EveryRole()
    state, spec = state_of(net), parse("gaussian(0.1, reference=absolute)")
    before = {name: tensor.clone() for name, tensor in state.items()}
    noisy = perturb(state, places(net), spec, targets=targets, seed=0, chip=0)
    expected = set().union(*(ROLE_TENSORS[role] for role in targets))
    assert list(noisy) == list(state)
    for name in state:
        assert (noisy[name] is state[name]) == (name not in expected)
        assert torch.equal(noisy[name], before[name]) == (name not in expected)
        assert torch.equal(state[name], before[name])
    assert set(targeted(places(net), targets)) == expected
    changed = {name for name, yes in touched(state, places(net), spec, targets).items() if yes}
    assert changed == expected


def test_kernels_alone_are_targeted_by_default() -> None:
    net = EveryRole()
    noisy = perturb(state_of(net), places(net), parse("gaussian(0.1)"), seed=0, chip=0)
    same = {name for name, tensor in state_of(net).items() if torch.equal(noisy[name], tensor)}
    assert set(state_of(net)) - same == {"conv.weight"}


def test_a_tensor_whose_reference_is_zero_is_not_touched() -> None:
    state = {"flat": torch.ones(3, 3), "null": torch.zeros(3, 3)}
    where = dict.fromkeys(state, KERNEL)
    assert touched(state, where, parse("gaussian(0.1)"), ("kernel",)) == dict.fromkeys(state, False)
    by_max = touched(state, where, parse("gaussian(0.1, reference=max)"), ("kernel",))
    assert by_max == {"flat": True, "null": False}


@pytest.mark.parametrize("targets", [("weights",), ("kernel", "constant")])
def test_an_unknown_target_is_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="unknown target '(weights|constant)': expected one of"):
        perturb({}, {}, parse("gaussian(0.1)"), targets=targets, seed=0, chip=0)


def test_noise_on_running_variances_can_make_them_negative_and_the_output_not_finite() -> None:
    net = nn.BatchNorm1d(64)
    spec = parse("gaussian(2, reference=absolute)")
    state: State = perturb(
        state_of(net), places(net), spec, targets=("norm_stats",), seed=0, chip=0
    )
    broken = state["running_var"] < -net.eps
    assert 0 < broken.sum() < 64  # P(no negative one) = P(z > -1/2)^64 < 1e-10
    out = outputs(skeleton_of(net), Chip(state), torch.ones(2, 64))
    assert torch.equal(out.isfinite().all(0), ~broken)


# --- stages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("quantize(4)", "gaussian(0.1, reference=max)"),
        ("gaussian(0.1, reference=max)", "quantize(4)"),
        ("stuck(0.2, at=max)", "lognormal(0.3)"),
        ("lognormal(0.5)", "uniform(0.2, reference=range, scope=channel)"),
    ],
)
def test_stages_are_applied_left_to_right_each_to_the_result_of_the_last(
    first: str, second: str
) -> None:
    w = weights(8, 9)
    together = one(f"{first} + {second}", w)
    assert torch.equal(together, one(second, one(first, w)))
    assert not torch.equal(together, one(first, one(second, w)))


def test_a_stage_added_in_front_leaves_the_dice_of_the_others_alone() -> None:
    w = weights(8, 9)
    assert torch.equal(one("lognormal(0) + gaussian(0.1)", w), one("gaussian(0.1)", w))


def test_the_second_stage_of_a_kind_has_dice_of_its_own() -> None:
    w = weights(8, 9)
    z = torch.randn(8, 9, generator=stream(0, 0, "w", "gaussian1")).double()
    actual = one("gaussian(0) + gaussian(0.1, reference=absolute)", w)
    torch.testing.assert_close(actual, w + 0.1 * z, rtol=1e-12, atol=1e-12)


def test_no_stage_is_the_clean_network() -> None:
    w = weights(3, 3)
    assert one("none", w) is w


def quantized(value: float, bits: int, largest: float) -> float:
    """The nearest multiple of largest / (2^(bits-1) - 1), written out."""
    steps = 2 ** (bits - 1) - 1
    grid = [k * largest / steps for k in range(-steps, steps + 1)]
    return min(grid, key=lambda point: abs(point - value))


@pytest.mark.parametrize("scope", ["tensor", "channel"])
@pytest.mark.parametrize("bits", [2, 3, 6])
def test_quantize_takes_the_nearest_of_its_values(bits: int, scope: str) -> None:
    w = weights(3, 50)
    largest = w.abs().amax(1) if scope == "channel" else w.abs().amax().expand(3)
    expected = [
        [quantized(float(v), bits, float(top)) for v in row]
        for row, top in zip(w, largest, strict=True)
    ]
    actual = one(f"quantize({bits}, scope={scope})", w)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))
    for row in actual if scope == "channel" else [actual]:
        assert len(row.unique()) <= 2**bits - 1


def test_quantize_to_three_bits_in_closed_form() -> None:
    w = torch.tensor([-3.0, -1.6, -0.4, 0.0, 0.6, 1.4, 3.0])
    assert one("quantize(3)", w).tolist() == [-3.0, -2.0, 0.0, 0.0, 1.0, 1.0, 3.0]


def test_quantize_over_the_global_scope_shares_one_grid() -> None:
    state = {"a": torch.tensor([[3.0, 0.4]]), "b": torch.tensor([[0.6, -0.4]])}
    spec = Spec(stages=(Quantize(bits=3, scope="global"),))
    noisy = perturb(state, dict.fromkeys(state, KERNEL), spec, seed=0, chip=0)
    assert noisy["a"].tolist() == [[3.0, 0.0]]
    assert noisy["b"].tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("scope", ["tensor", "channel"])
def test_quantize_leaves_zeros_alone_and_is_idempotent(scope: str) -> None:
    w = torch.cat([torch.zeros(1, 6), weights(2, 6).float()])
    once = one(f"quantize(5, scope={scope})", w)
    assert torch.equal(once[0], torch.zeros(6))
    torch.testing.assert_close(one(f"quantize(5, scope={scope})", once), once)
    assert torch.equal(one("quantize(5)", torch.zeros(2, 2)), torch.zeros(2, 2))


@pytest.mark.parametrize("at", ["zero", "max"])
@pytest.mark.parametrize("p", [0.01, 0.3])
def test_the_share_of_stuck_elements_is_p(p: float, at: str) -> None:
    n = 200_000
    w = weights(n)
    stuck = int((one(f"stuck({p}, at={at})", w) != w).sum())
    law = sps.binom(n, p)
    low, high = law.ppf(RATE / 2), law.isf(RATE / 2)
    assert high - low < 0.3 * n * p, "underpowered: would not show an error of 30 % in p"
    assert low - 1 <= stuck <= high + 1  # the largest element itself may be stuck unseen


def test_stuck_elements_are_zero_or_the_largest_magnitude_with_their_own_sign() -> None:
    w = weights(30, 30)
    mask = torch.rand(30, 30, generator=stream(0, 0, "w", "stuck0")) < 0.25
    assert torch.equal(one("stuck(0.25)", w), torch.where(mask, 0.0, w))
    full = w.sign() * w.abs().max()
    assert torch.equal(one("stuck(0.25, at=max)", w), torch.where(mask, full, w))


@pytest.mark.parametrize("at", ["zero", "max"])
def test_everything_is_stuck_at_probability_one(at: str) -> None:
    w = torch.tensor([-2.0, 0.5, 1.0])
    expected = [0.0, 0.0, 0.0] if at == "zero" else [-2.0, 2.0, 2.0]
    assert one(f"stuck(1, at={at})", w).tolist() == expected
