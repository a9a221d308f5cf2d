"""Folding: exactly the pairs that may be folded, and the same network afterwards."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.rng import stream
from noiseproof.models.building import build
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.folding import Fold, fold_of
from noiseproof.network.norms import NORMS, ScaledBatchNorm
from noiseproof.network.state import State, places, skeleton_of, state_of
from noiseproof.noise.perturbation import Programme
from noiseproof.specs.noise import parse

EPS = torch.finfo(torch.float64).eps


def lively(model: nn.Module) -> nn.Module:
    """`model` in float64 with no gamma of one, no mean of zero, and variances in [0.5, 1.5]."""
    model = model.double()
    with torch.no_grad():
        for name, tensor in state_of(model).items():
            if tensor.is_floating_point():
                g = stream(7, name)
                dice = torch.rand if name.endswith("running_var") else torch.randn
                tensor.copy_(dice(tensor.shape, generator=g) * (1 if tensor.dim() < 2 else 0.3))
                if name.endswith("running_var"):
                    tensor.add_(0.5)
    return skeleton_of(model)


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=stream(0, "inputs")).double()


def assert_same(got: Tensor, wanted: Tensor) -> None:
    """Up to the rounding of some hundred operations in float64."""
    torch.testing.assert_close(got, wanted, rtol=0, atol=1000 * EPS * float(wanted.abs().max()))


def folded(model: nn.Module, x: Tensor) -> tuple[nn.Module, State, Fold | None]:
    skeleton = lively(model)
    state = state_of(skeleton)
    return skeleton, state, fold_of(skeleton, state, x[:2])


# --- what folds ---------------------------------------------------------------------------------

FOLDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (3, 2, 7)),
    "conv2d": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0.3)),
        (3, 2, 7, 7),
    ),
    "reflecting": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4)
        ),
        (3, 2, 7, 7),
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.BatchNorm2d(6)),
        (3, 4, 5, 5),
    ),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), (3, 2, 4, 4, 4)),
    "linear": (lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), (3, 5)),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)),
        (3, 3, 5, 5),
    ),
    "transposed, grouped": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)),
        (3, 4, 5, 5),
    ),
    "transposed 1d": (
        lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 3), nn.BatchNorm1d(4)),
        (3, 3, 5),
    ),
    "no affine map": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)),
        (3, 2, 7, 7),
    ),
    "frozen": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), FrozenBatchNorm2d(4)), (3, 2, 7, 7)),
    **{
        kind: (
            lambda k=kind: nn.Sequential(  # type: ignore[misc]
                nn.Conv2d(2, 4, 3), ScaledBatchNorm(4, kind=k), nn.ReLU()
            ),
            (3, 2, 7, 7),
        )
        for kind in NORMS
        if kind.startswith("batch_")
    },
    "dropout between": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Dropout(), nn.BatchNorm2d(4)),
        (3, 2, 7, 7),
    ),
    "overwritten afterwards": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        (3, 2, 7, 7),
    ),
}


@pytest.mark.parametrize("name", FOLDS)
def test_a_folded_pair_computes_what_the_two_layers_compute(name: str) -> None:
    make, shape = FOLDS[name]
    skeleton, state, fold = folded(make(), inputs(*shape))
    assert fold is not None
    assert [pair.layer for pair in fold.pairs] == ["0"]
    norm = skeleton.get_submodule(fold.pairs[0].norm)
    chip = {n: t + 0.1 if t.is_floating_point() else t for n, t in state.items()}
    x = inputs(*shape)
    assert_same(outputs(fold.skeleton, Chip(fold.state(chip)), x), outputs(skeleton, Chip(chip), x))
    gone = {id(tensor) for tensor in (*norm.parameters(), *norm.buffers())}
    assert not gone & {id(tensor) for tensor in fold.skeleton.parameters()}


def test_the_folded_tensors_are_those_of_torchs_own_fusion() -> None:
    _, state, fold = folded(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(100, 3)),
        inputs(2, 2, 7, 7),
    )
    assert fold is not None
    norm = [state[f"1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    mean, var, gamma, beta = norm
    kernel, bias = fuse_conv_bn_weights(
        state["0.weight"], state["0.bias"], mean, var, 1e-5, gamma, beta
    )
    got = fold.state(state)
    assert_same(got["0.weight"], kernel)
    assert_same(got["0.bias"], bias)
    assert got["3.weight"] is state["3.weight"]
    assert set(got) == {"0.weight", "0.bias", "3.weight", "3.bias"}


def test_a_linear_layer_folds_as_torchs_own_fusion_says() -> None:
    _, state, fold = folded(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), inputs(2, 5))
    assert fold is not None
    norm = [state[f"1.{name}"] for name in ("running_mean", "running_var")]
    kernel, bias = fuse_linear_bn_weights(
        *(state["0.weight"], state["0.bias"], *norm, 1e-5, state["1.weight"], state["1.bias"])
    )
    assert_same(fold.state(state)["0.weight"], kernel)
    assert_same(fold.state(state)["0.bias"], bias)


@pytest.mark.parametrize(("name", "norms"), [("resnet8", 7), ("vgg11", 8), ("resnet20", 19)])
def test_every_normalisation_of_a_network_folds(name: str, norms: int) -> None:
    x = inputs(3, 3, 32, 32)
    skeleton, state, fold = folded(build(name), x)
    assert fold is not None
    assert len(fold.pairs) == norms
    assert_same(
        outputs(fold.skeleton, Chip(fold.state(state)), x), outputs(skeleton, Chip(state), x)
    )


# --- what is left alone -------------------------------------------------------------------------


class Own(nn.Module):
    """A convolution and a normalisation, and a `forward` of the test's own."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.other = nn.Conv2d(2, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.second = nn.BatchNorm2d(4)
        self.run = forward

    def forward(self, x: Tensor) -> object:
        return self.run(self, x)


