"""Noise on the state of a network: `perturb(state, places, spec, ...) -> state`.

Everything here is a pure function. W is one targeted tensor, r its reference over its scope, eta
the level, z a draw of unit variance from the stream (seed, chip, tensor name, stage), which does
not depend on eta: one chip at two levels is the same dice, scaled.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from noiseproof.network import Place, State
from noiseproof.rng import stream
from noiseproof.spec import (
    Additive,
    Lognormal,
    Quantize,
    Spec,
    Stage,
    Stuck,
    ordered_targets,
)
from noiseproof.spec import parse as parse

DEFAULT_TARGETS = ("kernel",)


def perturb(
    state: Mapping[str, Tensor],
    places: Mapping[str, Place],
    spec: Spec,
    *,
    targets: Sequence[str] = DEFAULT_TARGETS,
    seed: int,
    chip: int,
) -> State:
    """The state of chip number `chip`: the targeted tensors noisy, all others shared.

    The dice of a tensor are named by (seed, chip, tensor name, stage), a stage by its kind and
    its place among the stages of that kind, so that a stage added in front leaves them alone.
    All arithmetic is on the CPU, so that every device gets the same chip.

    Raises:
        ValueError: for an unknown target.
    """
    wanted = [name for name in targeted(places, targets) if state[name].numel()]
    noisy = {name: state[name].cpu() for name in wanted}  # float64 is not on every device
    met: Counter[str] = Counter()
    for stage in spec.stages:
        label = f"{stage.kind}{met[stage.kind]}"
        met[stage.kind] += 1
        references = _references(noisy, places, stage)
        noisy = {
            name: _apply(stage, w, references[name], stream(seed, chip, name, label))
            for name, w in noisy.items()
        }
    return {**state, **{name: w.to(state[name].device) for name, w in noisy.items()}}


def targeted(places: Mapping[str, Place], targets: Sequence[str]) -> list[str]:
    """The names of the tensors whose role is one of `targets`; ValueError for an unknown role."""
    wanted = ordered_targets(targets)
    return [name for name, place in places.items() if place.role in wanted]


def touched(
    state: Mapping[str, Tensor], places: Mapping[str, Place], spec: Spec, targets: Sequence[str]
) -> dict[str, bool]:
    """For every tensor of `state`: can a chip made by `spec` differ from it?

    Decided on chips that are made, so it also shows targets that stay clean since their reference
    is zero; on one of them every element is stuck, since rare faults may spare a chip.
    """
    certain = [replace(s, p=1.0) if isinstance(s, Stuck) and s.p else s for s in spec.stages]
    chips = [
        perturb(state, places, one, targets=targets, seed=0, chip=0)
        for one in (spec, Spec(stages=tuple(certain)))
    ]
    return {
        name: any(not torch.equal(chip[name], tensor) for chip in chips)
        for name, tensor in state.items()
    }


def coverage(
    state: Mapping[str, Tensor], places: Mapping[str, Place], spec: Spec, targets: Sequence[str]
) -> tuple[int, int]:
    """How many of the parameters' elements (running statistics included) the noise can change,
    and how many there are."""
    reached = touched(state, places, spec, targets)
    sizes = {n: t.numel() for n, t in state.items() if places[n].role != "constant"}
    return sum(size for name, size in sizes.items() if reached[name]), sum(sizes.values())


# --- references --------------------------------------------------------------------------------


def _std(w: Tensor) -> Tensor:
    return w.double().std(dim=1, correction=0)


def _rms(w: Tensor) -> Tensor:
    return w.double().square().mean(1).sqrt()


def _max(w: Tensor) -> Tensor:
    return w.double().abs().amax(1)


def _range(w: Tensor) -> Tensor:
    return w.double().amax(1) - w.double().amin(1)


def _one(w: Tensor) -> Tensor:
    return torch.ones(w.shape[0], dtype=torch.float64, device=w.device)


REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {  # (rows, values) -> (rows,), in float64
    "absolute": _one,
    "max": _max,
    "range": _range,
    "rms": _rms,
    "std": _std,
}


def _references(noisy: State, places: Mapping[str, Place], stage: Stage) -> dict[str, Tensor]:
    """The stage's reference for each tensor, in a shape that broadcasts against it."""
    reference = REFERENCES[getattr(stage, "reference", "max")]
    scope = getattr(stage, "scope", "tensor")
    if scope == "global" and noisy:
        together = torch.cat([w.flatten() for w in noisy.values()])
        shared = reference(together[None])[0]
        return {name: shared.to(w) for name, w in noisy.items()}
    if scope == "channel":
        return {name: channel_reference(w, places[name], reference) for name, w in noisy.items()}
    return {name: reference(w.reshape(1, -1))[0].to(w) for name, w in noisy.items()}


