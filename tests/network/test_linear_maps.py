"""Each kind of layer against a slow reference: the layer itself, asked with one input at a time."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from noiseproof.core.rng import stream
from noiseproof.network.costs import costs_of
from noiseproof.network.layouts import Layout, as_kernel, as_matrix, by_output, channels
from noiseproof.network.linear_maps import (
    Kind,
    LinearMap,
    linear_maps,
)
from noiseproof.network.state import places, skeleton_of, state_of


def dice(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A layer, and an input (1, ...) for which it multiplies with its kernel exactly once."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    groups: int = 1
    outputs: int  # of all groups together
    inputs: int  # of one output


ONCE: dict[str, Row] = {
    "conv1d": Row(make=lambda: nn.Conv1d(2, 4, 3), shape=(1, 2, 3), outputs=4, inputs=6),
    "conv2d": Row(make=lambda: nn.Conv2d(2, 4, (3, 2)), shape=(1, 2, 3, 2), outputs=4, inputs=12),
    "conv3d": Row(make=lambda: nn.Conv3d(2, 3, 2), shape=(1, 2, 2, 2, 2), outputs=3, inputs=16),
    "grouped": Row(
        make=lambda: nn.Conv2d(4, 6, 2, groups=2), shape=(1, 4, 2, 2), groups=2, outputs=6, inputs=8
    ),
    "depthwise": Row(
        make=lambda: nn.Conv2d(3, 6, 2, groups=3), shape=(1, 3, 2, 2), groups=3, outputs=6, inputs=4
    ),
    "transposed 1d": Row(
        make=lambda: nn.ConvTranspose1d(2, 4, 3), shape=(1, 2, 1), outputs=4, inputs=6
    ),
    "transposed 2d": Row(
        make=lambda: nn.ConvTranspose2d(2, 4, (3, 2)), shape=(1, 2, 1, 1), outputs=4, inputs=12
    ),
    "transposed 3d, grouped": Row(
        make=lambda: nn.ConvTranspose3d(4, 6, 2, groups=2),
        shape=(1, 4, 1, 1, 1),
        groups=2,
        outputs=6,
        inputs=16,
    ),
    "linear": Row(make=lambda: nn.Linear(3, 5), shape=(1, 3), outputs=5, inputs=3),
    "bilinear": Row(make=lambda: nn.Bilinear(2, 3, 4), shape=(1, 2, 3), outputs=4, inputs=6),
    "embedding": Row(make=lambda: nn.Embedding(5, 3), shape=(1, 5), outputs=3, inputs=5),
    "bag": Row(make=lambda: nn.EmbeddingBag(5, 3, mode="sum"), shape=(1, 5), outputs=3, inputs=5),
}


def made(row: Row) -> tuple[nn.Module, LinearMap, Tensor]:
    """The layer in float64 without its bias, its map, and its kernel."""
    layer = row.make().double()
    (linear_map,) = linear_maps(layer).values()
    if linear_map.bias is not None:
        layer.register_parameter(linear_map.bias, None)
    state = state_of(layer)
    layer.load_state_dict({linear_map.weight: dice(*state[linear_map.weight].shape)})
    return layer, linear_map, state_of(layer)[linear_map.weight]


def response(layer: nn.Module, kind: Kind, x: Tensor) -> Tensor:
    """What the layer returns for one input, x (1, ...) of zeros and a single one."""
    if kind == Kind.BILINEAR:
        place = int(x.argmax())
        first, second = x.new_zeros(1, x.shape[1]), x.new_zeros(1, x.shape[2])
        first[0, place // x.shape[2]] = second[0, place % x.shape[2]] = 1
        return layer(first, second)
    if kind in (Kind.EMBEDDING, Kind.BAG):
        word = x.argmax(1)
        return layer(word[:, None] if kind == Kind.BAG else word)
    return layer(x)


@pytest.mark.parametrize("name", ONCE)
def test_the_matrices_are_what_the_layer_does_to_one_input_at_a_time(name: str) -> None:
    row = ONCE[name]
    layer, linear_map, kernel = made(row)
    basis = torch.eye(int(torch.tensor(row.shape).prod()), dtype=torch.float64)
    columns = [response(layer, linear_map.kind, one.view(row.shape)) for one in basis]
    if linear_map.kind == Kind.TRANSPOSED:  # one input reaches a whole window of each output
        (all_columns,) = torch.stack(columns, -1).flatten(2, -2).unbind()  # (outputs, window, in)
        dense = all_columns.transpose(1, 2).flatten(1)  # inputs first, then the window
    else:
        dense = torch.stack([column.flatten() for column in columns], 1)
    found = as_matrix(kernel, linear_map)
    assert found.shape == (row.groups, row.outputs // row.groups, row.inputs)
    torch.testing.assert_close(torch.block_diag(*found), dense)


@pytest.mark.parametrize("name", ONCE)
def test_a_layer_that_multiplies_once_takes_each_weight_once(name: str) -> None:
    row = ONCE[name]
    layer, linear_map, kernel = made(row)
    looks_up = linear_map.kind in (Kind.EMBEDDING, Kind.BAG)

    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return response(self.layer, linear_map.kind, x)

    net = Once()
    cost = costs_of(net, state_of(net), dice(*row.shape))["layer"]
    assert (cost.weights, cost.macs) == (kernel.numel(), 0 if looks_up else kernel.numel())


MAPS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    **{name: (row.make, "") for name, row in ONCE.items()},
    "attention, in": (lambda: nn.MultiheadAttention(4, 2), "in_proj"),
    "attention, out": (lambda: nn.MultiheadAttention(4, 2), "out_proj"),
    "attention of widths": (lambda: nn.MultiheadAttention(4, 2, kdim=3), "k_proj"),
    "lstm": (lambda: nn.LSTM(3, 2, num_layers=2, bidirectional=True), "ih_l1_reverse"),
    "lstm with projections": (lambda: nn.LSTM(3, 4, proj_size=2), "hr_l0"),
    "gru cell": (lambda: nn.GRUCell(3, 2), "hh"),
}


def one_map(name: str) -> tuple[nn.Module, LinearMap, Tensor]:
    make, which = MAPS[name]
    layer = make().double()
    linear_map = linear_maps(layer)[which]
    return layer, linear_map, dice(*state_of(layer)[linear_map.weight].shape)


@pytest.mark.parametrize("name", MAPS)
def test_a_kernel_comes_back_from_its_matrices(name: str) -> None:
    _, linear_map, kernel = one_map(name)
    matrix = as_matrix(kernel, linear_map)
    assert torch.equal(as_kernel(matrix, linear_map, kernel.shape), kernel)
    assert channels(kernel, linear_map) == len(matrix.flatten(0, 1))


@pytest.mark.parametrize("name", MAPS)
def test_a_value_of_each_output_meets_its_own_row_of_the_matrices(name: str) -> None:
    _, linear_map, kernel = one_map(name)
    matrix = as_matrix(kernel, linear_map)
    values = dice(channels(kernel, linear_map), name="values")
    rows = matrix * values.view(*matrix.shape[:2], 1)
    found = kernel * by_output(values, kernel, linear_map)
    assert torch.equal(found, as_kernel(rows, linear_map, kernel.shape))


@pytest.mark.parametrize("name", MAPS)
def test_a_kernels_place_is_its_maps_layout(name: str) -> None:
    layer, linear_map, _ = one_map(name)
    place = places(layer)[linear_map.weight]
    assert (place.role, place.input_first, place.groups) == (
        "embedding" if linear_map.kind in (Kind.EMBEDDING, Kind.BAG) else "kernel",
        linear_map.input_first,
        linear_map.groups,
    )


SEEN: dict[str, tuple[Callable[[], nn.Module], str, Callable[[nn.Module], Tensor]]] = {
    "conv1d": (lambda: nn.Conv1d(2, 3, 3), "", lambda m: m(dice(2, 2, 7))),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, groups=2), "", lambda m: m(dice(2, 2, 7, 7))),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), "", lambda m: m(dice(2, 2, 4, 4, 4))),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        "",
        lambda m: m(dice(2, 4, 5, 5)),
    ),
    "conv2d without a batch": (lambda: nn.Conv2d(2, 4, 3), "", lambda m: m(dice(2, 7, 7))),
    "linear on tokens": (lambda: nn.Linear(4, 3), "", lambda m: m(dice(2, 5, 7, 4))),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), "", lambda m: m(dice(5, 2), dice(5, 3))),
    "embedding": (lambda: nn.Embedding(5, 3), "", lambda m: m(torch.arange(4).view(2, 2))),
    "bag": (lambda: nn.EmbeddingBag(5, 3), "", lambda m: m(torch.arange(4).view(2, 2))),
    "attention": (
        lambda: nn.MultiheadAttention(4, 2),
        "out_proj",
        lambda m: m(*[dice(5, 2, 4, name=name) for name in "qkv"])[0],
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_an_output_of_the_matrices_is_a_channel_of_what_the_layer_returns(name: str) -> None:
    make, which, use = SEEN[name]
    layer = make().double()
    linear_map = linear_maps(layer)[which]
    kernel = dice(*state_of(layer)[linear_map.weight].shape)

    def returned(weight: Tensor) -> Tensor:
        with torch.no_grad():
            return _with(layer, {linear_map.weight: weight}, use)

    before = returned(kernel)
    for output in range(channels(kernel, linear_map)):
        matrix = as_matrix(kernel, linear_map).clone()
        matrix.flatten(0, 1)[output] *= 2
        after = returned(as_kernel(matrix, linear_map, kernel.shape))
        changed = (after != before).movedim(linear_map.axis, 0).flatten(1).any(1)
        assert changed.nonzero().flatten().tolist() == [output]


class _Used(nn.Module):
    def __init__(self, layer: nn.Module, use: Callable[[nn.Module], Tensor]) -> None:
        super().__init__()
        self.layer, self.use = layer, use

    def forward(self) -> Tensor:
        return self.use(self.layer)


def _with(layer: nn.Module, state: dict[str, Tensor], use: Callable[[nn.Module], Tensor]) -> Tensor:
    named = {f"layer.{name}": tensor for name, tensor in state.items()}
    return functional_call(_Used(layer, use), named, ())


@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 6}], ids=["one width", "widths"])
def test_attention_multiplies_each_input_with_its_matrix(options: dict[str, int]) -> None:
    layer = nn.MultiheadAttention(4, 2, bias=False, batch_first=True, **options).double()
    maps, state = linear_maps(layer), state_of(layer)
    given = {
        "query": dice(2, 5, 4, name="q"),
        "key": dice(2, 3, options.get("kdim", 4), name="k"),
        "value": dice(2, 3, options.get("vdim", 4), name="v"),
    }
    projected = {}
    for linear_map in maps.values():
        (matrix,) = as_matrix(state[linear_map.weight], linear_map)
        for argument, part in zip(
            linear_map.inputs, matrix.chunk(max(1, len(linear_map.inputs))), strict=False
        ):
            projected[argument] = given[argument] @ part.T
    q, k, v = (projected[name].unflatten(2, (2, 2)).transpose(1, 2) for name in given)
    mixed = ((q @ k.mT / 2**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
    (out,) = as_matrix(state[maps["out_proj"].weight], maps["out_proj"])
    torch.testing.assert_close(mixed @ out.T, layer(**given)[0])


def test_a_recurrent_layer_multiplies_inputs_and_states_with_its_matrices() -> None:
    layer = nn.RNN(3, 2, num_layers=2, bias=False).double()
    maps, state = linear_maps(layer), state_of(layer)
    matrix = {name: as_matrix(state[m.weight], m)[0] for name, m in maps.items()}
    x, hidden = dice(4, 1, 3), [torch.zeros(1, 2).double()] * 2
    for step in x:
        for level in range(2):
            step = torch.tanh(
                step @ matrix[f"ih_l{level}"].T + hidden[level] @ matrix[f"hh_l{level}"].T
            )
            hidden[level] = step
    torch.testing.assert_close(hidden[1], layer(x)[0][-1])
    assert [maps[f"ih_l{level}"].inputs for level in range(2)] == [("input",), ()]


# --- names and rules -----------------------------------------------------------------------------


class Standardised(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight / self.weight.norm(), self.bias)


class Padded(nn.Conv2d):
    """Uses its weight in another way without a forward of its own."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(input, weight.flip(2), bias)


