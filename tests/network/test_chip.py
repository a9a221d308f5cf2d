"""What happens at a chip's products, against the same written out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.core.rng import stream
from noiseproof.network.chip import Chip, Plain, outputs
from noiseproof.network.folding import fold_of
from noiseproof.network.linear_maps import LinearMap, linear_maps
from noiseproof.network.passes import Passes
from noiseproof.network.state import State, skeleton_of, state_of

STEP = 0.25


def dice(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


def rounded(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
    """A converter behind the array."""
    return torch.round(plain(*inputs) / STEP) * STEP


def coarse(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
    """A converter in front of it."""
    return plain(*(torch.round(x / STEP) * STEP for x in inputs))


def lively(model: nn.Module) -> tuple[nn.Module, State]:
    """In float64, and no tensor is what it is made with."""
    skeleton = skeleton_of(model.double())
    state = {
        name: dice(*t.shape, name=name) + (2.5 if name.endswith("running_var") else 0)
        if t.is_floating_point()
        else t
        for name, t in state_of(skeleton).items()
    }
    return skeleton, {n: t.abs() if n.endswith("running_var") else t for n, t in state.items()}


OPEN: dict[str, tuple[Callable[[], nn.Module], Tensor, Callable[..., Tensor]]] = {
    "conv1d": (lambda: nn.Conv1d(2, 4, 3), dice(3, 2, 7), F.conv1d),
    "conv2d": (
        lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1),
        dice(3, 4, 5, 5),
        lambda x, w: F.conv2d(x, w, groups=2, padding=1),
    ),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), dice(3, 2, 4, 4, 4), F.conv3d),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        dice(3, 4, 5, 5),
        lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2),
    ),
    "linear": (lambda: nn.Linear(4, 3), dice(3, 5, 4), F.linear),
    "without bias": (lambda: nn.Linear(4, 3, bias=False), dice(3, 4), F.linear),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_happens_behind_the_array_happens_before_the_bias(name: str) -> None:
    make, x, multiply = OPEN[name]
    layer = make()
    skeleton, state = lively(nn.Sequential(layer, nn.ReLU()))
    y = torch.round(multiply(x, state["0.weight"]) / STEP) * STEP
    if layer.bias is not None:
        positions = 0 if isinstance(layer, nn.Linear) else y.dim() - 2
        y = y + state["0.bias"].view(-1, *[1] * positions)
    found = outputs(skeleton, Chip(state, {"0": rounded}), x)
    torch.testing.assert_close(found, y.relu(), rtol=0, atol=1e-12)
    exact = outputs(skeleton, Chip(state), x)
    assert (found - exact).abs().max() > STEP / 10


@pytest.mark.parametrize("name", OPEN)
def test_what_happens_in_front_of_the_array_happens_to_its_inputs(name: str) -> None:
    make, x, _ = OPEN[name]
    skeleton, state = lively(nn.Sequential(make()))
    found = outputs(skeleton, Chip(state, {"0": coarse}), x)
    wanted = outputs(skeleton, Chip(state), torch.round(x / STEP) * STEP)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OPEN)
def test_an_exact_product_changes_nothing(name: str) -> None:
    make, x, _ = OPEN[name]
    skeleton, state = lively(nn.Sequential(make()))
    found = outputs(skeleton, Chip(state, {"0": lambda m, inputs, plain: plain(*inputs)}), x)
    torch.testing.assert_close(found, outputs(skeleton, Chip(state), x), rtol=0, atol=1e-12)


def test_a_product_may_multiply_several_times_and_knows_its_map() -> None:
    """As where the bits of an input are converted one by one."""
    skeleton, state = lively(nn.Sequential(nn.Linear(4, 3)))
    met: list[LinearMap] = []

    def halves(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        met.append(linear_map)
        (x,) = inputs
        return plain(x / 4) + plain(3 * x / 4)

    x = dice(5, 4)
    found = outputs(skeleton, Chip(state, {"0": halves}), x)
    torch.testing.assert_close(found, outputs(skeleton, Chip(state), x))
    assert [(one.layer, one.weight, one.axis) for one in met] == [("0", "0.weight", -1)]


class Twice(nn.Module):
    """A layer called twice, once by keyword, and one that shares its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.first(input=self.first(x)))


def test_every_call_of_a_layer_goes_through_its_product_and_no_other_layer_does() -> None:
    skeleton, state = lively(Twice())
    x, w, b = dice(3, 4), state["first.weight"], state["first.bias"]
    for _ in range(2):
        x = torch.round(F.linear(x, w) / STEP) * STEP + b
    found = outputs(skeleton, Chip(state, {"first": rounded}), dice(3, 4))
    torch.testing.assert_close(found, F.linear(x, w, state["tied.bias"]))


def test_torchs_own_transformer_layer_does_not_pass_by_a_product() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    skeleton, state = lively(nn.Sequential(model))
    x = dice(2, 5, 8)
    found = outputs(skeleton, Chip(state, {"0.linear2": rounded}), x)
    assert not torch.allclose(found, outputs(skeleton, Chip(state), x))


ATTENTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch first": {"batch_first": True},
    "other widths": {"kdim": 6, "vdim": 6},
    "without biases": {"bias": False},
    "with biases of keys": {"add_bias_kv": True, "batch_first": True},
    "with zeros": {"add_zero_attn": True, "kdim": 6, "vdim": 6},
}


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_exact_products_at_an_attention_change_nothing(name: str, masked: bool) -> None:
    options = ATTENTIONS[name]

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, **options)

        def forward(self, x: Tensor, memory: Tensor) -> Any:
            masks = {"attn_mask": dice(4, 5), "key_padding_mask": dice(3, 5)} if masked else {}
            return self.attention(x, memory, memory, **masks)

    skeleton, state = lively(Crossed())
    x, memory = dice(4, 3, 8), dice(5, 3, options.get("kdim", 8), name="memory")
    if options.get("batch_first"):
        x, memory = x.transpose(0, 1), memory.transpose(0, 1)
    maps = [n for n, one in linear_maps(skeleton).items() if one.is_open]
    assert len(maps) == (4 if "kdim" in options else 2)
    exact = {n: lambda linear_map, inputs, plain: plain(*inputs) for n in maps}
    found = outputs(skeleton, Chip(state, exact), (x, memory))
    torch.testing.assert_close(found, outputs(skeleton, Chip(state), (x, memory)))
    for n in maps:
        other = outputs(skeleton, Chip(state, {n: rounded}), (x, memory))
        assert not torch.allclose(other[0], found[0])


def test_after_a_pass_the_skeleton_is_as_it_was_even_where_the_product_fails() -> None:
    def broken(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        plain(*inputs)
        raise RuntimeError("out of range")

    skeleton, state = lively(nn.Sequential(nn.Linear(4, 3)))
    before = {name: tensor.clone() for name, tensor in state_of(skeleton).items()}
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(2, 4\): out of range"):
        outputs(skeleton, Chip(state, {"0": broken}), dice(2, 4))
    assert "forward" not in vars(skeleton[0])
    assert not skeleton[0]._forward_pre_hooks
    assert all(torch.equal(before[name], t) for name, t in state_of(skeleton).items())


class Own(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.abs(), self.bias)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (nn.Sequential(nn.Linear(4, 4)), "1"),
        (nn.Sequential(Own(4, 4)), "0"),
        (nn.GRU(4, 4), "ih_l0"),
        (nn.Embedding(4, 4, max_norm=1.0), ""),
    ],
    ids=["unknown", "own forward", "recurrent", "max_norm"],
)
def test_a_product_where_none_can_be_is_refused(model: nn.Module, name: str) -> None:
    reason = f"a product must be at a layer that is one linear map and its bias, got {name!r}"
    with pytest.raises(ValueError, match=reason):
        outputs(skeleton_of(model), Chip(state_of(model), {name: rounded}), torch.zeros(2, 4))


# --- folding -------------------------------------------------------------------------------------


def two_blocks() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        nn.Flatten(),
        nn.Linear(5 * 4, 3),
    )


def test_a_norm_is_not_folded_across_a_product_and_the_others_still_are() -> None:
    skeleton, state = lively(two_blocks())
    fold = fold_of(skeleton, state, dice(2, 3, 6, 6))
    assert fold is not None
    left = fold.without({"0"}, skeleton)
    assert left is not None
    assert [(pair.layer, pair.norm) for pair in left.pairs] == [("3", "4")]
    assert "1.running_var" in left.state(state)
    assert "4.running_var" not in left.state(state)
    assert fold.without({"0", "3"}, skeleton) is None
    assert fold.without({"6"}, skeleton) is fold, "nothing folds into that one"


@pytest.mark.parametrize("at", [("0",), ("3",), ("0", "3"), ("6",), ("0", "3", "6")])
@pytest.mark.parametrize("product", [rounded, coarse])
def test_a_loaded_chip_with_products_computes_what_the_network_does(
    at: tuple[str, ...], product: Callable[..., Tensor]
) -> None:
    skeleton, state = lively(two_blocks())
    passes = Passes(skeleton, state, dice(2, 3, 6, 6))
    chip = Chip(state, dict.fromkeys(at, product))
    x = dice(5, 3, 6, 6, name="others")
    wanted = outputs(skeleton, chip, x)
    # a value within rounding of a step's edge would fall either way: none does on these dice
    torch.testing.assert_close(passes.load(chip)(x), wanted, rtol=0, atol=1e-10)
    plain = outputs(skeleton, Chip(state), x)
    assert (wanted - plain).abs().max() > 1e-3, "the products do something"
    torch.testing.assert_close(passes.load(Chip(state))(x), plain, rtol=0, atol=1e-10)


def test_folding_across_a_converter_would_give_other_outputs() -> None:
    skeleton, state = lively(two_blocks())
    fold = fold_of(skeleton, state, dice(2, 3, 6, 6))
    assert fold is not None
    x = dice(5, 3, 6, 6, name="others")
    wrong = outputs(fold.skeleton, Chip(fold.state(state), {"0": rounded}), x)
    assert (wrong - outputs(skeleton, Chip(state, {"0": rounded}), x)).abs().max() > 1e-2
