"""A manufactured chip is an ordinary module: the model with other weights, and nothing else."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import seeded, stream
from noiseproof.network.state import places, state_of
from noiseproof.noise.chips import manufacture
from noiseproof.noise.perturbation import perturb
from noiseproof.specs.noise import parse


class Net(nn.Module):
    """Tied weights, a frozen layer, a layer in evaluation mode: what a chip has to keep."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0, "net"):
            self.first = nn.Linear(4, 4)
            self.norm = nn.BatchNorm1d(4)
            self.again = nn.Linear(4, 4)
        self.again.weight = self.first.weight
        self.again.bias.requires_grad_(False)
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.again(self.norm(self.first(x)))
        return out


SPEC = parse("gaussian(0.2, reference=max)")


def test_a_chip_holds_the_perturbed_state() -> None:
    net = Net()
    chip = manufacture(net, SPEC, seed=3, chip=5, targets=("kernel", "bias"))
    expected = perturb(state_of(net), places(net), SPEC, targets=("kernel", "bias"), seed=3, chip=5)
    for name, tensor in state_of(chip).items():
        assert torch.equal(tensor, expected[name])


def test_a_chip_is_named_by_seed_and_index() -> None:
    net = Net()
    weights = [
        manufacture(net, SPEC, seed=seed, chip=chip).first.weight
        for seed, chip in ((0, 0), (0, 1), (1, 0))
    ]
    assert torch.equal(manufacture(net, SPEC).first.weight, weights[0])
    assert torch.equal(manufacture(net, SPEC, chip=1).first.weight, weights[1])
    assert torch.equal(manufacture(net, SPEC, seed=1).first.weight, weights[2])
    assert len({tuple(w.flatten().tolist()) for w in weights}) == 3


def test_a_chip_keeps_class_keys_modes_flags_and_ties() -> None:
    net = Net()
    chip = manufacture(net, SPEC)
    assert type(chip) is Net
    assert list(chip.state_dict()) == list(net.state_dict())
    assert [m.training for m in chip.modules()] == [m.training for m in net.modules()]
    assert [p.requires_grad for p in chip.parameters()] == [
        p.requires_grad for p in net.parameters()
    ]
    assert chip.again.weight is chip.first.weight
    assert isinstance(chip.first.weight, nn.Parameter)


def test_the_model_is_left_alone_and_shares_no_memory_with_its_chip() -> None:
    net = Net()
    before = copy.deepcopy(net.state_dict())
    chip = manufacture(net, SPEC, targets=("kernel",))
    for parameter in chip.parameters():
        parameter.data.zero_()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_chip_can_be_trained() -> None:
    chip = manufacture(Net(), SPEC)
    chip(torch.randn(3, 4, generator=stream(0, "x"))).sum().backward()
    assert chip.first.weight.grad is not None
    assert chip.again.bias.grad is None


@pytest.mark.parametrize("text", ["none", "gaussian(0)", "stuck(0) + lognormal(0)"])
def test_a_chip_without_noise_is_the_model_and_does_not_warn(text: str) -> None:
    net = Net()
    chip = manufacture(net, parse(text))
    for name, tensor in chip.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])


def flat() -> nn.Module:
    layer = nn.Linear(2, 2)
    nn.init.ones_(layer.weight)
    return layer


@pytest.mark.parametrize(
    ("make", "text", "targets"),
    [
        (lambda: nn.BatchNorm1d(3), "gaussian(0.1)", ("kernel",)),
        (lambda: nn.Linear(2, 2, bias=False), "lognormal(0.1)", ("bias", "other")),
        (flat, "gaussian(0.1, reference=std)", ("kernel",)),
        (nn.ReLU, "stuck(0.5)", ("kernel",)),
    ],
)
def test_noise_that_reaches_no_tensor_warns(
    make: Callable[[], nn.Module], text: str, targets: tuple[str, ...]
) -> None:
    sentence = rf"on {','.join(targets)} changes no tensor of this (BatchNorm1d|Linear|ReLU)"
    with pytest.warns(NoEffectWarning, match=sentence):
        manufacture(make(), parse(text), targets=targets)


def test_rare_faults_that_spare_a_chip_are_not_called_without_effect() -> None:
    with seeded(0, "small"):
        layer = nn.Linear(4, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chips = [manufacture(layer, parse("stuck(0.02)"), chip=chip) for chip in range(20)]
    spared = [torch.equal(chip.weight, layer.weight) for chip in chips]
    assert any(spared)
    assert not all(spared)
    assert [str(one.message) for one in caught] == []


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown target 'weight': expected one of kernel, emb"):
        manufacture(Net(), SPEC, targets=("weight",))
