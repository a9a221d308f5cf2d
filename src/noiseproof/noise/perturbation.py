"""Noise on the state of a network: `perturb(state, places, spec, ...) -> state`.

Everything here is a pure function. W is one targeted tensor, r its reference over its scope, eta
the level, z a draw of unit variance from the stream (seed, chip, tensor name, stage), which does
not depend on eta: one chip at two levels is the same dice, scaled.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from noiseproof.core.rng import stream
from noiseproof.network import (
    Chip,
    Place,
    State,
    as_matrix,
    by_output,
    chosen_tensors,
    read_back,
)
from noiseproof.noise.arrays import Arrays
from noiseproof.noise.stages import DRAWS, applied
from noiseproof.specs import (
    Additive,
    OnDevices,
    Spec,
    Stage,
    Stuck,
    ordered_targets,
    parse_layers,
)
from noiseproof.specs.noise import parse as parse

DEFAULT_TARGETS = ("kernel",)


def perturb(
    state: Mapping[str, Tensor],
    places: Mapping[str, Place],
    spec: Spec,
    *,
    targets: Sequence[str] = DEFAULT_TARGETS,
    only: Container[str] | None = None,
    seed: int,
    chip: int,
) -> State:
    """The state of chip number `chip`: the targeted tensors noisy, all others shared.

    The dice of a tensor are named by (seed, chip, tensor name, stage): the name without wrappers
    around the network, as `Place.dice` has it, a stage by its kind and its place among the stages
    of that kind, so that a stage added in front leaves them alone.
    All arithmetic is on the CPU, so that every device gets the same chip.

    - `state`, `places`: as `state_of` and `places` of a model give them.
    - `spec`: the noise, its level included.
    - `targets`: roles of tensors that get noise (default: kernel).
    - `only`: names of tensors; the others of the targeted ones stay as they are, but count in
      references of scope `global` (default: all that are targeted).
    - `seed`, `chip`: name the chip.

    Raises:
        ValueError: for an unknown target.
    """
    programme = Programme(state=state, places=places, spec=spec, targets=targets, only=only)
    return programme.chip(seed, chip).state


@dataclass(frozen=True, kw_only=True, eq=False)
class Programme:
    """A spec on a state, ready to make chips (see `perturb`). What all chips share, the stages
    before the first random one and its references, is computed once."""

    state: Mapping[str, Tensor]
    places: Mapping[str, Place]
    spec: Spec
    targets: Sequence[str] = DEFAULT_TARGETS
    only: Container[str] | None = None
    arrays: Arrays = field(default_factory=Arrays)

    @cached_property
    def names(self) -> list[str]:
        """The tensors that this programme's noise is on. A gamma may be written beside its running
        variance, see `network.Statistic`."""
        return [n for n in self._noisy if self.only is None or n in self.only]

    @property
    def is_written(self) -> bool:
        """Do deterministic stages come before the first random one, so that `base` differs from
        `state`?"""
        return len(self._random) < len(self._labelled)

    @cached_property
    def base(self) -> State:
        """The whole state after the stages that come before the first random one."""
        return {**self.state, **self._read({name: self._start[name] for name in self.names})}

    def chip(self, seed: int, chip: int) -> Chip:
        """Chip number `chip`; its products are exact."""
        noisy, references = self._start, self._references
        gains: dict[str, Tensor] = {}
        for place, (stage, label) in enumerate(self._random):
            # The first one's are the same for all chips, and are there (`_references`).
            if place:
                references = self._references_of(noisy, stage)
            noisy = {
                # A stream for each tensor by its name: leaving one out does
                # not move the dice of the others.
                name: self._applied(stage, name, w, references[name], (seed, chip, label), gains)
                if name in references
                else w
                for name, w in noisy.items()
                if name in self._kept
            }
        state = {**self.state, **self._read({name: noisy[name] for name in self.names})}
        return Chip(state, gains={name: gains[name] for name in self.names if name in gains})

    def noise(self, seed: int, chip: int) -> State:
        """What a last additive stage adds to `base` on chip number `chip`, on the CPU: `base`
        plus this is the chip, but for rounding. Empty where the spec has no random stage.

        Raises:
            ValueError: where the noise is not one additive stage after all others.
        """
        if not self._random:
            return {}
        (stage, label), *later = self._random
        if later or not isinstance(stage, Additive) or self._statistics:
            raise ValueError(f"{self.spec} is not one additive stage after all others")
        return {
            name: DRAWS[stage.kind](self._start[name].shape, self._stream(seed, chip, name, label))
            .to(self._start[name])
            .mul_(self._references[name] * stage.level)
            for name in self.names
            if name in self._references
        }

    @property
    def dice(self) -> Mapping[str, str]:
        """What the random streams of each tensor are called."""
        return {name: place.dice or name for name, place in self.places.items()}

    @cached_property
    def origin(self) -> str:
        """What the draws come from, `ROLE:HASH` for each role of the targets: the names, shapes and
        order of its tensors. Two networks with the same hash have the same dice there."""
        found = []
        for role in ordered_targets(self.targets):
            names = [n for n in self._targeted if self.places[n].role == role]
            if not names:
                continue
            drawn = [f"{self.dice[n]} {tuple(self.state[n].shape)}" for n in names]
            found.append(f"{role}:{hashlib.sha256(repr(drawn).encode()).hexdigest()[:8]}")
        return ",".join(found)

    @cached_property
    def _statistics(self) -> list[str]:
        """The tensors that are stored in another form than torch's."""
        return [name for name in self.names if self.places[name].statistic is not None]

    def _stored(self, name: str) -> Tensor:
        """The tensor as it is stored, on the CPU: float64 is not on every device."""
        tensor, statistic = self.state[name].cpu(), self.places[name].statistic
        return tensor if statistic is None else statistic.stored(tensor).to(tensor)

    def _read(self, noisy: State) -> State:
        """What the network computes with, where its tensors are stored so; each on its device."""
        if self._statistics:
            noisy = read_back(noisy, self.state, self.places)
        return {name: tensor.to(self.state[name].device) for name, tensor in noisy.items()}

    def _applied(
        self,
        stage: Stage,
        name: str,
        w: Tensor,
        r: Tensor,
        dice: tuple[int, int, str],
        gains: dict[str, Tensor],
    ) -> Tensor:
        """w after the stage; digital factors that are in it are noted in `gains`."""
        generator = self._stream(*dice[:2], name, dice[2])
        if isinstance(stage, OnDevices):
            about = self._of_devices[dice[2]]
            found, gain = self.arrays.read(stage, about, w, r, generator, self.places[name])
            if gain is not None:
                gains[name] = gain
            return found
        return applied(stage, w, r, generator)

    def _stream(self, seed: int, chip: int, name: str, label: str) -> Generator:
        return stream(seed, chip, self.places[name].dice or name, label)

    @cached_property
    def _targeted(self) -> list[str]:
        # An empty tensor has no maximum and no standard deviation to refer to.
        return [n for n in targeted(self.places, self.targets) if self.state[n].numel()]

    @cached_property
    def _noisy(self) -> list[str]:
        on = set(noisy_tensors(self.places, self.spec, self.targets)) if self.spec.stages else None
        return [n for n in self._targeted if on is None or n in on]

    @cached_property
    def _on(self) -> dict[str, set[str] | None]:
        """By the `where` of each stage the tensors that it is on; None for all."""
        return {stage.where: stage_tensors(self.places, stage) for stage in self.spec.stages}

    def _references_of(self, state: Mapping[str, Tensor], stage: Stage) -> dict[str, Tensor]:
        """The stage's reference for each of the tensors that it is on, over those alone."""
        on = self._on[stage.where]
        its = {name: w for name, w in state.items() if on is None or name in on}
        if isinstance(stage, OnDevices):
            return {name: self.arrays.scale(w, self.places[name]) for name, w in its.items()}
        return _references(its, self.places, stage)

    @cached_property
    def _kept(self) -> Container[str]:
        """What is computed for every chip: all that some stage is on, where a later stage's
        reference is over all of it."""
        scopes = {getattr(stage, "scope", "") for stage, _ in self._random[1:]}
        return self._noisy if "global" in scopes else self.names

    @cached_property
    def _labelled(self) -> list[tuple[Stage, str]]:
        """Each stage with the name of its dice."""
        met: Counter[str] = Counter()
        found = []
        for stage in self.spec.stages:
            if stage.is_of_devices:
                continue  # a part of the stage before it
            found.append((stage, f"{stage.kind}{met[stage.kind]}"))
            met[stage.kind] += 1
        return found

    @cached_property
    def _of_devices(self) -> dict[str, list[Stage]]:
        """What stages say of the devices of the one before them, by the name of its dice."""
        found: dict[str, list[Stage]] = {}
        labels = iter(label for _, label in self._labelled)
        said: list[Stage] = []
        for stage in self.spec.stages:
            if stage.is_of_devices:
                said.append(stage)
            else:
                said = found[next(labels)] = []
        return found

    @cached_property
    def _random(self) -> list[tuple[Stage, str]]:
        """The stages from the first random one on."""
        # Every stage after the first random one works on random weights, so it is of the chip too.
        first = next((i for i, (s, _) in enumerate(self._labelled) if s.swept), None)
        return [] if first is None else self._labelled[first:]

    @cached_property
    def _start(self) -> State:
        """The targeted tensors before the first random stage, on the CPU."""
        fixed = {n: self._stored(n) for n in self._noisy}
        for stage, label in self._labelled[: len(self._labelled) - len(self._random)]:
            references = self._references_of(fixed, stage)
            fixed = {
                # These stages roll no dice: the stream is there for the signature.
                name: applied(stage, w, references[name], self._stream(0, 0, name, label))
                if name in references
                else w
                for name, w in fixed.items()
            }
        return fixed

    @cached_property
    def _references(self) -> dict[str, Tensor]:
        """Of the first random stage."""
        return self._references_of(self._start, self._random[0][0]) if self._random else {}


