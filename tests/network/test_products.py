"""Kernels of layers of any class, found by what they compute."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.core.rng import seeded, stream
from noiseproof.network import (
    channels,
    examine_,
    kind_of,
    missing,
    places,
    reach_of,
    skeleton_of,
    state_of,
    work_of,
)
from noiseproof.network.layouts import by_output
from noiseproof.network.linear_maps import linear_maps

D = 6


def dice(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(shape, generator=stream(0, name))


class Own(nn.Module):
    """A layer of no class of torch: `rule(its weight, x)`, scaled and shifted by hand."""

    def __init__(self, shape: tuple[int, ...], rule: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(dice(*shape, name="weight"))
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))
        self.rule = rule

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(self.weight, x) * self.scale + self.bias


def standardised(w: Tensor, x: Tensor) -> Tensor:
    flat = w.reshape(1, w.shape[0], -1)
    return F.conv1d(x, F.batch_norm(flat, None, None, training=True).reshape(w.shape), padding=1)


TOKENS, IMAGES = (2, 5, D), (2, D, 4, 4)
RULES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[[Tensor, Tensor], Tensor]]] = {
    # by name: the weight's shape, the input's, what the layer computes
    "inputs first, as in GPT-2": (
        (D, 4),
        TOKENS,
        lambda w, x: torch.addmm(torch.zeros(4), x.view(-1, D), w).view(*x.shape[:-1], 4),
    ),
    "einsum": ((4, D), TOKENS, lambda w, x: torch.einsum("bnd,od->bno", x, w)),
    "heads": ((2, D, 3), TOKENS, lambda w, x: torch.einsum("bnd,hdk->bhnk", x, w)),
    "heads joined": ((D, 3, 2), TOKENS, lambda w, x: torch.einsum("bnd,dhk->bnhk", x, w)),
    "functional": ((4, D), TOKENS, lambda w, x: F.linear(x, w)),
    "scaled first": ((4, D), TOKENS, lambda w, x: F.linear(x, w * 0.5)),
    "masked": ((4, D), TOKENS, lambda w, x: F.linear(x, w * (w > 0))),
    "half precision inside": ((4, D), TOKENS, lambda w, x: (x.bfloat16() @ w.bfloat16().T).float()),
    "in two parts": (
        (4, D),
        TOKENS,
        lambda w, x: torch.cat([x @ part.T for part in w.chunk(2)], 2),
    ),
    "summed by hand": ((4, D), TOKENS, lambda w, x: (x[..., None, :] * w).sum(-1)),
    "one output": ((D,), TOKENS, lambda w, x: x @ w),
    "batched": ((2, D, 4), TOKENS, lambda w, x: torch.bmm(x, w)),
    "convolution": ((4, D, 3, 3), IMAGES, lambda w, x: F.conv2d(x, w, padding=1)),
    "depthwise": ((D, 1, 3, 3), IMAGES, lambda w, x: F.conv2d(x, w, padding=1, groups=D)),
    "transposed": ((D, 4, 2, 2), IMAGES, lambda w, x: F.conv_transpose2d(x, w)),
    "window first": ((3, 3, D, 4), IMAGES, lambda w, x: F.conv2d(x, w.permute(3, 2, 0, 1))),
    "standardised": ((4, D, 3), (2, D, 5), standardised),
}
MACS = {  # of one input, by hand
    "half precision inside": 5 * D * 4,
    "summed by hand": 5 * D * 4,
    "one output": 5 * D,
    "batched": 5 * D * 4,
    "heads": 5 * D * 2 * 3,
    "heads joined": 5 * D * 3 * 2,
    "convolution": 16 * 4 * D * 9,
    "depthwise": 16 * D * 9,
    "transposed": 16 * D * 4 * 4,
    "window first": 4 * 4 * D * 9,
    "standardised": 5 * 4 * D * 3,
}


def examined(case: str) -> tuple[nn.Module, Tensor]:
    shape, inputs, rule = RULES[case]
    layer, x = skeleton_of(Own(shape, rule)), dice(*inputs)
    assert kind_of(layer) is None
    assert examine_(layer, state_of(layer), x)
    return layer, x


@pytest.mark.parametrize("case", RULES)
def test_what_a_layer_of_any_class_multiplies_with_is_its_kernel(case: str) -> None:
    layer, _ = examined(case)
    assert {name: place.role for name, place in places(layer).items()} == {
        "weight": "kernel",
        "scale": "other",
        "bias": "bias",
    }


@pytest.mark.parametrize("case", RULES)
def test_its_products_are_counted(case: str) -> None:
    layer, x = examined(case)
    work = work_of(layer, state_of(layer), x)
    assert work.kernels["weight"].macs == MACS.get(case, 5 * D * 4)
    assert reach_of(work, ["weight"]).macs == reach_of(work, ["weight"]).weights == 1
    assert reach_of(work, ["bias"]).macs == 0


LIES = [case for case in RULES if case not in ("one output", "batched", "summed by hand")]


@pytest.mark.parametrize("case", LIES)
def test_its_output_channels_are_those_that_autograd_sees(case: str) -> None:
    layer, x = examined(case)
    place, weight = places(layer)["weight"], layer.get_parameter("weight").requires_grad_()
    rows = torch.arange(float(channels(weight, place)))

    labels = by_output(rows, weight, place).expand_as(weight)
    y = RULES[case][2](weight, x)
    out = y.flatten(1) if case.startswith("heads") else y
    for one in out.unbind(-1)[:4] if y.dim() == 3 and "heads" not in case else [out[:, 0]]:
        if case in ("masked", "standardised", "half precision inside"):
            continue  # not every element has a gradient
        (slope,) = torch.autograd.grad(one.sum(), weight, retain_graph=True)
        assert len(set(labels[slope != 0].tolist())) == 1


class Tied(nn.Module):
    """Words whose table is the output projection too, without a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0, "tied"):
            self.words = nn.Embedding(7, D)
            self.places = nn.Embedding(5, D)
            self.start = nn.Parameter(torch.randn(1, 1, D))

    def forward(self, x: Tensor) -> Tensor:
        y = self.words(x) + self.places(torch.arange(x.shape[1])) + self.start
        return F.linear(y, self.words.weight)


