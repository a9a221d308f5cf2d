"""The public face of a package: names load on first use, so that importing it costs nothing."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def face(
    package: str, names: Mapping[str, str], modules: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of `package`: `names` says for each public name the module
    that has it, `modules` for each public module where it lies, both within noiseproof."""
    known = modules or {}

    def get(name: str) -> Any:
        if name in names:
            found = getattr(import_module(f"noiseproof.{names[name]}"), name)
        elif name in known:
            found = import_module(f"noiseproof.{known[name]}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, found)
        return found

    return get, lambda: sorted([*names, *known])
