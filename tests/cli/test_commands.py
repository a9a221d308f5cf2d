"""The program as its user meets it: what it prints, what it refuses, what survives a kill."""

import csv
import json
import os
import pickle
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import noiseproof
from noiseproof import cli
from noiseproof.data.datasets import open_dataset
from noiseproof.models import building as models
from noiseproof.models import checkpoint
from noiseproof.network.state import state_sha256
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs import catalog
from noiseproof.specs import noise as spec
from noiseproof.specs.designs import DESIGNS
from noiseproof.specs.estimators import ESTIMATORS

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
PROGRAM = (sys.executable, "-m", "noiseproof.cli")

Run = Callable[..., tuple[int, str, str]]


def run_main(*arguments: object) -> int:
    """The program's own entry point, in this process; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["noiseproof", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code or 0


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the program."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_main(*arguments)
        return code, *capsys.readouterr()

    return call


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, **options
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ResNet-8 after one epoch on the digits."""
    out = tmp_path_factory.mktemp("trained") / "net"
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    assert run_main("train", *options, "--epochs", 1, "--out", out) == 0
    return out


MEASURE = ("--chips", 3, "--images", 100, "--levels", "0.2,0.1", "--device", "cpu", "--seed", 5)


@pytest.fixture(scope="module")
def measured(trained: Path) -> Path:
    """A store with three chips at two levels."""
    store = trained.parent / "rows.db"
    assert run_main("measure", trained, *MEASURE, "--store", store) == 0
    return store


def rows_in(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return store.rows()


def timeless(rows: list[Row]) -> list[Row]:
    return sorted(
        (replace(row, seconds=0.0) for row in rows),
        key=lambda r: (r.noise, r.recalibrate, r.chip, r.seen),
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


def test_help_takes_less_than_half_a_second_of_a_processor() -> None:
    """Of a processor, not of the clock: a busy machine is not the program's fault."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


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


# --- mistakes -----------------------------------------------------------------------------------


class Evil:
    """Whoever unpickles it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def state() -> dict[str, torch.Tensor]:
    return models.build("resnet8", norm="batch_l1", classes=10, channels=1).state_dict()


def evil_zip(path: Path) -> None:
    torch.save({"conv1.weight": Evil()}, path)


def evil_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))


def cut(part: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        torch.save(state(), path)
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

    return make


def cut_safetensors(path: Path) -> None:
    net = models.build("resnet8", norm="batch_l1", classes=10, channels=1)
    checkpoint.save_weights(net, path)
    path.write_bytes(path.read_bytes()[:-100])


def other_network(path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), path)


def whole(path: Path) -> None:
    torch.save(state(), path)


def other_classes(path: Path) -> None:
    torch.save(models.build("resnet8", norm="batch_l1", classes=7, channels=1).state_dict(), path)


BARE = ("--model", "resnet8", "--data", "digits", "--norm", "batch_l1")
DAMAGED = (
    r"^noiseproof: .*w\.pt is not a readable checkpoint: it is cut short, damaged, or no torch"
)
REFUSED = r"^noiseproof: .*w\.pt is refused: it needs code to load"
BAD_FILES: dict[str, tuple[str, Callable[[Path], Any], tuple[object, ...], str]] = {
    "code in a torch file": ("w.pt", evil_zip, BARE, REFUSED),
    "code in a pickle": ("w.pt", evil_pickle, BARE, REFUSED),
    "empty": ("w.pt", Path.touch, BARE, DAMAGED),
    "cut early": ("w.pt", cut(0.01), BARE, DAMAGED),
    "cut in half": ("w.pt", cut(0.5), BARE, DAMAGED),
    "cut late": ("w.pt", cut(0.99), BARE, DAMAGED),
    "text": ("w.pt", lambda path: path.write_text("hello\n" * 99), BARE, DAMAGED),
    "short safetensors": (
        "w.safetensors",
        cut_safetensors,
        BARE,
        r"^noiseproof: .*w\.safetensors is not a readable safetensors file: ",
    ),
    "no state dict": (
        "w.pt",
        lambda path: torch.save([1, 2], path),
        BARE,
        r"^noiseproof: .*w\.pt holds no state dict$",
    ),
    "no tensors": (
        "w.pt",
        lambda path: torch.save({"epoch": 3}, path),
        BARE,
        r"^noiseproof: .*w\.pt holds no tensors: expected a state dict$",
    ),
    "another network": (
        "w.pt",
        other_network,
        BARE,
        r"^noiseproof: weights do not fit resnet8 with norm batch_l1: \d+ missing \(conv1\.weight, "
        r".*, and \d+ more\); 2 unknown \(weight, bias\)$",
    ),
    "other classes": (
        "w.pt",
        other_classes,
        BARE,
        r"linear\.weight has shape \(7, 64\), the model \(10, 64\)",
    ),
    "no card, no model": (
        "w.pt",
        whole,
        ("--data", "digits"),
        r"^noiseproof: .*w\.pt has no card, so --model must say what it is$",
    ),
    "no card, no data": (
        "w.pt",
        whole,
        ("--model", "resnet8"),
        r"^noiseproof: .*w\.pt has no card, so --data must say what it is$",
    ),
}


