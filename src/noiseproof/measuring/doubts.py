"""A clean network near chance, and what is likely wrong: another pixel scale, the order of the
colours, or the numbers of the classes. Each is tried on a few test images, and named only where it
is clearly better there."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from noiseproof.core.checks import DoubtWarning
from noiseproof.core.inputs import Inputs
from noiseproof.data import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.network import Chip, outputs
from noiseproof.results import Row
from noiseproof.results.clean import clean_sentence, sees_nothing
from noiseproof.specs import PIXEL_SCALES, PixelScale, facts_of
from noiseproof.stats import Interval, binomial_interval
from noiseproof.tasks import TASKS, Result, taken
from noiseproof.tasks.classify import class_logits

FEW, FEW_SCENES = 96, 12
"""Images of one trial."""
FOR_LABELS = 400
"""Images whose answers are compared with their labels."""
MOST_NAMED = 3
WELL = 0.25  # of the way from chance to all right
SHIFTS = (-1, 1)
"""Class numbers that begin at 1, or that have a background before them."""
Classes = NDArray[np.int64]  # (N,)
RAW = PixelScale(mean=(0.0,), std=(1 / 255,))


def warn_near_chance(evaluator: Evaluator, clean: Row) -> None:
    """Warn of a clean score near chance, and of what is likely wrong, in the name of the user's
    line, which called a public function, which called one with a setup, which called this."""
    if not sees_nothing(clean):
        return
    found = [] if evaluator.own_score is not None else list(causes(evaluator))
    text = (
        f"the {clean_sentence(clean)}: shares of it are not printed; check the weights, the pixel "
        "scale, the order of the colours and the numbers of the classes"
    )
    warnings.warn("; ".join([text, *found]), DoubtWarning, stacklevel=4)


def causes(evaluator: Evaluator) -> Iterator[str]:
    """What is clearly better on a few of the test images, a sentence each."""
    inputs = evaluator.test.part(0, 1).inputs
    if isinstance(inputs, Tensor) and inputs.dim() == 4:
        yield from _inputs(evaluator)
    if TASKS[evaluator.test.task].has_hits:
        yield from _labels(evaluator)


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A way to hand images to the network; `scale` None: as they are handed now."""

    says: str
    scale: PixelScale | None
    swapped: bool

    def inputs(self, evaluator: Evaluator, images: Inputs) -> Inputs:
        assert isinstance(images, Tensor)
        turned = images.flip(1) if self.swapped else images
        return taken(turned, evaluator.state, self.scale or evaluator.scale)


def _inputs(evaluator: Evaluator) -> Iterator[str]:
    """Another scale of the pixels, or another order of the colours."""
    few = _few(evaluator.test, FEW if TASKS[evaluator.test.task].has_hits else FEW_SCENES)
    now, *others = _trials(few.inputs)
    results = {trial: _result(evaluator, few, trial) for trial in (now, *others)}
    score = {trial: _interval(result) for trial, result in results.items()}
    blind = facts_of(few.task, classes=results[now].classes).blind or 0.0
    clear = [trial for trial in others if _is_clear(score[trial], score[now], blind)]
    # Scales that are nearly the same score nearly the same: the first is not yet the right one.
    best = sorted(clear, key=lambda trial: -score[trial].mean)[:MOST_NAMED]
    if best:
        sign = evaluator.clean_row.unit.sign
        shown = {trial: evaluator.clean_row.unit.value(score[trial].mean) + sign for trial in score}
        named = ", ".join(f"{trial.says} {shown[trial]}" for trial in best)
        yield f"on {len(few)} of the images, where it is {shown[now]} now, scores {named}"


def _trials(images: Inputs) -> list[_Trial]:
    """First as it is now; of pixels the usual scales, of colours their order."""
    assert isinstance(images, Tensor)
    scales: dict[str, PixelScale | None] = {"": None}
    if images.dtype == torch.uint8:
        known = {name: PixelScale(mean=m, std=s) for name, (m, s) in PIXEL_SCALES.items()}
        fit = {n: s for n, s in known.items() if len(s.mean) in (1, images.shape[1])}
        scales |= {f"--normalize {name}": scale for name, scale in fit.items()}
        scales["pixels from 0 to 255 (--normalize 0,0.00392156862745098)"] = RAW
    orders = (False, True) if images.shape[1] == 3 else (False,)
    return [
        _Trial(
            says=" with ".join(part for part in (scale, swap) if part),
            scale=scales[scale],
            swapped=swapped,
        )
        for swapped, swap in zip(orders, ("", "blue before red"), strict=False)
        for scale in scales
    ]


