"""A chip as an ordinary module: `manufacture(model, noise, seed=0, chip=3)`."""

import copy
import warnings
from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from noiseproof.core.checks import NoEffectWarning, ReachWarning
from noiseproof.core.inputs import Inputs
from noiseproof.network import (
    check_module,
    examine_,
    places,
    state_of,
    stored_as,
    unwatched,
    with_state,
)
from noiseproof.noise.arrays import Arrays
from noiseproof.noise.own import resolved
from noiseproof.noise.perturbation import DEFAULT_TARGETS, Programme, touched
from noiseproof.specs import Spec, Stored, find_hardware, parse, parse_mapping, parse_mvm

M = TypeVar("M", bound=nn.Module)


def manufacture(
    model: M,
    noise: Spec | str,
    *,
    seed: int = 0,
    chip: int = 0,
    targets: Sequence[str] = DEFAULT_TARGETS,
    inputs: Inputs | None = None,
    stats_as: str = "variance",
    hardware: str | None = None,
) -> M:
    """A copy of `model` with the weights of chip number `chip`: use it with any evaluation code.

    The same (seed, chip) gives the same chip always and everywhere; at two levels it is the same
    dice, scaled. Modes, tied weights and the state dict's keys carry over; `model` is left alone.

    - `noise`: a spec, its level included, or its text.
    - `seed`, `chip`: name the chip (default: 0, 0).
    - `targets`: roles of tensors that get noise (default: kernel).
    - `inputs`: a few, as the network takes them, which show what layers of classes that are not
      torch's multiply with, as `measure` sees it from its data (default: torch's own alone).
    - `stats_as`: what noise on `norm_stats` is on: variance (default), deviation, inverse or own.
    - `hardware`: a chip by name or file, whose mapping and compensation hold for noise on devices
      (default: pairs of them, each output channel by its own largest weight, no compensation).

    Raises:
        ValueError: for an unknown target or form, and inputs that the network cannot take.
    Warns:
        NoEffectWarning: when the noise reaches no tensor.
        ReachWarning: when parameters may be kernels of such layers, and no inputs show it.
    """
    check_module(model)
    spec = parse(noise) if isinstance(noise, str) else noise
    state, seen = state_of(model), copy.deepcopy(model).eval()
    if inputs is not None:
        examine_(seen, state_of(seen), inputs)
    where = stored_as(places(seen), seen, Stored(stats_as=stats_as).stats_as)
    if inputs is None and "kernel" in targets and (text := unwatched(state, where, targets)):
        warnings.warn(text, ReachWarning, stacklevel=2)
    if spec.is_random and not any(touched(state, where, spec, targets).values()):
        warnings.warn(
            f"{spec} on {','.join(targets)} changes no tensor of this {type(model).__name__}",
            NoEffectWarning,
            stacklevel=2,
        )
    programme = Programme(
        state=state, places=where, spec=resolved(spec), targets=targets, arrays=_arrays(hardware)
    )
    return with_state(model, programme.chip(seed, chip).state)


def _arrays(name: str | None) -> Arrays:
    """What the hardware of that name says of arrays.

    Raises:
        ValueError: for hardware that there is not, and for what a module cannot take with it:
            folded normalisation, what happens at products, a choice of digital layers.
    """
    if name is None:
        return Arrays()
    found = find_hardware(name)
    mapping, folds = parse_mapping(found.mapping)
    if folds:
        raise ValueError(f"{name} folds the normalisation, which a module to take away does not")
    if parse_mvm(found.mvm).stages:
        raise ValueError(
            f"{name} has {found.mvm} at its products, and those of a module to take away "
            "are exact: measure it, or name hardware without mvm"
        )
    if found.digital:
        raise ValueError(
            f"{name} keeps layers digital ({found.digital}), which a module to take away does not: "
            "name them in the noise, as device(pcm)@name:PATTERN, and hardware without digital"
        )
    return Arrays(mapping=mapping, compensate=found.compensate)
