"""A profile of a study, written out: every network, every curve that is measured on it."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace

from noiseproof.specs import (
    Hardware,
    Pace,
    Stored,
    digital_text,
    parse_design,
    parse_digital,
    parse_estimator,
    parse_mapping,
    parse_targets,
)
from noiseproof.study.comparable import check_measured, is_selected
from noiseproof.study.file import (
    MOST_NETWORKS,
    MOST_POINTS,
    Measurements,
    Ready,
    Study,
    Trainings,
)
from noiseproof.study.wanted import Grid, Network, Recipe, Task

LONGEST = 150  # characters of a name, before its digest


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
        # Counted before anything is built: a grid of a billion curves must be a sentence, not a
        # full memory.
        points += len(matching) * _points(measurements)
        if points > MOST_POINTS:
            raise ValueError(f"profile {profile} has more than {MOST_POINTS:,} points")
        for network in matching:
            # A dict and not a list: two grids of a profile may ask for the same curve, which is
            # measured once.
            for task in _tasks(network, measurements):
                tasks[task] = None
    grid = Grid(networks=tuple(networks.values()), tasks=tuple(tasks), images=chosen.images)
    for place, comparison in enumerate(study.comparisons_of(profile)):
        where = f"comparisons[{place}] in profile {profile}"
        check_measured(comparison, study.claim, grid, where)
    return grid


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
        # Only where it is given: the names of older trainings, which have a digest of this, stay.
        if trainings.clip_gradient is not None:
            recipe["clip_gradient"] = trainings.clip_gradient
        if trainings.compiled:
            recipe["compiled"] = True
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
    # The digest holds all of the recipe, so that a folder left by another recipe is never taken for
    # this one's; the readable part only helps people.
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
        eps=ready.eps,
    )


def _points(measurements: Measurements) -> int:
    """Levels or times of curves on one network."""
    sweeps = max(len(measurements.levels), len(measurements.times))
    crossed = len(measurements.machines) * len(_conditions(measurements))
    return sweeps * crossed * len(measurements.digital) * len(measurements.recalibrate)


def _conditions(measurements: Measurements) -> list[tuple[tuple[str, ...], Stored]]:
    """What noise is on, and how that is stored, each pair once: without noise on the statistics
    their form makes no difference."""
    crossed = itertools.product(measurements.targets, measurements.stats_as, measurements.fold_norm)
    found: dict[tuple[tuple[str, ...], Stored], None] = {}
    for text, form, fold in crossed:
        targets = parse_targets(text)
        used = form if "norm_stats" in targets else "variance"
        found[targets, Stored(stats_as=used, fold_norm=fold)] = None
    return list(found)


def _calibrates(recalibrate: str) -> bool:
    """Does it see images beside the test images?"""
    estimator = parse_estimator(recalibrate)
    return estimator is not None and estimator.calibration_images > 0


def _tasks(network: Network, measurements: Measurements) -> list[Task]:
    crossed = itertools.product(
        measurements.machines,
        _conditions(measurements),
        measurements.digital,
        measurements.recalibrate,
    )
    return [
        Task(
            network=network,
            specs=specs,
            targets=targets,
            stored=_on(machine, replace(stored, eps=network.eps)),
            digital=",".join(filter(None, (digital, digital_text(parse_digital(machine.digital))))),
            mvm=machine.mvm,
            # Nothing drifts but devices.
            compensate=machine.compensate if specs[0].sweeps == "time" else "off",
            recalibrate=recalibrate,
            augment=measurements.augment_calibration and _calibrates(recalibrate),
            design=parse_design(measurements.design),
            chips=measurements.chips,
            passes=measurements.passes,
            pace=Pace(precision=measurements.precision),
        )
        for machine, (targets, stored), digital, recalibrate in crossed
        for specs in [measurements.swept(machine.noise)]
    ]


def _on(machine: Hardware, stored: Stored) -> Stored:
    """How a network lies on that machine."""
    array, folds = parse_mapping(machine.mapping)
    fold = stored.fold_norm or bool(folds)
    return replace(stored, array=array, fold_norm=fold, hardware=machine.name)