def _result(evaluator: Evaluator, few: Split, trial: _Trial) -> Result:
    def forward(inputs: Inputs) -> object:
        chip = Chip(evaluator.state)
        return outputs(evaluator.skeleton, chip, trial.inputs(evaluator, inputs))

    return evaluator.result(forward, few)


def _interval(found: Result) -> Interval:
    if found.hits is None:
        return Interval(mean=found.score, low=found.score, high=found.score)
    return binomial_interval(int(found.hits.sum()), len(found.hits))


def _is_clear(best: Interval, now: Interval, blind: float) -> bool:
    """Two intervals apart are far more than chance among a dozen trials; scores without one must
    more than double. What is itself near chance explains nothing: with wrong labels a network that
    sees nothing scores more than one that sees. So it must be well on the way to being right."""
    apart = best.low > max(now.high, blind) and best.mean > 2 * now.mean
    return apart and best.mean - blind > WELL * (1 - blind)


def _labels(evaluator: Evaluator) -> Iterator[str]:
    """Classes that the network knows under other numbers: found in one half of the images, and
    counted in the other."""
    few = _few(evaluator.test, FOR_LABELS)
    truth = np.asarray(few.labels, dtype=np.int64)
    answers = _answers(evaluator, few)
    now = binomial_interval(int((answers == truth).sum()), len(truth))
    renamed, order = _renamed(answers, truth)
    blind = 1 / len(set(truth.tolist()))
    for shift in SHIFTS:
        moved = binomial_interval(int((answers == truth + shift).sum()), len(truth))
        # Another order may move some classes by one too: only where that says all of it.
        if _is_clear(moved, now, blind) and moved.high > renamed.low:
            yield (
                f"with labels that are {abs(shift)} {'higher' if shift > 0 else 'lower'} it scores "
                f"{_percent(moved)} on {len(truth)} of the images: do the classes begin at another "
                "number?"
            )
            return
    if _is_clear(renamed, now, blind):
        pairs = [f"{is_now} is its {should}" for is_now, should in order[:3]]
        yield (
            f"with its classes in another order it scores {_percent(renamed)} (label "
            f"{', '.join(pairs)}): are the classes named in another order?"
        )


def _percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.0f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}] %"


def _answers(evaluator: Evaluator, few: Split) -> Classes:
    """The class that the network names for each image (N,)."""
    found = []
    size = evaluator.batch_size
    for start in range(0, len(few), size):
        part = few.part(start, start + size)
        output = evaluator.forward(evaluator.skeleton, evaluator.clean, part.inputs)
        found.append(class_logits(output).argmax(1).cpu().numpy())
    return np.concatenate(found)


def _renamed(
    answers: Classes,
    truth: Classes,
) -> tuple[Interval, list[tuple[int, int]]]:
    """The score under the best one-to-one renaming of classes, and the renaming of labels that
    changes something, the most frequent first."""
    classes = int(max(answers.max(), truth.max())) + 1
    counts = np.zeros((classes, classes), dtype=np.int64)
    # From the even images; the odd ones tell what it is worth, since the best of so many orders
    # would fit any answers of so few images.
    np.add.at(counts, (truth[::2], answers[::2]), 1)
    labels, names = linear_sum_assignment(counts, maximize=True)
    order = dict(zip(labels.tolist(), names.tolist(), strict=True))
    named = np.array([order[label] for label in truth[1::2].tolist()])
    hits = int((answers[1::2] == named).sum())
    moved = [pair for pair in order.items() if pair[0] != pair[1] and counts[pair]]
    return (
        binomial_interval(hits, max(1, len(named))),
        sorted(moved, key=lambda pair: -int(counts[pair])),
    )


def _few(test: Split, most: int) -> Split:
    """So many images, evenly among all: folders come class after class."""
    places = np.unique(np.linspace(0, len(test) - 1, min(most, len(test))).astype(np.int64))
    return test.take(torch.from_numpy(places))
