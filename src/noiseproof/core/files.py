"""Files that are written whole or not at all, and what must not be written over."""

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


def not_empty(name: str, path: str | Path) -> Path:
    """The path.

    Raises:
        ValueError: for "", which would be the working folder.
    """
    if path == "":
        raise ValueError(f"{name} is an empty path: name a folder, . for the working folder")
    return Path(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name that takes the place of `path` when the block ends well, so that no reader
    ever sees half a file. Links are followed, and a file that is there keeps its permissions; a
    device, a pipe or a terminal is written to instead of replaced. OSErrors become one-line
    ValueErrors."""
    with _one_line(path):
        is_special = _is_special(path)
        # Beside the file itself and not beside a link to it: only there it can be moved at once.
        target = path if is_special else Path(os.path.realpath(path))
    folder = Path(tempfile.mkdtemp()) if is_special else target.parent
    temporary = folder / f".{target.name}.{os.getpid()}.tmp"
    try:
        with _one_line(path):
            yield temporary
            if is_special:
                _copied_into(temporary, target)
            else:
                if target.exists():
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
                os.replace(temporary, target)
    finally:
        with suppress(OSError):  # the name itself may be impossible
            temporary.unlink(missing_ok=True)
        if is_special:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None


def _is_special(path: Path) -> bool:
    """Is it there, and neither a file nor a folder? A stream of this process counts as one,
    wherever it was sent: who replaced the file behind it would write where nobody looks."""
    if _descriptor(path) is not None:
        return True
    with suppress(FileNotFoundError):
        kind = path.stat().st_mode  # of what a link leads to
        return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)
    return False


def _copied_into(file: Path, target: Path) -> None:
    """The bytes of a file, into what cannot be replaced."""
    descriptor = _descriptor(target)
    if descriptor == 1:
        sys.stdout.flush()  # what was printed before comes first
    # A stream is not opened anew, since its place in a file is its own.
    sink = target.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")
    with file.open("rb") as source, sink:
        shutil.copyfileobj(source, sink)


def _descriptor(path: Path) -> int | None:
    """The number of a stream of this process: of /dev/stdout, /dev/stderr and /dev/fd/N."""
    known = {"/dev/stdout": 1, "/dev/stderr": 2}
    found = re.fullmatch(r"(?:/dev|/proc/self)/fd/(\d{1,6})", str(path))
    return int(found[1]) if found else known.get(str(path))


def check_outputs(outputs: Mapping[str, Path | None], *, inputs: Sequence[Path] = ()) -> None:
    """Raise ValueError for files that cannot be written, before anything is computed: one in a
    folder that is not there, a folder, the same file twice, or one that is read.

    - `outputs`: by the option that names them; None is one that was not given.
    - `inputs`: the files that are read.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    for option, path in given.items():
        if path.is_dir():
            raise ValueError(f"{option} {path} is a folder: name a file in it")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {path.parent}, make it first")
        for file in inputs:
            if _is_same(path, file):
                raise ValueError(
                    f"{option} {path} is what the command reads ({file}): name another file"
                )
    seen: list[tuple[str, Path]] = []
    for option, path in given.items():
        for before, other in seen:
            if not _is_special(path) and _is_same(path, other):
                raise ValueError(f"{before} and {option} must differ, got {path} for both")
        seen.append((option, path))


def _is_same(path: Path, other: Path) -> bool:
    """One file, by whatever names: links of both kinds are seen through."""
    if os.path.realpath(path) == os.path.realpath(other):
        return True
    return path.exists() and other.exists() and path.samefile(other)
