"""What names a row: its axes, which may grow.

A field of `Row` that is annotated with a role is an axis. That alone gives it its place in the key
of a row, in what tells curves, streams and rankings apart, and in the store. A field that came
later, axis or not, says since when, `Annotated[str, Role.CONDITION, Since(5)] = ""`, and has a
default, which older rows take.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ParamSpec, TypeVar, cast, get_args, get_origin

P = ParamSpec("P")
T = TypeVar("T")
Value = str | int
FIRST = 3
"""The oldest schema of stores and tables that is read; fields that say no `Since` came with it."""


def kept(function: Callable[P, T]) -> Callable[P, T]:
    """`functools.cache`, with the types of its function: mypy takes no class to be hashable that
    defines `__hash__` for its instances."""
    return cast("Callable[P, T]", cache(function))


class Role(Enum):
    """What an axis tells apart."""

    NETWORK = "network"  # what the clean network and its noisy chips share
    CONDITION = "condition"  # what happens to the chips
    REMEDY = "remedy"  # what is done about it
    UNIT = "unit"  # the chips, blocks of images and windows within a curve or a stream


@dataclass(frozen=True)
class Since:
    """The schema of stores and tables that brought a field."""

    schema: int


@dataclass(frozen=True, kw_only=True)
class Column:
    """A field of a row. `role` None: it names nothing; `default` MISSING: every row says it."""

    name: str
    type: Any
    role: Role | None
    default: Any
    since: int


@kept
def columns_of(kind: type) -> tuple[Column, ...]:
    """The fields of `Row`, or of a class made from it, in their order."""
    found = []
    for field in fields(kind):
        # `field.type` is the annotation itself, since the modules of
        # rows do not postpone annotations.
        is_marked = get_origin(field.type) is Annotated
        plain, *marks = get_args(field.type) if is_marked else (field.type,)
        role = next((mark for mark in marks if isinstance(mark, Role)), None)
        since: int = next((mark.schema for mark in marks if isinstance(mark, Since)), FIRST)
        assert since == FIRST or field.default is not MISSING, (
            f"old rows need a default of {field.name}"
        )
        found.append(
            Column(name=field.name, type=plain, role=role, default=field.default, since=since)
        )
    return tuple(found)


@kept
def axes_of(kind: type) -> tuple[Column, ...]:
    """Those of them that name a row."""
    return tuple(one for one in columns_of(kind) if one.role is not None)


@kept
def schema_of(kind: type) -> int:
    """The version of stores and tables that hold all fields of `kind`."""
    return max(one.since for one in columns_of(kind))


@kept
def names_of(kind: type, roles: tuple[Role, ...], without: tuple[str, ...]) -> tuple[str, ...]:
    """The axes, or those of some roles, without some, in their order."""
    chosen = (one.name for one in axes_of(kind) if one.role in roles or not roles)
    return tuple(name for name in chosen if name not in without)


@kept
def getter(
    kind: type, roles: tuple[Role, ...], without: tuple[str, ...]
) -> Callable[[Any], tuple[Any, ...]]:
    """What takes from a row the values of the axes `names_of`."""
    names = names_of(kind, roles, without)
    assert len(names) > 1, "an attrgetter of one name gives no tuple"
    return attrgetter(*names)
