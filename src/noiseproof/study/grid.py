"""A profile of a study, written out: every network, every curve that is measured on it."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from noiseproof.specs.catalog import norm_text
from noiseproof.specs.designs import Design, images_of, parse_design, sized
from noiseproof.specs.estimators import parse_estimator
from noiseproof.specs.noise import Spec, parse, parse_targets
from noiseproof.stats.pacing import Pace, most_units, units_wanted
from noiseproof.stats.stopping import FIRST
from noiseproof.study.file import (
    MOST_NETWORKS,
    MOST_POINTS,
    Comparison,
    Measurements,
    Ready,
    Study,
    Trainings,
    Value,
)

Recipe = dict[str, int | float | bool | None]
CURVE = ("noise", "targets", "recalibrate", "design")  # factors that no network has
LONGEST = 150  # characters of a name, before its digest
RECIPE_FACTORS = ("lr", "epochs", "batch_size", "weight_decay", "augment")


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a study: `recipe` says how to train it; None where its weights are there."""

    name: str  # also of the folder that it is trained in
    data: str
    model: str
    norm: str | None
    norm_where: str
    seed: int
    recipe: tuple[tuple[str, int | float | bool | None], ...] | None = None
    weights: str | None = None
    normalize: str | None = None

    @property
    def norm_text(self) -> str:
        """`batch`, `none (last:1/3)`, `own`: as rows call it."""
        return norm_text(self.norm, self.norm_where)

    @cached_property
    def factors(self) -> dict[str, Value]:
        """What comparisons select by."""
        found: dict[str, Value] = {
            "network": self.name,
            "model": self.model,
            "norm": self.norm_text,
            "seed": self.seed,
        }
        for key, value in self.recipe or ():
            if key in RECIPE_FACTORS and value is not None:
                found[key] = value
        return found


@dataclass(frozen=True, kw_only=True)
class Task:
    """One curve to measure: a network under one noise at several levels. Chips are named by the
    network's own seed, so that trainings with different seeds have different chips."""

    network: Network
    specs: tuple[Spec, ...]
    targets: tuple[str, ...]
    recalibrate: str
    augment: bool
    design: Design
    chips: int | None
    passes: int | None
    pace: Pace

    @property
    def family(self) -> str:
        """The noise with its level left open."""
        return self.specs[0].family

    @cached_property
    def factors(self) -> dict[str, Value]:
        """What comparisons select by."""
        return self.network.factors | {
            "noise": self.family,
            "targets": ",".join(self.targets),
            "recalibrate": self.recalibrate,
            "design": str(self.design),
        }

    def units_wanted(self, found: Mapping[int, float], *, test_images: int) -> int:
        """How many units a level needs, of which those in `found` have these scores."""
        design = sized(self.design, test_images if self.design.needs_hits else 0)
        first = FIRST[design.kind]
        begun = [found[unit] for unit in range(first) if unit in found]
        return units_wanted(
            begun if len(begun) == first else (),
            self.pace,
            most=most_units(
                design, self.pace, chips=self.chips, passes=self.passes, images=test_images
            ),
            first=first,
            images=images_of(design, test_images),
        )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All of a profile."""

    networks: tuple[Network, ...]
    tasks: tuple[Task, ...]
    images: int | None  # first N test images; None: all

    @property
    def trainings(self) -> tuple[Network, ...]:
        """The networks that have to be trained."""
        return tuple(network for network in self.networks if network.recipe is not None)


def grid_of(study: Study, profile: str) -> Grid:
    """The grid of one profile.

    Raises:
        ValueError: for an unknown profile, a grid beyond reason, or a comparison of things that the
            profile does not measure.
    """
    if profile not in study.profiles:
        known = ", ".join(study.profiles)
        raise ValueError(f"study {study.name} has no profile {profile!r}: expected one of {known}")
    chosen = study.profiles[profile]
    networks: dict[str, Network] = {}
    for trainings in chosen.trainings:
        for network in _trained(trainings, study.data):
            networks.setdefault(network.name, network)
            if len(networks) > MOST_NETWORKS:
                raise ValueError(f"profile {profile} has more than {MOST_NETWORKS:,} networks")
    for ready in chosen.ready:
        if ready.name in networks:
            raise ValueError(f"two networks are called {ready.name}: name the ready one otherwise")
        networks[ready.name] = _ready(ready, study.data)
    tasks: dict[Task, None] = {}
    points = 0
    for place, measurements in enumerate(chosen.measurements):
        matching = [n for n in networks.values() if is_selected(n.factors, measurements.only)]
        if not matching:
            raise ValueError(
                f"profiles.{profile}.measurements[{place}].only: it must select a network, got "
                f"{dict(measurements.only)}"
            )
        points += len(matching) * _points(measurements)
        if points > MOST_POINTS:
            raise ValueError(f"profile {profile} has more than {MOST_POINTS:,} points")
        for network in matching:
            for task in _tasks(network, measurements):
                tasks[task] = None
    grid = Grid(networks=tuple(networks.values()), tasks=tuple(tasks), images=chosen.images)
    for place, comparison in enumerate(study.comparisons_of(profile)):
        _check_measured(comparison, grid, f"comparisons[{place}] in profile {profile}")
    return grid


def is_selected(factors: Mapping[str, Value], selection: Mapping[str, Any]) -> bool:
    """Has a network or curve with these factors what is selected? Several values: any of them."""
    return all(
        name in factors
        and any(
            factors[name] == one and isinstance(factors[name], bool) == isinstance(one, bool)
            for one in (value if isinstance(value, tuple) else (value,))
        )
        for name, value in selection.items()
    )


def check_alike(
    comparison: Comparison,
    selection: Mapping[str, Value],
    curves: Sequence[Mapping[str, Value]],
) -> None:
    """Raise ValueError where the curves of one side of a cell, by their factors, differ in more
    than their training, or are of one training twice."""
    free = {"network", "seed"} if comparison.unit == "training" else set()
    where = f"comparison {comparison.question!r}: {dict(selection)} selects"
    for name in curves[0] if curves else ():
        different = {curve.get(name) for curve in curves}
        if name not in free and len(different) > 1:
            shown = ", ".join(sorted(str(value) for value in different)[:3])
            raise ValueError(
                f"{where} curves of several values of {name} ({shown}): add {name} to by, or "
                "select one"
            )
    names = [curve["network"] for curve in curves]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{where} two curves of one network that differ in their levels, chips or calibration "
            "only: measure one of them"
        )


def _check_measured(comparison: Comparison, grid: Grid, where: str) -> None:
    """Raise ValueError for a comparison that the grid's curves will not decide."""
    sides = [
        [task for task in grid.tasks if is_selected(task.factors, selection)]
        for selection in comparison.order
    ]
    by = [name for name in comparison.by if name != "level"]
    for place, (selection, side) in enumerate(zip(comparison.order, sides, strict=True)):
        if not side:
            raise ValueError(
                f"{where}, order[{place}]: it must select something that is measured, got "
                f"{dict(selection)}"
            )
        if comparison.unit == "chip" and any(not task.pace.is_fixed for task in side):
            raise ValueError(
                f"{where}: chips can be compared where their number is fixed: take precision out "
                "of the measurements, or compare trainings"
            )
        for tasks in _cells(side, by).values():
            factors: list[Mapping[str, Value]] = [task.factors for task in tasks]
            if comparison.score == "clean":  # of networks, whatever is measured on them
                named = {str(one["network"]): one for one in factors}
                factors = [{k: one[k] for k in one if k not in CURVE} for one in named.values()]
            check_alike(comparison, selection, factors)
    if comparison.score != "clean":
        for one, other in itertools.pairwise(sides):
            _check_same_noise(comparison, _cells(one, by), _cells(other, by), where)


