"""From names to things: weights, model, data and pixel scale, ready to be measured."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from noiseproof.core.inputs import Inputs, joined
from noiseproof.core.plugins import harmless_name, named
from noiseproof.core.rng import seeded, stream
from noiseproof.data.datasets import open_dataset
from noiseproof.data.splits import Source, Split, scaled
from noiseproof.measuring.evaluator import Score, Subject
from noiseproof.models.building import build
from noiseproof.models.checkpoint import file_sha256, fill, load_state, read_card, weights_file
from noiseproof.network.state import State
from noiseproof.specs.catalog import PixelScale, norm_text, parse_pixel_scale
from noiseproof.tasks.evaluation import check_classes, check_fits
from noiseproof.tasks.table import TASKS


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A trained network and the images to measure it on; `score` is the user's own, or None."""

    model: nn.Module
    test: Split
    calibration: Inputs | None
    score: Score | None
    scale: PixelScale
    subject: Subject


def open_setup(
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
    task: str | None = None,
    images: int | None = None,
    calibration: int = 0,
    augment: bool = False,
    calibration_seed: int = 0,
) -> Setup:
    """Everything that `measure` needs, checked before any of it runs. What is not given is taken
    from the weights' card. `classes`: what the network tells apart, where that is more than the
    data set has. `task`: what the labels ask for, or the name of a score of one's own, which then
    gets a `Split` of images as the network takes them. `images`: the first N test images;
    `calibration`: the number of calibration images, drawn from the training split by
    `calibration_seed`, and with `augment` changed at random as in training. A card never names
    code that runs: a model or data of one's own has to be given.

    Raises:
        ValueError: for whatever is missing or does not fit.
    """
    file = weights_file(weights)
    card = read_card(file)
    if card is not None:
        model = model or harmless_name(card.model, "--model", file)
        data = data or harmless_name(card.data, "--data", file)
        if norm is None:
            norm, norm_where = card.norm, card.norm_where
        normalize = normalize or card.scale
    for option, value in (("--model", model), ("--data", data)):
        if value is None:
            raise ValueError(f"{file} has no card, so {option} must say what it is")
    assert model is not None
    assert data is not None
    source = open_dataset(data, data_dir=data_dir, download=download)
    score = named(task) if task is not None and ":" in task else None
    if score is None:
        source.check_task(task)
    if classes is None:
        classes = card.classes if card is not None else source.classes
    state = load_state(file)
    network = network_of(
        state,
        model=model,
        norm=norm,
        norm_where=norm_where,
        classes=classes,
        channels=source.channels,
    )
    test = source.read("test")
    test = test if images is None else test.first(images)
    drawn = None
    if calibration:
        drawn = calibration_from(source, calibration, augment=augment, seed=calibration_seed)
    scale = source.scale if normalize is None else parse_pixel_scale(normalize)
    if score is None:
        check_fits(network, test, scale)
        check_classes(test, classes)
    else:  # what the network returns is the score's own affair
        test = Split(inputs=scaled(test.inputs, scale), labels=test.labels)
    return Setup(
        model=network,
        test=test,
        calibration=drawn,
        score=score,
        scale=scale,
        subject=Subject(
            checkpoint=file_sha256(file),
            model=model,
            norm=norm_text(norm, norm_where),
            task=task or source.task,
            data=source.name,
            calibration="train augmented" if augment else "train",
        ),
    )


def network_of(
    state: State,
    *,
    model: str,
    norm: str | None,
    norm_where: str,
    classes: int,
    channels: int,
) -> nn.Module:
    """The model of that name with the tensors of `state`.

    Raises:
        ValueError: where they do not fit.
    """
    network = build(
        model,
        norm=norm,
        where=norm_where,
        classes=classes,
        channels=channels,
        auxiliary=any(name.startswith("aux_classifier.") for name in state),
    )
    fill(network, state, name=f"{model} with norm {norm_text(norm, norm_where)}")
    return network


def calibration_from(source: Source, n: int, *, augment: bool, seed: int) -> Inputs:
    """n training inputs without their labels; the first of them are those of a smaller n."""
    split = source.read("train")
    if not augment:
        return split.sample(n, seed=seed)
    change = TASKS[split.task].change
    changed = []
    for place in split.drawn(n, seed=seed).tolist():
        path = ("calibration change", place)
        with seeded(seed, *path):
            single = split.part(place, place + 1)
            changed.append(change(single, source, stream(seed, *path)).inputs)
    return joined(changed)
