"""What a study measures: grids of noise and hardware on its networks."""

import itertools
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from noiseproof.specs import (
    COMPENSATIONS,
    FORMS,
    REFERENCES,
    SCOPES,
    Hardware,
    Spec,
    designs,
    find_hardware,
    parse,
    parse_estimator,
    parse_mvm,
    parse_targets,
    parse_times,
)
from noiseproof.study.keys import (
    Count,
    Positive,
    Selections,
    check_family,
    check_hardware,
    check_study_design,
    checked,
    digital_words,
    listed,
    mapping_text,
    mvm_text,
    recalibration_text,
    targets_text,
    time_words,
)


class Part(BaseModel):
    """Every table of the file: no unknown keys, no silent conversions, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Measurements(Part):
    """A grid of noises or hardware, at levels or times, targets and remedies, on all networks or
    those of `only`."""

    noise: listed(Annotated[str, checked(check_family)]) = ()  # type: ignore[valid-type]
    kind: listed(Literal["gaussian", "laplace", "uniform"]) = ("gaussian",)  # type: ignore[valid-type]
    reference: listed(Literal[*REFERENCES]) = ("std",)  # type: ignore[valid-type]
    scope: listed(Literal[*SCOPES]) = ("tensor",)  # type: ignore[valid-type]
    hardware: listed(Annotated[str, checked(check_hardware)]) = ("",)  # type: ignore[valid-type]
    mapping: listed(Annotated[str, AfterValidator(mapping_text)]) = ("",)  # type: ignore[valid-type]
    mvm: listed(Annotated[str, AfterValidator(mvm_text)]) = ("",)  # type: ignore[valid-type]
    calibrate: Count | None = None
    levels: listed(Positive) = ()  # type: ignore[valid-type]
    times: listed(Annotated[str, AfterValidator(time_words)]) = ()  # type: ignore[valid-type]
    compensate: listed(Literal[*COMPENSATIONS]) = ("off",)  # type: ignore[valid-type]
    targets: listed(Annotated[str, AfterValidator(targets_text)]) = ("kernel",)  # type: ignore[valid-type]
    stats_as: listed(Literal[*FORMS]) = ("variance",)  # type: ignore[valid-type]
    fold_norm: listed(bool) = (False,)  # type: ignore[valid-type]
    digital: listed(Annotated[str, AfterValidator(digital_words)]) = ("",)  # type: ignore[valid-type]
    recalibrate: listed(Annotated[str, AfterValidator(recalibration_text)]) = ("off",)  # type: ignore[valid-type]
    augment_calibration: bool = False
    design: Annotated[str, checked(check_study_design)] = "nested(50)"
    chips: Count | None = None
    passes: Count | None = None
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    only: Selections = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "noise" in self.model_fields_set:
            for name in ("kind", "reference", "scope"):
                if name in self.model_fields_set:
                    raise ValueError(f"{name} is a part of noise: give one of the two")
        design = designs.parse_design(self.design)
        if self.chips is not None and design.kind == "per-image":
            raise ValueError(
                f"design per-image has no number of chips, got {self.chips}: give passes"
            )
        if self.passes is not None and design.kind != "per-image":
            raise ValueError(f"design {design.kind} has no passes, got {self.passes}: give chips")
        self._check_swept()
        for way in self.recalibrate:
            for targets in self.targets:
                roles = parse_targets(targets)
                for machine in self.machines:
                    designs.check_design(
                        design,
                        self.ends(machine.noise),
                        roles,
                        estimator=parse_estimator(way),
                        has_hits=True,
                    )
        return self

    def _check_swept(self) -> None:
        """Raise ValueError for noise without what it is swept by, and for what sweeps nothing."""
        swept = {parse(machine.noise).sweeps for machine in self.machines}
        given = {"level": self.levels, "time": self.times}
        for name, values in given.items():
            if name in swept and not values:
                raise ValueError(f"{name}s is missing: the noise is swept by {name}s")
            if values and name not in swept:
                raise ValueError(f"{name}s sweeps nothing: no noise here is swept by {name}s")

    @property
    def machines(self) -> tuple[Hardware, ...]:
        """What is asked for, as hardware: of each that is named, or without a name, one for each
        noise, mapping, compensation and product; what the file does not say is the hardware's own.
        """
        found = []
        for name in self.hardware:
            chip = find_hardware(name) if name else Hardware()
            given = self.model_fields_set
            noises = self.noises if {"noise", "kind", "reference", "scope"} & given else ()
            mappings = self.mapping if "mapping" in given else (chip.mapping,)
            factors = self.compensate if "compensate" in given else (chip.compensate,)
            products = self.mvm if "mvm" in given else (chip.mvm,)
            for noise, mapping, factor, mvm in itertools.product(
                noises or (chip.noise,) if chip.noise else self.noises, mappings, factors, products
            ):
                said = {"noise": noise, "mapping": mapping, "compensate": factor}
                found.append(chip.model_copy(update=said | {"mvm": self._calibrated(mvm)}))
        return tuple(found)

    def _calibrated(self, text: str) -> str:
        """Stages at products as rows call them: static ranges say from how many images they are."""
        mvm = parse_mvm(text)
        return str(mvm.calibrated(self.calibrate if mvm.needs_images else None)) if text else ""

    @property
    def noises(self) -> tuple[str, ...]:
        """The noises that are spelled out, each at some level or time, as texts."""
        if self.noise:
            return tuple(str(text) for text in self.noise)
        level = self.levels[0] if self.levels else 0.0
        return tuple(
            f"{kind}({level!r}, reference={reference}, scope={scope})"
            for kind in self.kind
            for reference in self.reference
            for scope in self.scope
        )

    def swept(self, noise: str) -> tuple[Spec, ...]:
        """A noise at each of the levels or times."""
        spec = parse(noise)
        if spec.sweeps == "level":
            return tuple(spec.at(sorted(self.levels)))
        return tuple(spec.at_times(parse_times(",".join(self.times))))

    def ends(self, noise: str) -> tuple[Spec, ...]:
        """At the first and the last of them."""
        found = self.swept(noise)
        return found[0], found[-1]
