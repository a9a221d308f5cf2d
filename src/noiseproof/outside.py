"""Functions of the user's own, named `package.module:function`."""

import importlib
import inspect
import sys
from pathlib import Path


def call_named(name: str) -> object:
    """What `package.module:function` returns; the working folder is searched for it too.

    Raises:
        ValueError: where the module or the function is missing, or needs arguments.
    """
    module_name, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (ImportError, TypeError) as error:  # TypeError: a relative name
        raise ValueError(f"cannot import {module_name!r} for {name!r}: {error}") from None
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{module_name!r} has no function {function!r}")
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be callable without arguments: {error}") from None
    return found()
