"""Blocks of images, each image on a chip of its own, through a network at its fastest."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.flipout import Flipout
from noiseproof.network import State
from noiseproof.noise import Programme
from noiseproof.passes import Forward, Passes


class ImageChips:
    """One programme of noise on one network, image by image. Normalisation is folded away where
    the noise leaves it alone."""

    def __init__(self, skeleton: nn.Module, passes: Passes, programme: Programme) -> None:
        self._programme = programme
        folded = set() if passes.fold is None else passes.fold.norm_tensors
        self._passes = None if folded & set(programme.names) else passes
        self._flipout = Flipout(
            skeleton if self._passes is None else self._passes.skeleton, programme.names
        )

    @cached_property
    def base(self) -> State:
        """What the skeleton's state is without noise, its deterministic stages done."""
        base = self._programme.base
        return base if self._passes is None else self._passes.ready(base)

    def block(self, seed: int, unit: int, images: int, device: torch.device) -> Forward:
        """Block number `unit` as a function of its inputs, which come in order, in batches of any
        size: image i of the block sees that chip's noise under signs of its own."""
        drawn = self._programme.noise(seed, unit)
        noise: Mapping[str, Tensor] = {name: n.to(device) for name, n in drawn.items()}
        if self._passes is not None:
            noise = self._passes.noise(self._programme.base, noise)
        signs = self._flipout.signs(seed, unit, images).to(device)
        done = 0

        def forward(x: Tensor) -> Any:
            nonlocal done
            done += len(x)
            inputs = x if self._passes is None else self._passes.laid_out(x)
            return self._flipout.outputs(self.base, noise, signs.rows(done - len(x), done), inputs)

        return forward
