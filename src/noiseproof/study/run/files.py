"""The files of a run: written whole or not at all, and by one run at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from noiseproof.core.files import replacing

FAILED = "failed.txt"
LOCK = ".lock"


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror}") from None


@contextmanager
def writing(folder: Path, name: str) -> Iterator[Path]:
    """A file of a training's folder, written whole or not at all."""
    make_folder(folder)
    with replacing(folder / name) as temporary:
        yield temporary


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder against a second run, which would do the same work once more. A run that is
    killed holds it no longer."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another run is at work in {folder}: wait for it, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:  # as on a disk that knows no locks
        raise ValueError(f"cannot lock {folder / LOCK}: {error}") from None
    try:
        yield
    finally:
        lock.release()


def how_to_try_again(folder: Path) -> str:
    """How a training that has failed for good is tried once more."""
    return f" (to train it again, delete {folder / FAILED})"