def targeted(places: Mapping[str, Place], targets: Sequence[str]) -> list[str]:
    """The names of the tensors whose role is one of `targets`; ValueError for an unknown role."""
    wanted = ordered_targets(targets)
    return [name for name, place in places.items() if place.role in wanted]


def noisy_tensors(places: Mapping[str, Place], spec: Spec, targets: Sequence[str]) -> list[str]:
    """The names of the tensors that some stage of `spec` is on, whatever its level.

    Raises:
        ValueError: for an unknown role, and for a stage on layers that there are not.
    """
    names = targeted(places, targets)
    on = [stage_tensors(places, stage) for stage in spec.stages]
    return [name for name in names if any(some is None or name in some for some in on)]


def stage_tensors(places: Mapping[str, Place], stage: Stage) -> set[str] | None:
    """The tensors of the layers that a stage is on; None where it is on all."""
    return chosen_tensors(places, parse_layers(stage.where)) if stage.where else None


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
    # The population's, which one weight alone has too: n - 1 would give nan for it.
    return w.double().std(dim=1, correction=0)


def _rms(w: Tensor) -> Tensor:
    return w.double().square().mean(1).sqrt()


def _max(w: Tensor) -> Tensor:
    return w.double().abs().amax(1)


def _range(w: Tensor) -> Tensor:
    return w.double().amax(1) - w.double().amin(1)


def _one(w: Tensor) -> Tensor:
    return torch.ones(w.shape[0], dtype=torch.float64, device=w.device)


# In float64, since the sum over millions of weights decides the level for all of them.
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
        together = torch.cat([w.flatten() for w in noisy.values()])  # (all values,)
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
    # (groups, outputs, inputs) -> (C, inputs): a row for every output
    # channel, in `by_output`'s order.
    return by_output(reference(as_matrix(w, place).flatten(0, 1)), w, place).to(w)
