"""The profiles of a study that have rows: in the folder of a run, beside it, beside the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from noiseproof.results import Row
from noiseproof.study.facts import Facts
from noiseproof.study.file import Comparison, Study
from noiseproof.study.folder import EXPORTED, STORE, out_folder, results_of
from noiseproof.study.grid import grid_of
from noiseproof.study.measured import Measured, measured_of
from noiseproof.study.wanted import Grid


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One profile of a study with what was measured of it."""

    name: str
    grid: Grid
    comparisons: tuple[Comparison, ...]
    facts: Facts
    rows: tuple[Row, ...]

    @cached_property
    def measured(self) -> list[Measured]:
        """Its curves, as far as they have rows."""
        return measured_of(self.grid, self.facts, self.rows)


def profiles_of(
    file: str | Path, study: Study, profile: str, out: str | Path | None = None
) -> Iterator[Profile]:
    """Those that have rows, `profile` first, then `other_profiles`.

    Raises:
        ValueError: for files that are damaged.
    """
    yield from _found(study, profile, (out_folder(study, profile, out), _beside(file, profile)))
    yield from other_profiles(file, study, profile, out)


def other_profiles(
    file: str | Path, study: Study, profile: str, out: str | Path | None = None
) -> Iterator[Profile]:
    """Those beside `profile` that have rows, in the file's order. They are looked for in the folder
    beside `out` that is called alike, then in the folder of their name beside the file.

    Raises:
        ValueError: for files that are damaged.
    """
    folder = out_folder(study, profile, out)
    for name in study.profiles:
        if name != profile:
            yield from _found(study, name, (_alike(folder, profile, name), _beside(file, name)))


def _found(study: Study, name: str, places: Iterable[Path | None]) -> Iterator[Profile]:
    """The profile in the first of these folders that has rows, if one has."""
    for place in places:
        if place is not None and ((place / STORE).is_file() or (place / EXPORTED).is_file()):
            facts, rows = results_of(place)
            yield Profile(
                name=name,
                grid=grid_of(study, name),
                comparisons=study.comparisons_of(name),
                facts=facts,
                rows=tuple(rows),
            )
            return


def _beside(file: str | Path, name: str) -> Path:
    return Path(file).parent / name


def _alike(folder: Path, profile: str, other: str) -> Path | None:
    """The folder of another profile, where this one's is called after its own."""
    stem, found, _ = folder.name.rpartition(profile)
    if not found or folder.name != stem + profile:
        return None
    return folder.with_name(stem + other)