def channel_reference(w: Tensor, place: Place, reference: Callable[[Tensor], Tensor]) -> Tensor:
    """`reference` of each output channel of w, in a shape that broadcasts against w.

    A vector (bias, gamma) has one value per output channel: its `max` and `rms` are the value's
    own magnitude, its `std` and `range` are zero.
    """
    if w.dim() == 0:
        return reference(w.view(1, 1))[0].to(w)
    if not place.input_first:
        rows = reference(w.reshape(w.shape[0], -1))
        return rows.view(-1, *[1] * (w.dim() - 1)).to(w)
    grouped = w.reshape(place.groups, -1, *w.shape[1:]).transpose(1, 2)  # (groups, out, in, ...)
    rows = reference(grouped.flatten(0, 1).flatten(1)).view(place.groups, -1)  # (groups, out)
    by_input = rows.repeat_interleave(w.shape[0] // place.groups, dim=0)  # (in, out)
    return by_input.view(*by_input.shape, *[1] * (w.dim() - 2)).to(w)


# --- stages ------------------------------------------------------------------------------------


def _gaussian(shape: torch.Size, g: Generator) -> Tensor:
    return torch.randn(shape, generator=g)


def _laplace(shape: torch.Size, g: Generator) -> Tensor:
    """The difference of two unit exponentials is Laplace with variance 2."""
    first, second = (torch.empty(shape).exponential_(generator=g) for _ in range(2))
    return (first - second) / math.sqrt(2)


def _uniform(shape: torch.Size, g: Generator) -> Tensor:
    return (torch.rand(shape, generator=g) * 2 - 1) * math.sqrt(3)


DRAWS: dict[str, Callable[[torch.Size, Generator], Tensor]] = {
    "gaussian": _gaussian,
    "laplace": _laplace,
    "uniform": _uniform,
}


def _additive(stage: Additive, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    z = DRAWS[stage.kind](w.shape, g).to(w)
    return torch.addcmul(w, z, r * stage.level)


def _lognormal(stage: Lognormal, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    z = torch.randn(w.shape, generator=g).to(w)
    return w * torch.exp(stage.level * z)


def _stuck(stage: Stuck, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    stuck = (torch.rand(w.shape, generator=g) < stage.p).to(w.device)
    full = torch.where(w < 0, -r, r)
    return torch.where(stuck, torch.zeros_like(w) if stage.at == "zero" else full, w)


def _quantize(stage: Quantize, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    steps = 2 ** (stage.bits - 1) - 1
    step = r / steps
    return torch.where(step > 0, torch.round(w / step) * step, w)


APPLY: dict[type[Stage], Callable[..., Tensor]] = {
    Additive: _additive,
    Lognormal: _lognormal,
    Stuck: _stuck,
    Quantize: _quantize,
}


def _apply(stage: Stage, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    """w after `stage`; same shape, dtype and device. `r` broadcasts against w."""
    apply = next(APPLY[cls] for cls in type(stage).__mro__ if cls in APPLY)
    return apply(stage, w, r, g)
