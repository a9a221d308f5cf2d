"""The check before a measurement that per-image chips hold for a network."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import (
    Inputs,
    count,
    device_of_inputs,
    map_tensors,
    rows,
    tensors_within,
)
from noiseproof.network import Chip, State, outputs, skeleton_of
from noiseproof.noise.flipout import Flipout, placed
from noiseproof.noise.perturbation import Programme
from noiseproof.noise.signs import Signs, flipped_tensor

CHECKED_IMAGES = 3
DEPARTURE = 1e-6, 1e-10  # allowed in float64: of the noise's effect, of the output itself


def check_flipout(
    skeleton: nn.Module, programme: Programme, images: Inputs, *, seed: int = 0
) -> None:
    """Raise ValueError, in one line, where images of this network do not get the chips they should.

    The first three of `images` (N, ...) run in one pass of a `Flipout`, and each of them alone
    with the literal tensors of its chip, in float64 where the network can; the outputs must be
    the same, up to a small share of the effect of the programme's noise. What it finds: a weight
    that is used outside of the forward of its own layer, images that are mixed, a batch axis that
    moves. It names the first tensor at fault.
    """
    x = rows(images, slice(0, CHECKED_IMAGES))
    n, device = count(x), device_of_inputs(x)
    if n < 2:
        raise ValueError(f"the check of per-image chips needs at least 2 images, got {n}")
    flipout = Flipout(skeleton, programme.names)
    signs = flipout.signs(seed, 0, n)
    base, noise = placed(device, programme.base), placed(device, programme.noise(seed, 0))
    trial = _in_float64(_Trial(flipout, skeleton_of(skeleton), base, noise, signs, x, DEPARTURE))
    try:
        reason = trial.why_not()
    except ValueError as error:
        reason = str(error)
    if reason:
        raise ValueError(
            f"per-image chips do not hold for this network: {reason}: use the design `chips`"
        )


@dataclass(frozen=True, eq=False)
class _Trial:
    flipout: Flipout
    plain: nn.Module
    base: State
    noise: Mapping[str, Tensor]
    signs: Signs
    x: Inputs
    departure: tuple[float, float]

    def why_not(self) -> str:
        """What is wrong; "" where nothing is."""
        # First without noise, so that a network that mixes its images is not blamed on the signs.
        if not self._compare(())[2]:
            return "the output of an image depends on the other images of its batch"
        error, effect, holds = self._compare(self.noise.keys())
        if not effect and any(n.any() for n in self.noise.values()):
            return "the noise changes no output, so nothing can be checked"
        if holds:
            return ""
        # Tensor after tensor in the order of the network: together they say little about where.
        wrong = next((name for name in self.noise if not self._compare([name])[2]), None)
        where = f", first {wrong!r} (its layer is bypassed, or gets images on another axis than 0)"
        return (
            f"an output differs by {error:.2g} from that of a literal chip, where the noise makes "
            f"{effect:.2g}{where if wrong else ''}"
        )

    def _compare(self, names: Collection[str]) -> tuple[float, float, bool]:
        """The error of the one pass and the effect of the noise (root mean squares of the image
        that is worst and of all), and whether each image is right."""
        noise = {name: self.noise[name] for name in names}
        together = self.flipout.outputs(Chip(self.base), noise, self.signs, self.x)
        errors, effects, holds = [], [], True
        for i in range(count(self.x)):
            # The slow reference: a chip of its own for this image, its weights written out.
            alone = rows(self.x, slice(i, i + 1))
            chip = {n: flipped_tensor(n, self.base, noise, self.signs, i) for n in noise}
            clean, literal = (
                _vector(outputs(self.plain, Chip({**self.base, **own}), alone), 0)
                for own in ({}, chip)
            )
            errors.append(_rms(_vector(together, i) - literal))
            effects.append(_rms(literal - clean))
            # The first part shows a wrong sign however small the noise; the second is rounding.
            allowed = self.departure[0] * effects[-1] + self.departure[1] * _rms(literal)
            holds &= errors[-1] <= allowed  # False for nan
        return max(errors), max(effects), holds


def _in_float64(trial: _Trial) -> _Trial:
    """The trial in float64; in its own precision, less strict, where the network fixes that."""

    def wide(t: Tensor) -> Tensor:
        return t.double() if t.is_floating_point() else t

    base = {name: wide(t) for name, t in trial.base.items()}
    noise = {name: wide(t) for name, t in trial.noise.items()}
    # Whatever makes float32 by itself (anchors, codes of positions) cannot run in float64.
    try:
        outputs(trial.plain, Chip(base), map_tensors(trial.x, wide))
    except ValueError:
        eps = max((torch.finfo(t.dtype).eps for t in trial.noise.values()), default=0.0)
        return replace(trial, departure=(1e-2, min(1e3 * eps, 0.1)))
    return replace(trial, base=base, noise=noise, x=map_tensors(trial.x, wide))


def _vector(out: Any, i: int) -> Tensor:
    """What a network returned for image i, in one vector of float64 on the CPU."""
    found = tensors_within(out)
    if not found:
        raise ValueError(f"it must return tensors with an entry for each image, got {type(out)}")
    return torch.cat([tensor[i].detach().cpu().double().flatten() for tensor in found])


def _rms(v: Tensor) -> float:
    return float(v.square().mean().sqrt())
