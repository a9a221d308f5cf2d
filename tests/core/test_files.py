"""Files that are written whole or not at all, and what is not written over."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from noiseproof.core.files import check_outputs, replacing

TEXT = "a page\n"


def write(path: Path, text: str = TEXT) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_file_is_replaced_as_a_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o640)
    before = page.stat().st_ino
    write(page)
    assert page.read_text() == TEXT
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert page.stat().st_ino != before, "moved there, so that no reader sees half of it"
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_what_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    with pytest.raises(ValueError, match="No space left"), replacing(page) as new:  # noqa: PT012
        new.write_text("half")
        Path("/dev/full").write_text("more")
    assert page.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "page.html", tmp_path / "link.html"
    link.symlink_to(real)
    for text in ("new", "newer"):  # where it leads to nothing yet, and to a file
        write(link, text)
        assert link.is_symlink()
        assert real.read_text() == text


def test_a_full_device_is_one_line_and_stays_a_device() -> None:
    with pytest.raises(ValueError, match="^cannot write /dev/full: No space left on device$"):
        write(Path("/dev/full"))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join()
    assert read == [TEXT]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


CODE = """
from pathlib import Path
from noiseproof.core.files import replacing
print("before")
with replacing(Path("{path}")) as temporary:
    temporary.write_text("page")
print("after")
"""


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
def test_the_output_is_written_to_in_its_place_also_where_it_is_a_file(
    tmp_path: Path, path: str
) -> None:
    log = tmp_path / "log"
    with log.open("w") as sink:
        subprocess.run([sys.executable, "-c", CODE.format(path=path)], stdout=sink, check=True)
    assert log.read_text() == "before\npageafter\n"


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^cannot write .*nowhere/page: No such file"):
        write(tmp_path / "nowhere" / "page")


def hard_link(folder: Path) -> Path:
    os.link(folder / "in", folder / "hard")
    return folder / "hard"


def soft_link(folder: Path) -> Path:
    (folder / "soft").symlink_to(folder / "in")
    return folder / "soft"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder": (lambda folder: folder, "--out .* is a folder: name a file in it"),
    "no folder": (lambda folder: folder / "no" / "x", "there is no folder .*no, make it first"),
    "the input": (lambda folder: folder / "in", "is what the command reads .*name another file"),
    "a hard link": (hard_link, "is what the command reads"),
    "a link": (soft_link, "is what the command reads"),
    "the other": (lambda folder: folder / "x" / ".." / "other", "--figure and --out must differ"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_must_not_be_written_is_refused(tmp_path: Path, kind: str) -> None:
    make, sentence = REFUSED[kind]
    (tmp_path / "in").write_text("rows")
    (tmp_path / "x").mkdir()
    outputs = {"--figure": tmp_path / "other", "--out": make(tmp_path)}
    with pytest.raises(ValueError, match=sentence):
        check_outputs(outputs, inputs=[tmp_path / "in"])
    check_outputs({"--out": tmp_path / "new", "--figure": None}, inputs=[tmp_path / "in"])
    both = Path("/dev/stdout")
    check_outputs({"--out": both, "--figure": both})
