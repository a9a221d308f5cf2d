"""Normalisation layers against formulas written out one channel at a time in float64."""

import copy
import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from scipy import stats as sps
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import seeded, stream
from noiseproof.network.norms import (
    NORMS,
    SCALES,
    ScaledBatchNorm,
    by_channel,
    chosen,
    norm_layers,
    replace_norms,
    scale_kind,
)
from noiseproof.specs import catalog

RATE = 1e-6
KINDS = sorted(SCALES)
SHAPES = {  # positions -> inputs
    1: [(8, 3), (5, 3, 7)],
    2: [(5, 3, 4, 4), (2, 3, 1, 1)],
    3: [(3, 3, 2, 4, 2)],
}
INPUTS = [(dims, shape) for dims, shapes in SHAPES.items() for shape in shapes]


def normal(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(*shape, generator=stream(0, name), dtype=torch.float64)


def c(n: int) -> float:
    """C(n) of Hoffer et al. 2018."""
    return (1 + math.sqrt(math.pi * math.log(4))) / (2 * math.sqrt(2 * math.log(n)))


def literal_scale(kind: str, d: Tensor) -> Tensor:
    """The scale estimate of one channel's deviations d (n,), written out."""
    n = len(d)
    magnitudes = sorted(d.abs(), reverse=True)
    if kind == "batch":
        return torch.sqrt(sum(v * v for v in d) / n)
    if kind == "batch_l1":
        return math.sqrt(math.pi / 2) * sum(magnitudes) / n
    if kind == "batch_topk":
        return sum(magnitudes[:10]) / min(10, n) * c(n)
    if kind == "batch_linf":
        return magnitudes[0] * c(n)
    assert kind == "batch_range"
    chunks = 16 if n >= 32 else n // 2
    m = n // chunks
    parts = [d[k * m : (k + 1) * m] for k in range(chunks)]
    spread = sum(max(part) for part in parts) - sum(min(part) for part in parts)
    factor = 0.175 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(m))
    return spread / chunks * factor


def literal_forward(kind: str, x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float) -> Tensor:
    """(x - mean) / sqrt(scale^2 + eps) * gamma + beta over the batch, one channel after another."""
    channels = []
    for k in range(x.shape[1]):
        values = x[:, k]
        mean = values.sum() / values.numel()
        scale = literal_scale(kind, (values - mean).flatten())
        channels.append((values - mean) / torch.sqrt(scale**2 + eps) * gamma[k] + beta[k])
    return torch.stack(channels, dim=1)


# --- scale estimates ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 9, 31, 32, 47, 117, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scale_estimate_is_its_formula_for_each_channel(kind: str, n: int) -> None:
    d = normal(3, n) * torch.tensor([[1.0], [10.0], [0.1]])
    expected = torch.stack([literal_scale(kind, row) for row in d])
    torch.testing.assert_close(SCALES[kind](d), expected, rtol=1e-12, atol=0)


def test_scale_estimates_in_closed_form() -> None:
    d = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    expected = {
        "batch": math.sqrt(12.5),
        "batch_l1": 3.5 * math.sqrt(math.pi / 2),
        "batch_topk": 3.5 * c(2),
        "batch_linf": 4 * c(2),
        "batch_range": 0.35 * 7 * c(2),
    }
    assert set(expected) == set(SCALES)
    for kind, value in expected.items():
        assert float(SCALES[kind](d)) == pytest.approx(value, rel=1e-12)


def test_range_takes_its_16_chunks_in_memory_order() -> None:
    d = torch.arange(32.0).reshape(1, 32).double()  # neighbours: every chunk spans 1
    assert float(SCALES["batch_range"](d)) == pytest.approx(0.35 * c(2), rel=1e-12)
    apart = d.reshape(16, 2).T.reshape(1, 32)  # 0, 2, 4, ...: every chunk spans 2
    assert float(SCALES["batch_range"](apart)) == pytest.approx(0.7 * c(2), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_a_scale_estimate_scales_with_the_data(kind: str, factor: float) -> None:
    d = normal(4, 50)
    torch.testing.assert_close(SCALES[kind](factor * d), factor * SCALES[kind](d))
    torch.testing.assert_close(SCALES[kind](-d), SCALES[kind](d))


def half_width(sd: float, n: int, *, detect: float) -> float:
    """By how much a mean of n draws may miss; n must be enough to show an error of `detect`."""
    width = float(sps.norm.isf(RATE / 2)) * sd / math.sqrt(n)
    assert 2 * width < detect, f"underpowered: n = {n} leaves +-{width:.3g}, to show {detect:g}"
    return width


def test_l1_and_l2_are_unbiased_on_gaussian_data() -> None:
    n, sigma = 1_000_000, 2.5
    d = sigma * normal(1, n)
    l1, l2 = (float(SCALES[kind](d)) / sigma for kind in ("batch_l1", "batch"))
    assert abs(l1 - 1) < half_width(math.sqrt(math.pi / 2 - 1), n, detect=0.02)
    assert abs(l2**2 - 1) < half_width(math.sqrt(2), n, detect=0.02)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5)])
