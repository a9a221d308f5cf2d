"""The tensors of a model, one line each, so that nothing stays clean silently."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from noiseproof import models
from noiseproof.network import places, state_of
from noiseproof.noise import touched
from noiseproof.spec import Spec


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
) -> list[TensorFacts]:
    """Every tensor of the freshly initialised model `name`: role, shape, and whether a chip made
    by `noise` on `targets` differs in it. Tied tensors appear once, under their first name.

    Raises:
        ValueError: for an unknown model, norm or target.
    """
    classes = 1000 if name.startswith(("torchvision:", "timm:")) else 10
    model = models.build(name, norm=norm, where=where, classes=classes)
    state, found = state_of(model), places(model)
    reached = {} if noise is None else touched(state, found, noise, targets)
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
