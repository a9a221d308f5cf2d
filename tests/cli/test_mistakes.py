"""Mistakes of the user: one line, code 2, nothing written."""

import sqlite3
import warnings
from pathlib import Path

import pytest
import torch

from tests.cli.program import Run, check_one_line

# after `measure WEIGHTS`
BAD_OPTIONS: dict[str, tuple[tuple[object, ...], str]] = {
    "model": (
        ("--model", "resnet9"),
        "unknown model 'resnet9': expected one of resnet8, .*, package.module:builder$",
    ),
    "norm": (("--norm", "batchnorm"), "unknown norm 'batchnorm': expected one of none, batch, "),
    "noise": (("--noise", "potato(1)"), "unknown noise 'potato': expected one of dead_"),
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
        "unknown target .weights.: expected one of kernel, embedding, bias, norm_affine,",
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
        "unknown task 'nonsense': expected one of classify, detect, regress, segment, tokens$",
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
        "--store nowhere/r.db: there is no folder nowhere, make it first$",
    ),
    "store is a folder": (("--store", "."), r"--store \. is a folder: name a file in it$"),
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
    "hardware": (
        ("--hardware", "pmc"),
        r"unknown hardware \(or file NAME.toml\) 'pmc': expected one of afm, hermes, .*, sonos$",
    ),
    "no hardware file": (
        ("--hardware", "nowhere.toml"),
        "cannot read the hardware file nowhere.toml: No such file or directory$",
    ),
    "unknown device": (
        ("--noise", "device(pmc)"),
        r"unknown device \(or file NAME.toml\) 'pmc': expected",
    ),
    "no device file": (
        ("--noise", "device('nowhere.toml', time=1h)"),
        "cannot read the device file nowhere.toml: No such file or directory$",
    ),
    "time without unit": (
        ("--hardware", "pcm", "--times", "0s,3600"),
        "a time must be a number >= 0 with its unit, as 25s, 10min, 1h, 30d or 1y, or programmed, "
        "got 3600$",
    ),
    "negative time": (("--hardware", "pcm", "--times", "-1d"), "a time must be .*, got -1d$"),
    "time in the noise": (("--noise", "device(pcm, time=3600)"), "a time must be .*, got 3600$"),
    "beyond what was measured": (
        ("--hardware", "reram_wan", "--times", "30d"),
        r"device reram_wan was measured up to 2d after programming, got 30d: take",
    ),
    "times of no devices": (
        ("--noise", "gaussian(0.1)", "--times", "1h"),
        r"gaussian\(.*\) has no devices that age: give --hardware, or noise as device\(pcm, time=",
    ),
    "levels of devices": (
        ("--hardware", "pcm", "--levels", "0,0.1"),
        r"device\(pcm, time=programmed\) is swept by times, as 0s,1h,1d: write the levels of its",
    ),
    "levels and times": (
        ("--hardware", "pcm", "--levels", "0.1", "--times", "1h"),
        "noise is swept by levels or by times: leave one of them out$",
    ),
    "per-image devices": (
        ("--hardware", "pcm", "--design", "per-image"),
        r"per-image chips do not hold for device noise \(not symmetric and additive\): use",
    ),
    "mapping": (
        ("--hardware", "pcm", "--mapping", "scale=layer"),
        "unknown scale 'layer': expected one of channel, tensor, tile$",
    ),
    "tiles too small": (
        ("--hardware", "pcm", "--mapping", "scale=tile, tile=8x8"),
        "a tile must hold at least one input channel, 9 rows of a window of 3x3, got 8 rows$",
    ),
    "tiles too small for layers": (
        ("--hardware", "pcm", "--mapping", "tile=8x8"),
        "a tile must hold at least one input channel, 9 rows of a window of 3x3, got 8 rows$",
    ),
    "compensation": (
        ("--hardware", "pcm", "--compensate", "row"),
        "unknown compensation 'row': expected one of off, scalar, column$",
    ),
    "faults of no devices": (
        ("--noise", "gaussian(0.1) + dead_row(0.1)"),
        r"dead_row\(0\.1\) is of devices, and must come right behind them, as in device\(pcm, ",
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
        "unknown task 'json:dumps': expected one of classify, detect, regress, segment, tokens$",
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
        "--store nowhere/r.db: there is no folder nowhere, make it first$",
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
        "unknown task 'boxes': expected one of classify, detect, regress, segment, tokens$",
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
        "unknown topic 'chips': expected one of models, norms, noises, hardware, ",
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
    assert f"noiseproof: warning: {expected}" in warned