def test_by_channel_gathers_what_one_channels_statistics_see(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    rows = by_channel(x)
    assert rows.shape == (3, x.numel() // 3)
    for k in range(3):
        assert torch.equal(rows[k], x[:, k].flatten())


# --- the layer in training ----------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "shape"), INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_output_and_gradients_are_those_of_the_formula(
    kind: str, dims: int, shape: tuple[int, ...]
) -> None:
    layer = ScaledBatchNorm(3, kind=kind, dims=dims, eps=1e-3)
    gamma, beta = normal(3, name="gamma"), normal(3, name="beta")
    with torch.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    x, downstream = normal(*shape), normal(*shape, name="downstream")
    single = x.float().requires_grad_()
    out = layer(single)
    (out * downstream.float()).sum().backward()

    exact = [t.float().double().requires_grad_() for t in (x, gamma, beta)]
    expected = literal_forward(kind, *exact, eps=1e-3)
    gradients = torch.autograd.grad((expected * downstream.float().double()).sum(), exact)
    torch.testing.assert_close(out, expected.float())
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    assert single.grad is not None
    for actual, exact_one in zip(
        (single.grad, layer.weight.grad, layer.bias.grad), gradients, strict=True
    ):
        torch.testing.assert_close(actual, exact_one.float(), rtol=1e-5, atol=1e-5)


def test_the_l2_variant_is_torchs_own_batch_norm_in_training() -> None:
    ours, torchs = ScaledBatchNorm(3, kind="batch"), nn.BatchNorm2d(3)
    x = normal(5, 3, 4, 4).float()
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_format_does_not_matter(kind: str) -> None:
    x = normal(5, 3, 4, 4).float()
    layer = ScaledBatchNorm(3, kind=kind)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x))


def test_the_output_has_the_dtype_of_the_input() -> None:
    layer = ScaledBatchNorm(3, kind="batch_l1")
    x = normal(5, 3, 4, 4).to(torch.bfloat16)
    assert layer(x).dtype == torch.bfloat16
    torch.testing.assert_close(layer(x), layer(x.float()).to(torch.bfloat16))


# --- running statistics -------------------------------------------------------------------------


