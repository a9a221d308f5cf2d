"""The keywords of the public functions, and what they ask for: one adapter for all of them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from noiseproof.core.inputs import Inputs, as_inputs, count
from noiseproof.data import inputs_of
from noiseproof.measuring.commands import RankRequest
from noiseproof.measuring.requests import Calibration, Measurement, Network, Subject
from noiseproof.results import OnRow, Store
from noiseproof.specs import (
    Design,
    Estimator,
    Hardware,
    Layers,
    Mvm,
    PixelScale,
    Pooled,
    Spec,
    Stored,
    asked_cropping,
    find_hardware,
    parse,
    parse_design,
    parse_digital,
    parse_estimator,
    parse_mapping,
    parse_mvm,
    parse_pixel_scale,
    parse_targets,
    parse_times,
)
from noiseproof.tasks import ScoreFunction

Way = Estimator | str | None
Noise = Spec | str
OnPass = Callable[[str, int, int], None]
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """What every function takes, as in `Network` and `Measurement`; `digital` may be its text;
    `stats_as`, `fold_norm` and `eps` are as in `Stored`. `hardware`: a chip by name or file, whose
    noise, mapping, compensation and digital layers are taken where nothing else is said; `mapping`
    its text; `compensate` a key of `COMPENSATIONS`. `mvm` may be its text too; `calibrate`:
    how many of the calibration images decide its static ranges."""

    targets: Sequence[str]
    seed: int
    scale: PixelScale | None
    batch_size: int | None
    device: str | None
    threads: int | str | None
    digital: str | Sequence[Layers]
    stats_as: str
    fold_norm: bool
    eps: float | None
    hardware: str | Path | None
    mapping: str | None
    compensate: str | None
    mvm: Mvm | str | None
    calibrate: int | None
    subject: Subject | None


class StoreOptions(TypedDict, total=False):
    """`store` has the rows that are not measured again and gets each new one at once; `fresh`: all
    are measured again, each in place of the old one. `on_row(row, done, total)` sees the new."""

    store: Store | None
    fresh: bool
    on_row: OnRow | None


class MeasureOptions(RunOptions, StoreOptions, total=False):
    """Of `measure`: `recalibrate` is one way, `calibration` the images for it (images alone: pooled
    over all of them). `on_design(text)` gets what design `auto` chose and why. All else is as in
    `Network` and `Measurement`."""

    times: str | Sequence[str] | None
    design: Design | str
    chips: int | None
    passes: int | None
    precision: float | None
    budget: float | None
    recalibrate: Way
    calibration: object
    score: ScoreFunction | None
    dtype: str
    compiled: bool
    on_design: Callable[[str], None] | None


class TrackOptions(RunOptions, StoreOptions, total=False):
    """Of `track`: `recalibrate` are the ways to compare (off), `calibration` the images for them;
    `images`, `window` and `period` are as in `Course`."""

    recalibrate: Way | Sequence[Way]
    calibration: object
    images: int | None
    window: int | None
    period: int | None
    chips: int


class RankOptions(RunOptions, StoreOptions, total=False):
    """Of `rank_layers`: `by` and `keep` are as in `RankRequest`. `on_design(text)` gets what design
    `auto` chose and why, and what it will cost. `calibration`: images for the ranges of
    converters."""

    by: str
    keep: Sequence[int]
    calibration: object
    design: Design | str
    chips: int | None
    score: ScoreFunction | None
    on_design: Callable[[str], None] | None


class ExplainOptions(RunOptions, total=False):
    """Of `explain`: `recalibrate` are the ways beside the chip as it comes, `calibration` the
    images for them; `on_pass(way, done, total)` is called after each chip and way."""

    recalibrate: Sequence[Way]
    calibration: object
    chips: int
    on_pass: OnPass | None


class SetupOptions(TypedDict, total=False):
    """Of `open_setup`, as in `Network`; `normalize` is the pixel scale as a text. `calibration`:
    how many images to draw from the training split (none), by `calibration_seed` (0), and with
    `augment` changed at random as in training (no), or from `folder:PATH` (`calibration_from`).
    `resize` and `crop`: how images of class folders become squares (256, 224)."""

    model: str | None
    norm: str | None
    norm_where: str
    data: str | None
    data_dir: str | Path | None
    download: bool
    labels: str | Path | None
    resize: int | None
    crop: int | None
    normalize: str | None
    classes: int | None
    task: str | None
    images: int | None
    calibration: int
    calibration_from: str | None
    augment: bool
    calibration_seed: int


DEFAULTS: dict[str, object] = {
    field.name: field.default
    for request in (Network, Measurement, RankRequest, Stored)
    for field in fields(request)
    if field.default is not MISSING and field.name != "hardware"  # a name here, a label there
}
IN_MEMORY = (
    *("scale", "score", "batch_size", "device", "compiled", "dtype", "threads", "digital"),
    "subject",
)
STORED = ("stats_as", "fold_norm", "eps")


def with_keywords(known: type, **own: object) -> Callable[[F], F]:
    """The function itself; `help` and the docs see the keywords of `known` in place of `options`,
    with its `own` defaults and those of the requests that they end in."""

    def mark(function: F) -> F:
        signature = inspect.signature(function)
        given = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        hints = known.__annotations__
        keywords = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=(DEFAULTS | own).get(name),
                annotation=hints[name],
            )
            for name in hints
        ]
        # `inspect` and `help` believe this attribute; a call does not look at it,
        # so there is also `check_keywords`.
        function.__signature__ = signature.replace(parameters=[*given, *keywords])  # type: ignore[attr-defined]
        return function

    return mark


def check_keywords(function: str, options: Mapping[str, object], known: type) -> None:
    """Raise TypeError, as Python would, for a keyword that the function does not have."""
    names = known.__annotations__
    for name in options:
        if name not in names:
            listed = ", ".join(sorted(names))
            raise TypeError(f"{function} has no keyword {name!r}: expected one of {listed}")


def asked_network(options: Mapping[str, Any]) -> Network:
    """What `options` say of a network in memory."""
    # Only what was given, so that the default stands in one place, the request.
    given = {name: options[name] for name in IN_MEMORY if name in options}
    return Network(**given | _digital(options) | _stored(options) | _mvm(options))


def asked_hardware(options: Mapping[str, Any]) -> Hardware:
    """The chip that `options` name; the empty one without."""
    name = options.get("hardware")
    return Hardware() if name is None else find_hardware(name)


def named_network(weights: str | Path, options: Mapping[str, Any]) -> tuple[Network, Calibration]:
    """What `options` say of a network by name, and of the images drawn for it."""
    given = _of(Network, options) | _digital(options) | _stored(options)
    if options.get("normalize") is not None:
        given["scale"] = parse_pixel_scale(options["normalize"])
    given["cropping"] = asked_cropping(options.get("resize"), options.get("crop"))
    for name in ("data_dir", "labels"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    calibration = Calibration(
        images=options.get("calibration", 0),
        source=options.get("calibration_from"),
        augment=options.get("augment", False),
        seed=options.get("calibration_seed", 0),
    )
    return Network(weights=Path(weights), **given), calibration


def _digital(options: Mapping[str, Any]) -> dict[str, tuple[Layers, ...]]:
    digital = options.get("digital", ())
    found = parse_digital(digital) if isinstance(digital, str) else tuple(digital)
    return {"digital": (*found, *parse_digital(asked_hardware(options).digital))}


def _stored(options: Mapping[str, Any]) -> dict[str, Stored]:
    given = {name: options[name] for name in STORED if name in options}
    chip = asked_hardware(options)
    said = options.get("mapping")
    array, fold = parse_mapping(chip.mapping if said is None else said)
    given["fold_norm"] = given.get("fold_norm", False) or bool(fold)
    return {"stored": Stored(**given, array=array, hardware=chip.name)}


def _mvm(options: Mapping[str, Any]) -> dict[str, Mvm]:
    mvm = options.get("mvm")
    mvm = asked_hardware(options).mvm if mvm is None else mvm
    read = parse_mvm(mvm) if isinstance(mvm, str) else mvm
    return {"mvm": read.calibrated(options.get("calibrate"))}


def range_images(options: Mapping[str, Any]) -> int:
    """How many calibration images decide ranges of converters."""
    return _mvm(options)["mvm"].images


def asked_measurement(
    specs: Noise | Sequence[Noise] | None, options: Mapping[str, Any]
) -> Measurement:
    """What `options` say of a measurement; texts are read. No `specs`: the hardware's noise."""
    if specs is None:
        specs = asked_hardware(options).noise
        if not specs:
            raise ValueError("noise is missing: give a spec, as 'gaussian(0.1)', or hardware")
    given = _of(Measurement, options)
    if isinstance(given.get("design"), str):
        given["design"] = parse_design(given["design"])
    if isinstance(given.get("targets"), str):
        given["targets"] = parse_targets(given["targets"])
    several = (specs,) if isinstance(specs, Spec | str) else tuple(specs)
    read = tuple(parse(spec) if isinstance(spec, str) else spec for spec in several)
    if wrong := [spec for spec in read if not isinstance(spec, Spec)]:
        raise ValueError(
            f"noise must be a Spec or its text, as 'gaussian(0.1)', got {type(wrong[0]).__name__}"
        )
    if (times := options.get("times")) is not None:
        text = times if isinstance(times, str) else ",".join(times)
        read = tuple(one for spec in read for one in spec.at_times(parse_times(text)))
    return Measurement(specs=read, **given)


