"""Seeds by name, and the dice of those who do without torch."""

import hashlib
from operator import index  # numpy's integers name the same streams as Python's

import numpy as np


def derived(seed: int, *path: str | int) -> int:
    """A seed of its own for the stream `path` of `seed`."""
    names = [part if isinstance(part, str) else index(part) for part in (seed, *path)]
    digest = hashlib.sha256(repr(tuple(names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def dice(seed: int, *path: str | int) -> np.random.Generator:
    """numpy's generator for the stream `path` of `seed`, for what draws no noise (resampling)."""
    return np.random.default_rng(derived(seed, *path))
