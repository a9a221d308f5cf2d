"""Named random streams. A number is named, not ordered: (seed, path) always gives the same draw.

This is the only module that makes a generator. Streams live on the CPU, so a chip is the same
chip on every device.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index  # numpy's integers name the same streams as Python's

import torch


def derived(seed: int, *path: str | int) -> int:
    """A seed of its own for the stream `path` of `seed`."""
    names = [part if isinstance(part, str) else index(part) for part in (seed, *path)]
    digest = hashlib.sha256(repr(tuple(names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


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
