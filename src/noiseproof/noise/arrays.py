"""Noise of devices on one kernel: scaled, written into them, read, compensated, scaled back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from noiseproof import hardware
from noiseproof.hardware import Faults, Lines, ReadBack, find_device, read_back
from noiseproof.network import Layout, as_kernel, as_matrix, by_output
from noiseproof.noise.own import own_devices
from noiseproof.specs import AS_ARRAYS, ArrayMapping, OnDevices, Stage, Stuck, Verify
from noiseproof.specs.stages import DeadLine
from noiseproof.specs.times import PROGRAMMED

SMALLEST_MEAN = 1e-4
"""Of |w| now; below it a layer is not scaled up further (the floor of aihwkit's compensation)."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """How kernels lie in arrays of devices, and how their drift is compensated: `off`, `scalar` or
    `column` (`specs.COMPENSATIONS`)."""

    mapping: ArrayMapping = AS_ARRAYS
    compensate: str = "off"

    def read(
        self,
        stage: OnDevices,
        about: Sequence[Stage],
        w: Tensor,
        scale: Tensor,
        generator: Generator,
        layout: Layout,
    ) -> tuple[Tensor, Tensor | None]:
        """The kernel w as it is read `stage.seconds` after it was programmed; `scale` broadcasts
        against it. Where that is zero, w stays zero: there is nothing to program. `about`: stages
        that say something of the devices. Beside it the digital factors (C,) or (1,) that are in
        it; None where nothing is compensated."""
        # Where all weights are zero there is nothing to divide by.
        ones = torch.where(scale > 0, scale, torch.ones_like(scale))
        # As a matrix (outputs, inputs), whose lines are those of arrays.
        matrix = as_matrix((w / ones).float(), layout)
        flat = matrix.flatten(0, 1).contiguous()
        if stage.is_function:
            read = _by_function(stage, about, flat, generator)
        else:
            read = read_back(
                find_device(stage.path or stage.device),
                flat,
                generator,
                time=stage.seconds,
                cells=self.mapping.cells,
                faults=_faults(about),
                lines=self._lines(w, layout, len(matrix)),
                verify=_verified(about),
            )
        now, factor = read.now, None
        if self.compensate != "off":
            factor = self._factor(read.programmed, now)
            now = now * factor
        kernel = as_kernel(now.view_as(matrix), layout, w.shape)
        found: Tensor = (kernel * scale).to(w)
        return found, None if factor is None else factor.flatten()

    def scale(self, w: Tensor, layout: Layout) -> Tensor:
        """max |W| of each weight's channel, tensor or tile, in a shape that broadcasts against w. A
        vector, which is no matrix of several channels, has one."""
        if self.mapping.scale == "tensor" or w.dim() < 2:
            return w.abs().amax()
        if self.mapping.scale == "channel":
            return by_output(as_matrix(w, layout).abs().amax(2).flatten(), w, layout)
        assert self.mapping.tile is not None
        return tile_maxima(w, layout, self.mapping.tile)

    def _lines(self, w: Tensor, layout: Layout, groups: int) -> Lines:
        """Which weights share a line of an array: those of one tile, of one group."""
        tile = self.mapping.tile
        return Lines(
            groups=groups, tile=None if tile is None else hardware.whole_tile(w, layout, tile)
        )

    def _factor(self, programmed: Tensor, now: Tensor) -> Tensor:
        """By what a digital multiplication behind the array makes up for drift: the mean |w| just
        after programming over that of now, of a layer or of each output; w (outputs, inputs) in
        units of its scale."""
        if self.compensate == "scalar":
            before, after = (one.abs().double().mean() for one in (programmed, now))
        else:
            before, after = (one.abs().double().mean(1, keepdim=True) for one in (programmed, now))
        factor: Tensor = before / after.clamp(min=SMALLEST_MEAN)
        return factor.float()


def _by_function(
    stage: OnDevices, about: Sequence[Stage], w: Tensor, generator: Generator
) -> ReadBack:
    """What devices of the user's own law give: the same dice for programming alone and for now."""
    if about:
        raise ValueError(
            f"{about[0].text()} needs devices that come as a file: {stage.device} is a function of "
            "whole weights, so leave it out"
        )
    dice = generator.get_state()
    programmed = own_devices(replace(stage, time=PROGRAMMED), w, generator)
    generator.set_state(dice)
    return ReadBack(programmed, own_devices(stage, w, generator))


def _faults(about: Sequence[Stage]) -> Faults:
    """What is broken, by the stages that say it; of two of one kind the last counts."""
    found: dict[str, float] = {}
    for stage in about:
        if isinstance(stage, Stuck):
            found[f"at_{stage.at}"] = stage.p
        elif isinstance(stage, DeadLine):
            found[stage.kind] = stage.p
    return Faults(**found)


def _verified(about: Sequence[Stage]) -> hardware.Verify:
    found = [one for one in about if isinstance(one, Verify)]
    if not found:
        return hardware.Verify()
    return hardware.Verify(rounds=found[-1].rounds, tolerance=found[-1].tolerance)


def tile_maxima(w: Tensor, layout: Layout, tile: tuple[int, int]) -> Tensor:
    """max |W| of each weight's tile, in the shape of w.

    Raises:
        ValueError: as `hardware.tiles`.
    """
    matrix = as_matrix(w, layout).abs()  # (groups, outputs, inputs)
    found = torch.empty_like(matrix)
    for part in hardware.tiles(w, layout, tile):
        found[part] = matrix[part].amax((1, 2), keepdim=True)
    return as_kernel(found, layout, w.shape)