def asked_calibration(
    ways: Sequence[Way], images: Inputs | None, options: Mapping[str, Any]
) -> Calibration:
    """The ways, images that are enough for all of them, and the compensation that `options` name.

    Raises:
        ValueError: where they are not.
    """
    there = 0 if images is None else count(as_inputs(images, "calibration"))
    found = [parse_estimator(way) if isinstance(way, str) else way for way in ways]
    for way in found:
        if way is not None and way.calibration_images > there:
            raise ValueError(
                f"{way} needs {way.calibration_images} calibration images, got {there}"
            )
    compensate = options.get("compensate") or asked_hardware(options).compensate
    return Calibration(ways=tuple(found), images=images, compensate=(compensate,))


def calibration_inputs(options: Mapping[str, Any]) -> Inputs | None:
    """The inputs of the calibration data, in whatever form, as many as the ways and the ranges of
    converters ask for; all of them where neither does."""
    ways = several_ways(options.get("recalibrate"))
    read = [parse_estimator(way) if isinstance(way, str) else way for way in ways]
    needed = [way.calibration_images for way in read if way is not None]
    if ranges := range_images(options):
        needed.append(ranges)
    return inputs_of(options.get("calibration"), max(needed) if needed else None)


def only_way(recalibrate: Way, images: Inputs | None, *, for_ranges: bool = False) -> list[Way]:
    """The one way of `measure`: images alone mean that the statistics are pooled over all of
    them, unless they are for the ranges of converters."""
    if recalibrate is None and images is not None and not for_ranges:
        return [Pooled(images=count(as_inputs(images, "calibration")))]
    return [recalibrate]


def several_ways(recalibrate: Way | Sequence[Way]) -> list[Way]:
    """The ways of `track`, of which one may stand alone."""
    # A text is a sequence too, of letters.
    if isinstance(recalibrate, str) or not isinstance(recalibrate, Sequence):
        return [recalibrate]
    return list(recalibrate)


def _of(request: type, options: Mapping[str, V]) -> dict[str, V]:
    """Those of the options that are fields of a request."""
    names = {field.name for field in fields(request)}
    return {name: value for name, value in options.items() if name in names}