def check_one_line(result: tuple[int, str, str], sentence: str) -> None:
    code, out, err = result
    assert re.search(sentence, err.removesuffix("\n")), err
    assert err.startswith("noiseproof: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert (code, out) == (2, "")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # torch's; the program hides it
@pytest.mark.parametrize("kind", BAD_FILES)
def test_weights_that_cannot_be_used_are_refused_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name, make, options, sentence = BAD_FILES[kind]
    make(tmp_path / name)
    check_one_line(run("measure", name, *options, "--images", 50), sentence)
    assert [path.name for path in tmp_path.iterdir()] == [name], "code has run, or a store is made"


# after `measure WEIGHTS`
BAD_OPTIONS: dict[str, tuple[tuple[object, ...], str]] = {
    "model": (
        ("--model", "resnet9"),
        "unknown model 'resnet9': expected one of resnet8, .*, package.module:builder$",
    ),
    "norm": (("--norm", "batchnorm"), "unknown norm 'batchnorm': expected one of none, batch, "),
    "noise": (("--noise", "potato(1)"), "unknown noise 'potato': expected one of gaussian, "),
    "reference": (
        ("--noise", "gaussian(0.1, reference=foo)"),
        "unknown reference 'foo': expected one of absolute, max, range, rms, std$",
    ),
    "scope": (
        ("--noise", "gaussian(0.1, scope=foo)"),
        "unknown scope 'foo': expected one of channel, global, tensor$",
    ),
    "target": (
        ("--targets", "kernel,weights"),
        "unknown target 'weights': expected one of kernel, bias, norm_affine, norm_stats, other$",
    ),
    "device": (("--device", "gpu"), "unknown device 'gpu': expected one of auto, cpu, cuda, mps$"),
    "data set": (("--data", "cifar"), "unknown data set 'cifar': expected one of bccd, camvid, "),
    "pixel scale": (("--normalize", "foo"), "unknown normalisation of pixels 'foo': expected one"),
    "colours": (
        ("--normalize", "imagenet"),
        "has 3 channels, the images 1: choose another --normalize$",
    ),
    "negative level": (
        ("--noise", "gaussian(-0.1)"),
        r"level must be finite and >= 0, got -0\.1$",
    ),
    "nan": (("--noise", "gaussian(nan)"), "level must be finite and >= 0, got nan$"),
    "negative levels": (("--levels", "0.1,-1"), "level must be finite and >= 0, got -1$"),
    "nan levels": (("--levels", "nan"), "level must be finite and >= 0, got nan$"),
    "endless level": (("--noise", f"gaussian(1{400 * '0'})"), "level must be "),
    "no levels": (("--levels", ""), "level must be a number, got ''$"),
    "nothing to sweep": (
        ("--noise", "quantize(bits=4)", "--levels", "1"),
        r"quantize\(bits=4, scope=tensor\) has no level to sweep: leave the levels out$",
    ),
    "no noise": (("--noise", "none"), "there is nothing to measure without noise: give a spec"),
    "attribute": (("--noise", "os.system(1)"), r"cannot read 'os\.system\(1\)' in a noise spec"),
    "call": (
        ("--noise", "gaussian(__import__('os').system('touch executed'))"),
        "cannot read .* in a noise spec: expected number or word$",
    ),
    "no images": (("--images", 0), "images must be >= 1, got 0$"),
    "too many images": (("--images", 501), "images must be between 1 and 500, got 501$"),
    "no chips": (("--chips", 0), "chips must be >= 1, got 0$"),
    "no batch": (("--batch-size", 0), "batch size must be >= 1, got 0$"),
    "negative calibration": (("--recalibrate", -1), "images must be >= 1, got -1$"),
    "half an image": (("--recalibrate", 1.5), "images must be a whole number >= 1, got 1.5$"),
    "unknown estimator": (
        ("--recalibrate", "fold(3)"),
        "unknown recalibration 'fold': expected one of batch, blend, ema, layerwise, match, pooled",
    ),
    "no values": (("--recalibrate", "ema"), r"recalibration 'ema' needs its values in brackets"),
    "empty pool": (("--recalibrate", "pooled(0)"), "images must be >= 1, got 0$"),
    "momentum": (
        ("--recalibrate", "off", "--recalibrate", "ema(2)"),
        "momentum must be greater than 0 and at most 1, got 2$",
    ),
    "half a batch": (
        ("--recalibrate", "batch(1.5)"),
        r"batch must be a whole number >= 1, got 1\.5$",
    ),
    "no prior": (("--recalibrate", "blend(10)"), r"'blend\(10\)': prior is missing$"),
    "no text": (("--recalibrate", ""), "cannot read recalibration ''"),
    "a call in an estimator": (
        ("--recalibrate", "pooled(__import__('os').system('touch executed'))"),
        "cannot read .* in a recalibration",
    ),
    "too many of several": (
        ("--recalibrate", "off", "--recalibrate", "match(2000)"),
        "calibration images must be between 1 and 1297, got 2000$",
    ),
    "unknown task": (
        ("--task", "nonsense"),
        "unknown task 'nonsense': expected one of classify, detect, segment$",
    ),
    "task of other labels": (
        ("--task", "segment"),
        "task segment does not fit digits: its labels say classify$",
    ),
    "missing score": (
        ("--task", "json:missing"),
        "'json' has no function 'missing'$",
    ),
    "missing score's module": (
        ("--task", "nowhere.at.all:f"),
        "cannot import 'nowhere.at.all' for 'nowhere.at.all:f': No module",
    ),
    "score and test batches": (
        ("--task", "json:dumps", "--recalibrate", "off", "--recalibrate", "batch(10)"),
        r"batch\(10\) needs the test batches, which the score json:dumps makes itself$",
    ),
    "too much calibration": (
        ("--recalibrate", 1298),
        "calibration images must be between 1 and 1297, got 1298$",
    ),
    "endless seed": (("--seed", 2**63, "--chips", 1, "--images", 10), "seed must be |too large"),
    "layers": (
        ("--norm", "batch", "--norm-where", "foo"),
        "unknown part of the layers 'foo': expected all, first:K, last:K, every:K or name:PATTERN; "
        "K may be a fraction, as 1/3$",
    ),
    "own model": (("--model", "nowhere:f"), "cannot import 'nowhere' for 'nowhere:f': No module"),
    "relative model": (("--model", ".nowhere:f"), "cannot import '.nowhere' for '.nowhere:f'"),
    "outside model": (
        ("--model", "torchvision:potato"),
        "unknown torchvision model 'potato': expected one like torchvision's own names$",
    ),
    "missing data": (
        ("--data", "mnist", "--data-dir", "nowhere"),
        r"mnist \(test\) is not in nowhere: nowhere/MNIST is missing; add --download, or name the",
    ),
    "missing folder": (("--data", "folder:nowhere"), "image folder nowhere does not exist$"),
    "store's folder": (
        ("--store", "nowhere/r.db"),
        "store nowhere/r.db: the folder nowhere does not exist$",
    ),
    "store is a folder": (("--store", "."), r"store \.: unable to open database file$"),
    "design": (
        ("--design", "full"),
        "unknown design 'full': expected one of chips, nested, per-image, auto$",
    ),
    "per-image stuck": (
        ("--design", "per-image", "--noise", "stuck(0.1)"),
        r"per-image chips do not hold for stuck noise \(not symmetric and additive\): use --design",
    ),
    "per-image recalibrated": (
        ("--design", "per-image", "--recalibrate", "match(10)"),
        "per-image chips do not hold for recalibration",
    ),
    "per-image chips": (
        ("--design", "per-image", "--chips", 5),
        "design per-image has no number of chips, got 5: give passes$",
    ),
    "nested too large": (
        ("--design", "nested(600)"),
        r"nested\(600\) asks for more than the 500 test images$",
    ),
    "precision": (("--precision", 0), "precision must be > 0 and finite, got 0$"),
    "budget": (("--budget", "soon"), "budget must be a time as 60s, 5m or 1h, got 'soon'$"),
    "yield of images": (
        ("--design", "per-image", "--above", 0.9),
        "design per-image does not tell chips apart, so there is no yield above 0.9",
    ),
    "yield": (("--above", "nan"), "above must be a finite score, got nan$"),
}


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_a_wrong_option_is_refused_in_one_line_before_a_store_is_made(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options, sentence = BAD_OPTIONS[kind]
    check_one_line(run("measure", trained, *options), f"^noiseproof: .*{sentence}")
    assert not list(tmp_path.iterdir())


# after `track WEIGHTS`
BAD_STREAMS: dict[str, tuple[tuple[object, ...], str]] = {
    "no change": (("--every", 0), "every must be >= 1 image, got 0$"),
    "window": (("--every", 100, "--window", 30), "every must be a multiple of window 30, got 100$"),
    "no window": (("--window", 0), "window must be >= 1, got 0$"),
    "length": (
        ("--every", 100, "--images", 150),
        "images must be a multiple of window 100, got 150$",
    ),
    "no images": (("--images", 0), "images must be >= 1, got 0$"),
    "period": (
        ("--every", 100, "--period", 150),
        "period must be a multiple of window 100, got 150$",
    ),
    "match": (
        ("--recalibrate", "off", "--recalibrate", "match(10)"),
        r"match\(10\) cannot be tracked: its corrections are folded into weights that change; use",
    ),
    "nan": (("--wander", "nan"), "wander must be finite and > 0, got nan$"),
    "no step": (("--wander", 0), r"wander must be finite and > 0, got 0\.0$"),
    "no level": (("--noise", "gaussian(0)"), "noise that changes needs a level above 0, got gauss"),
    "no noise": (("--noise", "none"), "noise that changes needs a level above 0, got none$"),
    "rounding only": (("--noise", "quantize(bits=4)"), "noise that changes needs a level above 0"),
    "too many faults": (
        ("--noise", "stuck(0.6)", "--wander", 0.1),
        r"stuck\(0\.6, at=zero\) may wander up to 1\.2: p must be between 0 and 1, got 1\.2$",
    ),
    "statistics": (("--targets", "norm_stats"), "norm_stats cannot get noise that changes: "),
    "chips": (("--chips", 0), "chips must be >= 1, got 0$"),
    "batch": (("--batch-size", 0), "batch size must be >= 1, got 0$"),
    "own score": (
        ("--task", "json:dumps"),
        "unknown task 'json:dumps': expected one of classify, detect, segment$",
    ),
    "other labels": (("--task", "detect"), "task detect does not fit digits: its labels say clas"),
    "estimator": (("--recalibrate", "pooled(none)"), "cannot read 'none' in a recalibration"),
    "calibration": (
        ("--recalibrate", "pooled(1298)"),
        "calibration images must be between 1 and 1297, got 1298$",
    ),
    "seed": (("--seed", -1), r"seed must be between 0 and 2\^63 - 1, got -1$"),
    "device": (("--device", "gpu"), "unknown device 'gpu'"),
    "store's folder": (
        ("--store", "nowhere/r.db"),
        "store nowhere/r.db: the folder nowhere does not exist$",
    ),
}


@pytest.mark.parametrize("kind", BAD_STREAMS)
def test_a_wrong_stream_is_refused_in_one_line_before_a_store_is_made(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options, sentence = BAD_STREAMS[kind]
    check_one_line(run("track", trained, *options), f"^noiseproof: {sentence}")
    assert not list(tmp_path.iterdir())


BAD_CALLS: dict[str, tuple[tuple[object, ...], str]] = {
    "train model": (("train", "--model", "foo", "--out", "o"), "unknown model 'foo': expected one"),
    "train norm": (
        ("train", "--model", "resnet8", "--out", "o", "--norm", "foo"),
        "unknown norm 'foo'",
    ),
    "train epochs": (
        ("train", "--model", "resnet8", "--out", "o", "--epochs", 0),
        "epochs must be >= 1, got 0$",
    ),
    "train rate": (
        ("train", "--model", "resnet8", "--data", "digits", "--out", "o", "--lr", "nan"),
        "lr must be finite and >= 0, got nan$",
    ),
    "train data": (
        ("train", "--model", "resnet8", "--out", "o", "--data-dir", "d"),
        r"cifar10 \(train\) is not in d: d/cifar-10-batches-py/\S+ is missing; add --download",
    ),
    "demo chips": (("demo", "--out", "o", "--chips", 0), "chips must be >= 1, got 0$"),
    "demo device": (("demo", "--out", "o", "--device", "foo"), "unknown device 'foo'"),
    "no weights": (("measure", "nowhere.pt"), r"weights nowhere\.pt do not exist$"),
    "no weights to track": (("track", "nowhere.pt"), r"weights nowhere\.pt do not exist$"),
    "train task": (
        ("train", "--model", "resnet8", "--data", "digits", "--out", "o", "--task", "boxes"),
        "unknown task 'boxes': expected one of classify, detect, segment$",
    ),
    "train other labels": (
        ("train", "--model", "resnet8", "--data", "digits", "--out", "o", "--task", "detect"),
        "task detect does not fit digits: its labels say classify$",
    ),
    "no store": (("report", "missing.db"), "store missing.db does not exist$"),
    "no store to export": (
        ("export", "missing.db", "--out", "r.csv"),
        "store missing.db does not exist$",
    ),
    "topic": (
        ("info", "chips"),
        "unknown topic 'chips': expected one of models, norms, noises, recalibrations, designs, ",
    ),
    "no name": (("info", "model"), "info model needs a name, as in: noiseproof info model"),
    "info model": (("info", "model", "resnet9"), "unknown model 'resnet9': expected one of"),
    "info noise": (
        ("info", "model", "resnet8", "--noise", "x.y"),
        r"cannot read 'x\.y' in a noise spec",
    ),
    "info target": (
        ("info", "model", "resnet8", "--noise", "gaussian(1)", "--targets", ""),
        "unknown target ''",
    ),
}


@pytest.mark.parametrize("kind", BAD_CALLS)
def test_every_command_refuses_in_one_line_and_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, sentence = BAD_CALLS[kind]
    check_one_line(run(*arguments), f"^noiseproof: {sentence}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"accuracy\n0.9\n" * 100, "store notes.txt: file is not a database$"),
        ("sqlite", "notes.txt is not a noiseproof store: name another file$"),
    ],
)
def test_a_foreign_file_is_no_store_and_stays_as_it_is(
    run: Run,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path("notes.txt").write_bytes(content)
    else:
        database = sqlite3.connect("notes.txt")
        database.execute("CREATE TABLE notes (text)")
        database.close()
    before = Path("notes.txt").read_bytes()
    for call in (
        ("measure", trained, "--store", "notes.txt", "--images", 20),
        ("report", "notes.txt"),
        ("export", "notes.txt", "--out", "r.csv"),
    ):
        check_one_line(run(*call), f"^noiseproof: {sentence}")
    assert Path("notes.txt").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_device_that_is_not_there_is_refused(run: Run, trained: Path, tmp_path: Path) -> None:
    missing = next(
        name
        for name, there in (
            ("mps", torch.backends.mps.is_available()),
            ("cuda", torch.cuda.is_available()),
        )
        if not there
    )
    result = run("measure", trained, "--device", missing, "--store", tmp_path / "r.db")
    check_one_line(result, f"device '{missing}' is not available here: use auto or cpu$")
    assert not list(tmp_path.iterdir())


def test_noise_that_reaches_nothing_is_one_line_of_warning(
    run: Run, trained: Path, tmp_path: Path
) -> None:
    options = ("--targets", "other", "--chips", 1, "--images", 20, "--device", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run("measure", trained, *options, "--store", tmp_path / "r.db")
    assert code == 0
    expected = "gaussian(0.1, reference=std, scope=tensor) on other changes no tensor of this model"
    warned = [line for line in err.splitlines() if "warning" in line.lower()]
    assert warned == [f"noiseproof: warning: {expected}"]


# --- end to end ---------------------------------------------------------------------------------


def test_training_leaves_weights_and_their_card_only(trained: Path, run: Run) -> None:
    names = sorted(path.name for path in trained.iterdir())
    assert names == ["weights.json", "weights.safetensors"]
    card = json.loads((trained / "weights.json").read_text())
    assert card["sha256"] == checkpoint.file_sha256(trained / "weights.safetensors")
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    code, out, _ = run("train", *options, "--epochs", 1, "--out", trained, "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == card, "a finished run is not trained again"


def test_another_run_in_the_same_folder_is_refused(trained: Path, run: Run) -> None:
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    result = run("train", *options, "--epochs", 2, "--out", trained)
    check_one_line(result, r"holds another run \(epochs 1 there, 2 asked\): choose another --out$")


def test_measuring_prints_a_table_and_one_document(trained: Path, run: Run, tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    code, out, _ = run("measure", trained, *MEASURE, "--store", store, "--json")
    assert code == 0
    assert "resnet8 on digits, 100 test images" in out
    document = json.loads(out.splitlines()[-1])
    assert set(document) >= {"clean", "chance", "curves"}
    assert set(document["clean"]) == {"accuracy", "images"}
    assert [point["level"] for point in document["curves"]] == [0.1, 0.2]
    rows = rows_in(store)
    for point in document["curves"]:
        correct = [row.correct for row in rows if row.level == point["level"]]
        assert point["chips"] == len(correct) == 3
        assert (point["recalibrate"], point["calibration"], point["extra_images"]) == ("off", "", 0)
        assert point["accuracy"]["mean"] == pytest.approx(sum(correct) / 300)
        keys = {"noise", "targets", "recalibrate", "level", "chips", "images", "nonfinite"}
        keys |= {"accuracy", "crossed", "normalised", "chance_corrected"}
        assert set(point) >= keys
    assert document["clean"]["accuracy"] == rows[0].score
    assert document["provenance"]["checkpoint"] == checkpoint.file_sha256(
        trained / "weights.safetensors"
    )


def test_measuring_again_measures_nothing_new(trained: Path, measured: Path, run: Run) -> None:
    before = rows_in(measured)
    assert len(before) == 1 + 2 * 3
    code, _, err = run("measure", trained, *MEASURE, "--store", measured)
    assert (code, err.strip()) == (0, "")
    assert rows_in(measured) == before, "seconds too: nothing was measured twice"


def test_more_chips_keep_those_that_are_there(trained: Path, run: Run, tmp_path: Path) -> None:
    options = ("--images", 50, "--device", "cpu", "--store", tmp_path / "r.db")
    for chips in (2, 4):
        assert run("measure", trained, *options, "--chips", chips)[0] == 0
    assert [row.chip for row in rows_in(tmp_path / "r.db")] == [0, 0, 1, 2, 3]


def test_a_killed_measurement_goes_on_to_the_same_rows(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    options = (trained, "--images", 100, "--chips", 40, "--device", "cpu")
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    with process("measure", *options, "--store", killed) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("1/41 chips")
        child.send_signal(signal.SIGKILL)
        child.stderr.read()
    with Store(killed) as store:
        early = store.rows()
    assert 1 <= len(early) < 41, "it was not killed in the middle"
    for store_path in (whole, killed):
        assert run("measure", *options, "--store", store_path)[0] == 0
    assert timeless(rows_in(killed)) == timeless(rows_in(whole))
    assert rows_in(killed)[: len(early)] == early, "what was measured is kept"


def test_recalibration_is_measured_on_the_same_chips(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    store = tmp_path / "r.db"
    options = ("--levels", "0.5", "--chips", 2, "--images", 100, "--device", "cpu")
    for recalibrate in (0, 64):  # whole numbers are understood too
        call = ("measure", trained, *options, "--recalibrate", recalibrate, "--store", store)
        assert run(*call)[0] == 0
    noisy = [row for row in rows_in(store) if row.noise != "none"]
    found = [(row.recalibrate, row.chip) for row in noisy]
    assert found == [("off", 0), ("off", 1), ("pooled(64)", 0), ("pooled(64)", 1)]
    assert noisy[0].hits != noisy[2].hits
    assert noisy[2].calibration_sha256 == noisy[3].calibration_sha256 != ""
    call = ("measure", trained, *options, "--recalibrate", "pooled(64)", "--store", store)
    assert run(*call)[0] == 0
    assert len(rows_in(store)) == 5, "the same by its whole name"


WAYS = ("off", "pooled(50)", "layerwise(20)", "blend(20, prior=80)", "match(50)", "ema(0.1)")


def test_several_estimators_are_compared_in_one_call(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    store = tmp_path / "r.db"
    options = [text for way in (*WAYS, "0", "50") for text in ("--recalibrate", way)]
    call = ("measure", trained, "--levels", "0.5", "--chips", 2, "--images", 100, "--device", "cpu")
    code, out, _ = run(*call, *options, "--store", store, "--json")
    assert code == 0
    document = json.loads(out.splitlines()[-1])
    names = [*WAYS[:-1], "ema(0.1, batch=128)"]
    assert [point["recalibrate"] for point in document["curves"]] == names
    noisy = [row for row in rows_in(store) if row.noise != "none"]
    origins = {row.recalibrate: row.calibration for row in noisy}
    assert origins == dict.fromkeys(names, "train") | {"off": "", names[-1]: "test"}
    images = open_dataset("digits").read("train").sample(50, seed=0)
    shas = {row.recalibrate: row.calibration_sha256 for row in noisy}
    assert shas["pooled(50)"] == shas["match(50)"] == state_sha256({"images": images})
    assert shas["layerwise(20)"] == state_sha256({"images": images[:20]})
    augmented = ("--augment-calibration", "--recalibrate", "pooled(50)", "--store", store)
    assert run(*call, *augmented)[0] == 0
    last = rows_in(store)[-1]
    assert (last.recalibrate, last.calibration) == ("pooled(50)", "train augmented")
    assert last.calibration_sha256 != shas["pooled(50)"]
    assert len(rows_in(store)) == 1 + 2 * len(names) + 2


def test_augmenting_images_that_nothing_uses_is_one_line_of_warning(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    options = ("--chips", 1, "--images", 20, "--device", "cpu", "--store", tmp_path / "r.db")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run("measure", trained, "--augment-calibration", *options)
    assert code == 0
    warned = [line for line in err.splitlines() if "warning" in line]
    expected = "--augment-calibration changes nothing: no calibration images are used"
    assert warned == [f"noiseproof: warning: {expected}"]


SCORES = """
import torch
def spread(model, test):
    with torch.no_grad():
        return 50 * float(model(test.inputs).std())
def broken(model, test):
    return model(test.inputs).nothing
"""


def test_a_score_of_ones_own_is_measured_by_its_name(
    trained: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "cli_scores.py").write_text(SCORES)
    call = ("measure", trained, "--levels", "0.5", "--chips", 2, "--images", 50, "--device", "cpu")
    code, out, _ = run(*call, "--task", "cli_scores:spread", "--recalibrate", 50, "--json")
    assert code == 0
    document = json.loads(out.splitlines()[-1])
    clean, *noisy = rows_in(tmp_path / "results.db")
    assert document["clean"]["score"] == clean.score > 1
    assert document["provenance"]["task"] == clean.task == "cli_scores:spread"
    assert [row.hits for row in noisy] == [b"", b""]
    assert run("report", "results.db", "--out", "r.html")[0] == 0
    code, out, err = run(*call, "--task", "cli_scores:broken", "--store", "other.db")
    assert (code, out) == (2, "")
    assert err.startswith("noiseproof: the score broken failed: AttributeError: 'Tensor' object")
    assert err.count("\n") == 1


# --- noise that changes -------------------------------------------------------------------------

TRACK = (
    *("--noise", "gaussian(0.5)", "--every", 100, "--window", 50, "--images", 300),
    *("--period", 150, "--chips", 2, "--device", "cpu", "--recalibrate", "off"),
    *("--recalibrate", "ema(0.1, batch=25)", "--recalibrate", "pooled(40)"),
)


@pytest.fixture(scope="module")
def tracked(trained: Path) -> Path:
    """A store with two chips along a stream in three ways."""
    store = trained.parent / "streams.db"
    assert run_main("track", trained, *TRACK, "--store", store) == 0
    return store


def test_tracking_prints_a_table_and_one_document(
    trained: Path, tracked: Path, run: Run, tmp_path: Path
) -> None:
    code, out, err = run("track", trained, *TRACK, "--store", tmp_path / "r.db", "--json")
    assert code == 0
    assert "images 250 on: " in err, "progress"
    *table, last = out.splitlines()
    assert "ema(0.1, batch=25)" in "\n".join(table)
    document = json.loads(last)
    names = ["off", "ema(0.1, batch=25)", "pooled(40) every 150"]
    assert [trace["recalibrate"] for trace in document["traces"]] == names
    rows = rows_in(tmp_path / "r.db")
    assert len(rows) == 3 * 2 * 6
    for trace in document["traces"]:
        assert trace["seen"] == list(range(0, 300, 50))
        assert (trace["chips"], trace["window"]) == (2, 50)
        assert trace["stream"] == "redraw(every=100)"
        mine = [row.score for row in rows if row.recalibrate == trace["recalibrate"]]
        assert trace["overall"]["mean"] == pytest.approx(sum(mine) / 12)
    assert document["provenance"]["checkpoint"] == rows[0].checkpoint
    assert document["provenance"]["seed"] == 0
    assert timeless(rows_in(tracked)) == timeless(rows), "the same rows in another store"


def test_tracking_again_measures_nothing_and_says_the_same(
    trained: Path, tracked: Path, run: Run
) -> None:
    before = rows_in(tracked)
    code, _, err = run("track", trained, *TRACK, "--store", tracked)
    assert (code, err.strip()) == (0, "")
    assert rows_in(tracked) == before


def test_a_killed_track_goes_on_to_the_same_rows(trained: Path, tmp_path: Path, run: Run) -> None:
    options = (trained, "--every", 40, "--images", 400, "--chips", 6, "--device", "cpu")
    options += ("--noise", "gaussian(0.3)", "--wander", 0.2, "--recalibrate", "ema(0.1, batch=20)")
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    with process("track", *options, "--store", killed) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("tracking: ema(0.1, batch=20), chip 0, images 0")
        child.send_signal(signal.SIGKILL)
        child.stderr.read()
    early = rows_in(killed)
    assert 1 <= len(early) < 60, "it was not killed in the middle"
    for store in (whole, killed):
        assert run("track", *options, "--store", store)[0] == 0
    assert timeless(rows_in(killed)) == timeless(rows_in(whole))
    assert rows_in(killed)[: len(early)] == early, "what was measured is kept"
    assert {row.stream for row in rows_in(whole)} == {"wander(0.2, every=40)"}


def test_a_store_of_streams_has_a_report_but_no_figure_of_levels(
    tracked: Path, run: Run, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    code, out, _ = run("report", tracked, "--out", page, "--json")
    assert code == 0
    document = json.loads(out.splitlines()[-1])
    assert document["networks"] == []
    assert len(document["traces"]) == 3
    assert "redraw" in page.read_text(encoding="utf-8")
    page.unlink()
    result = run("report", tracked, "--out", page, "--figure", tmp_path / "f.pdf")
    check_one_line(result, r"store .*streams\.db holds no levels, which --figure shows$")
    assert not list(tmp_path.iterdir())


def test_a_report_shows_chips_and_streams_of_one_store(
    trained: Path, measured: Path, tracked: Path, run: Run, tmp_path: Path
) -> None:
    store = tmp_path / "r.db"
    with Store(store) as both:
        for row in (*rows_in(measured), *rows_in(tracked)):
            both.add(row)
    code, out, _ = run("report", store, "--out", tmp_path / "r.html", "--json")
    assert code == 0
    document = json.loads(out.splitlines()[-1])
    assert len(document["networks"]) == 1
    assert len(document["traces"]) == 3


def test_rows_leave_as_csv_and_as_parquet(measured: Path, run: Run, tmp_path: Path) -> None:
    for name in ("r.csv", "r.parquet"):
        code, out, _ = run("export", measured, "--out", tmp_path / name)
        assert (code, out) == (0, f"7 rows: {tmp_path / name}\n")
    with (tmp_path / "r.csv").open(newline="") as file:
        found = [(row["noise"], int(row["correct"])) for row in csv.DictReader(file)]
    assert found == [(row.noise, row.correct) for row in rows_in(measured)]


def test_another_ending_of_an_export_or_a_figure_is_refused(
    measured: Path, run: Run, tmp_path: Path
) -> None:
    result = run("export", measured, "--out", tmp_path / "r.xlsx")
    check_one_line(result, r"export must end in \.csv or \.parquet, got 'r\.xlsx'$")
    figure = ("--figure", tmp_path / "f.gif")
    result = run("report", measured, "--out", tmp_path / "r.html", *figure)
    check_one_line(result, r"unknown ending of a figure '\.gif': expected one of \.pdf, \.png")
    assert not list(tmp_path.iterdir())


def test_a_report_is_written_from_the_rows_alone(measured: Path, run: Run, tmp_path: Path) -> None:
    page, figure = tmp_path / "r.html", tmp_path / "f.svg"
    code, out, _ = run("report", measured, "--out", page, "--figure", figure, "--json")
    assert code == 0
    *said, last = out.splitlines()
    assert said == [f"Figure: {figure}", f"Report: {page}"]
    (network,) = json.loads(last)["networks"]
    assert len(network["curves"]) == 2
    assert network["provenance"]["checkpoint"] in page.read_text(encoding="utf-8")
    assert figure.stat().st_size > 0


def test_a_store_without_chips_has_no_report(run: Run, tmp_path: Path) -> None:
    with Store(tmp_path / "r.db"):
        pass
    result = run("report", tmp_path / "r.db", "--out", tmp_path / "r.html")
    check_one_line(result, r"store .*r\.db holds no measured chips$")
    assert not (tmp_path / "r.html").exists()


def test_a_report_never_overwrites_the_store_that_it_reads(
    measured: Path, run: Run, tmp_path: Path
) -> None:
    store = tmp_path / "r.db"
    shutil.copy(measured, store)
    assert run("report", store, "--out", store)[0] == 2
    assert rows_in(store) == rows_in(measured)


# --- info ---------------------------------------------------------------------------------------

LISTED = {
    "models": [*catalog.MODELS, *catalog.OUTSIDE_MODELS],
    "norms": list(catalog.NORMS),
    "noises": [f"{name}(" for name in spec.STAGES],
    "recalibrations": ["off", "auto", *(f"{name}(" for name in ESTIMATORS)],
    "designs": list(DESIGNS),
    "datasets": [*catalog.DATASETS, *catalog.OUTSIDE_DATASETS],
}


@pytest.mark.parametrize("topic", LISTED)
def test_a_listing_names_all_that_there_is(run: Run, topic: str) -> None:
    code, out, err = run("info", topic, "--json")
    assert (code, err) == (0, "")
    *table, last = out.splitlines()
    for name in LISTED[topic]:
        assert name in "\n".join(table)
        assert any(key.startswith(name) for key in json.loads(last))


def test_info_model_shows_what_noise_touches(run: Run) -> None:
    """ResNet-8 by hand: a stem of 3x3x3x16, two 3x3 convolutions for each of the three blocks,
    and a linear layer of 64x10; shortcuts have no parameters."""
    kernels = (
        27 * 16 + 9 * 16 * 16 * 2 + 9 * 16 * 32 + 9 * 32 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 640
    )
    code, out, _ = run("info", "model", "resnet8", "--noise", "gaussian(0.1)", "--json")
    assert code == 0
    tensors = json.loads(out.splitlines()[-1])["tensors"]
    touched = [tensor for tensor in tensors if tensor["touched"]]
    assert {tensor["role"] for tensor in touched} == {"kernel"}
    assert sum(tensor["elements"] for tensor in touched) == kernels
    others = 10 + 2 * 2 * (16 + 2 * 16 + 2 * 32 + 2 * 64)  # bias; affine and statistics of norms
    assert f" on kernel touches {kernels:,} of {kernels + others:,} elements" in out


def test_info_model_without_noise_lists_roles(run: Run) -> None:
    code, out, _ = run("info", "model", "resnet8", "--norm", "batch_l1")
    assert code == 0
    for role in ("kernel", "bias", "norm_affine", "norm_stats"):
        assert role in out


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"noiseproof {noiseproof.__version__}\n")


@pytest.mark.slow
def test_the_demo_ends_in_a_report_and_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "demo", "--chips", 2, "--epochs", 1)
    code, out, _ = run("demo", *options, "--json")
    assert code == 0
    document = json.loads(out.splitlines()[-1])
    assert set(document["networks"]) == {"none", "batch", "batch_l1", "batch_topk"}
    ways = {point["recalibrate"] for point in document["networks"]["batch"]["curves"]}
    assert ways == {"off", "pooled(500)"}
    rows = rows_in(Path(document["store"]))
    assert len(rows) == 4 * (1 + 7 * 2) + 3 * 7 * 2
    assert Path(document["report"]).stat().st_size > 0
    assert run("demo", *options)[0] == 0
    assert rows_in(Path(document["store"])) == rows, "nothing is measured twice"
