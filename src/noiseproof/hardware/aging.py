"""Weights on devices: programmed, aged, read back.

w in [-1, 1] becomes conductances g = g_min + |w| (g_max - g_min), and is read back as
w' = (g+ - g-) / (g_max - g_min). A device's draws xi_1 (programming), xi_2 (how it ages) and xi_3
(its reading) do not depend on the time, so that one chip read at several times has one history.
The formulas are in `noiseproof.hardware.laws`, their constants in the device's file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from noiseproof.core.rng import stream
from noiseproof.hardware import laws
from noiseproof.hardware.devices import Device
from noiseproof.hardware.faults import (
    NO_FAULTS,
    ONE_ARRAY,
    Breaking,
    Faults,
    Lines,
    breakings,
)
from noiseproof.specs.cells import Cells, Offset, Pair, Pairs, Slices

Draws = tuple[Tensor, Tensor | None, Tensor | None]
"""xi_1, xi_2 and xi_3 of one device for each weight; None where they are not needed."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Devices that are further than `tolerance` (a share of g_max - g_min) from their target when
    they have been programmed are programmed again, up to `rounds` times. They are verified without
    read noise."""

    rounds: int = 0
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rounds <= 1000:
            raise ValueError(f"rounds of verify must be between 0 and 1000, got {self.rounds}")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance must be between 0 and 1, got {self.tolerance:g}")


ONCE = Verify()
PAIR = Pair()


@dataclass(frozen=True)
class ReadBack:
    """Weights in the units of those that were programmed: just `programmed`, without read noise;
    and as they are read `now`."""

    programmed: Tensor
    now: Tensor


@dataclass(frozen=True)
class _Job:
    """What all devices of one tensor share. `extra` names the dice of faults and of verifying."""

    device: Device
    time: float | None
    faults: Faults
    lines: Lines
    verify: Verify
    extra: int


def read_back(
    device: Device,
    w: Tensor,
    generator: Generator,
    *,
    time: float | None,
    cells: Cells = PAIR,
    faults: Faults = NO_FAULTS,
    lines: Lines = ONE_ARRAY,
    verify: Verify = ONCE,
) -> ReadBack:
    """What is read of the weights `w` from devices, `time` seconds after they were programmed.

    - `device`: the law of each device.
    - `w`: weights divided by their scale, in [-1, 1], of any shape, on the CPU; faults of lines
      take the first axis for the outputs (columns) and all others for the inputs (rows).
    - `generator`: gives all draws, in an order that neither the time nor faults nor verifying
      change.
    - `time`: None is programming alone: then both results are one tensor. At 0 a device is read
      for the first time, with the noise of that.
    - `cells`: which devices a weight has.
    - `faults`, `lines`: what is broken, and which weights share a line.
    - `verify`: how programming ends.

    Raises:
        ValueError: for a time beyond what was measured of the device, and for a single device per
            weight where the law is one of whole weights.
    """
    device.check_time(time)
    if device.law_of == "weight":
        device.check_cells(cells)
    # Of sums that cancel, as in a polynomial of 10th degree, float32 would keep too little.
    exact = w.double() if device.is_steep else w.float()
    extra = int(torch.randint(2**62, (), generator=generator))
    job = _Job(device, time, faults, lines, verify, extra)
    parts = _parts(exact, cells)
    each = 1 if isinstance(cells, Offset) or device.law_of == "weight" else 2
    draws = _drawn(device, exact, generator, devices=each * len(parts), is_read=time is not None)
    found = [
        _offset(job, part, draws[k], place=k)
        if isinstance(cells, Offset)
        else _pair(job, part, exact < 0, draws[each * k : each * (k + 1)], cells, place=k)
        for k, (part, _) in enumerate(parts)
    ]
    factors = [factor for _, factor in parts]
    programmed = _summed([one.programmed for one in found], factors).to(w.dtype)
    if time is None:
        return ReadBack(programmed, programmed)
    return ReadBack(programmed, _summed([one.now for one in found], factors).to(w.dtype))


def _parts(w: Tensor, cells: Cells) -> list[tuple[Tensor, float]]:
    """What each of the cells of a weight holds, and its factor in the sum that is the weight:
    magnitudes in [0, 1], or for single devices w itself."""
    if isinstance(cells, Offset):
        return [(w, 1.0)]
    magnitude = w.abs()
    if isinstance(cells, Pairs):
        return [(magnitude, 1 / cells.n)] * cells.n
    if not isinstance(cells, Slices):
        return [(magnitude, 1.0)]
    bits = cells.bits - 1  # of the magnitude
    codes = 2**bits - 1
    left = (magnitude * codes).round_().to(torch.int32)
    found = []
    for low in range(0, bits, cells.cell):
        # The uppermost may hold fewer bits: they too take the whole range of a device.
        levels = 2 ** min(cells.cell, bits - low)
        found.append(((left % levels).to(w.dtype) / (levels - 1), 2**low * (levels - 1) / codes))
        left = left // levels
    return found


def _drawn(
    device: Device, w: Tensor, generator: Generator, *, devices: int, is_read: bool
) -> list[Draws]:
    """The draws of `devices` devices of each weight: xi_1 of all, xi_2 of all, xi_3 of all; what
    comes last may be left out."""
    needed = (
        True,
        is_read and not (device.drift is None and device.relax is None and device.read is None),
        is_read and device.read is not None,
    )
    # float32 and contiguous, whatever the weights are: drawing is what costs most.
    drawn = [
        torch.randn((devices, *w.shape), generator=generator).to(w.dtype).unbind()
        if one
        else [None] * devices
        for one in needed
    ]
    return list(zip(*drawn, strict=True))


def _pair(
    job: _Job, magnitude: Tensor, is_minus: Tensor, draws: Sequence[Draws], cells: Cells, place: int
) -> ReadBack:
    """Signed weights from the device that carries the weight and its partner at g_min: which of
    them lies in the array of the negative parts makes no difference but to faults of columns."""
    device = job.device
    span = device.g_max - device.g_min
    targets = [magnitude * span + device.g_min, magnitude.new_tensor(device.g_min)]
    working = [
        _programmed(job, target, one, place=2 * place + k)
        for k, (target, one) in enumerate(zip(targets, draws, strict=False))
    ]
    broken = _broken(job, is_minus, devices=len(draws), place=place)

    def signed(conductances: Sequence[Tensor]) -> Tensor:
        first, *second = (b(g) for b, g in zip(broken, conductances, strict=True))
        w = (first - (second[0] if second else device.g_min)) / span
        return torch.where(is_minus, -w, w)

    programmed = signed([g for g, _ in working])
    if job.time is None:
        return ReadBack(programmed, programmed)
    bases = [g for g, _ in working]
    if cells.partner == "ideal" and len(bases) == 2:
        difference = bases[0] - bases[1]
        bases = [device.g_min + d.clamp(min=0) for d in (difference, -difference)]
    now = [
        _present(job, target, base, one)
        for target, base, (_, one) in zip(targets, bases, working, strict=False)
    ]
    return ReadBack(programmed, signed(now))


def _offset(job: _Job, w: Tensor, draws: Draws, *, place: int) -> ReadBack:
    """Weights from one device each, the middle of its range subtracted."""
    half = (job.device.g_max - job.device.g_min) / 2
    middle = job.device.g_min + half
    target = w * half + middle
    working, draws = _programmed(job, target, draws, place=place)
    (broken,) = _broken(job, torch.zeros_like(w, dtype=torch.bool), devices=1, place=place)
    programmed = (broken(working) - middle) / half
    if job.time is None:
        return ReadBack(programmed, programmed)
    now = broken(_present(job, target, working, draws))
    return ReadBack(programmed, (now - middle) / half)


def _programmed(job: _Job, target: Tensor, draws: Draws, *, place: int) -> tuple[Tensor, Draws]:
    """Conductances, and the draws that stand when verifying has ended."""
    xi, *others = draws
    if job.verify.rounds:
        again = stream(job.extra, "verify", place)
        xi = laws.verified(
            job.device,
            target,
            xi,
            again,
            rounds=job.verify.rounds,
            tolerance=job.verify.tolerance,
        )
    return laws.programmed(job.device, target, xi), (xi, *others)  # type: ignore[return-value]


def _present(job: _Job, target: Tensor, g_p: Tensor, draws: Draws) -> Tensor:
    """Conductances as they are read at the job's time."""
    device, time = job.device, job.time
    xi_1, xi_2, xi_3 = draws
    assert time is not None
    g = laws.grown(device, target, xi_1, time) if device.later else g_p
    if device.drift is not None and time:
        assert xi_2 is not None
        g = laws.drifted(device, target, g, xi_2, time)
    if device.relax is not None:
        assert xi_2 is not None
        g = laws.relaxed(device, g, xi_2, time)
    if device.read is not None:
        assert xi_3 is not None
        g = laws.read(device, g_p, g, xi_3, time)
    return g


def _broken(job: _Job, is_minus: Tensor, *, devices: int, place: int) -> list[Breaking]:
    if not job.faults:
        return [_works] * devices
    ends = job.device.g_min, job.device.g_max
    dice = stream(job.extra, "faults", place)
    return breakings(job.faults, is_minus, dice, devices=devices, ends=ends, lines=job.lines)


def _works(g: Tensor) -> Tensor:
    return g


def _summed(tensors: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0] * factors[0] if factors[0] != 1 else tensors[0]
    found = torch.zeros_like(tensors[0])
    for tensor, factor in zip(tensors, factors, strict=True):
        found.add_(tensor, alpha=factor)
    return found
