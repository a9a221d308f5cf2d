"""The seam between skeleton and state: what every tensor is, and that a state really runs."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.rng import seeded, stream
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.norms import ScaledBatchNorm
from noiseproof.network.state import Place, State, places, skeleton_of, state_of, with_state
from noiseproof.noise.chips import manufacture
from noiseproof.specs.noise import ROLES, parse

AFFINE = {"weight": "norm_affine", "bias": "norm_affine"}
FROZEN = AFFINE | {"running_mean": "norm_stats", "running_var": "norm_stats"}
BATCH = FROZEN | {"num_batches_tracked": "constant"}
LAYER = {"weight": "kernel", "bias": "bias"}
RECURRENT = {
    "weight_ih_l0": "kernel",
    "weight_hh_l0": "kernel",
    "bias_ih_l0": "bias",
    "bias_hh_l0": "bias",
}
ATTENTION_OUT = {"out_proj.weight": "kernel", "out_proj.bias": "bias"}


class Bare(nn.Module):
    """A parameter, a number and a buffer that belong to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.bias = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("index", torch.arange(3))


ROLE_TABLE: dict[str, tuple[Callable[[], nn.Module], dict[str, str]]] = {
    "conv1d": (lambda: nn.Conv1d(2, 4, 3), LAYER),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3), LAYER),
    "conv3d": (lambda: nn.Conv3d(2, 4, 3), LAYER),
    "conv without bias": (lambda: nn.Conv2d(2, 4, 3, bias=False), {"weight": "kernel"}),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), LAYER),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 3), LAYER),
    "linear": (lambda: nn.Linear(2, 3), LAYER),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), LAYER),
    "embedding": (lambda: nn.Embedding(5, 3), {"weight": "embedding"}),
    "embedding bag": (lambda: nn.EmbeddingBag(5, 3), {"weight": "embedding"}),
    "attention": (
        lambda: nn.MultiheadAttention(4, 2),
        {"in_proj_weight": "kernel", "in_proj_bias": "bias"} | ATTENTION_OUT,
    ),
    "attention with separate q, k, v": (
        lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True),
        {
            "q_proj_weight": "kernel",
            "k_proj_weight": "kernel",
            "v_proj_weight": "kernel",
            "in_proj_bias": "bias",
            "bias_k": "bias",
            "bias_v": "bias",
        }
        | ATTENTION_OUT,
    ),
    "lstm": (lambda: nn.LSTM(2, 3), RECURRENT),
    "gru": (lambda: nn.GRU(2, 3), RECURRENT),
    "rnn cell": (
        lambda: nn.RNNCell(2, 3),
        {name.removesuffix("_l0"): role for name, role in RECURRENT.items()},
    ),
    "batch norm 1d": (lambda: nn.BatchNorm1d(3), BATCH),
    "batch norm 2d": (lambda: nn.BatchNorm2d(3), BATCH),
    "batch norm 3d": (lambda: nn.BatchNorm3d(3), BATCH),
    "scaled batch norm": (lambda: ScaledBatchNorm(3, kind="batch_l1"), BATCH),
    "frozen batch norm": (lambda: FrozenBatchNorm2d(3), FROZEN),
    "group norm": (lambda: nn.GroupNorm(1, 3), AFFINE),
    "layer norm": (lambda: nn.LayerNorm(3), AFFINE),
    "rms norm": (lambda: nn.RMSNorm(3), {"weight": "norm_affine"}),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), AFFINE),
    "instance norm with statistics": (
        lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        BATCH,
    ),
    "bare": (Bare, {"token": "other", "bias": "other", "index": "constant"}),
    "prelu": (nn.PReLU, {"weight": "other"}),
}


@pytest.mark.parametrize("case", ROLE_TABLE)
def test_every_tensor_has_its_role(case: str) -> None:
    make, roles = ROLE_TABLE[case]
    layer = make()
    assert {name: place.role for name, place in places(layer).items()} == roles
    nested = nn.Sequential(nn.ReLU(), layer)
    expected = {f"1.{name}": role for name, role in roles.items()}
    assert {name: place.role for name, place in places(nested).items()} == expected


def test_every_role_is_in_the_table() -> None:
    met = {role for _, roles in ROLE_TABLE.values() for role in roles.values()}
    assert met == {*ROLES, "constant"}


@pytest.mark.parametrize("case", ROLE_TABLE)
def test_places_and_state_have_the_same_names_in_the_same_order(case: str) -> None:
    layer = ROLE_TABLE[case][0]()
    assert list(places(layer)) == list(state_of(layer))
    assert set(places(layer)) == set(layer.state_dict())


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: nn.Conv2d(4, 6, 3, groups=2), Place(role="kernel", groups=2)),
        (lambda: nn.Linear(4, 6), Place(role="kernel")),
        (lambda: nn.Embedding(5, 3), Place(role="embedding", input_first=True)),
        (lambda: nn.EmbeddingBag(5, 3), Place(role="embedding", input_first=True)),
        (lambda: nn.ConvTranspose1d(4, 6, 3), Place(role="kernel", input_first=True)),
        (
            lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
            Place(role="kernel", input_first=True, groups=2),
        ),
    ],
)
def test_a_kernel_says_where_its_output_channels_lie(
    make: Callable[[], nn.Module], place: Place
) -> None:
    found = places(make())["weight"]
    lies = (place.role, place.input_first, place.groups)
    assert (found.role, found.input_first, found.groups) == lies


# --- running a state ----------------------------------------------------------------------------


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, as in evaluation with torch's fast path."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


