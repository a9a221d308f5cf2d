"""The tensors of a model, one line each, so that nothing stays clean silently."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from noiseproof.core.rng import stream
from noiseproof.models import build
from noiseproof.network import State, kept_digital, places, state_of
from noiseproof.noise import touched
from noiseproof.specs import Layers, Spec


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """One tensor of a model. `touched` is None where no noise was asked about."""

    name: str
    role: str
    shape: tuple[int, ...]
    elements: int
    touched: bool | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def inventory(
    name: str,
    *,
    norm: str | None = None,
    where: str = "all",
    noise: Spec | None = None,
    targets: Sequence[str] = ("kernel",),
    digital: Sequence[Layers] = (),
) -> list[TensorFacts]:
    """Every tensor of the model `name`: role, shape, and whether `noise` on `targets` can change
    it. That is judged on random values, as trained ones are: a fresh model's gammas and biases are
    constant, and noise relative to their spread would leave them alone. Tied tensors appear once,
    under their first name. What is kept `digital` has that role.

    Raises:
        ValueError: for an unknown model, norm or target, and for layers that it has not.
    """
    # ImageNet's, which these networks are published for.
    classes = 1000 if name.startswith(("torchvision:", "timm:")) else 10
    model = build(name, norm=norm, where=where, classes=classes)
    state, found = state_of(model), kept_digital(places(model), digital)
    reached = {} if noise is None else touched(_random_values(state), found, noise, targets)
    return [
        TensorFacts(
            name=key,
            role=found[key].role,
            shape=tuple(tensor.shape),
            elements=tensor.numel(),
            touched=reached.get(key),
        )
        for key, tensor in state.items()
    ]


def _random_values(state: State) -> State:
    return {
        name: torch.randn(tensor.shape, generator=stream(0, "inventory", name))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in state.items()
    }