def test_a_table_that_is_multiplied_with_is_a_kernel_and_one_that_is_looked_up_is_none() -> None:
    net = skeleton_of(Tied())
    before = {name: place.role for name, place in places(net).items()}
    assert before["words.weight"] == before["places.weight"] == "embedding"
    examine_(net, state_of(net), torch.ones(2, 5, dtype=torch.int64))
    found = places(net)
    assert found["words.weight"].role == "kernel"
    assert not found["words.weight"].input_first, "it lies as it is multiplied with"
    assert found["places.weight"].role == "embedding"
    assert found["start"].role == "other"


def test_a_table_tied_to_a_linear_layer_is_a_kernel_without_a_pass() -> None:
    net = nn.ModuleDict({"words": nn.Embedding(7, D), "head": nn.Linear(D, 7)})
    net["head"].weight = net["words"].weight  # type: ignore[assignment]
    place = places(net)["words.weight"]
    assert (place.role, place.layers, place.input_first) == ("kernel", ("words", "head"), False)


class Parts(nn.Module):
    """Weights of every kind that no noise on kernels reaches, and products of activations."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0, "parts"):
            self.down = nn.Parameter(torch.randn(D, 2))
            self.up = nn.Parameter(torch.randn(2, D))
            self.table = nn.Parameter(torch.randn(9, D))
            self.head = nn.Linear(D, 4)
        self.register_buffer("bank", torch.ones(D, D))
        self.loose = torch.ones(D, D)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ (self.down @ self.up)
        y = y + x @ self.bank + x @ self.loose  # type: ignore[operator]
        y = y + (x @ self.table[torch.tensor([1, 3, 5])].T).sum(-1, keepdim=True)
        y = F.scaled_dot_product_attention(y, y, y)
        return self.head(y)  # type: ignore[no-any-return]


def test_what_no_noise_reaches_is_counted_and_named_with_what_to_do() -> None:
    net, x = skeleton_of(Parts()), dice(*TOKENS)
    examine_(net, state_of(net), x)
    work, where = work_of(net, state_of(net), x), places(net)
    assert work.between == 2 * 5 * 5 * D
    kernels = [name for name, place in where.items() if place.role == "kernel"]
    assert kernels == ["head.weight"]
    reach = reach_of(work, kernels)
    per_token = D * D * 3 + 3 * D + 4 * D
    assert reach.macs == pytest.approx(4 * D / per_token)
    assert reach.weights == pytest.approx(4 * D / per_token)
    text = missing(work, where, kernels)
    assert text.startswith("noise can reach only 16 % of the multiply-accumulates")
    assert "weights made of down and up (add other to the targets)" in text
    assert "bank, whose weights are no parameter (make them an nn.Parameter)" in text
    assert text.endswith("; and 1 more")


def test_with_the_other_parameters_as_targets_they_are_reached() -> None:
    net, x = skeleton_of(Parts()), dice(*TOKENS)
    examine_(net, state_of(net), x)
    work = work_of(net, state_of(net), x)
    few = reach_of(work, ["head.weight"]).macs
    more = reach_of(work, ["head.weight", "down", "up", "table"]).macs
    assert few is not None
    assert more is not None
    assert more - few == pytest.approx((D * D + 3 * D) / (D * D * 3 + 3 * D + 4 * D))


def test_networks_of_torchs_own_layers_get_no_note_and_miss_nothing() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4)
    )
    net, x = skeleton_of(net), dice(2, 3, 4, 4)
    before = linear_maps(net)
    assert not examine_(net, state_of(net), x)
    assert linear_maps(net) == before
    work = work_of(net, state_of(net), x)
    assert work.kernels["0.weight"].macs == 4 * 4 * 27
    assert missing(work, places(net), list(work.kernels)) == ""


def test_layers_are_ordered_as_a_pass_calls_them() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.stem = nn.Linear(D, 2), nn.Linear(D, D)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.stem(x))  # type: ignore[no-any-return]

    net = skeleton_of(Backwards())
    assert places(net)["head.weight"].order == 0
    examine_(net, state_of(net), dice(2, D))
    assert (places(net)["stem.weight"].order, places(net)["head.weight"].order) == (0, 1)