def statistics(kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and squared scale estimate of each channel of one batch."""
    means = torch.stack([x[:, k].mean() for k in range(x.shape[1])])
    scales = [literal_scale(kind, (x[:, k] - mean).flatten()) ** 2 for k, mean in enumerate(means)]
    return means, torch.stack(scales)


@pytest.mark.parametrize("kind", KINDS)
def test_momentum_is_the_weight_of_the_new_batch(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, momentum=0.3)
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    for name in ("a", "b", "c"):
        x = 2 * normal(5, 3, 4, 4, name=name) + 1
        layer(x.float())
        batch_mean, batch_var = statistics(kind, x)
        mean, var = 0.7 * mean + 0.3 * batch_mean, 0.7 * var + 0.3 * batch_var
    torch.testing.assert_close(layer.running_mean, mean.float())
    torch.testing.assert_close(layer.running_var, var.float())
    assert layer.num_batches_tracked == 3


@pytest.mark.parametrize("kind", KINDS)
def test_without_momentum_the_running_statistics_are_plain_means(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, momentum=None)
    batches = [2 * normal(5, 3, 4, 4, name=name) + 1 for name in ("a", "b", "c")]
    for x in batches:
        layer(x.float())
    means, variances = zip(*(statistics(kind, x) for x in batches), strict=True)
    torch.testing.assert_close(layer.running_mean, torch.stack(means).mean(0).float())
    torch.testing.assert_close(layer.running_var, torch.stack(variances).mean(0).float())


def test_running_statistics_carry_no_gradient_and_rest_in_evaluation() -> None:
    layer = ScaledBatchNorm(3, kind="batch_l1")
    layer(normal(5, 3, 4, 4).float().requires_grad_())
    assert layer.running_var is not None
    assert not layer.running_var.requires_grad
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(normal(5, 3, 4, 4, name="other").float())
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name])


def filled(layer: nn.Module) -> nn.Module:
    """`layer` with gamma, beta and running statistics that are all different."""
    for k, name in enumerate(("weight", "bias", "running_mean", "running_var")):
        tensor = getattr(layer, name, None)
        if tensor is not None:
            values = 0.5 + torch.arange(len(tensor)) / 10 + k
            tensor.data.copy_(values)
    return layer


@pytest.mark.parametrize(("dims", "shape"), INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_evaluation_every_variant_is_torchs_batch_norm(
    kind: str, dims: int, shape: tuple[int, ...]
) -> None:
    layer = filled(ScaledBatchNorm(3, kind=kind, dims=dims, eps=1e-3)).eval()
    x = normal(*shape).float()
    expected = F.batch_norm(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-3
    )
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_without_running_statistics_evaluation_uses_the_batch(kind: str) -> None:
    layer = ScaledBatchNorm(3, kind=kind, track_running_stats=False, affine=False).eval()
    x = normal(5, 3, 4, 4)
    expected = literal_forward(kind, x, torch.ones(3), torch.zeros(3), eps=layer.eps)
    torch.testing.assert_close(layer(x.float()), expected.float())
    assert list(layer.state_dict()) == []


@pytest.mark.parametrize(("source", "target"), list(permutations(KINDS, 2)))
def test_a_state_dict_moves_between_variants(source: str, target: str) -> None:
    old, new = (replace_norms(nn.BatchNorm2d(3), kind) for kind in (source, target))
    new.load_state_dict(filled(old).state_dict())
    x = normal(5, 3, 4, 4).float()
    assert torch.equal(new.eval()(x), old.eval()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_one_value_per_channel_is_refused_in_training(kind: str) -> None:
    with pytest.raises(ValueError, match=r"expected more than 1 value per channel, got \(1, 3\)"):
        ScaledBatchNorm(3, kind=kind, dims=1)(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("dims", "shape"), [(1, (2, 3, 4, 4)), (2, (2, 3)), (2, (2, 3, 4)), (3, (2, 3, 4, 4))]
)
def test_inputs_with_other_positions_are_refused(dims: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected {dims} positions, got \(2, 3"):
        ScaledBatchNorm(3, kind="batch_l1", dims=dims)(torch.ones(shape))


# --- replace_norms ------------------------------------------------------------------------------


def network() -> nn.Module:
    """Five batch normalisations, the fourth in evaluation mode."""

    def block(inputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, 4, 3, padding=1),
            nn.BatchNorm2d(4, eps=1e-3, momentum=0.3),
            nn.ReLU(),
            nn.BatchNorm2d(4, momentum=None),
        )

    with seeded(0, "net"):
        stem = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
        net = nn.Sequential(OrderedDict(stem=stem, one=block(4), two=block(4)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            filled(module)
    net.get_submodule("two.1").eval()
    return net


NAMES = ["stem.1", "one.1", "one.3", "two.1", "two.3"]
WHERE = {
    "all": NAMES,
    "first:1": ["stem.1"],
    "first:2": ["stem.1", "one.1"],
    "first:99": NAMES,
    "last:2": ["two.1", "two.3"],
    "last:99": NAMES,
    "every:1": NAMES,
    "every:2": ["stem.1", "one.3", "two.3"],
    "every:3": ["stem.1", "two.1"],
    "every:99": ["stem.1"],
    "name:two.*": ["two.1", "two.3"],
    "name:*.3": ["one.3", "two.3"],
    "name:one.1": ["one.1"],
}
CLASSES: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm2d,
    "batch_l1": ScaledBatchNorm,
    "batch_topk": ScaledBatchNorm,
    "batch_linf": ScaledBatchNorm,
    "batch_range": ScaledBatchNorm,
    "group": nn.GroupNorm,
    "layer": nn.GroupNorm,
    "instance": nn.InstanceNorm2d,
}


def test_every_normalisation_of_the_catalog_can_be_put_in() -> None:
    assert set(NORMS) == set(catalog.NORMS) == set(CLASSES)
    assert set(SCALES) <= set(NORMS)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", CLASSES)
def test_the_chosen_layers_are_replaced_and_carry_their_values_over(kind: str, where: str) -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    changed = replace_norms(net, kind, where=where)
    for name in NAMES:
        old, new = net.get_submodule(name), changed.get_submodule(name)
        assert type(new) is (CLASSES[kind] if name in WHERE[where] else nn.BatchNorm2d)
        assert new is not old
        assert new.training == old.training
        for key, tensor in new.state_dict().items():
            assert torch.equal(tensor, old.state_dict()[key])
        if name in WHERE[where] and kind in SCALES:
            assert scale_kind(new) == kind
            assert list(new.state_dict()) == list(old.state_dict())
            assert (new.eps, new.momentum) == (old.eps, old.momentum)
        elif name in WHERE[where] and kind != "none":
            assert list(new.state_dict()) == ["weight", "bias"]
    assert changed(normal(2, 2, 5, 5).float()).shape == (2, 4, 3, 3)
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_the_copy_shares_no_memory_with_the_model() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    changed = replace_norms(net, "batch_l1", where="first:2")
    for tensor in (*changed.parameters(), *changed.buffers()):
        tensor.data.zero_()
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("kind", KINDS)
def test_batch_variants_compute_the_same_in_evaluation(kind: str) -> None:
    net, x = network().eval(), normal(2, 2, 5, 5).float()
    torch.testing.assert_close(replace_norms(net, kind)(x), net(x))


def test_replacing_back_and_forth_gives_the_same_network() -> None:
    net = network()
    back = replace_norms(replace_norms(net, "batch_range"), "batch")
    assert str(back) == str(net)
    for key, tensor in back.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[key])


OLD_LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch 1d": (lambda: nn.BatchNorm1d(4), (3, 4, 5)),
    "batch 1d of vectors": (lambda: nn.BatchNorm1d(4), (6, 4)),
    "batch 2d": (lambda: nn.BatchNorm2d(4), (3, 4, 5, 5)),
    "batch 3d": (lambda: nn.BatchNorm3d(4), (3, 4, 2, 3, 2)),
    "scaled 1d": (lambda: ScaledBatchNorm(4, kind="batch_l1", dims=1), (3, 4, 5)),
    "frozen": (lambda: FrozenBatchNorm2d(4), (3, 4, 5, 5)),
    "group": (lambda: nn.GroupNorm(2, 4), (3, 4, 5, 5)),
    "instance 1d": (lambda: nn.InstanceNorm1d(4, affine=True), (3, 4, 5)),
    "instance 2d": (lambda: nn.InstanceNorm2d(4), (3, 4, 5, 5)),
    "instance 3d": (lambda: nn.InstanceNorm3d(4, affine=True), (3, 4, 2, 3, 2)),
}


PAIRS = [(old, kind) for old in OLD_LAYERS for kind in CLASSES]
PAIRS.remove(("batch 1d of vectors", "instance"))  # one value per channel has no variance


@pytest.mark.parametrize(("old", "kind"), PAIRS)
def test_every_normalisation_layer_can_be_replaced_on_its_own(old: str, kind: str) -> None:
    make, shape = OLD_LAYERS[old]
    layer = filled(make())
    new = replace_norms(layer, kind)
    values = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    for key, tensor in (*new.named_parameters(), *new.named_buffers()):
        if key in values:
            assert torch.equal(tensor, values[key])
    x = normal(*shape).float()
    if kind in SCALES and old.startswith(("frozen", "batch", "scaled")):
        torch.testing.assert_close(new.eval()(x), layer.eval()(x))
    assert new.train()(x).shape == shape


@pytest.mark.parametrize(("channels", "groups"), [(16, 8), (8, 8), (12, 4), (6, 2), (5, 1), (1, 1)])
def test_groups_are_at_most_8_and_divide_the_channels(channels: int, groups: int) -> None:
    new = replace_norms(nn.BatchNorm2d(channels), "group")
    assert isinstance(new, nn.GroupNorm)
    assert (new.num_groups, new.num_channels) == (groups, channels)


def test_layer_normalises_each_image_over_channels_and_positions() -> None:
    x = normal(3, 4, 2, 2).float()
    expected = F.layer_norm(x, (4, 2, 2))
    torch.testing.assert_close(replace_norms(nn.BatchNorm2d(4), "layer")(x), expected)


@pytest.mark.parametrize("affine", [True, False])
def test_a_replaced_layer_keeps_being_affine_or_not(affine: bool) -> None:
    new = replace_norms(nn.BatchNorm2d(4, affine=affine, track_running_stats=False), "batch_topk")
    assert list(new.state_dict()) == (["weight", "bias"] if affine else [])


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: nn.BatchNorm2d(4), "batch_l1"),
        (lambda: nn.GroupNorm(1, 4), "batch"),
        (lambda: nn.BatchNorm2d(4, affine=False), "group"),
    ],
)
def test_a_new_layer_has_the_dtype_of_its_predecessor(
    make: Callable[[], nn.Module], kind: str
) -> None:
    new = replace_norms(make().double(), kind)
    floats = [t for t in (*new.parameters(), *new.buffers()) if t.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float64}
    assert new(normal(2, 4, 3, 3)).dtype == torch.float64


def test_a_layer_that_stands_in_two_places_is_replaced_in_both() -> None:
    shared = nn.BatchNorm2d(3)
    changed = replace_norms(nn.Sequential(shared, nn.ReLU(), shared), "batch_l1")
    assert isinstance(changed[0], ScaledBatchNorm)
    assert changed[2] is changed[0]


def test_other_normalisations_are_not_layers_to_replace() -> None:
    net = nn.Sequential(nn.LayerNorm(3), nn.BatchNorm1d(3), nn.LocalResponseNorm(2))
    assert list(norm_layers(net)) == ["1"]


@pytest.mark.parametrize("where", ["first:0", "last:0", "name:three.*", "name:ONE.*"])
def test_choosing_no_layer_warns(where: str) -> None:
    net = network()
    sentence = "replace_norms changed nothing: none of 5 normalisation layers is chosen by '"
    with pytest.warns(NoEffectWarning, match=sentence):
        changed = replace_norms(net, "batch_l1", where=where)
    assert str(changed) == str(net)


def test_a_network_without_normalisation_warns() -> None:
    with pytest.warns(NoEffectWarning, match="none of 0 normalisation layers is chosen by 'all'"):
        replace_norms(nn.Linear(2, 2), "batch_l1")


BAD_WHERE = ["", "some", "first", "first:", "first:-1", "first:x", "last:1.5", "every:0", "name:"]


@pytest.mark.parametrize("where", [*BAD_WHERE, "all:1", "2", "middle:2", "First:1", "first: 1"])
def test_an_unknown_part_of_the_layers_is_refused(where: str) -> None:
    sentence = "unknown part of the layers '.*': expected all, first:K, last:K, every:K or name"
    with pytest.raises(ValueError, match=sentence):
        chosen(NAMES, where)
    with pytest.raises(ValueError, match=sentence):
        replace_norms(network(), "batch_l1", where=where)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(
        ValueError, match="unknown norm 'l1': expected one of none, batch, batch_l1"
    ):
        replace_norms(network(), "l1")


class BatchNormAct(nn.BatchNorm2d):
    """As timm's: a batch normalisation that holds its activation."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = act


def test_a_layer_that_does_more_than_normalise_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), BatchNormAct(4, nn.ReLU()))
    with pytest.raises(ValueError, match="cannot replace a BatchNormAct: it also contains ReLU"):
        replace_norms(net, "batch_l1")


