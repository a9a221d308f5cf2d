"""What happens to the conductances of devices, as their file says: programmed, grown old, read.

g is the target (a tensor, or one number for all), g_p what was programmed; xi are standard normal,
one for each device. Nothing here draws, but for devices that are programmed again.
"""

import math

import torch
from torch import Generator, Tensor

from noiseproof.hardware.devices import Device, Programmed


def programmed(device: Device, g: Tensor, xi: Tensor) -> Tensor:
    """max(h + sd xi, 0), h = g + shift(g); a law of whole weights may go below 0, as they do."""
    moved = _moved(device, device.program, g)
    sd = _sd(device, device.program, g, moved)
    found = torch.addcmul(moved, sd, xi)
    if device.law_of == "device":
        found.clamp_(min=0)
    if device.zero_below:
        found.masked_fill_(g < device.zero_below, 0)
    return found


def _moved(device: Device, state: Programmed, g: Tensor) -> Tensor:
    return g if state.shift is None else g + state.shift.values(g, device.g_max, torch)


def _sd(device: Device, state: Programmed, g: Tensor, moved: Tensor) -> Tensor:
    found: Tensor = state.sd.values(moved if state.sd_of == "moved" else g, device.g_max, torch)
    return found


def verified(
    device: Device, g: Tensor, xi: Tensor, generator: Generator, *, rounds: int, tolerance: float
) -> Tensor:
    """`xi`, drawn again up to `rounds` times where the device is further than `tolerance` (a share
    of g_max - g_min) from its target."""
    allowed = tolerance * (device.g_max - device.g_min)
    for _ in range(rounds):
        far = (programmed(device, g, xi) - g).abs_() > allowed
        xi = torch.where(far, torch.randn(xi.shape, generator=generator).to(xi), xi)
    return xi


def grown(device: Device, g: Tensor, xi: Tensor, time: float) -> Tensor:
    """What programming has become, where the file says so for several times: sd and shift are
    linear between those, in time or in its logarithm, and before the first as they are there."""
    states = [device.program, *device.later]
    place = max(1, next((k for k, s in enumerate(states) if time <= s.time), len(states) - 1))
    before, after = states[place - 1], states[place]
    low, here, high = before.time, max(time, before.time), after.time
    if device.between == "log time":
        low, here, high = math.log(low), math.log(here), math.log(high)
    share = (here - low) / (high - low)
    # First where the mean has gone to, then the spread there.
    moved = _moved(device, before, g) * (1 - share) + _moved(device, after, g) * share
    sd = _sd(device, before, g, moved) * (1 - share) + _sd(device, after, g, moved) * share
    return torch.addcmul(moved, sd, xi).clamp_(min=0)


def drifted(device: Device, g: Tensor, g_p: Tensor, xi: Tensor, time: float) -> Tensor:
    """g_p (T / t0)^-nu, nu of the target."""
    assert device.drift is not None
    mean = device.drift.mean.values(g, device.g_max, torch)
    nu = torch.addcmul(mean, device.drift.sd.values(g, device.g_max, torch), xi).abs_()
    # exp, which is several times faster than a power of tensors.
    return nu.mul_(-math.log1p(time / device.t0)).exp_().mul_(g_p)


def relaxed(device: Device, g_p: Tensor, xi: Tensor, time: float) -> Tensor:
    """g_p moved with all others, and by a part of its own; at time 0 nothing has moved."""
    assert device.relax is not None
    if time == 0:
        return g_p
    log = math.log(max(time, 1.0))
    moved = g_p + device.relax.shift * log
    return moved.add_(xi, alpha=device.relax.spread + device.relax.spread_rise * log)


def read(device: Device, g_p: Tensor, g: Tensor, xi: Tensor, time: float) -> Tensor:
    """g with the noise of one reading, and its clip; g_p is what was programmed."""
    law = device.read
    assert law is not None
    age = (time + device.t0 + law.t_read) / (2 * law.t_read)
    size = math.sqrt(max(math.log(age), 0.0))  # where t0 = 0 nothing has gathered yet
    q = law.q.values(g_p if law.law == "share" else g, device.g_max, torch)
    noise = q.mul_(size).mul_(xi)
    found: Tensor = noise.add_(1).mul_(g) if law.law == "share" else noise.add_(g)
    return found.clamp_(*law.clip) if law.clip else found.clamp_(min=0)
