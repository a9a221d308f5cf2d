"""A look at a network before it is measured: what noise reaches, what it scores, what it costs."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from noiseproof.core.device import using_threads
from noiseproof.core.inputs import Inputs
from noiseproof.measuring.doubts import causes
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.options import asked_network, check_keywords, with_keywords
from noiseproof.measuring.requests import Calibration, Subject
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.units import Units, nested_images, open_units
from noiseproof.network import is_norm
from noiseproof.recalibration import running_layers
from noiseproof.results import DesignCost, Inspection, LabelFacts, Row
from noiseproof.results.clean import sees_nothing
from noiseproof.specs import Chips, PerImage, PixelScale, parse
from noiseproof.tasks import TASKS, Result, ScoreFunction, class_logits

USUAL_CHIPS, NESTED = 25, 200  # usual numbers
FEW = 32  # images that costs are timed on
TARGETS = ("kernel",)
NOISE = parse("gaussian(0.1, reference=std)")


class InspectOptions(TypedDict, total=False):
    """Of `inspect_network`, as in `Network`."""

    scale: PixelScale | None
    score: ScoreFunction | None
    batch_size: int | None
    device: str | None
    threads: int | str | None
    subject: Subject | None


@with_keywords(InspectOptions)
def inspect_network(
    model: nn.Module,
    data: object,
    **options: Unpack[InspectOptions],
) -> Inspection:
    """What there is to know of `model` before it is measured on `data`, both as `measure` takes
    them: print it, or look at its fields. One clean pass over all of `data`, and a few passes of
    few inputs, by which the designs' costs are told.

    Raises:
        ValueError: where the network and the test inputs do not fit.
        TypeError: for a keyword that there is not.
    """
    check_keywords("inspect_network", options, InspectOptions)
    network = asked_network(options)
    return inspect_setup(held(model, data, network, Calibration()))


def inspect_setup(setup: Setup) -> Inspection:
    """The same of an opened network."""
    with using_threads(setup.network.threads):
        evaluator = open_evaluator(setup, None)
        _warm_up(evaluator)
        started = time.perf_counter()
        result, called = _clean(evaluator)
        seconds = time.perf_counter() - started
        row = evaluator.filled(evaluator.clean_row, result, started)
        asked = evaluator.asked_row(NOISE, TARGETS)
        is_doubted = sees_nothing(row) and evaluator.own_score is None
        return Inspection(
            clean=row,
            macs=asked.reached_macs,
            weights=asked.reached_weights,
            left_out=evaluator.left_out(TARGETS),
            layers=len({one.layer for one in evaluator.places.values() if one.role == "kernel"}),
            randomness=evaluator.randomness.value,
            labels=_labels(evaluator.test, called, result),
            doubts=tuple(causes(evaluator)) if is_doubted else (),
            dtypes=_dtypes(evaluator),
            norms=_norms(evaluator.skeleton),
            clean_seconds=seconds,
            costs=_costs(evaluator, row, seconds),
        )


def _warm_up(evaluator: Evaluator) -> None:
    """The first pass allocates, and lets libraries choose their algorithms."""
    evaluator.prepare_()
    if evaluator.own_score is None:
        evaluator.scored(evaluator.clean, evaluator.test.part(0, min(FEW, len(evaluator.test))))


def _clean(evaluator: Evaluator) -> tuple[Result, Tensor | None]:
    """The clean score, and of a classifier the class that each input is called (N,)."""
    if evaluator.own_score is not None or evaluator.test.task != "classify":
        return evaluator.clean_score(), None
    run, called = evaluator.passes.load(evaluator.clean), []

    def forward(inputs: Inputs) -> Any:
        output = run(evaluator.ready(inputs))
        called.append(class_logits(output).argmax(1).cpu())
        return output

    with evaluator.seeded(0, "clean", 0):
        result = evaluator.result(forward, evaluator.test)
    return result, torch.cat(called)


def _labels(test: Any, called: Tensor | None, result: Result) -> LabelFacts | None:
    if called is None:
        return None
    labels = sorted(set(test.labels.long().flatten().tolist()))
    return LabelFacts(
        lowest=labels[0],
        highest=labels[-1],
        there=len(labels),
        outputs=result.classes,
        predicted=len(set(called.tolist())),
    )


def _dtypes(evaluator: Evaluator) -> tuple[tuple[str, int], ...]:
    found: Counter[str] = Counter()
    for tensor in evaluator.state.values():
        found[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return tuple(found.most_common())


def _norms(skeleton: nn.Module) -> tuple[tuple[str, int, str], ...]:
    """The kinds of normalisation layers, how many, and where their statistics lie."""
    running = running_layers(skeleton)
    found: Counter[tuple[str, str]] = Counter()
    for name, module in skeleton.named_modules():
        if name in running:
            found[type(module).__name__, "running statistics in running_mean, running_var"] += 1
        elif is_norm(module) or isinstance(module, nn.LayerNorm | nn.RMSNorm):
            found[type(module).__name__, "statistics of each input, none stored"] += 1
    return tuple((kind, count, where) for (kind, where), count in found.most_common())


# --- what designs cost ----------------------------------------------------------------------------


def _costs(evaluator: Evaluator, clean: Row, seconds: float) -> tuple[DesignCost, ...]:
    """`seconds`: of the clean pass over all images, below which no chip is measured."""
    total = clean.images
    if evaluator.own_score is not None or not total:
        # A score of one's own runs the network as it likes, so a chip costs a clean score and more.
        return (
            DesignCost(design="chips", units=f"{USUAL_CHIPS} chips", seconds=USUAL_CHIPS * seconds),
        )
    units = Units(evaluator=evaluator, design=Chips(), targets=TARGETS)
    image = seconds / total
    chip = _seconds_of_chip(units, image)
    found = [
        DesignCost(
            design="chips",
            units=f"{USUAL_CHIPS} chips on all {total:,} images",
            seconds=USUAL_CHIPS * (chip + total * image),
        )
    ]
    if not TASKS[evaluator.test.task].has_hits:
        return tuple(found)
    few, _ = nested_images(evaluator, units.programme(NOISE))
    found.append(
        DesignCost(
            design="nested",
            units=f"{NESTED} chips on {few:,} images each",
            seconds=NESTED * (chip + few * image),
        )
    )
    return (*found, _per_image(evaluator, clean))


def _seconds_of_chip(units: Units, image: float) -> float:
    """Of making a chip, and of all else that does not grow with the images, which take `image`
    seconds each."""
    evaluator, programme = units.evaluator, units.programme(NOISE)
    part = evaluator.test.part(0, min(FEW, len(evaluator.test)))
    whole = _least(lambda: evaluator.score(programme.chip(0, 0), part))
    return max(whole - image * len(part), 0.0)


def _per_image(evaluator: Evaluator, clean: Row) -> DesignCost:
    """Every image on a chip of its own, or why not."""
    part = evaluator.test.part(0, min(FEW, len(evaluator.test)))
    small = replace(evaluator, test=part)
    text = f"{clean.images:,} images, each on a chip of its own"
    blank = replace(clean, noise=str(NOISE), targets=TARGETS[0], level=NOISE.level)
    try:
        units, _ = open_units(small, PerImage(), (NOISE,), TARGETS, seen=(blank, ()))
        row = replace(blank, design=str(units.design))
        seconds = _least(lambda: units.evaluate(NOISE, row)) / units.images(0)
    except ValueError as error:
        return DesignCost(design="per-image", units=text, seconds=None, refused=str(error))
    return DesignCost(design="per-image", units=text, seconds=seconds * clean.images)


def _least(work: Callable[[], object]) -> float:
    """The seconds that it takes: the least of two after one that warms up, since whatever else the
    machine does only adds."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found[1:])
