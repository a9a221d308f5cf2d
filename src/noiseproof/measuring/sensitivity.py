"""Which layers lose the score: `rank_layers(model, test, spec) -> Ranking`."""

from collections.abc import Callable
from functools import partial
from typing import Unpack

from torch import nn

from noiseproof.core.device import using_threads
from noiseproof.measuring.chip_parts import ChipParts
from noiseproof.measuring.commands import RankRequest
from noiseproof.measuring.curves import check_named, read_as, warn_without_effect
from noiseproof.measuring.doubts import warn_near_chance
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.image_parts import ImageParts
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.options import (
    Noise,
    RankOptions,
    asked_calibration,
    asked_measurement,
    asked_network,
    calibration_inputs,
    check_keywords,
    with_keywords,
)
from noiseproof.measuring.parts import Parts
from noiseproof.measuring.settling import settled, warn_of_dice
from noiseproof.measuring.setup import Setup, held
from noiseproof.measuring.units import open_units
from noiseproof.measuring.watching import resolved_request
from noiseproof.results import OnRow, Ranking, RowCache, Store, Tally, rankings_of
from noiseproof.specs import Auto, Chips, Design, PerImage, check_length


@with_keywords(RankOptions, design="auto")
def rank_layers(
    model: nn.Module,
    data: object,
    noise: Noise | None = None,
    **options: Unpack[RankOptions],
) -> Ranking:
    """The layers of a network by the score that is lost when `noise` acts on one of them alone, and
    the score with the most sensitive ones kept digital.

    - `by`: layer (default), block or role: what is ranked.
    - `keep`: how many of the most sensitive are kept digital, several numbers; 0 is added (default:
      Fibonacci numbers).
    - `design`: `per-image`, every image on a chip of its own; `chips`, whole chips that see all
      inputs; `auto` (default): per-image where it holds, else chips. `on_design(text)` gets the
      choice with its reason, and what chips will cost.
    - `mvm`: what happens at every product; here at those of the noisy layers alone, and the others
      multiply exactly. `calibration`, `calibrate`: images for static ranges, and how many.
    - `chips`: how many for each layer (default: 10); with `auto` they are asked for by it.
    - `store`, `fresh`, `on_row`: as in `measure`; `on_row` gets the rows of the ranking and then,
      counted anew, those of the groups kept digital.
    - `seed`, `targets`, `scale`, `score`, `batch_size`, `device`, `threads`, `subject`: as in
      `requests.Network` and `requests.Measurement`.

    Deterministic stages, as quantisation, act where the noise does. The score with groups
    kept digital comes from fresh dice, so that the choice of the groups is not rewarded for the
    dice that made it; the images are the same. `data` and `noise` are as in `measure`.

    Raises:
        ValueError: for values out of range, and a design that does not hold for the noise, the
            score or the network.
        TypeError: for a keyword that there is not.
    Warns:
        NoEffectWarning: when the noise changes nothing.
    """
    check_keywords("rank_layers", options, RankOptions)
    request = RankRequest(
        network=asked_network(options),
        measurement=asked_measurement(noise, {"design": Auto()} | dict(options)),
        by=options.get("by", "layer"),
        keep=tuple(options.get("keep", ())),
        calibration=asked_calibration([None], calibration_inputs(options), options),
    )
    return rank_setup(
        held(model, data, request.network, request.calibration),
        request,
        store=options.get("store"),
        on_row=options.get("on_row"),
        on_design=options.get("on_design"),
        fresh=options.get("fresh", False),
    )


def rank_setup(
    setup: Setup,
    request: RankRequest,
    *,
    store: Store | None = None,
    on_row: OnRow | None = None,
    on_design: Callable[[str], None] | None = None,
    fresh: bool = False,
    tally: Tally | None = None,
) -> Ranking:
    """The ranking of an opened network, as `rank_layers`. `tally` counts the rows that the store
    held already."""
    request = resolved_request(request)
    asked = request.measurement
    with using_threads(setup.network.threads):
        evaluator = open_evaluator(setup, None, request.compensate)
        if not evaluator.clean_row.facts.sign:
            raise ValueError(
                "layers are ranked by what noise takes, and nobody said which way the score is "
                "better: give a noiseproof.Score(function, better=...) in place of the function"
            )
        if store is not None:
            check_named(evaluator)
        evaluator, known = settled(evaluator, store)
        known = read_as(known, evaluator.clean_row)
        parts, reason = _opened(evaluator, request, on_design)
        steps = parts.steps  # refused now, where there cannot be so many
        warn_of_dice(evaluator)
        warn_without_effect(evaluator, asked)
        if on_design is not None and reason:
            on_design(f"design {parts.units.design}: {reason}")

        def cache() -> RowCache:
            return RowCache(known=known, store=store, on_row=on_row, fresh=fresh, tally=tally)

        alone = parts.alone(cache())
        # The order from rows alone, so that a run that goes on from a
        # store chooses as the first one did.
        order = [group.name for group in rankings_of(alone)[0].groups]
        choices = [order[:k] for k in steps]
        # A cache of its own, since what is to be done was known only now: it counts from one again.
        without = parts.without(choices, cache())
        ranking = rankings_of(alone + without)[0]
        warn_near_chance(evaluator, ranking.clean)
    return ranking


def _opened(
    evaluator: Evaluator, request: RankRequest, on_cost: Callable[[str], None] | None
) -> tuple[Parts, str]:
    """How rows are measured, and why so."""
    asked = request.measurement
    design: Design = asked.design
    reason = ""
    if isinstance(design, Auto) and asked.chips is not None:
        design, reason = Chips(), f"{asked.chips} chips were asked for"
    units, found = open_units(
        evaluator, design, asked.specs, asked.targets, seen=(evaluator.clean_row, [])
    )
    check_length(units.design, chips=asked.chips, passes=asked.passes)
    make: Callable[..., Parts] = ImageParts
    if not isinstance(units.design, PerImage):
        make = partial(ChipParts, chips=asked.followed, on_cost=on_cost)
    parts = make(
        units=units,
        spec=asked.spec,
        by=request.by,
        seed=asked.seed,
        roles=asked.targets,
        keep=request.keep,
    )
    return parts, reason or found