def _also_read(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.bn(y) + y


def _two_norms(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.bn(y) + m.second(y)


def _overwritten(m: nn.Module, x: Tensor) -> Tensor:
    return m.bn(F.relu_(m.conv(x)))  # the very same tensor object


def _read_but_lost(m: nn.Module, x: Tensor) -> Tensor:
    """What is read steers nothing on these inputs, so that no output shows it."""
    y = m.conv(x)
    return m.bn(y) if y.amax() < 1e30 else y


def _returned_too(m: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    y = m.conv(x)
    return m.bn(y), y


def _gamma_read(m: nn.Module, x: Tensor) -> Tensor:
    return m.bn(m.conv(x)) * m.bn.weight.sum()


def _kernel_read(m: nn.Module, x: Tensor) -> Tensor:
    return m.bn(m.conv(x)) * m.conv.weight.sum()


def _called_twice(m: nn.Module, x: Tensor) -> Tensor:
    return m.bn(m.conv(x)) + m.bn(m.other(x))


def _layer_twice(m: nn.Module, x: Tensor) -> Tensor:
    return m.bn(m.conv(x)) + m.conv(-x)


def _not_reached(m: nn.Module, x: Tensor) -> Tensor:
    return m.second(F.relu(m.conv(x)))


ALONE = (
    _also_read,
    _two_norms,
    _overwritten,
    _read_but_lost,
    _returned_too,
    _gamma_read,
    _kernel_read,
    _called_twice,
    _layer_twice,
    _not_reached,
)


@pytest.mark.parametrize("forward", ALONE, ids=lambda forward: forward.__name__)
def test_a_pair_with_another_reader_is_left_alone(
    forward: Callable[[nn.Module, Tensor], object],
) -> None:
    _, _, fold = folded(Own(forward), inputs(2, 2, 5, 5))
    assert fold is None


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.std(), self.bias, padding=1)


class Activated(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class Doubled(nn.Conv2d):
    """`forward` is the convolution's own; what it calls is not."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight * weight, bias)


def _plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))


def _hooked() -> nn.Module:
    model = _plain()
    model[0].register_forward_hook(lambda module, args, out: out * out)
    return model


def _hooked_norm() -> nn.Module:
    model = _plain()
    model[1].register_forward_pre_hook(lambda module, args: args)
    return model


def _tied() -> nn.Module:
    model = nn.Sequential(*_plain(), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 3, padding=1))
    model[3].weight = model[0].weight
    return model


def _same_layer_twice() -> nn.Module:
    plain = _plain()
    return nn.Sequential(*plain, nn.Conv2d(4, 2, 1), *plain)


def _tied_gammas() -> nn.Module:
    model = nn.Sequential(*_plain(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    model[4].weight = model[1].weight
    return model


LEFT_ALONE: dict[str, Callable[[], nn.Module]] = {
    "own forward of a layer": lambda: nn.Sequential(
        Standardised(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    ),
    "own forward of a norm": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), Activated(4)),
    "own inner part of a layer": lambda: nn.Sequential(Doubled(2, 4, 3), nn.BatchNorm2d(4)),
    "hook on the layer": _hooked,
    "hook on the norm": _hooked_norm,
    "tied kernels": _tied,
    "one layer in two places": _same_layer_twice,
    "tied gammas": _tied_gammas,
    "statistics of the batch": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "activation between": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)
    ),
    "norm in front": lambda: nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3)),
    "another norm": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)),
    "no layer at all": lambda: nn.Identity(),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_more_than_a_plain_pair_is_left_alone(name: str) -> None:
    _, _, fold = folded(LEFT_ALONE[name](), inputs(2, 2, 5, 5))
    assert fold is None


def test_a_norm_over_positions_that_are_as_many_as_features_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    _, _, fold = folded(model, inputs(2, 4, 5))  # axis 1 is a position, not a feature
    assert fold is None


def test_a_bad_pair_does_not_cost_the_good_ones() -> None:
    bad = nn.Sequential(Doubled(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    good = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    x = inputs(2, 4, 5, 5)
    skeleton, state, fold = folded(nn.Sequential(good, bad, *lively(good)), x)
    assert fold is not None
    assert [pair.layer for pair in fold.pairs] == ["0.0", "2"]
    assert_same(
        outputs(fold.skeleton, Chip(fold.state(state)), x), outputs(skeleton, Chip(state), x)
    )


def test_random_layers_of_the_networks_own_do_not_disturb() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, training=True)

    _, _, fold = folded(nn.Sequential(*_plain(), Noisy()), inputs(2, 2, 5, 5))
    assert fold is not None


# --- purity, noise and errors -------------------------------------------------------------------


def test_the_network_and_the_states_stay_as_they_are() -> None:
    skeleton = lively(build("resnet8"))
    state = state_of(skeleton)
    before = {name: (tensor, tensor.clone()) for name, tensor in state.items()}
    modules = [(name, id(module)) for name, module in skeleton.named_modules()]
    fold = fold_of(skeleton, state, inputs(2, 3, 32, 32))
    assert fold is not None
    fold.state(state)
    for name, (tensor, copy) in before.items():
        assert state[name] is tensor
        assert torch.equal(tensor, copy)
    assert [(name, id(module)) for name, module in skeleton.named_modules()] == modules
    assert all(not m._forward_hooks for m in (*skeleton.modules(), *fold.skeleton.modules()))
    convolutions = [module for module in skeleton.modules() if isinstance(module, nn.Conv2d)]
    assert all(convolution.bias is None for convolution in convolutions)


def test_a_norm_in_training_mode_is_left_alone_and_writes_nothing() -> None:
    skeleton = lively(_plain())
    skeleton.get_submodule("1").train()
    state = state_of(skeleton)
    before = {name: tensor.clone() for name, tensor in state.items()}
    assert fold_of(skeleton, state, inputs(2, 2, 5, 5)) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


@pytest.mark.parametrize("name", FOLDS)
def test_folded_noise_on_the_folded_base_is_the_folded_chip(name: str) -> None:
    make, shape = FOLDS[name]
    skeleton, state, fold = folded(make(), inputs(*shape))
    assert fold is not None
    spec = parse("quantize(bits=6) + gaussian(0.1, reference=std)")
    programme = Programme(
        state=state, places=places(skeleton), spec=spec, targets=("kernel", "bias")
    )
    noise = programme.noise(0, 3)
    base, extra = fold.state(programme.base), fold.noise(programme.base, noise)
    assert extra.keys() <= base.keys()
    wanted = fold.state({n: t + noise.get(n, 0) for n, t in programme.base.items()})
    for tensor, chip in wanted.items():
        assert_same(base[tensor] + extra.get(tensor, 0), chip)


def test_noise_on_a_layer_that_does_not_fold_is_passed_on() -> None:
    _, state, fold = folded(build("resnet8"), inputs(2, 3, 32, 32))
    assert fold is not None
    noise = {"linear.weight": torch.ones_like(state["linear.weight"])}
    assert fold.noise(state, noise)["linear.weight"] is noise["linear.weight"]


def test_noise_on_a_folded_norm_is_refused() -> None:
    _, state, fold = folded(_plain(), inputs(2, 2, 5, 5))
    assert fold is not None
    with pytest.raises(ValueError, match="got noise on '1.weight': run the network unfolded"):
        fold.noise(state, {"1.weight": state["1.weight"]})


def test_inputs_that_the_network_cannot_take_are_an_error() -> None:
    skeleton = lively(_plain())
    with pytest.raises(ValueError, match="the network fails on inputs of shape"):
        fold_of(skeleton, state_of(skeleton), inputs(2, 5, 5, 5))
