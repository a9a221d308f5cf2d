"""What the keys of a study file hold: a type for each kind of value, checked as it is read."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from noiseproof.core.checks import one_of
from noiseproof.specs import (
    AUTO,
    Auto,
    Nested,
    OnDevices,
    Own,
    catalog,
    designs,
    digital_text,
    hardware_names,
    parse,
    parse_digital,
    parse_estimator,
    parse_mapping,
    parse_mvm,
    parse_targets,
    parse_time,
    time_text,
)

Value = str | int | float | bool
FACTORS = (
    *("network", "model", "norm", "lr", "epochs", "batch_size", "weight_decay", "augment"),
    *("seed", "noise", "hardware", "mapping", "mvm", "targets", "stats_as", "fold_norm", "digital"),
    *("compensate", "recalibrate", "design", "level"),
)


def checked(check: Any) -> AfterValidator:
    """Runs a check of the program's own, which raises ValueError, and keeps the value."""

    def run(value: Any) -> Any:
        check(value)
        return value

    return AfterValidator(run)


def _many(value: Any) -> Any:
    """One value is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("at least one value is needed, got none")
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"each value may stand once, got {value!r} twice")
        seen.add(value)
    return values


def _check_where(text: str) -> None:
    """Refuse what `norms.chosen` would refuse, without torch."""
    if not re.fullmatch(
        r"all|name:.+|every:0*[1-9]\d*|(first|last):\d+(/[1-9]\d*)?", text, re.ASCII
    ):
        raise ValueError(
            f"unknown part of the layers {text!r}: expected all, first:K, last:K, every:K or "
            "name:PATTERN; K may be a fraction, as 1/3"
        )


def check_family(text: str) -> None:
    if any(isinstance(stage, Own) for stage in parse(text).stages):
        raise ValueError(
            f"a study runs no code that it names, got the noise {text!r}: measure it with "
            "`noiseproof measure`, or in Python"
        )
    devices = [s.device for s in parse(text).stages if isinstance(s, OnDevices)]
    if any({".", ":"} & set(name) for name in devices):
        raise ValueError(
            f"a study has devices that come with noiseproof, so that all machines have them, got "
            f"the noise {text!r}"
        )
    if parse(text).level is None and not devices:
        raise ValueError(f"a noise needs a level to sweep, got {text!r}")


def check_hardware(name: str) -> None:
    """A chip that comes along: on other machines a file of one's own is not at hand."""
    if name:
        one_of("hardware", name, hardware_names())


def mapping_text(text: str) -> str:
    """As the rows call it."""
    if not text:
        return ""
    mapping, folds = parse_mapping(text)
    return f"{mapping}, fold_norm=yes" if folds else str(mapping)


def mvm_text(text: str) -> str:
    """In one form."""
    return str(parse_mvm(text)) if text else ""


def time_words(text: str) -> str:
    """In its shortest form, so that 24h and 1d are one."""
    return time_text(parse_time(text))


def recalibration_text(text: str) -> str:
    """As the rows call it: 50 is pooled(50), 0 is off."""
    if text.strip() == "auto":
        raise ValueError(f"a study names what it runs: write {AUTO} where you mean auto")
    return str(parse_estimator(text) or "off")


def targets_text(text: str) -> str:
    """As the rows call it."""
    return ",".join(parse_targets(text))


def digital_words(text: str) -> str:
    """As the rows call it."""
    return digital_text(parse_digital(text))


def check_study_design(text: str) -> None:
    design = designs.parse_design(text)
    if isinstance(design, Auto) or (isinstance(design, Nested) and design.images is None):
        raise ValueError(
            f"a study says how many images a chip sees, so that all machines measure the same: "
            f"write chips, per-image or nested(50), got {text!r}"
        )


def _check_factor(name: str) -> None:
    one_of("factor", name, FACTORS)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Model = Annotated[str, checked(catalog.check_model)]
Norm = Annotated[str, checked(catalog.check_norm)]
Where = Annotated[str, checked(_check_where)]
Positive = Annotated[float, Field(gt=0, lt=float("inf"))]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
SeedNumber = Annotated[int, Field(ge=0, lt=2**63)]
Factor = Annotated[str, checked(_check_factor)]
Selections = Annotated[
    dict[Factor, Value | tuple[Value, ...]],
    BeforeValidator(
        lambda value: (
            {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )
    ),
]
Selection = Annotated[dict[Factor, Value], Field(min_length=1)]


def listed(kind: Any) -> Any:
    """One value or a list of different ones, as a tuple."""
    return Annotated[
        tuple[kind, ...], BeforeValidator(lambda v: tuple(_many(v))), AfterValidator(_unique)
    ]
