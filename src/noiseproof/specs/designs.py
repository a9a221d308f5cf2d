"""Which images see which chips, as plain values with one text form. No torch here.

>>> parse_design("nested(100)")
Nested(images=100)
>>> str(PerImage(block=50))
'per-image(50)'
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from noiseproof.core.checks import one_of
from noiseproof.specs.estimators import Estimator
from noiseproof.specs.noise import Additive, Spec

SMALLEST_BLOCK, USUAL_BLOCK, FEWEST_BLOCKS = 10, 100, 20


@dataclass(frozen=True, kw_only=True)
class Design:
    """`str` is the text form. `needs_hits`: only for scores that are the mean over single images
    that are right or wrong."""

    kind: ClassVar[str]
    about: ClassVar[str]
    needs_hits: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, kw_only=True)
class Chips(Design):
    """Every chip sees all test images."""

    kind: ClassVar[str] = "chips"
    about: ClassVar[str] = "every chip sees all test images"
    needs_hits: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Nested(Design):
    """Many chips, each on a random sample of `images` of the test images, drawn for itself without
    replacement; None: as many as the measured costs suggest."""

    kind: ClassVar[str] = "nested"
    about: ClassVar[str] = "many chips, each on a random sample of the test images: for the spread"
    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and not self.images >= 2:
            raise ValueError(f"images of a nested chip must be >= 2, got {self.images}")

    def __str__(self) -> str:
        return self.kind if self.images is None else f"{self.kind}({self.images})"


@dataclass(frozen=True, kw_only=True)
class PerImage(Design):
    """Every image is on a chip of its own (flipout): images in blocks of about `block` share a
    draw of the noise, each under random signs of its own. None: by the number of test images."""

    kind: ClassVar[str] = "per-image"
    about: ClassVar[str] = "every image its own chip: the mean, at the least cost"
    block: int | None = None

    def __post_init__(self) -> None:
        if self.block is not None and not self.block >= 1:
            raise ValueError(f"block of per-image chips must be >= 1, got {self.block}")

    def __str__(self) -> str:
        return self.kind if self.block is None else f"{self.kind}({self.block})"


@dataclass(frozen=True, kw_only=True)
class Auto(Design):
    """Per-image chips where they hold, else full chips."""

    kind: ClassVar[str] = "auto"
    about: ClassVar[str] = "per-image where it holds, else chips; says why"
    needs_hits: ClassVar[bool] = False


DESIGNS: dict[str, type[Design]] = {cls.kind: cls for cls in (Chips, Nested, PerImage, Auto)}
_FORM = re.compile(r"\s*([a-z-]+)\s*(?:\(\s*([0-9]{1,9})\s*\))?\s*")


def parse_design(text: str) -> Design:
    """The design that `text` writes: `chips`, `nested`, `nested(N)`, `per-image`, `per-image(N)`
    or `auto`.

    Raises:
        ValueError: for anything else.
    """
    match = _FORM.fullmatch(text)
    kind, number = match.groups() if match else (text, None)
    cls = DESIGNS[one_of("design", kind, DESIGNS)]
    if number is None:
        return cls()
    if cls is Nested:
        return Nested(images=int(number))
    if cls is PerImage:
        return PerImage(block=int(number))
    raise ValueError(f"design {kind} takes no number, got {text!r}")


def check_length(design: Design, *, chips: int | None, passes: int | None) -> None:
    """Raise ValueError for a number of chips or passes that the design does not have."""
    if chips is not None and isinstance(design, PerImage):
        raise ValueError(f"design {design.kind} has no number of chips, got {chips}: give passes")
    if passes is not None and not isinstance(design, PerImage | Auto):
        raise ValueError(f"design {design.kind} has no passes, got {passes}: give chips")


def check_above(above: float | None, design: Design) -> None:
    """Raise ValueError for a yield that cannot be told."""
    if above is None:
        return
    if not math.isfinite(above):
        raise ValueError(f"above must be a finite score, got {above:g}")
    if isinstance(design, PerImage | Auto):
        raise ValueError(
            f"design {design.kind} does not tell chips apart, so there is no yield above {above:g}:"
            " use --design chips or nested"
        )


def check_design(
    design: Design,
    specs: Sequence[Spec],
    targets: Sequence[str],
    *,
    estimator: Estimator | None,
    has_hits: bool,
) -> None:
    """Raise ValueError, in one line, for what the design does not hold for."""
    if design.needs_hits and not has_hits:
        raise ValueError(
            f"design {design.kind} needs a score that is the mean over single images, as accuracy "
            "is: use --design chips"
        )
    if estimator is not None and estimator.sees_test and design.needs_hits:
        raise ValueError(
            f"{estimator} follows the test images in their order, design {design.kind} draws them: "
            "use --design chips"
        )
    if isinstance(design, PerImage):
        reason = _why_not_per_image(specs, targets, estimator)
        if reason:
            raise ValueError(
                f"per-image chips do not hold for {reason}: use --design chips or nested"
            )


def auto_design(
    specs: Sequence[Spec],
    targets: Sequence[str],
    *,
    estimator: Estimator | None,
    has_hits: bool,
) -> tuple[Design, str]:
    """The design that `auto` means, and why, in a few words."""
    if not has_hits:
        return Chips(), "the score is not a mean over single images"
    if estimator is not None and estimator.sees_test:
        return Chips(), f"{estimator} follows the test images in their order"
    reason = _why_not_per_image(specs, targets, estimator)
    if reason:
        return Chips(), f"per-image chips do not hold for {reason}"
    return PerImage(), "the noise is symmetric and independent, so every image can be its own chip"


def _why_not_per_image(
    specs: Sequence[Spec], targets: Sequence[str], estimator: Estimator | None
) -> str:
    """What flipped signs would change the law of; "" where they do not."""
    if estimator is not None:
        return f"recalibration ({estimator} makes a chip of its images)"
    if "norm_stats" in targets:
        return "noise on norm_stats (a running variance enters as its root)"
    for spec in specs:
        noisy = [place for place, stage in enumerate(spec.stages) if stage.swept]
        if noisy and not isinstance(spec.stages[noisy[0]], Additive):
            return f"{spec.stages[noisy[0]].kind} noise (not symmetric and additive)"
        if noisy and noisy != [len(spec.stages) - 1]:
            return f"{spec.family} (stages after the first random one)"
    return ""


def sized(design: Design, images: int) -> Design:
    """`design` with its block size for that many test images: about 100, and at least 20 blocks
    where there are images enough, so that their spread is well known.

    Raises:
        ValueError: for a sample or block larger than the test set.
    """
    if isinstance(design, PerImage) and design.block is None:
        block = max(SMALLEST_BLOCK, min(USUAL_BLOCK, images // FEWEST_BLOCKS))
        return PerImage(block=min(block, images))
    size = getattr(design, "images", getattr(design, "block", None))
    if size is not None and size > images:
        raise ValueError(f"{design} asks for more than the {images} test images")
    return design


def blocks_of(design: PerImage, images: int) -> int:
    """How many blocks one pass over that many test images has."""
    assert design.block is not None
    return -(-images // design.block)


def images_of(design: Design, images: int) -> int | None:
    """How many images a unit's score is the share of, where equal scores need caution (`stopping`);
    `images`: of the test set; the design has its sizes."""
    if isinstance(design, Nested):
        return design.images
    if isinstance(design, PerImage):
        return images // blocks_of(design, images)
    return None
