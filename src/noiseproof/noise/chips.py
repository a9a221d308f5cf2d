"""A chip as an ordinary module: `manufacture(model, spec, seed=0, chip=3)`."""

import warnings
from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.network import check_module, places, state_of, with_state
from noiseproof.noise.perturbation import DEFAULT_TARGETS, perturb, touched
from noiseproof.specs import Spec, parse

M = TypeVar("M", bound=nn.Module)


def manufacture(
    model: M,
    spec: Spec | str,
    *,
    seed: int = 0,
    chip: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
) -> M:
    """A copy of `model` with the weights of chip number `chip`: use it with any evaluation code.

    The same (seed, chip) gives the same chip always and everywhere; at two levels it is the same
    dice, scaled. Modes, tied weights and the state dict's keys carry over; `model` is left alone.

    - `spec`: the noise, its level included, or its text.
    - `seed`, `chip`: name the chip (default: 0, 0).
    - `targets`: roles of tensors that get noise (default: kernel).

    Raises:
        ValueError: for an unknown target.
    Warns:
        NoEffectWarning: when the noise reaches no tensor.
    """
    check_module(model)
    spec = parse(spec) if isinstance(spec, str) else spec
    state, where = state_of(model), places(model)
    if spec.is_random and not any(touched(state, where, spec, targets).values()):
        warnings.warn(
            f"{spec} on {','.join(targets)} changes no tensor of this {type(model).__name__}",
            NoEffectWarning,
            stacklevel=2,
        )
    return with_state(model, perturb(state, where, spec, targets=targets, seed=seed, chip=chip))
