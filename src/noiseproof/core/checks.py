"""What a wrong input gets: one sentence with the thing, the rule and the value."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class NoiseproofWarning(UserWarning):
    """What a user has to know, in one line; the command line prints it."""


class NoEffectWarning(NoiseproofWarning):
    """What was asked for changed nothing."""


class RandomForwardWarning(NoiseproofWarning):
    """The network itself is random."""


class UnpairedWarning(NoiseproofWarning):
    """A comparison is not one of the same chips."""


class StoreWarning(NoiseproofWarning):
    """A store holds rows that cannot be used."""


class DoubtWarning(NoiseproofWarning):
    """A number that is there, and may not mean what it seems to."""


class ReachWarning(NoiseproofWarning):
    """Noise leaves out a part of the network that nobody asked to leave out."""


def one_of(kind: str, value: T, choices: Iterable[T]) -> T:
    """`value`, if it is one of `choices`; else the one-line ValueError that lists them."""
    known = list(choices)
    if value not in known:
        listed = ", ".join(str(choice) for choice in known)
        raise ValueError(f"unknown {kind} {str(value)!r}: expected one of {listed}")
    return value


def at_most(limit: int, reason: str, **counts: int | None) -> None:
    """Raise ValueError for the first count above a limit; None is one that was not given."""
    for name, value in counts.items():
        if value is not None and value > limit:
            raise ValueError(
                f"{name.replace('_', ' ')} must be <= {limit:,}, got {value:,}: {reason}"
            )


def at_least(**counts: int | None) -> None:
    """Raise ValueError for the first count below 1; None is one that was not given."""
    for name, value in counts.items():
        if value is not None and not value >= 1:
            raise ValueError(f"{name.replace('_', ' ')} must be >= 1, got {value}")


def check_seed(seed: int) -> int:
    """`seed`, if rows can hold it; raises ValueError otherwise."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be between 0 and 2^63 - 1, got {seed}")
    return seed


DEVICES = ("auto", "cpu", "cuda", "mps")


def check_device(name: str) -> str:
    """`name`, if it is a device; raises ValueError otherwise."""
    return one_of("device", name, DEVICES)
