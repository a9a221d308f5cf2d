"""From names to things: weights, model, data and pixel scale, ready to be measured."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from noiseproof import models
from noiseproof.catalog import PixelScale, parse_pixel_scale
from noiseproof.checkpoint import file_sha256, fill, load_state, read_card, weights_file
from noiseproof.data import Split, open_dataset
from noiseproof.measuring import Subject, check_fits


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A trained network and the images to measure it on."""

    model: nn.Module
    test: Split
    calibration: Tensor | None
    scale: PixelScale
    subject: Subject


def open_bench(
    weights: str | Path,
    *,
    model: str | None = None,
    norm: str | None = None,
    norm_where: str = "all",
    data: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    normalize: str | None = None,
    classes: int | None = None,
    images: int | None = None,
    recalibrate: int = 0,
    seed: int = 0,
) -> Bench:
    """Everything that `measure` needs, checked before any of it runs. What is not given is taken
    from the weights' card. `classes`: what the network tells apart, where that is more than the
    data set has. `images`: the first N test images; `recalibrate`: the number of
    calibration images, drawn from the training split.

    Raises:
        ValueError: for whatever is missing or does not fit.
    """
    file = weights_file(weights)
    card = read_card(file)
    if card is not None:
        model, data = model or card.model, data or card.data
        if norm is None:
            norm, norm_where = card.norm, card.norm_where
        normalize = normalize or (card.scale if data == card.data else None)
    for option, value in (("--model", model), ("--data", data)):
        if value is None:
            raise ValueError(f"{file} has no card, so {option} must say what it is")
    assert model is not None
    assert data is not None
    source = open_dataset(data, data_dir=data_dir, download=download)
    if classes is None:
        classes = card.classes if card is not None else source.classes
    state = load_state(file)
    network = models.build(
        model, norm=norm, where=norm_where, classes=classes, channels=source.channels
    )
    fill(network, state, name=f"{model} with norm {norm_text(norm, norm_where)}")
    test = source.read("test")
    calibration = source.read("train").sample(recalibrate, seed=seed) if recalibrate else None
    test = test if images is None else test.first(images)
    scale = source.scale if normalize is None else parse_pixel_scale(normalize)
    check_fits(network, test, scale)
    return Bench(
        model=network,
        test=test,
        calibration=calibration,
        scale=scale,
        subject=Subject(
            checkpoint=file_sha256(file),
            model=model,
            norm=norm_text(norm, norm_where),
            data=source.name,
        ),
    )


def norm_text(norm: str | None, where: str) -> str:
    """How rows and messages call a normalisation: `batch_l1`, `none (last:3)`, `own`."""
    if norm is None:
        return "own"
    return norm if where == "all" else f"{norm} ({where})"
