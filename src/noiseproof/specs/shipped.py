"""The hardware files that come with noiseproof, by name: nothing is read, so this costs nothing."""

from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDER = "hardware_files"


def hardware_names() -> tuple[str, ...]:
    """The chips that come with noiseproof."""
    found = (file.name for file in files("noiseproof.specs").joinpath(FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def hardware_file(name: str) -> Traversable:
    """The file of one of them."""
    return files("noiseproof.specs").joinpath(FOLDER, f"{name}.toml")
