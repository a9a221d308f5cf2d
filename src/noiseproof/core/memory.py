"""Memory that was freed, given back to the system."""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Let the C library return what is free to the system, where it can (glibc).

    It keeps freed blocks of up to 32 MB for the next ones, and small objects that live on cut them
    up: over a long pass of large batches the process grows by many times what it holds.
    """
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return None
    return found
