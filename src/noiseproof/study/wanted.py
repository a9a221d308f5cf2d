"""What is wanted of a study: its networks, and the curves to be measured on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from noiseproof.results import Swept
from noiseproof.specs import (
    Design,
    Pace,
    Spec,
    Stored,
    images_of,
    norm_text,
    parse_estimator,
    parse_mvm,
    sized,
    time_text,
)
from noiseproof.stats import FIRST, most_units, units_wanted
from noiseproof.study.keys import Value

Recipe = dict[str, int | float | bool | None]
RECIPE_FACTORS = ("lr", "epochs", "batch_size", "weight_decay", "augment")
# Factors that no network has.
CURVE = (
    *("noise", "hardware", "mapping", "mvm", "targets", "stats_as", "fold_norm", "digital"),
    *("compensate", "recalibrate", "design"),
)


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
    eps: float | None = None  # of its normalisation, where that is not its own

    @property
    def norm_text(self) -> str:
        """`batch`, `none (last:1/3)`, `own (eps=0.001)`: as rows call it."""
        return Stored(eps=self.eps).norm_text(norm_text(self.norm, self.norm_where))

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
    stored: Stored  # how the network lies on the chip
    digital: str  # the layers that are kept so, as rows call them
    mvm: str  # what happens at products, as rows call it
    compensate: str  # of drift, a key of `COMPENSATIONS`
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

    @property
    def swept(self) -> Swept:
        """What its points differ in."""
        return Swept(self.specs[0])

    @property
    def starts_clean(self) -> bool:
        """Is level 0 the clean network? Not at 0 s, nor behind another stage or a converter."""
        alone = len(self.specs[0].stages) == 1 and not self.mvm
        return alone and not self.swept.is_time

    @property
    def has_arrays(self) -> bool:
        """Does it matter how kernels lie in arrays?"""
        return self.specs[0].sweeps == "time" or bool(self.mvm)

    @property
    def calibration_images(self) -> int:
        """How many it needs, to recalibrate and for static ranges at products."""
        estimator = parse_estimator(self.recalibrate)
        asked = 0 if estimator is None else estimator.calibration_images
        return max(asked, parse_mvm(self.mvm).images)

    @property
    def mapping(self) -> str:
        """As rows have it."""
        return self.stored.mapping(has_arrays=self.has_arrays)

    def at(self, level: float | None) -> Value:
        """What comparisons call a level; a time by its text."""
        if self.specs[0].sweeps == "time":
            return time_text(level)
        return float(level or 0.0)

    @property
    def opened(self) -> tuple[object, ...]:
        """How the network has to be opened: tasks that agree in it share that."""
        return (
            self.stored,
            self.digital,
            self.mvm,
            self.compensate,
            self.recalibrate,
            self.augment,
        )

    @cached_property
    def factors(self) -> dict[str, Value]:
        """What comparisons select by."""
        return self.network.factors | {
            "noise": self.family,
            "hardware": self.stored.hardware,
            "mapping": str(self.stored.array) if self.has_arrays else "",
            "mvm": self.mvm,
            "compensate": self.compensate,
            "targets": ",".join(self.targets),
            "stats_as": self.stored.stats_as if "norm_stats" in self.targets else "",
            "fold_norm": self.stored.fold_norm,
            "digital": self.digital,
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
