"""A study file by its name, and what a run of it has left on the disk."""

from pathlib import Path

from noiseproof.core.files import not_empty
from noiseproof.results import Row, Store, exported
from noiseproof.study.facts import Facts, read_facts
from noiseproof.study.file import Study, read_study
from noiseproof.study.grid import grid_of
from noiseproof.study.wanted import Grid

STORE, EXPORTED, FACTS = "rows.db", "rows.parquet", "networks.json"


def open_study(file: str | Path, profile: str | None = None) -> tuple[Study, str, Grid]:
    """The study, the profile's name (None: its first), and its grid.

    Raises:
        ValueError: for a file or profile that is wrong, in one line.
    """
    study = read_study(file)
    name = next(iter(study.profiles)) if profile is None else profile
    try:
        return study, name, grid_of(study, name)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def out_folder(study: Study, profile: str, out: str | Path | None = None) -> Path:
    """Where a run leaves its rows.

    Raises:
        ValueError: where that is a file, or an empty path.
    """
    folder = Path("runs") / f"{study.name}-{profile}" if out is None else not_empty("out", out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is not a folder: name the folder of a run")
    return folder


def results_of(folder: Path) -> tuple[Facts, list[Row]]:
    """Facts and rows of a run: from its store, or from the Parquet file exported from it.

    Raises:
        ValueError: for files that are damaged.
    """
    facts = read_facts(folder / FACTS)
    if (folder / STORE).is_file():
        with Store(folder / STORE, read_only=True) as store:
            return facts, store.rows()
    parquet = folder / EXPORTED
    return facts, exported(parquet) if parquet.is_file() else []
