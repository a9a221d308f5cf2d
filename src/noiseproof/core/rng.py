"""Named random streams. A number is named, not ordered: (seed, path) always gives the same draw.

This and `seeds` are the only modules that make generators. Streams live on the CPU, so a chip is
the same chip on every device.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from noiseproof.core.seeds import derived


def stream(seed: int, *path: str | int) -> torch.Generator:
    """A CPU generator for the stream `path` of `seed`: named, so order of work is irrelevant."""
    return torch.Generator().manual_seed(derived(seed, *path))


@contextmanager
def seeded(seed: int, *path: str | int) -> Iterator[None]:
    """Inside the block torch's default generators follow the stream `path` of `seed`.

    For library code that takes no generator (initialisers, dropout). The state of the default
    generators is put back at the end, so nothing outside the block notices.
    """
    with torch.random.fork_rng(device_type="cuda"):
        torch.manual_seed(derived(seed, *path))
        yield
