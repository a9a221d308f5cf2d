"""Noise that changes with time, as plain values: `redraw(every=1000)`, `wander(0.2, every=1000)`.

Tsai et al. 2020 call it variational noise. No torch here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from noiseproof.core.checks import at_most
from noiseproof.specs.estimators import Estimator, Match
from noiseproof.specs.noise import Spec

MOST_IMAGES = 10_000_000
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
        object.__setattr__(self, "every", int(self.every))
        if self.wander is not None and not 0 < self.wander < float("inf"):
            raise ValueError(f"wander must be finite and > 0, got {self.wander}")

    def __str__(self) -> str:
        if self.wander is None:
            return f"redraw(every={self.every})"
        return f"wander({self.wander!r}, every={self.every})"


_FORM = re.compile(
    r"redraw\(every=([0-9]{1,18})\)|wander\(([0-9][0-9.e+-]{0,30}), every=([0-9]{1,18})\)"
)


def parse_stream(text: str) -> Stream:
    """The stream that `text` writes: `parse_stream(str(stream)) == stream`; nothing is executed.

    Raises:
        ValueError: for any other text.
    """
    found = _FORM.fullmatch(text)
    sentence = f"cannot read stream {text[:60]!r}: expected redraw(every=N) or wander(X, every=N)"
    if found is None:
        raise ValueError(sentence)
    redrawn, wander, every = found.groups()
    if redrawn is not None:
        return Stream(every=int(redrawn))
    try:
        size = float(wander)
    except ValueError:
        raise ValueError(sentence) from None
    return Stream(every=int(every), wander=size)


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a stream is followed.

    `changes`: how the noise changes. `images`: its length in test images, in a random order and
    again and again (default: ten changes). `window`: images of one score (default: a change's
    length). `period`: after how many images `pooled`, `layerwise` and `blend` run again (default:
    at every change).

    Raises:
        ValueError: where windows of one score would straddle a change or a recalibration.
    """

    changes: Stream
    images: int | None = None
    window: int | None = None
    period: int | None = None

    def __post_init__(self) -> None:
        lengths = {"images": self.length, "window": self.step, "period": self.pause}
        for name, value in lengths.items():
            if not value >= 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        at_most(MOST_IMAGES, "no stream is so long", every=self.changes.every, **lengths)
        for name, value in {"every": self.changes.every, **lengths}.items():
            if value % self.step:
                raise ValueError(f"{name} must be a multiple of window {self.step}, got {value}")

    @property
    def length(self) -> int:
        """The stream, in images."""
        return 10 * self.changes.every if self.images is None else self.images

    @property
    def step(self) -> int:
        """One window, in images."""
        return self.changes.every if self.window is None else self.window

    @property
    def pause(self) -> int:
        """From one recalibration to the next, in images."""
        return self.changes.every if self.period is None else self.period


def check_followed(
    spec: Spec, stream: Stream, targets: Sequence[str], estimators: Sequence[Estimator | None]
) -> None:
    """Raise ValueError where noise cannot change so, or nothing could follow it."""
    if not estimators:
        raise ValueError("recalibrate must name at least one way, got none")
    for estimator in estimators:
        if isinstance(estimator, Match):
            raise ValueError(
                f"{estimator} cannot be tracked: its corrections are folded into weights that "
                "change; use pooled, layerwise, blend, ema or batch"
            )
    if "norm_stats" in targets:
        raise ValueError(
            "norm_stats cannot get noise that changes: recalibration writes the statistics that "
            "stay across a change; leave norm_stats out of the targets"
        )
    if not spec.is_random:
        raise ValueError(f"noise that changes needs a level above 0, got {spec}")
    if stream.wander is not None and (spec.sweeps == "time" or not spec.level):
        raise ValueError(f"{spec} has no level that could wander")
    if stream.wander is not None:
        highest = WANDERS_WITHIN * (spec.level or 0.0)
        try:
            spec.at(highest)
        except ValueError as error:
            raise ValueError(f"{spec} may wander up to {highest:g}: {error}") from None
