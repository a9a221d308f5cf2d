"""The study file: TOML, checked as it is read. Nothing that it names is opened or run."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from noiseproof.core.documents import read_document
from noiseproof.specs import (
    catalog,
)
from noiseproof.study.keys import (
    Count,
    Factor,
    Model,
    Name,
    Norm,
    Positive,
    SeedNumber,
    Selection,
    Selections,
    Text,
    Where,
    _many,
    checked,
    listed,
)
from noiseproof.study.measurements import Measurements as Measurements
from noiseproof.study.measurements import Part

SCORES = {
    "average_normalised": "average normalised accuracy: mean over the levels of noisy / clean",
    "normalised": "normalised accuracy at each level: noisy / clean",
    "average": "accuracy on noisy chips, mean over the levels",
    "clean": "accuracy without noise",
}
NONFINITE = {
    "misses": "an output that is not finite is a miss",
    "class 0": "an output that is not finite is class 0, as argmax counts it: right for one image "
    "of as many as there are classes",
}
MOST_NETWORKS, MOST_POINTS = 10_000, 1_000_000


class Published(Part):
    """A figure of the source. `side` is the place in the comparison's order that it belongs to."""

    what: Text
    percent: Annotated[float, Field(ge=0, le=100)]
    side: Annotated[int, Field(ge=0)] | None = None
    where: Selections = Field({})


class Claim(Part):
    text: Text
    source: Text
    published: tuple[Published, ...] = ()

    _tuple = field_validator("published", mode="before")(lambda v: tuple(_many(v)))

    def pairs(self, sides: int) -> tuple[tuple[Published, ...], ...]:
        """The published figures of one `where` each, one for every side, in the sides' order.

        Raises:
            ValueError: where two figures of one `where` are of one side.
        """
        groups: list[list[Published]] = []
        for one in self.published:
            if one.side is None or one.side >= sides or "level" in one.where:
                continue
            fitting = [group for group in groups if group[0].where == one.where]
            if not fitting:
                groups.append([one])
            elif one.side in [other.side for other in fitting[0]]:
                raise ValueError(
                    f"published figures of one where need different sides, got side {one.side} "
                    f"twice: {one.what!r}"
                )
            else:
                fitting[0].append(one)
        whole = [group for group in groups if len(group) == sides]
        return tuple(tuple(sorted(group, key=lambda one: one.side or 0)) for group in whole)


class Trainings(Part):
    """A grid of networks to train: every list is crossed with every other."""

    model: listed(Model)  # type: ignore[valid-type]
    norm: listed(Norm) = ("batch",)  # type: ignore[valid-type]
    norm_where: listed(Where) = ("all",)  # type: ignore[valid-type]
    seed: listed(SeedNumber) = (0,)  # type: ignore[valid-type]
    epochs: listed(Count) = (30,)  # type: ignore[valid-type]
    batch_size: listed(Count) = (128,)  # type: ignore[valid-type]
    lr: listed(Positive) = (0.1,)  # type: ignore[valid-type]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: listed(Annotated[float, Field(ge=0, lt=1)]) = (5e-4,)  # type: ignore[valid-type]
    augment: listed(bool) = (True,)  # type: ignore[valid-type]
    bf16: bool | None = None
    half: bool = True
    clip_gradient: Positive | None = None
    compiled: bool = False


class Ready(Part):
    """Weights that are there already: a file beside the study, or in --checkpoints."""

    name: Name
    weights: Text
    model: Model
    norm: Norm | None = None
    norm_where: Where = "all"
    normalize: Annotated[str, checked(catalog.parse_pixel_scale)] | None = None
    eps: Positive | None = None
    seed: SeedNumber = 0