Cells = dict[tuple[Value | None, ...], list[Task]]


def _cells(tasks: Sequence[Task], by: Sequence[str]) -> Cells:
    found: Cells = {}
    for task in tasks:
        found.setdefault(tuple(task.factors.get(name) for name in by), []).append(task)
    return found


def _check_same_noise(comparison: Comparison, one: Cells, other: Cells, where: str) -> None:
    """Raise ValueError where two sides differ in how they are measured and nobody asked for it."""
    asked = {name for selection in comparison.order for name in selection}
    for cell in one.keys() & other.keys():
        a, b = one[cell][0], other[cell][0]
        different = [
            name
            for name in CURVE
            if name not in asked and a.factors.get(name) != b.factors.get(name)
        ]
        if not different and [s.level for s in a.specs] != [s.level for s in b.specs]:
            different = ["levels"]
        if different:
            raise ValueError(
                f"{where}: its sides differ in {', '.join(different)} too: measure both alike, or "
                "select by it"
            )


def _trained(trainings: Trainings, data: str) -> Iterator[Network]:
    crossed = itertools.product(
        trainings.model,
        trainings.norm,
        trainings.norm_where,
        trainings.lr,
        trainings.epochs,
        trainings.batch_size,
        trainings.weight_decay,
        trainings.augment,
        trainings.seed,
    )
    for model, norm, where, lr, epochs, batch, decay, augment, seed in crossed:
        recipe: Recipe = {
            "epochs": epochs,
            "batch_size": batch,
            "lr": lr,
            "momentum": trainings.momentum,
            "weight_decay": decay,
            "augment": augment,
            "bf16": trainings.bf16,
            "half": trainings.half,
        }
        name = training_name(model, norm, where, seed, recipe, data)
        yield Network(
            name=name,
            data=data,
            model=model,
            norm=norm,
            norm_where=where,
            seed=seed,
            recipe=tuple(recipe.items()),
        )


def training_name(model: str, norm: str, where: str, seed: int, recipe: Recipe, data: str) -> str:
    """A folder's name that a person can read, and no two trainings share."""
    part = "" if where == "all" else f"-{where}"
    text = f"{model}-{norm}{part}-lr{recipe['lr']:g}-e{recipe['epochs']}-s{seed}"
    everything = json.dumps([model, norm, where, seed, recipe, data], sort_keys=True)
    digest = hashlib.sha256(everything.encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', text)[:LONGEST]}-{digest}"


def _ready(ready: Ready, data: str) -> Network:
    return Network(
        name=ready.name,
        data=data,
        model=ready.model,
        norm=ready.norm,
        norm_where=ready.norm_where,
        seed=ready.seed,
        weights=ready.weights,
        normalize=ready.normalize,
    )


def _points(measurements: Measurements) -> int:
    """Levels of curves on one network."""
    sweeps = len(measurements.families) * len(measurements.levels)
    return sweeps * len(measurements.targets) * len(measurements.recalibrate)


def _calibrates(recalibrate: str) -> bool:
    """Does it see images beside the test images?"""
    estimator = parse_estimator(recalibrate)
    return estimator is not None and estimator.calibration_images > 0


def _tasks(network: Network, measurements: Measurements) -> list[Task]:
    return [
        Task(
            network=network,
            specs=tuple(parse(family).at(sorted(measurements.levels))),
            targets=parse_targets(targets),
            recalibrate=recalibrate,
            augment=measurements.augment_calibration and _calibrates(recalibrate),
            design=parse_design(measurements.design),
            chips=measurements.chips,
            passes=measurements.passes,
            pace=Pace(precision=measurements.precision),
        )
        for family in measurements.families
        for targets in measurements.targets
        for recalibrate in measurements.recalibrate
    ]
