"""Which device the arithmetic runs on."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from noiseproof.core.checks import check_device
from noiseproof.core.threads import AUTO, check_threads, free_threads, this_machine


def pick_device(name: str) -> torch.device:
    """`auto` is the best one there is; ValueError for one that is not there."""
    check_device(name)
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_there in there.items() if is_there)
    if not there[name]:
        raise ValueError(f"device {name!r} is not available here: use auto or cpu")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """`cpu x2` (threads), or the accelerator's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} x{torch.get_num_threads()}" if device.type == "cpu" else device.type


@contextmanager
def using_threads(threads: int | str | None) -> Iterator[None]:
    """Compute with that many CPU threads, and with as many as before afterwards. `auto`: as many as
    there are free cores, at most torch's own number; None: torch's own number.

    Raises:
        ValueError: for anything else.
    """
    before = torch.get_num_threads()
    if threads is not None and check_threads(threads) == AUTO:
        threads = free_threads(this_machine(), os.environ, most=before)
    if threads is not None and threads != before:
        torch.set_num_threads(int(threads))
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def device_of(state: Mapping[str, Tensor]) -> torch.device:
    """Where the tensors of a state are; the CPU for a state without tensors."""
    return next((tensor.device for tensor in state.values()), torch.device("cpu"))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to a GPU without waiting for what it still has to do."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
