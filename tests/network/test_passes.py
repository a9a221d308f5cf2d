"""Passes: the same outputs as the plain network, chip after chip."""

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from noiseproof.core.rng import stream
from noiseproof.models.building import build
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.passes import Passes
from noiseproof.network.state import State, places, skeleton_of, state_of
from noiseproof.noise.perturbation import perturb
from noiseproof.specs.noise import parse

EPS = torch.finfo(torch.float32).eps


def images(n: int, channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand((n, channels, side, side), generator=stream(0, "images"))


def chip_of(model: nn.Module, chip: int = 0) -> State:
    """A chip with noise on everything, so that no two layers do nothing to each other."""
    roles = ("kernel", "bias", "norm_affine")
    spec = parse("gaussian(0.1, reference=max)")
    return perturb(state_of(model), places(model), spec, targets=roles, seed=0, chip=chip)


def assert_close(got: Tensor, wanted: Tensor) -> None:
    """Each of some ten to fifty layers adds relative errors of about eps sqrt(fan in), fan in at
    most 4608; 2000 eps is 2.4e-4, and a wrong fold is of order one."""
    torch.testing.assert_close(got, wanted, rtol=0, atol=2000 * EPS * float(wanted.abs().max()))


@pytest.mark.parametrize("norm", [None, "batch_l1", "batch_range", "group", "none"])
def test_a_chip_returns_what_the_plain_network_returns(norm: str | None) -> None:
    model = skeleton_of(build("resnet8", norm=norm))
    passes = Passes(model, state_of(model), images(2))
    x = images(5)
    for chip in range(2):
        state = chip_of(model, chip)
        assert_close(passes.load(Chip(state))(x), outputs(model, Chip(state), x))
    assert (passes.fold is None) == (norm in ("group", "none"))
    assert passes.channels_last


def test_chips_that_are_loaded_together_stay_apart() -> None:
    model = skeleton_of(build("resnet8"))
    passes = Passes(model, state_of(model), images(2))
    states = [chip_of(model, chip) for chip in range(2)]
    first, second = (passes.load(Chip(state)) for state in states)
    assert_close(second(images(3)), outputs(model, Chip(states[1]), images(3)))
    assert_close(first(images(3)), outputs(model, Chip(states[0]), images(3)))


def test_the_batch_size_changes_rounding_only() -> None:
    model = skeleton_of(build("resnet8"))
    forward = Passes(model, state_of(model), images(2)).load(Chip(chip_of(model)))
    x = images(12)
    whole = forward(x)
    for size in (1, 5):
        assert_close(torch.cat([forward(part) for part in x.split(size)]), whole)


class Viewing(nn.Module):
    """A convolution whose output is flattened by `view`, which needs it contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.bn(self.conv(x)).view(len(x), -1))
        return y


def test_a_network_that_cannot_run_channels_last_runs_as_it_is() -> None:
    model = skeleton_of(Viewing())
    x = images(3, side=8)
    passes = Passes(model, state_of(model), x[:2])
    assert not passes.channels_last
    assert passes.fold is not None
    assert_close(passes.load(Chip(chip_of(model)))(x), outputs(model, Chip(chip_of(model)), x))


class Striding(nn.Module):
    """Reads activations in the order of memory: another result, but no error, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.as_strided(y, (len(x), 5), (y[0].numel(), 1))


def test_a_network_that_reads_memory_as_it_lies_runs_as_it_is() -> None:
    model = skeleton_of(Striding())
    x = images(3, side=8)
    passes = Passes(model, state_of(model), x[:2])
    assert not passes.channels_last
    assert_close(passes.load(Chip(chip_of(model)))(x), outputs(model, Chip(chip_of(model)), x))


def test_a_network_without_images_runs() -> None:
    model = skeleton_of(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()))
    x = torch.rand((3, 4), generator=stream(0, "rows"))
    passes = Passes(model, state_of(model), x[:2])
    assert passes.fold is not None
    assert not passes.channels_last
    assert_close(passes.load(Chip(state_of(model)))(x), outputs(model, Chip(state_of(model)), x))


@pytest.mark.parametrize("name", ["fcos", "ssdlite"])
def test_a_detector_returns_the_same_boxes(name: str) -> None:
    model = skeleton_of(build(name, classes=4))
    x = images(2, side=64)
    got = Passes(model, state_of(model), x).load(Chip(chip_of(model)))(x)
    wanted = outputs(model, Chip(chip_of(model)), x)
    assert len(got) == len(wanted) == 2
    assert any(len(one["boxes"]) for one in wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.keys() == other.keys()
        assert torch.equal(one["labels"], other["labels"])
        assert_close(one["boxes"], other["boxes"])


def test_nothing_that_is_given_changes() -> None:
    model = build("resnet8").train()
    state = state_of(model)
    before = {name: tensor.clone() for name, tensor in state.items()}
    layouts = {name: tensor.stride() for name, tensor in state.items()}
    passes = Passes(model, state, images(2))
    passes.load(Chip(state))(images(3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(model).items())
    assert {name: tensor.stride() for name, tensor in state_of(model).items()} == layouts
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert not passes.load(Chip(state))(images(3)).requires_grad


def test_the_private_copy_shares_its_tensors_with_the_network() -> None:
    model = skeleton_of(build("resnet8"))
    passes = Passes(model, state_of(model), images(2))
    mine = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    new = [p for p in passes.skeleton.parameters() if p.data_ptr() not in mine]
    assert all(p.dim() == 1 for p in new)  # the biases that the convolutions lacked


def test_inputs_that_the_network_cannot_take_are_one_sentence() -> None:
    model = skeleton_of(build("resnet8"))
    forward = Passes(model, state_of(model), images(2)).load(Chip(state_of(model)))
    with pytest.raises(ValueError, match=r"the network fails on inputs of shape \(2, 5, 32, 32\)"):
        forward(images(2, channels=5))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own remarks
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_all_chips_share_one_compilation() -> None:
    model = skeleton_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    passes = Passes(model, state_of(model), images(2), compiled=True)
    torch._dynamo.reset()
    counters.clear()
    x = images(7)
    for chip in range(3):
        state = chip_of(model, chip)
        forward = passes.load(Chip(state))
        for part in x.split(4):  # the last part is smaller and runs without compilation
            assert_close(forward(part), outputs(model, Chip(state), part))
    assert counters["stats"]["unique_graphs"] == 1
    with pytest.raises(ValueError, match=r"inputs of shape \(4, 5, 32, 32\): Given groups=1"):
        forward(images(4, channels=5))
