"""Functions of the user's own, named `package.module:function`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def call_named(name: str) -> Callable[[], object]:
    """The function `function` of `package.module:function`; the working folder is searched too.

    Raises:
        ValueError: where the module or the function is missing.
    """
    module_name, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import {module_name!r} for {name!r}: {error}") from None
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{module_name!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]
