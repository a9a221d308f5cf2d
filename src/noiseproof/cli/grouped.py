"""Groups of options: a command takes a few dataclasses, its help shows a panel for each."""

import functools
import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from typer.models import OptionInfo

from noiseproof.cli.printing import stdout_for_the_document

Command = Callable[..., None]
Parameter = inspect.Parameter


def grouped(*examples: str) -> Callable[[Command], Command]:
    """A command whose parameters that are dataclasses become options, one for each field, in a
    panel called as the dataclass's `PANEL`. `examples` are shown below its help."""

    def flatten(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        groups: dict[str, Any] = {}
        parameters: list[Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            if is_dataclass(hints[name]):
                groups[name] = hints[name]
                parameters += _options(hints[name])
            else:
                parameters.append(parameter.replace(annotation=hints[name]))

        @functools.wraps(command)
        def flat(*args: Any, **given: Any) -> None:
            values = {
                name: group(**{f.name: given.pop(f.name) for f in fields(group) if f.name in given})
                for name, group in groups.items()
            }
            # Whatever group it stands in: a document has stdout to itself.
            is_document = any(getattr(one, "as_json", False) for one in values.values())
            with stdout_for_the_document(is_document or given.get("as_json", False)):
                command(*args, **given, **values)

        # What typer reads, in place of the function's own signature.
        flat.__signature__ = inspect.Signature(sorted(parameters, key=lambda one: one.kind))  # type: ignore[attr-defined]
        flat.__annotations__ = {one.name: one.annotation for one in parameters}
        flat.examples = examples  # type: ignore[attr-defined]
        flat.paths = tuple(one.name for one in parameters if _is_path(one.annotation))  # type: ignore[attr-defined]
        return flat

    return flatten


def epilog_of(command: Command) -> str:
    """Its examples, a paragraph each: the help joins single lines."""
    examples: tuple[str, ...] = getattr(command, "examples", ())
    word = "Example:" if len(examples) == 1 else "Examples:"
    return "\n\n".join([word, *examples]) if examples else ""


def _is_path(annotation: Any) -> bool:
    """Is it `Annotated[Path, ...]`, or of a path or None?"""
    kind = get_args(annotation)[:1] or (annotation,)
    return Path in (*kind, *get_args(kind[0]))


def _options(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=_in_panel(hints[field.name], group.PANEL),
        )
        for field in fields(group)
    ]


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return Parameter.empty if field.default is MISSING else field.default


def _in_panel(annotation: Any, panel: str) -> Any:
    """`Annotated[type, typer.Option(...)]` with the panel's name in the option; a copy, since
    groups share options."""
    kind, option = get_args(annotation)
    assert isinstance(option, OptionInfo)
    option = copy(option)
    option.rich_help_panel = panel
    return Annotated[kind, option]
