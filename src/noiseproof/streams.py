"""Noise that changes with time, as plain values: `redraw(every=1000)`, `wander(0.2, every=1000)`.

Tsai et al. 2020 call it variational noise. No torch here.
"""

from dataclasses import dataclass

WANDERS_WITHIN = 2.0  # the level stays between its start divided and multiplied by this


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The noise changes every `every` images. Without `wander` it is drawn anew, as if another chip
    took over; with it the dice stay and the level moves: its logarithm does a random walk with
    normal steps of standard deviation `wander`, reflected at half and at twice the first level.

    Raises:
        ValueError: for values that no stream has.
    """

    every: int
    wander: float | None = None

    def __post_init__(self) -> None:
        if not self.every >= 1:
            raise ValueError(f"every must be >= 1 image, got {self.every}")
        if self.wander is not None and not 0 < self.wander < float("inf"):
            raise ValueError(f"wander must be finite and > 0, got {self.wander}")

    def __str__(self) -> str:
        if self.wander is None:
            return f"redraw(every={self.every})"
        return f"wander({self.wander!r}, every={self.every})"


def check_lengths(stream: Stream, *, images: int, window: int, period: int) -> None:
    """Raise ValueError where windows of one score would straddle a change or a recalibration."""
    for name, value in (("images", images), ("window", window), ("period", period)):
        if not value >= 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    for name, value in (("every", stream.every), ("period", period), ("images", images)):
        if value % window:
            raise ValueError(f"{name} must be a multiple of window {window}, got {value}")