class Recurrent(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, cls: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells = cls(8, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cells(x)[0][:, -1]
        return out


class Tied(nn.Module):
    """An embedding whose weights are also the last layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.ConvTranspose2d(8, 4, 2, groups=2),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.LayerNorm(4 * 5 * 5),
        nn.Linear(4 * 5 * 5, 3),
    )


SEQUENCES = torch.randn(2, 5, 8, generator=stream(0, "sequences"))
IMAGES = torch.randn(2, 2, 4, 4, generator=stream(0, "images"))
IDS = torch.tensor([[0, 4, 2]])
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "convolutional": (convolutional, IMAGES),
    "attention": (SelfAttention, SEQUENCES),
    "attention with separate q, k, v": (lambda: SelfAttention(kdim=8, vdim=8), SEQUENCES),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCES),
    "lstm": (lambda: Recurrent(nn.LSTM), SEQUENCES),
    "gru": (lambda: Recurrent(nn.GRU), SEQUENCES),
    "tied": (Tied, IDS),
}


def network(case: str) -> tuple[nn.Module, Tensor]:
    make, x = NETWORKS[case]
    with seeded(0, case):
        return make(), x


def snapshot(model: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("case", NETWORKS)
def test_logits_of_the_own_state_are_the_models_own_in_evaluation_mode(case: str) -> None:
    model, x = network(case)
    expected = copy.deepcopy(model).eval()(x)
    actual = outputs(skeleton_of(model), Chip(state_of(model)), x)
    torch.testing.assert_close(actual, expected)
    assert not actual.requires_grad


@pytest.mark.parametrize("case", NETWORKS)
def test_every_tensor_of_the_state_reaches_the_output_as_it_would_inside_the_module(
    case: str,
) -> None:
    model, x = network(case)
    model.eval()
    skeleton, state, clean = skeleton_of(model), state_of(model), model(x)
    for name, place in places(model).items():
        if place.role == "constant":
            continue
        noise = torch.rand(state[name].shape, generator=stream(0, name)) + 0.5
        other = {**state, name: state[name] + noise}
        actual = outputs(skeleton, Chip(other), x)
        torch.testing.assert_close(actual, with_state(model, other)(x))
        assert not torch.allclose(actual, clean), f"{name} does not reach the output"


@pytest.mark.parametrize("name", ["in_proj_weight", "in_proj_bias", "out_proj.weight"])
def test_attention_with_other_weights_is_what_its_formula_says(name: str) -> None:
    model, x = network("attention")
    state = state_of(model)
    key = f"attention.{name}"
    state[key] = state[key] + torch.randn(state[key].shape, generator=stream(0, name))
    w, b = state["attention.in_proj_weight"], state["attention.in_proj_bias"]
    q, k, v = F.linear(x, w, b).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)  # (N, head, time, 4)
    mixed = (q @ k.mT / 4**0.5).softmax(-1) @ v
    mixed = mixed.transpose(1, 2).reshape(2, 5, 8)
    out = F.linear(mixed, state["attention.out_proj.weight"], state["attention.out_proj.bias"])
    torch.testing.assert_close(outputs(skeleton_of(model), Chip(state), x), out)


@pytest.mark.parametrize("targets", [("kernel",), ("kernel", "bias", "norm_affine")])
@pytest.mark.parametrize("case", NETWORKS)
def test_a_manufactured_chip_computes_what_logits_of_its_state_does(
    case: str, targets: tuple[str, ...]
) -> None:
    model, x = network(case)
    spec = parse("gaussian(0.3, reference=max)")
    chip = manufacture(model.eval(), spec, targets=targets, seed=1, chip=2)
    actual = outputs(skeleton_of(model), Chip(state_of(chip)), x)
    torch.testing.assert_close(actual, chip(x))
    assert not torch.allclose(actual, model(x))


def test_tied_weights_appear_once_and_stay_tied() -> None:
    model, ids = network("tied")
    assert list(state_of(model)) == ["embedding.weight"]
    assert list(places(model)) == ["embedding.weight"]
    w = torch.randn(5, 4, generator=stream(0, "tied"))
    expected = F.linear(w[ids], w)
    torch.testing.assert_close(
        outputs(skeleton_of(model), Chip({"embedding.weight": w}), ids), expected
    )
    filled = with_state(model, {"embedding.weight": w})
    torch.testing.assert_close(filled(ids), expected)
    assert isinstance(filled, Tied)
    assert filled.head.weight is filled.embedding.weight


def test_a_layer_used_twice_appears_once() -> None:
    layer = nn.Linear(3, 3)
    assert list(places(nn.Sequential(layer, nn.ReLU(), layer))) == ["0.weight", "0.bias"]


@pytest.mark.parametrize("case", NETWORKS)
def test_the_model_is_left_as_it_is(case: str) -> None:
    model, x = network(case)
    next(model.parameters()).requires_grad_(False)
    before = snapshot(model)
    flags = [p.requires_grad for p in model.parameters()]
    other = {name: tensor + 1 for name, tensor in state_of(model).items()}
    skeleton = skeleton_of(model)
    outputs(skeleton, Chip(other), x)
    with_state(model, other)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for name, tensor in skeleton.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in skeleton.modules())


def test_a_state_is_shared_with_its_model_and_detached() -> None:
    model = nn.Linear(2, 2)
    state = state_of(model)
    assert state["weight"].data_ptr() == model.weight.data_ptr()
    assert not state["weight"].requires_grad


def test_a_module_filled_with_a_state_holds_copies_and_keeps_modes_and_flags() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
    model[0].bias.requires_grad_(False)
    w = torch.full((2, 2), 7.0)
    filled = with_state(model, {"0.weight": w})
    assert torch.equal(filled[0].weight, w)
    assert filled[0].weight.data_ptr() != w.data_ptr()
    assert torch.equal(filled[0].bias, model[0].bias)
    assert [p.requires_grad for p in filled.parameters()] == [True, False, True, True]
    assert [module.training for module in filled] == [True, False]
