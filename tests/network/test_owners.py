"""The same network is the same chip wherever it stands."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import noiseproof as npf
from noiseproof.network.owners import printed
from noiseproof.network.state import network_sha256, places, skeleton_of, state_of
from noiseproof.noise.perturbation import perturb
from noiseproof.specs.noise import parse

SPEC = parse("gaussian(0.3)")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.conv(x))
        return found


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with npf.rng.seeded(0, "owners"):
            self.stem, self.fc = Block(), nn.Linear(27, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(self.stem(x).flatten(1))
        return found


class Held(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone = net

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.backbone(x)
        return found


class Normalize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((2, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mean, Tensor)
        return x - self.mean


class Inner(nn.Module):
    """A wrapper within: only its stem is compiled."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.stem, self.fc = torch.compile(net.stem), net.fc


def compiled(net: nn.Module) -> nn.Module:
    found = torch.compile(net)
    assert isinstance(found, nn.Module)
    return found


WRAPPED: dict[str, Callable[[Net], nn.Module]] = {
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "averaged": AveragedModel,
    "held": Held,
    "normalised": lambda net: nn.Sequential(Normalize(), net),
    "named": lambda net: nn.Sequential(OrderedDict(pre=nn.ReLU(), net=net, post=nn.ReLU())),
    "all at once": lambda net: nn.DataParallel(nn.Sequential(Normalize(), Held(compiled(net)))),
    "compiled inside": Inner,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_network_has_the_chips_of_the_network(wrap: Callable[[Net], nn.Module]) -> None:
    def kernels(model: nn.Module) -> list[Tensor]:
        chip = perturb(state_of(model), places(model), SPEC, seed=1, chip=2)
        return [chip[name] for name, place in places(model).items() if place.role == "kernel"]

    both = zip(kernels(wrap(Net())), kernels(Net()), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in both)


@pytest.mark.parametrize("wrap", ["data parallel", "compiled", "held", "compiled inside"])
def test_what_only_holds_a_network_is_no_part_of_its_fingerprint(wrap: str) -> None:
    def fingerprint(model: nn.Module) -> str:
        return network_sha256(model, state_of(model))

    if wrap == "compiled inside":
        assert fingerprint(WRAPPED[wrap](Net())) == fingerprint(Inner_plain(Net()))
    else:
        assert fingerprint(WRAPPED[wrap](Net())) == fingerprint(Net())


def test_a_network_in_data_parallel_runs_as_the_network_itself() -> None:
    net = Net()
    skeleton = skeleton_of(nn.DataParallel(nn.DataParallel(net)))
    assert type(skeleton) is Net
    assert all(torch.equal(t, net.state_dict()[name]) for name, t in skeleton.state_dict().items())


def Inner_plain(net: Net) -> nn.Module:  # noqa: N802  # beside the class that it stands for
    found = Inner(net)
    found.stem = net.stem  # type: ignore[assignment]
    return found


def test_networks_at_several_places_keep_the_names_of_their_tensors_for_dice() -> None:
    several = [
        Net(),
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),  # one layer is no network within
        nn.Linear(3, 2),
        nn.MultiheadAttention(4, 2),
        nn.Sequential(nn.LSTM(3, 4)),
        *(npf.models.build(name, classes=10) for name in ("resnet8", "resnet20")),
    ]
    for model in several:
        assert {name: place.dice for name, place in places(model).items()} == {
            name: name for name in places(model)
        }


def test_a_layer_of_the_users_called_module_keeps_its_name() -> None:
    model = Net()
    model.module = nn.Linear(2, 2)
    assert places(model)["module.weight"].dice == "module.weight"


def test_a_printed_structure_has_no_addresses() -> None:
    class Acting(Net):
        def extra_repr(self) -> str:
            return f"act={(lambda x: x)}"

    assert "0x" in repr(Acting())
    assert printed(Acting()) == printed(Acting())
