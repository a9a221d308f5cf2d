"""Hardware in a study: what it asks for, and mistakes."""

from pathlib import Path

import pytest

from noiseproof.data.datasets import open_dataset
from noiseproof.study import grid_of, read_study
from noiseproof.study.grid import Task
from noiseproof.study.run.loading import check_sizes, load_data
from tests.study.files import refusal, text, written

TABLE = "[[profiles.quick.measurements]]\n"


def tasks(tmp_path: Path, lines: str) -> list[Task]:
    # What is compared is not what is asked for here.
    one = 'order = [{ norm = "none", seed = 0 }, { norm = "batch", seed = 0 }]'
    by = 'by = ["model", "hardware", "noise", "mapping", "mvm", "compensate"]'
    comparison = f'[[comparisons]]\nquestion = "q"\n{one}\n{by}'
    made = text(measurement=TABLE + lines, comparison=comparison)
    found = read_study(written(tmp_path, made))
    grid = grid_of(found, "quick")
    return [task for task in grid.tasks if task.network is grid.networks[0]]


def test_hardware_brings_its_noise_mapping_and_compensation(tmp_path: Path) -> None:
    lines = 'hardware = ["pcm", "reram_cmo"]\ntimes = ["1d", "0s", "programmed"]'
    pcm, cmo = tasks(tmp_path, lines)
    assert [str(spec) for spec in pcm.specs] == [
        f"device(pcm, time={time})" for time in ("programmed", "0s", "1d")
    ]
    assert (pcm.mapping, cmo.mapping) == (
        "scale=channel, cells=pair",
        "scale=channel, cells=offset",
    )
    assert pcm.stored.hardware == pcm.factors["hardware"] == "pcm"
    assert [pcm.at(spec.level) for spec in pcm.specs] == ["programmed", "0s", "1d"]


def test_what_the_file_says_goes_before_the_hardware(tmp_path: Path) -> None:
    lines = """
    hardware = "pcm"
    noise = "device(hermes)"
    mapping = ["scale=tensor", "cells=pairs(2), fold_norm=yes"]
    compensate = ["off", "scalar"]
    times = "24h"
    """
    found = tasks(tmp_path, lines)
    assert {(task.mapping, task.compensate) for task in found} == {
        (mapping, factor)
        for mapping in (
            "scale=tensor, cells=pair",
            "scale=channel, cells=pairs(2), fold_norm=yes",
        )
        for factor in ("off", "scalar")
    }
    assert {str(task.specs[0]) for task in found} == {"device(hermes, time=1d)"}


def test_stages_at_products_are_a_factor(tmp_path: Path) -> None:
    lines = 'levels = 0.1\nmvm = ["", "dac(6)", "dac(8)"]\ncalibrate = 200'
    found = tasks(tmp_path, lines)
    assert [task.factors["mvm"] for task in found] == [
        "",
        "dac(6, range=static(99.9), images=200)",
        "dac(8, range=static(99.9), images=200)",
    ]
    assert [task.mapping for task in found] == ["", *["scale=channel, cells=pair"] * 2]


def test_hardware_brings_what_happens_at_products(tmp_path: Path) -> None:
    lines = 'hardware = "hwa_standard"\ntimes = "1h"\ncalibrate = 100'
    (task,) = tasks(tmp_path, lines)
    assert task.mvm.startswith("dac(8, range=static(99.9), images=100) + read(0.0175, law=device)")
    assert task.compensate == "scalar"


def test_static_ranges_need_training_images_of_networks_that_are_ready(tmp_path: Path) -> None:
    ready = '[[profiles.quick.ready]]\nname = "a"\nweights = "w.pt"\nmodel = "resnet8"\n'
    for mvm, images, needed in (("dac(6)", 20, 20), ("output(0.1)", 20, 0), ("dac(6)", 1298, 1298)):
        lines = f'levels = 0.1\nmvm = "{mvm}"\ncalibrate = {images}'
        one = 'order = [{ network = "a" }, { network = "a", seed = 0 }]\nby = ["mvm"]'
        made = text(
            first="",
            training="",
            ready=ready,
            measurement=TABLE + lines,
            comparison=f'[[comparisons]]\nquestion = "q"\n{one}',
        )
        grid = grid_of(read_study(written(tmp_path, made)), "quick")
        assert [task.calibration_images for task in grid.tasks] == [needed]
        data = load_data(grid, open_dataset("digits"))
        assert (data.train is not None) == bool(needed)
        if needed > 1000:
            with pytest.raises(ValueError, match=r"needs 1298 calibration images, digits has 1297"):
                check_sizes(grid, data)
        else:
            check_sizes(grid, data)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('targets = "bias"', "levels is missing: the noise is swept by levels"),
        ('hardware = "pcm"', "times is missing: the noise is swept by times"),
        ('levels = 0.1\ntimes = "1h"', "times sweeps nothing: no noise here is swept by times"),
        ('hardware = "pcm"\ntimes = "1h"\nlevels = 0.1', "levels sweeps nothing"),
        ('hardware = "pmc"\ntimes = "1h"', "unknown hardware 'pmc': expected one of"),
        ('hardware = "mine.toml"\ntimes = "1h"', "unknown hardware 'mine.toml'"),
        ('hardware = "pcm"\ntimes = "3600"', "a time must be a number >= 0 with its unit"),
        ('hardware = "pcm"\ntimes = ["1d", "24h"]', "each value may stand once, got '1d' twice"),
        ('noise = "device(\'mine.toml\')"\ntimes = "1h"', "devices that come with noiseproof"),
        ('hardware = "pcm"\ntimes = "1h"\nmapping = "scale=layer"', "unknown scale 'layer'"),
        ('levels = 0.1\nmvm = "dac(0)"', "bits"),
        ('levels = 0.1\nmvm = "dac(8)"', "needs calibration images for its range"),
        ('hardware = "pcm"\ntimes = "1h"\ncompensate = "row"', "compensate"),
    ],
)
def test_each_mistake_is_a_sentence(tmp_path: Path, lines: str, sentence: str) -> None:
    assert sentence in refusal(written(tmp_path, text(measurement=TABLE + lines)))
