"""Named random streams. A number is named, not ordered: (seed, path) always gives the same draw.

This and `seeds` are the only modules that make generators. Streams live on the CPU, so a chip is
the same chip on every device.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from noiseproof.core.seeds import derived


def stream(seed: int, *path: str | int) -> torch.Generator:
    """A CPU generator for the stream `path` of `seed`: named, so order of work is irrelevant."""
    return torch.Generator().manual_seed(derived(seed, *path))


@contextmanager
def seeded(seed: int, *path: str | int) -> Iterator[None]:
    """Inside the block the default generators of torch, numpy and Python follow the stream `path`
    of `seed`.

    For code that takes no generator (initialisers, dropout, a network that is random by itself).
    The state of the default generators is put back at the end, so nothing outside the block
    notices.
    """
    first = derived(seed, *path)
    others = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(device_type="cuda"):
        torch.manual_seed(first)
        np.random.seed(first % 2**32)  # it takes no larger ones
        random.seed(first)
        try:
            yield
        finally:
            np.random.set_state(others[0])
            random.setstate(others[1])


def default_states() -> tuple[object, ...]:
    """The states of the default generators, to be compared: whoever draws from one moves it."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    drawn = [bytes(state.numpy().tobytes()) for state in (torch.get_rng_state(), *gpus)]
    _, keys, place, *_ = np.random.get_state(legacy=True)
    return (*drawn, bytes(np.asarray(keys).tobytes()), place, random.getstate())
