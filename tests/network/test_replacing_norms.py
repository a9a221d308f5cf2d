"""Normalisation layers put in the place of others."""

import copy
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import seeded
from noiseproof.network.norms import (
    NORMS,
    SCALES,
    ScaledBatchNorm,
    chosen,
    norm_layers,
    replace_norms,
    scale_kind,
)
from noiseproof.specs import catalog
from tests.network.toys import CLASSES, KINDS, OLD_LAYERS, PAIRS, filled, normal

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
