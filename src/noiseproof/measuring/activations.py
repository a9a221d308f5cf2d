"""Why accuracy is lost: `explain(model, test, spec) -> Activations`.

The same images pass the clean network and each chip side by side, a batch at a time, and the
outputs of every analog and every normalisation layer are compared channel by channel.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof.core.device import using_threads
from noiseproof.core.inputs import Inputs, count
from noiseproof.data import Split
from noiseproof.measuring.commands import ExplainRequest
from noiseproof.measuring.curves import warn_without_effect
from noiseproof.measuring.doubts import warn_near_chance
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.options import (
    ExplainOptions,
    Noise,
    OnPass,
    asked_calibration,
    asked_measurement,
    asked_network,
    calibration_inputs,
    check_keywords,
    with_keywords,
)
from noiseproof.measuring.requests import USUAL_CHIPS, Measurement
from noiseproof.measuring.settling import warn_of_dice
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.watching import resolved_request
from noiseproof.network import (
    Chip,
    Key,
    Moments,
    Site,
    double,
    joined,
    listening,
    moments_of,
    sites_of,
)
from noiseproof.recalibration import with_biases
from noiseproof.results import (
    QUANTITIES,
    Activations,
    Point,
    Way,
    kept_channels,
    mean_shift,
    snr_db,
    variance_ratio,
)
from noiseproof.specs import Match
from noiseproof.stats import Floats
from noiseproof.tasks import TASKS, unscored

MAX_VALUES = 2**26
"""Clean activations that are held at once, of all points together: 256 MiB of float32."""


@with_keywords(ExplainOptions, chips=USUAL_CHIPS, recalibrate=())
def explain(
    model: nn.Module,
    data: object,
    noise: Noise | None = None,
    **options: Unpack[ExplainOptions],
) -> Activations:
    """How far the activations of `model` on noisy chips are from those without noise, point by
    point: as the chips come, and after each way to `recalibrate`.

    `data` and `noise` are as in `measure`; inputs alone, a tensor or a dict, have no score. Points
    are the layers that own kernel weights and the normalisation layers, in order of execution, each
    call a point; of a layer that returns several tensors the first. Where an output has another
    shape on a chip than on the clean network (in the heads of a detector, which see what it
    proposes) there is no SNR.

    - `recalibrate`: ways to compare beside the chip as it comes (default: none), on the first of
      the `calibration` images.
    - `chips`: how many (default: 10).
    - `on_pass(way, done, total)`: called after each chip and way.
    - `seed`, `targets`, `scale`, `batch_size`, `device`, `threads`, `subject`: as in
      `requests.Network` and `requests.Measurement`.

    Raises:
        ValueError: for values out of range, for estimators that follow the test batches, and for a
            network without such layers.
        TypeError: for a keyword that there is not.
    Warns:
        NoEffectWarning: when the noise or a recalibration changes nothing.
    """
    check_keywords("explain", options, ExplainOptions)
    network = asked_network(options)
    if isinstance(data, Tensor | dict):
        data, network = _unlabelled(data), replace(network, score=unscored)
    ways = [None, *options.get("recalibrate", ())]
    request = ExplainRequest(
        network=network,
        measurement=asked_measurement(noise, options),
        calibration=asked_calibration(ways, calibration_inputs(options), options),
    )
    return explain_setup(
        held(model, data, network, request.calibration), request, on_pass=options.get("on_pass")
    )


def explain_setup(
    setup: Setup, request: ExplainRequest, *, on_pass: OnPass | None = None
) -> Activations:
    """The activations of an opened network, as `explain`."""
    request = resolved_request(request)
    with using_threads(setup.network.threads):
        ways = request.calibration.ways
        evaluators = [open_evaluator(setup, way, request.compensate) for way in ways]
        warn_of_dice(evaluators[0])
        for evaluator in evaluators:
            warn_without_effect(evaluator, request.measurement)
        tour = _Tour(
            evaluator=evaluators[0],
            batch_size=_batch_size(evaluators[0]),
            labelled=setup.score is None,
        )
        found = _explained(tour, evaluators, request.measurement, on_pass)
        warn_near_chance(evaluators[0], found.clean)
    return found


def _unlabelled(inputs: Inputs) -> Split:
    return Split(inputs=inputs, labels=torch.zeros(count(inputs), dtype=torch.int64))


def _explained(
    tour: "_Tour",
    evaluators: Sequence[Evaluator],
    asked: Measurement,
    on_pass: OnPass | None,
) -> Activations:
    """All chips in all ways. Chip after chip, so that only one chip's states are held."""
    spec, targets, chips = asked.spec, asked.targets, asked.followed
    # The clean network against itself: its moments, and the order of the points.
    clean_score, clean = tour.walk(evaluators[0], evaluators[0].skeleton, evaluators[0].clean)
    named = replace(evaluators[0].clean_row, seed=asked.seed)
    programme = evaluators[0].programme(spec, targets)
    skeletons = [
        # What `recalibrated` returns for `match` has biases that the network itself lacks.
        with_biases(evaluator.skeleton)
        if isinstance(evaluator.estimator, Match)
        else evaluator.skeleton
        for evaluator in evaluators
    ]
    # Without randomness every chip is the same; and with it the network's own is on both sides.
    different = chips if spec.is_random or evaluators[0].has_dice else 1
    tables: list[list[Floats]] = [[] for _ in evaluators]
    scores: list[list[float]] = [[] for _ in evaluators]
    for chip in range(different):
        made = programme.chip(asked.seed, chip)
        for place, evaluator in enumerate(evaluators):
            there = evaluator.at_products(made, replace(named, chip=chip))
            fixed = there if evaluator.estimator is None else evaluator.recalibrated(there)
            found, noisy = tour.walk(evaluator, skeletons[place], fixed)
            scores[place].append(found)
            tables[place].append(_values(clean, noisy))
            if on_pass is not None:
                done = chip * len(evaluators) + place + 1
                on_pass(evaluator.chip_row.recalibrate, done, different * len(evaluators))
    sites = sites_of(evaluators[0].skeleton)
    return Activations(
        points=tuple(_point(sites[key[0]], key, seen) for key, seen in clean.items()),
        ways=tuple(
            Way(
                row=replace(evaluator.asked_row(spec, targets), seed=asked.seed),
                # Without dice one chip stands for all: repeated, so that
                # an interval of no width comes out.
                values=_by_quantity(table * (chips // different)),
                scores=np.array(found * (chips // different)) if tour.labelled else None,
            )
            for evaluator, table, found in zip(evaluators, tables, scores, strict=True)
        ),
        clean=replace(evaluators[0].clean_row, score=clean_score),
    )


def _by_quantity(table: Sequence[Floats]) -> dict[str, Floats]:
    """Per chip (quantities, points) -> by the key of each quantity (chips, points)."""
    together = np.stack(table)
    return {quantity.key: together[:, place] for place, quantity in enumerate(QUANTITIES)}


# --- one pass -----------------------------------------------------------------------------------


def _batch_size(evaluator: Evaluator) -> int:
    """How many images the evaluator takes at once with all their clean activations held.

    Raises:
        ValueError: where there is nothing to look at.
    """
    sizes: list[int] = []
    single = evaluator.test.part(0, 1).inputs
    with listening(evaluator.skeleton, lambda key, y: sizes.append(y.numel())):
        evaluator.forward(evaluator.skeleton, evaluator.clean, single)
    if not sizes:
        raise ValueError(
            "explain needs layers with kernel weights or normalisation layers that return tensors, "
            f"and this {type(evaluator.skeleton).__name__} has none that runs"
        )
    return max(1, min(evaluator.batch_size, MAX_VALUES // sum(sizes)))  # sizes: of one image


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """What flowed out of a point: its moments (C,), and the sum over all values of the squared
    difference to the clean network (C,) in float64; None where the shapes do not correspond."""

    moments: Moments
    squares: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tour:
    """The test images on their way through a chip, with the clean network beside it."""

    evaluator: Evaluator
    batch_size: int
    labelled: bool

    def walk(
        self, evaluator: Evaluator, skeleton: nn.Module, chip: Chip
    ) -> tuple[float, dict[Key, _Seen]]:
        """The score of `chip`, which `evaluator` made, nan without labels, and what is seen at each
        point."""
        seen: dict[Key, _Seen] = {}
        numbers = itertools.count()

        def forward(inputs: Inputs) -> Any:
            # A network that is random by itself has the same dice on both sides: what differs is
            # the chip's.
            number = next(numbers)
            # Anew beside every chip: all clean activations of a test set would not fit into memory.
            with self.evaluator.seeded(0, "batch", number):
                clean = self._clean(inputs)

            def see(key: Key, y: Tensor) -> None:
                new = _compared(clean.get(key), y)
                # A key counts calls within one pass, so what is there
                # already is of the batches before.
                seen[key] = _added(seen[key], new) if key in seen else new

            with listening(skeleton, see), self.evaluator.seeded(0, "batch", number):
                return self.evaluator.forward(skeleton, chip, inputs)

        run = evaluator.along(forward)
        if self.labelled:
            task = TASKS[self.evaluator.test.task]
            return task.evaluate(run, self.evaluator.test, self.batch_size).score, seen
        for part in self.evaluator.test.batches(self.batch_size):
            run(part.inputs)
        return math.nan, seen

    def _clean(self, inputs: Inputs) -> dict[Key, Tensor]:
        """The clean activations of one batch; copies, since later layers may work in place."""
        held: dict[Key, Tensor] = {}
        with listening(self.evaluator.skeleton, lambda key, y: held.update({key: y.clone()})):
            self.evaluator.forward(self.evaluator.skeleton, self.evaluator.clean, inputs)
        return held


def _compared(clean: Tensor | None, y: Tensor) -> _Seen:
    """Both (N, C, *positions)."""
    moments = moments_of(y)  # (C,)
    if clean is None or clean.shape != y.shape:
        return _Seen(moments=moments, squares=None)
    # In float32 at least: the difference of two close values in half precision is mostly rounding.
    d = y.float() - clean.float() if y.dtype != torch.float64 else y - clean
    d = d.flatten(2) if d.dim() > 2 else d[:, :, None]  # (N, C, positions)
    squares = double(torch.linalg.vector_norm(d, dim=2)).square().sum(0)  # (C,)
    return _Seen(moments=moments, squares=squares)


def _added(old: _Seen, new: _Seen) -> _Seen:
    # One batch whose shapes differ spoils the sum: a part of the images would be another quantity.
    both = old.squares is not None and new.squares is not None
    return _Seen(
        moments=joined([old.moments, new.moments]),
        squares=old.squares + new.squares if both else None,  # type: ignore[operator]  # both
    )


def _array(values: Tensor) -> Floats:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)


def _values(clean: dict[Key, _Seen], noisy: dict[Key, _Seen]) -> Floats:
    """One chip's quantities at each of the clean network's points: (quantities, points)."""
    rows = []
    for key, before in clean.items():
        after = noisy.get(key)
        # A point that the chip never reached, as a head without proposals.
        if after is None:
            rows.append((math.nan,) * len(QUANTITIES))
            continue
        var, mean = _array(before.moments.var), _array(before.moments.mean)
        squares, n = after.squares, after.moments.values
        # As many values on both sides: else the chip skipped the layer in some batches.
        same = squares is not None and n == before.moments.values
        rows.append(
            (
                snr_db(var, _array(squares) / n) if same else math.nan,  # type: ignore[arg-type]
                mean_shift(mean, var, _array(after.moments.mean)),
                variance_ratio(var, _array(after.moments.var)),
            )
        )
    # (points, quantities) -> (quantities, points)
    return np.array(rows).T


def _point(site: Site, key: Key, seen: _Seen) -> Point:
    kept = kept_channels(_array(seen.moments.var))
    return Point(
        layer=key[0],
        call=key[1],
        role=site.role,
        kind=type(site.module).__name__,
        channels=len(kept),
        excluded=int((~kept).sum()),
    )
