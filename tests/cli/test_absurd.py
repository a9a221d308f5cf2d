"""What nobody can mean is refused in one line, in every command, before anything is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, Run, check_one_line

TWICE: dict[str, tuple[object, ...]] = {
    "--noise": ("measure", "w", "--noise", "gaussian(0.1)", "--noise", "stuck(0.1)"),
    "--seed": ("track", "w", "--seed", 1, "--seed=1"),
    "--out": ("explain", "w", "--out", "a.html", "--out", "b.html"),
    "--by": ("sensitivity", "w", "--by", "layer", "--by", "role"),
    "--figure": ("report", "r.db", "--figure", "a.pdf", "--figure", "b.pdf"),
    "--norm": ("info", "model", "resnet8", "--norm", "batch", "--norm", "none"),
    "--epochs": ("train", "--model", "resnet8", "--out", "x", "--epochs", 1, "--epochs", 2),
    "--chips": ("demo", "--chips", 1, "--chips", 2),
    "--profile": ("study", "status", "s.toml", "--profile", "a", "--profile", "b"),
}


@pytest.mark.parametrize("option", TWICE)
def test_an_option_with_one_value_is_given_once(run: Run, option: str) -> None:
    check_one_line(run(*TWICE[option]), f"{option} is given 2 times, and has one value: give it on")
    assert not list(Path.cwd().iterdir())


ABSURD: dict[str, tuple[tuple[object, ...], str]] = {
    "precision": (("--precision", 2), r"precision must be below 0\.5, got 2: it is in units of"),
    "above": (("--above", 90), "above must be between 0 and 1, got 90: accuracy is a share"),
    "chips": (("--chips", 100_000_000), "chips must be <= 100,000, got 100,000,000: each is a row"),
    "passes": (("--design", "per-image", "--passes", 10**9), "passes must be <= 100,000, got"),
    "all levels": (
        ("--chips", 100_000, "--levels", ",".join(f"{n}e-3" for n in range(1, 13))),
        "chips at all levels must be <= 1,000,000, got 1,200,000",
    ),
    "images": (("--images", 0), "images must be >= 1, got 0$"),
    "budget": (("--budget", "0s"), "budget must be > 0"),
    "levels": (("--levels", "0.1,nan"), "level"),
    "negative levels": (("--levels", "-0.1"), "level"),
    "seed": (("--seed", 2**63), "seed must be between 0 and 2.63 - 1"),
    "threads": (("--threads", 0), "threads"),
}


@pytest.mark.parametrize("kind", ABSURD)
def test_numbers_that_nobody_can_mean_are_refused(run: Run, trained: Path, kind: str) -> None:
    options, sentence = ABSURD[kind]
    check_one_line(run("measure", trained, "--device", "cpu", *options), sentence)
    assert not list(Path.cwd().iterdir())


def test_a_stream_of_more_windows_than_fit_into_memory_is_refused(run: Run, trained: Path) -> None:
    options = ("--every", 1, "--images", 10**7)
    check_one_line(run("track", trained, *options), "windows of all chips must be <= 1,000,000")


def test_a_document_stands_alone_on_stdout(measured: Path) -> None:
    command = [*PROGRAM, "export", str(measured), "--out", "r.csv", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 7
    assert done.stderr == "7 rows: r.csv\n"


CLOSES = """
import subprocess, sys
first = subprocess.Popen({command!r}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
first.stdout.close()
print(first.stderr.read().count("Traceback"), first.wait())
"""


def test_a_reader_that_goes_early_is_no_traceback() -> None:
    code = CLOSES.format(command=[*PROGRAM, "info", "models", "--json"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 1\n"


MORE: dict[str, tuple[tuple[object, ...], str]] = {
    "classes": (("measure", "NET", "--classes", 10**9), "classes must be <= 1,000,000, got 1,00"),
    "threads": (
        ("measure", "NET", "--threads", 100_000),
        "threads must be <= .* got 100,000",
    ),
    "every": (("track", "NET", "--every", 10**12), "every must be <= 10,000,000, got"),
    "folder": (("study", "status", "STUDY", "--out", "FILE"), "--out .* is not a folder: name the"),
}


@pytest.mark.parametrize("kind", MORE)
def test_what_would_end_the_process_or_mean_nothing_is_refused(
    run: Run, trained: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").write_text("")
    study = Path(__file__).parents[2] / "studies" / "architectures" / "study.toml"
    words = {"NET": trained, "FILE": tmp_path / "file", "STUDY": study}
    options, sentence = MORE[kind]
    check_one_line(run(*(words.get(str(word), word) for word in options)), sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (("measure", "x", "--seed", "1e5"), "Invalid value for '--seed': .*: see `noiseproof mea"),
        (("measure",), "Missing argument 'weights': see `noiseproof measure --help`$"),
        (("measur", "x"), r"No such command 'measur'.*: see `noiseproof --help`$"),
        (("measure", "x", "--nois", "3"), "No such option: --nois .*--noise"),
        (("measure", "x", "--chips"), "Option '--chips' requires an argument"),
        (("study", "go"), "No such command 'go': see `noiseproof study --help`$"),
    ],
)
def test_a_line_that_cannot_be_read_is_one_line(
    run: Run, line: tuple[str, ...], sentence: str
) -> None:
    check_one_line(run(*line), sentence)


def test_nothing_asked_is_the_help(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "measure" in out + err
    assert "Usage:" in out + err