class Comparison(Part):
    """What decides: `order` are selections of what was measured, the claimed best first; each
    neighbouring pair is compared, in every combination of the factors `by`.

    `unit`: what is replicated, trainings (by seed) or the chips of one network a side. `margin`,
    in points: what is claimed is that the better side is not worse by more than this. `peak`: the
    claim is instead that a value between the ends of `order` is better than both of them.
    `decides`: it is a part of the claim; where no comparison says so, the first is the claim.

    `hull`: it asks instead whether the published figures of the sides can be means over any levels
    of the measured curves, under each combination of `by`; `margin` is then how far off they may
    be, and `nonfinite` what an output that is not finite counts as.
    """

    question: Text
    order: Annotated[tuple[Selection, ...], Field(min_length=2)]
    by: tuple[Factor, ...] = ()
    score: Literal[*SCORES] = "average_normalised"  # type: ignore[valid-type]
    unit: Literal["training", "chip"] = "training"
    margin: Annotated[float, Field(ge=0, le=100)] = 0.0
    peak: bool = False
    decides: bool = False
    hull: bool = False
    nonfinite: Literal[*NONFINITE] = "misses"  # type: ignore[valid-type]

    @field_validator("order", "by", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.peak and len(self.order) < 3:
            raise ValueError(f"a peak needs 3 values in order, got {len(self.order)}")
        sides = [tuple(sorted(one.items(), key=str)) for one in self.order]
        if len(set(sides)) < len(sides):
            raise ValueError("each side of order must be another selection, got one twice")
        if len(set(self.by)) < len(self.by):
            raise ValueError(f"each factor of by may stand once, got {list(self.by)}")
        both = [name for name in self.by if any(name in one for one in self.order)]
        if both:
            raise ValueError(f"{both[0]} is what order compares: take it out of by")
        if any("level" in one for one in self.order):
            raise ValueError("order cannot select levels: add level to by")
        if self.score == "normalised" and "level" not in self.by:
            raise ValueError("score normalised is of one level: add level to by")
        if self.score != "normalised" and "level" in self.by:
            raise ValueError(f"score {self.score} has no level: take level out of by")
        return self

    @model_validator(mode="after")
    def _fits_hull(self) -> Self:
        if not self.hull:
            if "nonfinite" in self.model_fields_set:
                raise ValueError(f"nonfinite is of a hull, got {self.nonfinite!r}: add hull = true")
            return self
        if self.score != "average_normalised":
            raise ValueError(
                "a hull is of shares of the clean accuracy at all levels: score must be "
                f"average_normalised, got {self.score!r}"
            )
        if self.peak:
            raise ValueError("a hull has no peak: take one of the two out")
        if self.unit != "training":
            raise ValueError(
                "a hull is of trainings, or of the chips of the only one, as there are: take unit "
                f"out, got {self.unit!r}"
            )
        return self


class Profile(Part):
    """One size of the study."""

    about: Text
    trainings: Annotated[tuple[Trainings, ...], Field(max_length=200)] = ()
    ready: Annotated[tuple[Ready, ...], Field(max_length=200)] = ()
    measurements: Annotated[tuple[Measurements, ...], Field(min_length=1, max_length=200)]
    images: Count | None = None
    comparisons: tuple[Comparison, ...] = ()

    @field_validator("trainings", "ready", "measurements", "comparisons", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _networks(self) -> Self:
        if not self.trainings and not self.ready:
            raise ValueError("a profile needs trainings or ready networks, got neither")
        names = [one.name for one in self.ready]
        if len(set(names)) < len(names):
            raise ValueError("two ready networks have one name: each needs its own")
        return self


class Study(Part):
    """The whole file. A profile may have its own comparisons."""

    name: Name
    title: Text
    claim: Claim
    data: Annotated[str, checked(catalog.check_dataset)] = "cifar10"
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[Text, ...] = ()
    profiles: Annotated[dict[Name, Profile], Field(min_length=1)]

    @field_validator("comparisons", "notes", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _decided(self) -> Self:
        for name, profile in self.profiles.items():
            if not self.comparisons and not profile.comparisons:
                raise ValueError(f"nothing decides the claim: add comparisons (profile {name})")
        return self

    @model_validator(mode="after")
    def _published(self) -> Self:
        every = [*self.comparisons, *(c for p in self.profiles.values() for c in p.comparisons)]
        for one in every:
            if one.hull and not self.claim.pairs(len(one.order)):
                raise ValueError(
                    f"comparison {one.question!r}: a hull needs published figures of one where and "
                    f"no level, one for each side of order (side = 0 to {len(one.order) - 1}), got "
                    f"{len(self.claim.published)} figures that make no such set"
                )
        return self

    def comparisons_of(self, profile: str) -> tuple[Comparison, ...]:
        """What is compared in one profile."""
        return self.profiles[profile].comparisons or self.comparisons


def read_study(path: str | Path) -> Study:
    """The study in the TOML file `path`.

    Raises:
        ValueError: in one line: the key, the rule and the value of the first mistake.
    """
    return read_document(path, "study", Study)
