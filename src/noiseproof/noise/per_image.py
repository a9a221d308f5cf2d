"""Blocks of images, each image on a chip of its own, through a network at its fastest."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, count
from noiseproof.network import Chip, Forward, Passes, State
from noiseproof.noise.flipout import Flipout
from noiseproof.noise.perturbation import Programme
from noiseproof.noise.signs import Signs


class ImageChips:
    """One programme of noise on one network, image by image. Normalisation is folded away where
    the noise leaves it alone."""

    def __init__(self, skeleton: nn.Module, passes: Passes, programme: Programme) -> None:
        self._programme = programme
        # Noise on gamma or beta is additive on the network, but not on a
        # kernel that gamma has gone into.
        folded = set() if passes.fold is None else passes.fold.norm_tensors
        self._passes = None if folded & set(programme.names) else passes
        self._flipout = Flipout(
            skeleton if self._passes is None else self._passes.skeleton,
            programme.names,
            # Not of the folded network, which lacks tensors: names must not depend on folding.
            dice=programme.dice,
        )
        self._bases: dict[frozenset[str], Chip] = {}

    @property
    def skeleton(self) -> nn.Module:
        """The network that runs, a private copy."""
        return self._flipout.skeleton

    def base(self, names: Collection[str]) -> Chip:
        """What the skeleton runs without noise, the programme's deterministic stages done on the
        tensors `names`; kept for the next time where there are none."""
        written = frozenset(names) if self._programme.is_written else frozenset()
        if written not in self._bases:
            base = self._programme.base
            chip = Chip({**self._programme.state, **{name: base[name] for name in written}})
            # Only the last one is held: a ranking asks for one group
            # after another, each a whole state.
            self._bases = {written: chip if self._passes is None else self._passes.ready(chip)}
        return self._bases[written]

    def noise(self, seed: int, unit: int, device: torch.device) -> State:
        """The draw that the images of a block share."""
        drawn = self._programme.noise(seed, unit)
        noise = {name: tensor.to(device) for name, tensor in drawn.items()}
        if self._passes is None:
            return noise
        # Noise goes through the same scales as its kernel, so that
        # base plus noise is the folded chip.
        return self._passes.noise(self._programme.base, noise)

    def signs(self, seed: int, unit: int, images: int) -> Signs:
        """What makes the draw each image's own."""
        return self._flipout.signs(seed, unit, images)

    def outputs(self, base: Chip, noise: Mapping[str, Tensor], signs: Signs, x: Inputs) -> Any:
        """What the network returns for x (n, ...), whose images have these `signs`."""
        inputs = x if self._passes is None else self._passes.laid_out(x)
        return self._flipout.outputs(base, noise, signs, inputs)

    def block(self, seed: int, unit: int, images: int, device: torch.device) -> Forward:
        """Block number `unit` as a function of its inputs, which come in order, in batches of any
        size: image i of the block sees that chip's noise under signs of its own."""
        base, noise = self.base(self._programme.names), self.noise(seed, unit, device)
        signs = self.signs(seed, unit, images).to(device)
        done = 0

        def forward(x: Inputs) -> Any:
            nonlocal done
            done += count(x)
            return self.outputs(base, noise, signs.rows(done - count(x), done), x)

        return forward
