"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TextIO

import typer

from noiseproof.cli import (
    demo,
    device,
    explain,
    export,
    info,
    measure,
    report,
    sensitivity,
    study,
    track,
    train,
)
from noiseproof.cli.grouped import epilog_of
from noiseproof.cli.once import OnceCommand
from noiseproof.core.checks import NoiseproofWarning
from noiseproof.core.version import __version__

app = typer.Typer(
    name="noiseproof",
    help="How a trained neural network behaves on noisy analog hardware, why, and what helps.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo.demo,
    train.train,
    measure.measure,
    sensitivity.sensitivity,
    explain.explain,
    track.track,
    report.report,
    export.export,
    info.info,
):
    app.command(cls=OnceCommand, epilog=epilog_of(command))(command)
app.add_typer(study.app, name="study")
app.add_typer(device.app, name="device")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """The options of the program itself."""
    if version:
        print(f"noiseproof {__version__}")
        raise typer.Exit


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Mistakes of the user end in one line on stderr and exit code 2; warnings are a line each."""
    warnings.showwarning = _one_line_warning
    try:
        yield
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except (ValueError, OSError, sqlite3.Error) as error:
        text = " ".join(str(error).split())
        print(f"noiseproof: {text}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        # torch's own errors have no class of their own on a CPU.
        text = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and "memory" not in text.lower():
            raise
        print(f"noiseproof: there is not enough memory: {text[:200]}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as left:  # typer turns the first into the second
        if isinstance(left, KeyboardInterrupt) or left.code == 130:
            print("noiseproof: stopped; run the same command to go on", file=sys.stderr)
            sys.exit(130)
        raise


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, NoiseproofWarning):
        print(f"noiseproof: warning: {message}", file=sys.stderr)


def main() -> None:
    """The entry point of the program."""
    with one_line_errors():
        sys.exit(_called() or 0)


UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]
"""What typer finds wrong with a command line; it has no public name, and its home has moved."""


def _called() -> int | None:
    """What the command line asks for, done; the exit code, None for success.

    Raises:
        ValueError: for a command line that cannot be read.
    """
    try:
        # Not standalone: typer would print its own boxes of several lines.
        code: int | None = app(standalone_mode=False)
    except typer.Abort:  # what typer makes of an interrupt
        raise KeyboardInterrupt from None
    except UsageError as error:
        context = error.ctx
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # nothing is asked: the help
            return 2
        path = "noiseproof" if context is None else f"noiseproof {context.info_name}"
        where = "noiseproof" if context is None or context.parent is None else path
        raise ValueError(f"{error.format_message().rstrip('.')}: see `{where} --help`") from None
    return code