class Extended(nn.Linear):
    """A parameter more, which nn.Linear does not use."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.gain = nn.Parameter(torch.ones(3, 1))


def with_forward() -> nn.Module:
    layer = nn.Linear(3, 3)
    layer.forward = lambda x: x  # type: ignore[method-assign]
    return layer


def network() -> nn.Module:
    tied = nn.Linear(4, 5, bias=False)
    net = nn.ModuleDict(
        {
            "words": nn.Embedding(5, 4),
            "tied": tied,
            "plain": nn.Linear(4, 4, bias=False),
            "attention": nn.MultiheadAttention(4, 2),
            "widths": nn.MultiheadAttention(4, 2, kdim=3),
            "lstm": nn.LSTM(3, 4, proj_size=2),
            "cell": nn.GRUCell(3, 2),
            "standardised": Standardised(2, 2, 1),
            "padded": Padded(2, 2, 1),
            "extended": Extended(),
            "instance": with_forward(),
            "norm": nn.BatchNorm2d(3),
            "renormalised": nn.Embedding(5, 4, max_norm=1.0),
        }
    )
    tied.weight = net["words"].weight
    return net


def test_names_are_those_of_layers_and_in_a_layer_with_several_maps_of_their_kernels() -> None:
    found = linear_maps(network())
    assert list(found) == [
        "words",
        "tied",
        "plain",
        "attention.in_proj",
        "attention.out_proj",
        "widths.q_proj",
        "widths.k_proj",
        "widths.v_proj",
        "widths.out_proj",
        "lstm.ih_l0",
        "lstm.hh_l0",
        "lstm.hr_l0",
        "cell.ih",
        "cell.hh",
        "standardised",
        "padded",
        "extended",
        "extended.gain",
        "instance",
        "renormalised",
    ]
    assert {name: one.layer for name, one in found.items() if "." in name} == {
        name: name.rpartition(".")[0] for name in found if "." in name
    }


def test_kernels_and_biases_are_named_as_in_a_state_tied_ones_by_their_first_place() -> None:
    net = network()
    found, state = linear_maps(net), state_of(net)
    assert {one.weight for one in found.values()} <= state.keys()
    assert found["tied"].weight == found["words"].weight == "words.weight"
    biases = {name: one.bias for name, one in found.items()}
    assert biases["words"] is None
    assert biases["plain"] == "plain.bias", "it may have one"
    assert biases["lstm.ih_l0"] == "lstm.bias_ih_l0"
    assert biases["lstm.hr_l0"] is None
    assert biases["attention.out_proj"] == "attention.out_proj.bias"
    assert biases["widths.k_proj"] == "widths.in_proj_bias"
    roles = {name: place.role for name, place in places(net).items()}
    assert roles["words.weight"] == "kernel", "its tied layer multiplies with it"
    maps = {name for name, role in roles.items() if role in ("kernel", "embedding")}
    assert maps == {one.weight for one in found.values()}


def test_whatever_feeds_a_map_is_an_argument_of_its_layer() -> None:
    net = network()
    for one in linear_maps(net).values():
        known = inspect.signature(type(net.get_submodule(one.layer)).forward).parameters
        assert set(one.inputs) <= set(known)


def test_which_maps_are_plain_shared_and_open() -> None:
    found = linear_maps(network())
    assert [name for name, one in found.items() if not one.plain] == [
        "standardised",
        "padded",
        "extended.gain",
        "instance",
        "renormalised",
    ]
    assert [name for name, one in found.items() if one.shared] == ["words", "tied"]
    assert [name for name, one in found.items() if one.is_open] == [
        "words",
        "tied",
        "plain",
        *("attention.in_proj", "attention.out_proj"),
        *("widths.q_proj", "widths.k_proj", "widths.v_proj", "widths.out_proj"),
        "extended",
    ]


def test_a_layer_that_is_the_network_has_the_empty_name() -> None:
    assert list(linear_maps(nn.Linear(2, 3))) == [""]
    assert list(linear_maps(nn.GRUCell(2, 3))) == ["ih", "hh"]
    assert linear_maps(skeleton_of(nn.BatchNorm1d(3))) == {}


def test_a_linear_map_of_another_class_fits_the_type() -> None:
    """A kernel (inputs, outputs), as language models of one family have it."""
    (ours,) = linear_maps(nn.Linear(3, 5)).values()
    theirs = replace(ours, input_first=True)
    w = dice(3, 5)
    assert torch.equal(as_matrix(w, theirs), w.T[None])
    assert torch.equal(as_kernel(w.T[None], theirs, w.shape), w)
    assert torch.equal(as_matrix(w, Layout(input_first=True)), w.T[None])
