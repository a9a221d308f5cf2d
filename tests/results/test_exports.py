"""Exports of rows, and files that take their place only when they are whole."""

import csv
import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from noiseproof.core.files import replacing
from noiseproof.results import rows as records
from noiseproof.results.axes import columns_of
from noiseproof.results.rows import KEY, Row
from noiseproof.results.store import export
from tests.results.made import BOXES, made

# --- exports ------------------------------------------------------------------------------------


EXPORTED = [
    made(0, level=None, noise="none", targets=""),
    made(1),
    made(2, model="a,b\n'c'\"d\""),
    made(**BOXES),
]


def back(table: list[dict[str, Any]]) -> list[Row]:
    """Rows from the columns of an export; a CSV holds everything as text."""
    rows = []
    for entry in table:
        values: dict[str, Any] = dict(entry) | {"hits": bytes.fromhex(entry["hits"])}
        for one in columns_of(Row):
            if one.type is int:
                values[one.name] = int(values[one.name])
            if one.type == float | None:
                given = values[one.name]
                values[one.name] = float(given) if given not in ("", None) else None
        values |= {name: float(values[name]) for name in ("score", "seconds")}
        values["correct"] = int(values["correct"]) if values["correct"] not in ("", None) else None
        rows.append(Row(**values))
    return rows


def test_csv_gives_the_rows_back(tmp_path: Path) -> None:
    export(EXPORTED, tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        assert back(list(csv.DictReader(file))) == EXPORTED


def test_parquet_gives_the_rows_back(tmp_path: Path) -> None:
    export(EXPORTED, tmp_path / "r.parquet")
    assert back(parquet.read_table(tmp_path / "r.parquet").to_pylist()) == EXPORTED


def test_an_export_of_nothing_still_names_the_columns(tmp_path: Path) -> None:
    names = [field.name for field in dataclasses.fields(Row)]
    export([], tmp_path / "r.csv")
    export([], tmp_path / "r.parquet")
    assert (tmp_path / "r.csv").read_text().strip().split(",") == names
    assert parquet.read_table(tmp_path / "r.parquet").column_names == names


@pytest.mark.parametrize("name", ["r.xlsx", "r", "r.CSV", "csv"])
def test_another_ending_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"export must end in .csv or .parquet, got '{name}'"):
        export(EXPORTED, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_export_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    target.write_text("old")
    bad = replace(made(), hits="no bytes")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        export([made(), bad], target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


# --- replacing ----------------------------------------------------------------------------------


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_goes_wrong_no_temporary_file_is_left(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def interrupted() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write() -> None:
        with replacing(target) as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("new" * 10_000)

    with pytest.raises(ValueError, match="^cannot write .*file: No space left on device$"):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    assert Path("/dev/full").is_char_device()


def folder_in_place(path: Path) -> Path:
    (path / "r.csv").mkdir()
    return path / "r.csv"


def file_as_parent(path: Path) -> Path:
    (path / "file").touch()
    return path / "file" / "r.csv"


UNWRITABLE = {
    "a folder in its place": folder_in_place,
    "no such folder": lambda path: path / "nowhere" / "r.csv",
    "a file for a folder": file_as_parent,
    "too long a name": lambda path: path / f"{300 * 'x'}r.csv",
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_a_place_that_cannot_be_written_ends_in_one_line(tmp_path: Path, kind: str) -> None:
    target = UNWRITABLE[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"^cannot write .*r\.csv: [\w ]+$") as caught:
        export([made()], target)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_key_comes_first_and_ends_with_the_images_of_the_score() -> None:
    names = [field.name for field in dataclasses.fields(records.Row)]
    assert list(KEY) == names[: names.index("images") + 1]
