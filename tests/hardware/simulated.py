"""Readings of simulated devices, as a laboratory would have them: every read with its own noise."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from noiseproof.core.rng import stream
from noiseproof.hardware import Device, Readings, laws

DAY = 86400.0


def readings_of(
    device: Device,
    targets: Sequence[float],
    times: Sequence[float | None],
    *,
    count: int,
    seed: int = 0,
    fresh: bool = True,
) -> Readings:
    """Of `count` devices for each target. `fresh`: each read has noise of its own."""
    columns: list[tuple[float, torch.Tensor, float, np.ndarray]] = []
    for place, target in enumerate(targets):
        dice = stream(seed, device.name, place)
        g = torch.full((count,), float(target), dtype=torch.float64)
        first, aging, reading = (torch.randn(3, count, generator=dice).double()).unbind()
        for time in times:
            if fresh:
                reading = torch.randn(count, generator=dice).double()
            read = present(device, g, (first, aging, reading), time)
            columns.append((target, read, math.nan if time is None else time, place * count))
    return Readings(
        target=np.concatenate([np.full(count, target) for target, *_ in columns]),
        read=np.concatenate([read.numpy() for _, read, *_ in columns]),
        time=np.concatenate([np.full(count, time) for *_, time, _ in columns]),
        device=np.concatenate([start + np.arange(count) for *_, start in columns]),
    )


def present(
    device: Device, g: torch.Tensor, draws: Sequence[torch.Tensor], time: float | None
) -> torch.Tensor:
    first, aging, reading = draws
    programmed = laws.programmed(device, g, first)
    if time is None:
        return programmed
    found = laws.grown(device, g, first, time) if device.later else programmed
    if device.drift is not None and time:
        found = laws.drifted(device, g, found, aging, time)
    if device.relax is not None:
        found = laws.relaxed(device, found, aging, time)
    return found if device.read is None else laws.read(device, programmed, found, reading, time)
