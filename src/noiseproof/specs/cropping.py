"""How an image of any size becomes a square. No torch here."""

from dataclasses import dataclass

from noiseproof.core.checks import one_of


@dataclass(frozen=True, kw_only=True)
class Cropping:
    """The shorter side is resized to `resize` pixels, by bilinear or bicubic `interpolation`, and
    the centre `crop` x `crop` is kept, as torchvision evaluates classifiers.

    Raises:
        ValueError: for a crop that is larger than what it is of, and another interpolation.
    """

    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(
                f"crop must be between 1 and resize ({self.resize} pixels), got {self.crop}"
            )

        one_of("interpolation", self.interpolation, ("bilinear", "bicubic"))

    def __str__(self) -> str:
        if self == Cropping():
            return ""
        how = "" if self.interpolation == "bilinear" else f", {self.interpolation}"
        return f" (resize {self.resize}, crop {self.crop}{how})"


def asked_cropping(resize: int | None, crop: int | None) -> Cropping | None:
    """The cropping of two options; None where neither is given. A crop alone has the usual margin
    around it, and of a resize alone the usual share is kept.

    Raises:
        ValueError: as `Cropping`.
    """
    if resize is None and crop is None:
        return None
    usual = Cropping()
    if resize is None:
        assert crop is not None
        resize = max(crop, round(crop * usual.resize / usual.crop))
    if crop is None:
        crop = round(resize * usual.crop / usual.resize)
    return Cropping(resize=resize, crop=crop)
