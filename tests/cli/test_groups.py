"""Options in groups, examples that parse, and what a shell completes."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
import typer
from typer.main import get_command

from noiseproof import cli
from noiseproof.cli.grouped import epilog_of, grouped
from noiseproof.cli.noise_options import NOISE
from noiseproof.cli.options import CHIPS, DATA, NETWORK, OUTPUT, RECALIBRATION
from noiseproof.specs import catalog
from tests.cli.program import Run


def commands(group: Any = None, words: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words."""
    for name, command in (group or get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield words + name, command


def test_a_command_gets_its_groups_and_typer_their_options() -> None:
    @dataclass(kw_only=True)
    class Size:
        PANEL: ClassVar[str] = "Size"
        height: Annotated[int, typer.Option(help="h")]
        width: Annotated[int, typer.Option(help="w")] = 3

    found = []

    @grouped("draw 1 --height 2")
    def draw(what: str, size: Size, twice: bool = False) -> None:
        found.append((what, size.height, size.width, twice))

    draw("a", height=5)
    draw("b", height=1, width=2, twice=True)
    assert found == [("a", 5, 3, False), ("b", 1, 2, True)]
    assert epilog_of(draw) == "Example:\n\ndraw 1 --height 2"
    app = typer.Typer()
    app.command()(draw)
    panels = {one.name: getattr(one, "rich_help_panel", None) for one in get_command(app).params}
    assert (panels["height"], panels["width"], panels["twice"]) == ("Size", "Size", None)


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_each_option_stands_in_a_group_but_those_of_small_commands(words: str) -> None:
    command = dict(commands())[words]
    options = [one for one in command.params if one.param_type_name == "option"]
    bare = [one.name for one in options if getattr(one, "rich_help_panel", None) is None]
    assert not bare or len(options) <= 5 or words == "info", bare


def test_measure_has_the_six_groups() -> None:
    panels = {getattr(one, "rich_help_panel", None) for one in dict(commands())["measure"].params}
    assert panels - {None} == {NETWORK, DATA, NOISE, CHIPS, RECALIBRATION, OUTPUT}


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_each_help_has_an_example_and_it_parses(words: str, run: Run) -> None:
    command = dict(commands())[words]
    title, *examples = command.epilog.split("\n\n")
    assert title in ("Example:", "Examples:")
    for example in examples:
        program, *arguments = shlex.split(example)
        assert [program, *arguments][: 1 + len(words.split())] == ["noiseproof", *words.split()]
        context = command.make_context(words, arguments[len(words.split()) :])
        assert not context.args
    code, out, _ = run(*words.split(), "--help")
    assert (code, title in out) == (0, True)


def test_the_help_of_measure_is_short_enough_to_read(run: Run) -> None:
    assert len(run("measure", "--help")[1].splitlines()) <= 130


@pytest.mark.parametrize("command", ["train", "measure", "track", "sensitivity", "explain", "demo"])
def test_what_computes_takes_threads_and_refuses_others_in_one_line(run: Run, command: str) -> None:
    needed = {"train": ("--model", "resnet8", "--out", "o"), "demo": ()}.get(command, ("w.pt",))
    code, out, err = run(command, *needed, "--threads", "many")
    assert (code, out) == (2, "")
    assert err == "noiseproof: threads must be auto or a whole number >= 1, got 'many'\n"


COMPLETE = """
import sys
from noiseproof import cli
sys.argv = ["noiseproof"]
try:
    cli.app(prog_name="noiseproof")
except SystemExit as left:
    sys.exit("torch imported" if "torch" in sys.modules else left.code)
"""


def completed(line: str) -> list[str]:
    """What bash offers at the end of `line`; no torch is imported for it."""
    words = {"_NOISEPROOF_COMPLETE": "complete_bash", "COMP_WORDS": line}
    words["COMP_CWORD"] = str(len(line.split(" ")) - 1)
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE], env=os.environ | words, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("noiseproof mea", "measure"),
        ("noiseproof measure w --model resnet5", "resnet56"),
        ("noiseproof measure w --norm batch_l", "batch_l1"),
        ("noiseproof measure w --design nes", "nested"),
        ("noiseproof measure w --recalibrate au", "auto"),
        ("noiseproof measure w --data dig", "digits"),
        ("noiseproof train --device cu", "cuda"),
        ("noiseproof sensitivity w --by bl", "block"),
        ("noiseproof info recal", "recalibrations"),
        ("noiseproof info model resnet1", "resnet110"),
    ],
)
def test_a_shell_completes_names(line: str, offered: str) -> None:
    found = completed(line)
    assert offered in found
    assert all(name.startswith(line.split(" ")[-1]) for name in found if name)


def test_only_what_begins_so_is_offered() -> None:
    offered = {name for name in completed("noiseproof measure w --model vgg1") if name}
    assert offered == {name for name in catalog.MODELS if name.startswith("vgg1")}
