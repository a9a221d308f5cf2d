"""From names to things: weights, model, data and pixel scale, ready to be measured."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from noiseproof.core.device import pick_device
from noiseproof.core.inputs import Inputs, joined
from noiseproof.core.plugins import harmless_name, named
from noiseproof.core.rng import seeded, stream
from noiseproof.data import (
    Source,
    Split,
    check_scale,
    fitted_to,
    open_dataset,
    split_of,
    unlabelled,
)
from noiseproof.measuring.options import SetupOptions, check_keywords, named_network, with_keywords
from noiseproof.measuring.requests import Calibration, Network, Subject
from noiseproof.models import (
    Card,
    build,
    file_sha256,
    fill,
    load_state,
    pictures_of,
    read_card,
    weights_file,
)
from noiseproof.network import State, check_module
from noiseproof.specs import PixelScale, norm_text, parse_pixel_scale
from noiseproof.tasks import TASKS, ScoreFunction, check_classes, check_fits, unscored

SCALE_REMEDY = (
    "give scale=npf.specs.parse_pixel_scale('imagenet'), 'half' or 'mean,std'; 'none' for "
    "pixel / 255 alone"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A network and what it is measured on, at hand. `network` says how it is run, its scale, score
    and subject filled in; `test` is a `Split`, or whatever a score of one's own takes."""

    model: nn.Module
    test: Any
    calibration: Inputs | None
    network: Network

    @property
    def score(self) -> ScoreFunction | None:
        """A score of one's own; None where the task has it."""
        return self.network.score

    @property
    def scale(self) -> PixelScale | None:
        """By which pixels pass."""
        return self.network.scale

    @property
    def subject(self) -> Subject:
        """What rows call it."""
        return self.network.subject or Subject()


def held(model: nn.Module, test: object, network: Network, calibration: Calibration) -> Setup:
    """A setup of what is in memory already.

    Raises:
        ValueError: for a device that is not there, and for a test set of no known form without a
            score of one's own.
    """
    check_module(model)
    if network.device is not None:
        pick_device(network.device)
    if network.score is None and not isinstance(test, Split):
        test = split_of(test)
    images = calibration.images
    assert not isinstance(images, int), "images in memory are drawn already"
    # What a score of one's own does with its pixels is its own affair; `unscored` has none.
    scale = network.scale or (test.scale if isinstance(test, Split) else None)
    if isinstance(test, Split) and network.score in (None, unscored):
        test.check_scale(scale, remedy=SCALE_REMEDY)
    if images is not None:
        check_scale(images, scale, remedy=SCALE_REMEDY)
    return Setup(model=model, test=test, calibration=images, network=replace(network, scale=scale))


@with_keywords(SetupOptions, calibration=0, augment=False, calibration_seed=0)
def open_setup(weights: str | Path, **options: Unpack[SetupOptions]) -> Setup:
    """A checkpoint or a training run's folder, opened to be measured: `setup.model`, `setup.test`,
    `setup.calibration`, `setup.scale`, `setup.subject`. The keywords are those of `SetupOptions`;
    what is not given is taken from the weights' card. A card never names code that runs: a model or
    data of one's own has to be given.

    Raises:
        ValueError: for whatever is missing or does not fit.
        TypeError: for a keyword that there is not.
    """
    check_keywords("open_setup", options, SetupOptions)
    return opened(*named_network(weights, options))


def opened(network: Network, calibration: Calibration) -> Setup:
    """Everything that the names in `network` stand for, checked before any of it runs.

    Raises:
        ValueError: for whatever is missing or does not fit.
    """
    assert network.weights is not None
    if network.device is not None:
        pick_device(network.device)
    file = weights_file(network.weights)
    card = read_card(file)
    network = _with_pictures(_with_card(network, card, file), file)
    assert network.data is not None
    source = open_dataset(
        network.data,
        data_dir=network.data_dir,
        download=network.download,
        labels=network.labels or (card.names if card is not None else ()),
        cropping=network.cropping,
    )
    own = None
    if network.task is not None and ":" in network.task:
        own = named(network.task)
    else:
        source.check_task(network.task)
    if network.classes is None:
        # The card's first: a network may tell apart more classes than its test set has.
        network = replace(network, classes=source.classes if card is None else card.classes)
    model = _filled(network, load_state(file), source)
    check_module(model)
    test = source.read("test")
    test = test if network.images is None else test.first(network.images)
    drawn = _drawn(source, calibration, test, network.mvm.images)
    scale = network.scale or source.scale
    if own is None:
        test = check_fits(model, test, scale, classes=network.classes)
        check_classes(test, network.classes or 0)
    else:  # what the network returns is the score's own affair
        # Scaled once and for all, since the score of one's own runs the network itself.
        test = fitted_to(test.ready(scale), network.classes)
    subject = Subject(
        checkpoint=file_sha256(file),
        model=network.model or "",
        norm=norm_text(network.norm, network.norm_where),
        task=network.task or source.task,
        data=source.name,
        calibration=calibration.source or ("train augmented" if calibration.augment else "train"),
    )
    return Setup(
        model=model,
        test=test,
        calibration=drawn,
        network=replace(network, score=own, scale=scale, subject=subject),
    )


def _with_card(network: Network, card: Card | None, file: Path) -> Network:
    """What is not given, from the card of the weights.

    Raises:
        ValueError: where something is missing still, or the card names code of its own.
    """
    if card is not None:
        network = replace(
            network,
            # A card comes with weights from anywhere, and
            # `package.module:name` would be imported and run.
            model=network.model or harmless_name(card.model, "--model", file),
            data=network.data or harmless_name(card.data, "--data", file),
            norm=card.norm if network.norm is None else network.norm,
            # With the norm it belongs to: the card's `where` says nothing about another norm.
            norm_where=card.norm_where if network.norm is None else network.norm_where,
            scale=network.scale or parse_pixel_scale(card.scale),
        )
    for option, value in (("--model", network.model), ("--data", network.data)):
        if value is None:
            raise ValueError(f"{file} has no card, so {option} must say what it is")
    return network


def _with_pictures(network: Network, file: Path) -> Network:
    """What is not given of how pictures in folders become inputs, as the library of public weights
    has it."""
    assert network.model is not None
    assert network.data is not None
    if not network.data.startswith("folder:"):
        return network
    own = pictures_of(network.model, file.name)
    if own is None:
        return network
    return replace(
        network, cropping=network.cropping or own.cropping, scale=network.scale or own.scale
    )


def _filled(network: Network, state: State, source: Source) -> nn.Module:
    assert network.model is not None
    assert network.classes is not None
    return network_of(
        state,
        model=network.model,
        norm=network.norm,
        norm_where=network.norm_where,
        classes=network.classes,
        channels=source.channels,
    )


def _drawn(source: Source, calibration: Calibration, test: Split, for_ranges: int) -> Inputs | None:
    """The calibration images, as many as are asked for; None: none."""
    needed = max(calibration.needed, for_ranges)
    images = needed if calibration.images is None else calibration.images
    if not isinstance(images, int):
        return images
    if not images:
        return None
    if calibration.source is not None:
        root = Path(calibration.source.removeprefix("folder:"))
        return unlabelled(root, source, test, images)
    return calibration_from(source, images, augment=calibration.augment, seed=calibration.seed)


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
        # torchvision's segmenters are saved with the head that only training uses, or without.
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
        # Image by image under dice of its own: so the first n are those of any larger number.
        # Scenes draw from torch's default generator, other images from the one that is handed over.
        with seeded(seed, *path):
            single = split.part(place, place + 1)
            changed.append(change(single, source, stream(seed, *path)).inputs)
    return joined(changed)
