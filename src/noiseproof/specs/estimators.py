"""How a chip is recalibrated, as plain values with one text form.

    >>> print(parse_estimator("blend(prior=64, images=32)"))
    blend(32, prior=64)
    >>> parse_estimator("500")
    Pooled(images=500, batch=None)

No torch here, so that a wrong name is refused before anything heavy is imported. The functions
that carry these estimators out are in `recalibration`, `matching` and `following`.
"""

import numbers
from dataclasses import dataclass, fields
from typing import ClassVar

from noiseproof.core.notation import Notation

AUTO = "match(200)"
"""What `auto` means."""
MAX_TEXT = 200
TEST_BATCH = 128


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    if not int(value) >= 1:
        raise ValueError(f"{name} must be >= 1, got {value}")
    return int(value)


def _momentum(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"momentum must be a number, got {value!r}")
    if not 0 < float(value) <= 1:
        raise ValueError(f"momentum must be greater than 0 and at most 1, got {value}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """A way to recalibrate. Its text form is `kind(first field, other=...)`."""

    kind: ClassVar[str]
    about: ClassVar[str]
    sees_test: ClassVar[bool] = False  # do the test images take part?

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "momentum":
                object.__setattr__(self, field.name, _momentum(value))
            elif value is not None or field.default is not None:
                object.__setattr__(self, field.name, _whole(field.name, value))

    def __str__(self) -> str:
        first, *others = fields(self)
        shown = {field.name: getattr(self, field.name) for field in others}
        words = [f"{name}={value}" for name, value in shown.items() if value is not None]
        return f"{self.kind}({', '.join([repr(getattr(self, first.name)), *words])})"

    @property
    def calibration_images(self) -> int:
        """How many images it takes besides the test images."""
        return int(getattr(self, "images", 0))


@dataclass(frozen=True, kw_only=True)
class Pooled(Recalibration):
    """Running statistics pooled over `images` calibration images in one pass, in batches of
    `batch` (None: as many as fit), each batch normalised with its own statistics."""

    kind: ClassVar[str] = "pooled"
    about: ClassVar[str] = "statistics pooled over calibration images, in one pass"
    images: int
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layerwise(Recalibration):
    """Running statistics layer after layer, each from inputs that are already corrected upstream
    for all `images` calibration images together."""

    kind: ClassVar[str] = "layerwise"
    about: ClassVar[str] = "statistics of one layer after the other, in order of execution"
    images: int


@dataclass(frozen=True, kw_only=True)
class Blend(Recalibration):
    """The clean running statistics count as `prior` images beside the `images` of the chip."""

    kind: ClassVar[str] = "blend"
    about: ClassVar[str] = "clean statistics, worth `prior` images, pooled with the chip's"
    images: int
    prior: int


@dataclass(frozen=True, kw_only=True)
class Match(Recalibration):
    """Every analog layer's output gets the mean and the standard deviation per channel that it
    has on the clean network, for the same `images` calibration images."""

    kind: ClassVar[str] = "match"
    about: ClassVar[str] = "each analog layer's output matched to the clean network's"
    images: int


@dataclass(frozen=True, kw_only=True)
class Ema(Recalibration):
    """Running statistics that move by `momentum` to those of each test batch, before it is
    normalised; batches of `batch` images."""

    kind: ClassVar[str] = "ema"
    about: ClassVar[str] = "statistics that follow the test batches by a moving average"
    sees_test: ClassVar[bool] = True
    momentum: float
    batch: int = TEST_BATCH


@dataclass(frozen=True, kw_only=True)
class Batch(Recalibration):
    """Each test batch of `batch` images is normalised with its own statistics."""

    kind: ClassVar[str] = "batch"
    about: ClassVar[str] = "the statistics of each test batch itself"
    sees_test: ClassVar[bool] = True
    batch: int


Estimator = Pooled | Layerwise | Blend | Match | Ema | Batch
ESTIMATORS: dict[str, type[Estimator]] = {
    "batch": Batch,
    "blend": Blend,
    "ema": Ema,
    "layerwise": Layerwise,
    "match": Match,
    "pooled": Pooled,
}


def parse_estimator(text: str) -> Estimator | None:
    """The estimator that `text` writes; None for `off` and `0`.

    A whole number N is pooled(N), and `auto` is `AUTO`. `parse_estimator(str(e)) == e`; nothing in
    `text` is ever executed.

    Raises:
        ValueError: naming the part that is not understood.
    """
    text = AUTO if text.strip() == "auto" else text
    if text.strip() == "off":
        return None
    term = _NOTATION.term(text)
    if term.name is None and not term.is_call:
        count = _NOTATION.number(term)
        return Pooled(images=_whole("images", count)) if count != 0 else None
    return _NOTATION.read(term, ESTIMATORS)


_FORM = "off, a number of images, or for example pooled(1000)"
_NOTATION = Notation(
    kind="recalibration",
    whole="recalibration",
    form=_FORM,
    value=_FORM,
    longest=MAX_TEXT,
    words=False,
)
