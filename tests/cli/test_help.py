"""Help and listings: complete, and quick because torch stays out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import Run, process

COMMANDS = (
    "demo",
    "train",
    "measure",
    "sensitivity",
    "explain",
    "track",
    "report",
    "export",
    "info",
)


# --- help, and what is not imported for it ------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_names_its_options(run: Run, command: str) -> None:
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert "--help" in out
    assert command or all(name in out for name in COMMANDS)


LIGHT = """
import contextlib, io, sys
from noiseproof import cli
for arguments in {calls!r}:
    sys.argv = ["noiseproof", *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            cli.main()
    except SystemExit as left:
        print(left.code or 0, "torch" in sys.modules, *arguments)
"""


def test_help_listings_reports_exports_and_mistakes_do_not_import_torch(
    measured: Path, tmp_path: Path
) -> None:
    good = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
    topics = ("models", "norms", "noises", "recalibrations", "datasets")
    good += [["info", topic] for topic in topics]
    good += [["device", "list"], ["device", "show", "pcm"], ["device", "fit", "--help"]]
    good += [["report", str(measured), "--out", str(tmp_path / "r.html")]]
    good += [["export", str(measured), "--out", str(tmp_path / "r.csv")]]
    bad = [
        ["measure", "w", "--noise", "potato(1)"],
        ["measure", "w", "--chips", "0"],
        ["measure", "w", "--recalibrate", "pooled(0)"],
        ["measure", "w", "--task", "nonsense"],
        ["train", "--model", "resnet8", "--out", "x", "--task", "boxes"],
        ["track", "w", "--noise", "potato(1)"],
        ["track", "w", "--every", "0"],
        ["track", "w", "--window", "300"],
        ["track", "w", "--wander", "nan"],
        ["track", "w", "--recalibrate", "match(10)"],
        ["track", "w", "--recalibrate", "ema(2)"],
        ["info", "x"],
    ]
    bad += [["device", "show", "pmc"], ["device", "fit", "none.csv", "--out", "x.toml"]]
    bad += [["train", "--model", "resnet9", "--out", "x"], ["report", "missing.db"], ["--potato"]]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(calls=good + bad)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    expected = [f"0 False {' '.join(call)}" for call in good]
    expected += [f"2 False {' '.join(call)}" for call in bad]
    assert done.stdout.splitlines() == expected


def test_help_loads_little() -> None:
    """What it takes is what it imports, and that is counted: seconds depend on the machine."""
    command = [sys.executable, "-X", "importtime", "-m", "noiseproof.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = [line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()]
    assert len(loaded) < 500, "355 take a quarter of a second"
    tops = {name.partition(".")[0] for name in loaded}
    assert tops.isdisjoint({"matplotlib", "numpy", "plotly", "pydantic", "scipy", "torch"})


def test_the_program_ends_in_one_line_and_code_2_as_a_process(tmp_path: Path) -> None:
    with process("measure", "w.pt", "--noise", "gaussian(-1)", cwd=tmp_path) as child:
        out, err = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert err == "noiseproof: level must be finite and >= 0, got -1\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--potato"],
        ["measure"],
        ["measure", "w", "--chips", "many"],
        ["measure", "w", "--potato"],
        [],
    ],
)
def test_usage_errors_exit_with_2_as_well(run: Run, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" not in err