def test_a_subclass_that_holds_identities_only_is_replaced() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), BatchNormAct(4, nn.Identity()))
    assert isinstance(replace_norms(net, "batch_l1")[1], ScaledBatchNorm)


@pytest.mark.parametrize("kind", sorted(SCALES))
def test_the_scale_of_a_single_value_per_channel_is_zero(kind: str) -> None:
    assert torch.equal(SCALES[kind](torch.zeros(3, 1)), torch.zeros(3))


# --- fractions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("first:1/3", 3),
        ("first:2/3", 6),
        ("first:1/2", 4),  # 4.5 of 9: to the even number
        ("first:1/18", 0),  # 0.5
        ("first:9/9", 9),
        ("first:4/3", 9),
        ("first:0/3", 0),
    ],
)
def test_a_fraction_is_of_all_layers_from_either_end(where: str, count: int) -> None:
    names = list("abcdefghi")
    assert chosen(names, where) == names[:count]
    last = where.replace("first", "last")
    assert chosen(names, last) == names[len(names) - count :]


@pytest.mark.parametrize("layers", range(1, 60))
def test_the_first_third_and_the_last_two_thirds_are_all_layers_once(layers: int) -> None:
    names = [str(place) for place in range(layers)]
    assert chosen(names, "first:1/3") + chosen(names, "last:2/3") == names
    assert chosen(names, "first:2/3") + chosen(names, "last:1/3") == names


def test_a_network_loses_a_third_of_its_normalisations() -> None:
    net = nn.Sequential(*(nn.BatchNorm2d(2) for _ in range(6)))
    kinds = [type(layer) for layer in replace_norms(net, "none", where="last:1/3")]
    assert kinds == [nn.BatchNorm2d] * 4 + [nn.Identity] * 2


BAD_FRACTIONS = ["every:1/2", "first:1/0", "last:1/0", "first:1/", "first:/3", "first:-1/3"]


@pytest.mark.parametrize(
    "where", [*BAD_FRACTIONS, "first:1/2/3", "first:1.5/3", "name:", "all:1/3"]
)
def test_a_fraction_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="unknown part of the layers '.*K may be a fraction"):
        chosen(NAMES, where)
