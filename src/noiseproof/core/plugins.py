"""Functions of the user's own, named `package.module:function`."""

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any


def named(name: str) -> Callable[..., Any]:
    """The function `package.module:function`; the working folder is searched for it too.

    Raises:
        ValueError: where the module or the function is missing.
    """
    module_name, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's own module does on import
        raise ValueError(f"cannot import {module_name!r} for {name!r}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{module_name!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]  # the line above is the check


def call_named(name: str) -> object:
    """What `package.module:function` returns.

    Raises:
        ValueError: where it is missing, needs arguments, or fails.
    """
    found = named(name)
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be callable without arguments: {error}") from None
    try:
        return found()
    except Exception as error:
        raise ValueError(f"{name} failed: {type(error).__name__}: {error}") from error


def code_of(function: object) -> str:
    """The code of a function or of the class of a callable, without comments and layout, so that a
    change of what it does is seen; "" where there is none to be read. What it calls is not in
    it."""
    inner = inspect.unwrap(getattr(function, "func", function))  # type: ignore[arg-type]
    readable = inner if inspect.isroutine(inner) or isinstance(inner, type) else type(inner)
    try:
        return ast.dump(ast.parse(textwrap.dedent(inspect.getsource(readable))))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or part of a longer line
        code = getattr(readable, "__code__", None)
        if code is None:
            return ""
        plain = [one for one in code.co_consts if isinstance(one, int | float | str | tuple)]
        return f"{code.co_code.hex()} {code.co_names} {plain}"


OPENED_BY_US = ("torchvision", "timm", "folder", "masks", "voc")


def harmless_name(name: str, option: str, file: Path) -> str:
    """`name` from a card, if opening it runs nothing but known code."""
    kind, _, rest = name.partition(":")
    if rest and kind not in OPENED_BY_US:
        raise ValueError(
            f"the card of {file} names code of its own, {name}: add {option} {name} to run it"
        )
    return name
