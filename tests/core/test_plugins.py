"""Functions of the user's own: found by name, and whatever they do wrong is one sentence."""

from pathlib import Path

import pytest

from noiseproof.core.plugins import call_named, named

MODULE = """
import os
VALUE = 3
def two():
    return 2
def needs(x):
    return x
def fails():
    raise KeyError("x")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "outside_things.py").write_text(MODULE)
    (tmp_path / "outside_broken.py").write_text("1 / 0")
    (tmp_path / "outside_leaves.py").write_text("import sys; sys.exit(0)")
    return tmp_path


def test_a_function_of_the_working_folder_is_found() -> None:
    assert named("outside_things:two")() == 2
    assert call_named("outside_things:two") == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("outside_nowhere:f", "cannot import 'outside_nowhere' for 'outside_nowhere:f': No module"),
        ("outside_broken:f", "cannot import 'outside_broken' .*: division by zero"),
        ("outside_leaves:f", "cannot import 'outside_leaves' for 'outside_leaves:f': 0"),
        ("outside_things:three", "'outside_things' has no function 'three'"),
        ("outside_things:VALUE", "'outside_things' has no function 'VALUE'"),
        ("outside_things:", "'outside_things' has no function ''"),
        (":two", "cannot import '' for ':two'"),
    ],
)
def test_a_name_that_is_no_function_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        named(name)


def test_a_call_that_needs_arguments_or_fails_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="needs must be callable without arguments: missing a req"):
        call_named("outside_things:needs")
    with pytest.raises(ValueError, match="outside_things:fails failed: KeyError: 'x'"):
        call_named("outside_things:fails")
