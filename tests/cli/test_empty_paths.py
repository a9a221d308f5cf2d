"""An empty path, mostly a variable of a shell that is not set, is never the working folder."""

from pathlib import Path

import pytest

from tests.cli.program import Run, check_one_line
from tests.cli.test_groups import commands

PATHS = [
    (words, one.opts[0], one.param_type_name == "option")
    for words, command in commands()
    for one in command.params
    if one.name in command.callback.paths
]


@pytest.mark.parametrize(("words", "name", "is_option"), PATHS)
def test_an_empty_path_is_refused_in_one_line_and_nothing_is_written(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    name: str,
    is_option: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words.split(), f"{name}=" if is_option else "")
    check_one_line(result, f"{name} is an empty path: name one, . for the working folder$")
    assert not list(tmp_path.iterdir())


def test_every_path_of_every_command_is_asked() -> None:
    found = {name for _, name, _ in PATHS}
    assert found >= {"--out", "--store", "--weights", "--data-dir", "--labels", "--figure", "file"}
    assert len(PATHS) > 30
