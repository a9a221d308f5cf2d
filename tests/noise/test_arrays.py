"""Devices through the mapping: what scale they are programmed by, and how drift is compensated."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.hardware import find_device, read_back
from noiseproof.network import Layout, places, state_of
from noiseproof.noise import Arrays, Programme, parse
from noiseproof.noise.arrays import tile_maxima
from noiseproof.specs import ArrayMapping, Spec

CONV = Layout()
DAY = "device(pcm, time=1d)"


def kernel(*shape: int) -> Tensor:
    return torch.randn(shape, generator=stream(0, "kernel"))


def network() -> nn.Module:
    with seeded(0, "net"):
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10)).eval()


def programme(spec: str | Spec, **arrays: object) -> Programme:
    net = network()
    return Programme(
        state=state_of(net),
        places=places(net),
        spec=parse(spec) if isinstance(spec, str) else spec,
        arrays=Arrays(**arrays),  # type: ignore[arg-type]
    )


def test_ideal_devices_give_the_weights_back_under_every_mapping() -> None:
    for text in ("", "scale=tensor", "scale=tile, tile=18x4", "cells=offset", "cells=pairs(2)"):
        mapping, _ = npf.specs.parse_mapping(text)
        made = programme("device(ideal, time=1y)", mapping=mapping)
        chip = made.chip(0, 0)
        for name, w in made.state.items():
            assert torch.allclose(chip.state[name], w, atol=1e-6), text


def test_a_kernel_is_programmed_by_the_largest_weight_of_each_output_channel() -> None:
    w = kernel(4, 3, 2, 2)
    w[2] = 0
    found = Arrays().scale(w, CONV)
    assert found.shape == (4, 1, 1, 1)
    assert torch.equal(found.flatten(), w.abs().amax((1, 2, 3)))
    made, _ = Arrays().read(parse(DAY).stages[0], (), w, found, stream(0, "dice"), CONV)  # type: ignore[arg-type]
    assert torch.equal(made[2], w[2]), "where there is nothing to program nothing is read"
    literal = read_back(
        find_device("pcm"),
        (w / torch.where(found > 0, found, 1)).reshape(4, 12),
        stream(0, "dice"),
        time=86_400.0,
    )
    assert torch.allclose(made, literal.now.reshape(w.shape) * found)


def test_transposed_convolutions_have_their_outputs_on_the_second_axis() -> None:
    w = kernel(6, 4, 2, 2)
    layout = Layout(input_first=True, groups=2)
    found = Arrays().scale(w, layout).expand_as(w)
    for group in range(2):
        part = w[3 * group : 3 * group + 3]
        for out in range(4):
            assert (found[3 * group : 3 * group + 3, out] == part[:, out].abs().max()).all()


def test_a_tile_holds_whole_input_channels_and_has_a_scale_of_its_own() -> None:
    w = kernel(5, 4, 3, 3)
    found = tile_maxima(w, CONV, (20, 3))  # 20 rows hold two channels of nine places
    for top in (0, 3):
        for left in (0, 2):
            part = (slice(top, top + 3), slice(left, left + 2))
            assert (found[part] == w[part].abs().max()).all()
    with pytest.raises(ValueError, match=r"a tile must hold at least one input channel, 9 rows"):
        tile_maxima(w, CONV, (8, 3))


def test_scalar_compensation_gives_each_layer_its_mean_magnitude_back() -> None:
    plain = programme(DAY).chip(0, 3).state["2.weight"]
    fresh = programme("device(pcm)").chip(0, 3).state["2.weight"]
    scale = network()[2].weight.detach().abs().amax(1, keepdim=True)
    wanted = (fresh / scale).abs().double().mean() / (plain / scale).abs().double().mean()
    found = programme(DAY, compensate="scalar").chip(0, 3).state["2.weight"]
    assert wanted > 1.3, "it has drifted"
    assert torch.allclose(found, plain * wanted.float(), rtol=1e-4)


def test_column_compensation_does_so_for_each_output() -> None:
    fresh = programme("device(pcm)").chip(0, 3).state["0.weight"]
    found = programme(DAY, compensate="column").chip(0, 3).state["0.weight"]
    assert torch.allclose(found.abs().mean((1, 2, 3)), fresh.abs().mean((1, 2, 3)), rtol=1e-4)


def test_a_chip_keeps_its_devices_over_time() -> None:
    """The order of weights by their drift is that of one chip, not a new one at each time."""
    w = {
        time: programme(f"device(pcm, time={time})").chip(0, 1).state["2.weight"].flatten()
        for time in ("programmed", "1d", "2d")
    }
    lost = {time: (w[time] / w["programmed"])[w["programmed"].abs() > 0.02] for time in w}
    same = torch.corrcoef(torch.stack([lost["1d"], lost["2d"]]))[0, 1]
    other = programme("device(pcm, time=2d)").chip(0, 2).state["2.weight"].flatten()
    other = (other / w["programmed"])[w["programmed"].abs() > 0.02]
    assert same > 0.99
    assert abs(torch.corrcoef(torch.stack([lost["1d"], other]))[0, 1]) < 0.3


def test_what_stands_behind_devices_is_done_to_them() -> None:
    chip = programme("device(ideal) + stuck(1, at=gmin)").chip(0, 0)
    assert not chip.state["0.weight"].any(), "both devices of every pair are at g_min"
    dead = programme("device(ideal) + dead_column(1)").chip(0, 0)
    assert not dead.state["2.weight"].any()
    w = network()[2].weight.detach()
    rough = programme("device(pcm)").chip(0, 0).state["2.weight"]
    fine = programme("device(pcm) + verify(rounds=50, tolerance=0.005)").chip(0, 0)
    assert (fine.state["2.weight"] - w).std() < 0.2 * (rough - w).std()


def test_layers_may_have_devices_of_their_own() -> None:
    mixed = programme("device(ideal)@first + device(pcm, time=1h)@last")
    chip = mixed.chip(0, 0)
    assert torch.allclose(chip.state["0.weight"], mixed.state["0.weight"], atol=1e-6)
    assert not torch.allclose(chip.state["2.weight"], mixed.state["2.weight"], atol=1e-3)


def test_a_module_to_take_away_has_the_mapping_of_its_hardware() -> None:
    net = network()
    made = npf.manufacture(net, "device(pcm, time=1h)", seed=4, chip=2, hardware="pcm")
    chip = programme("device(pcm, time=1h)").chip(4, 2)
    assert torch.equal(made[2].weight, chip.state["2.weight"])


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            "mvm = 'output(0.1)'",
            r"has output\(0.1\) at its products, and those of a module",
        ),
        (
            "digital = 'first'",
            r"keeps layers digital \(first\), which a module to take away does not",
        ),
    ],
)
def test_a_module_to_take_away_drops_nothing_of_its_hardware_in_silence(
    extra: str, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(f"noise = 'device(pcm)'\n{extra}\n")
    with pytest.raises(ValueError, match=sentence):
        npf.manufacture(network(), "device(pcm, time=1h)", hardware=str(file))


def test_a_device_file_is_in_the_text_by_what_it_holds(tmp_path: object) -> None:
    file = f"{tmp_path}/mine.toml"
    with open(file, "w") as out:
        out.write(MINE)
    spec = npf.noise.resolved(parse(f"device('{file}', time=1h)"))
    text = str(spec)
    assert text.startswith("device(mine, time=1h, file=f")
    assert str(tmp_path) not in text
    assert math.isclose(spec.level or 0, 3600)
    chip = programme(spec).chip(0, 0)
    assert not torch.equal(chip.state["0.weight"], network()[0].weight)
    with pytest.raises(ValueError, match=r"is not the one of file f00000000 any more, but f"):
        npf.noise.resolved(parse(f"device('{file}', time=1h, file=f00000000)"))
    with pytest.raises(ValueError, match=r"unknown device \(or file NAME.toml\) 'mine'"):
        npf.noise.resolved(parse(text))


MINE = """
name = "mine"
about = "a device of our own"
source = "readings"
g_min = 0.0
g_max = 10.0

[program]
sd = { form = "polynomial", coefficients = [0.5] }
"""


def test_the_mapping_is_the_one_asked_for() -> None:
    tensor = programme("device(pcm)", mapping=ArrayMapping(scale="tensor")).chip(0, 0)
    channel = programme("device(pcm)").chip(0, 0)
    assert not torch.allclose(tensor.state["0.weight"], channel.state["0.weight"])


# --- a law of one's own ---------------------------------------------------------------------------


def half_life(w: Tensor, generator: torch.Generator, seconds: float | None) -> Tensor:
    """Halved every hour, on top of noise of programming."""
    programmed = w + 0.01 * torch.randn(w.shape, generator=generator)
    return programmed if seconds is None else programmed * 0.5 ** (seconds / 3600)


def fails(w: Tensor, generator: torch.Generator, seconds: float | None) -> Tensor:
    return w[:1]


OWN = f"device({__name__}:half_life, time=2h)"


def test_devices_may_follow_a_function_of_ones_own() -> None:
    made = programme("device(ideal)")
    scale = made.state["2.weight"].abs().amax(1, keepdim=True)
    fresh = programme(f"device({__name__}:half_life)").chip(0, 0).state["2.weight"]
    assert ((fresh - made.state["2.weight"]) / scale).std() == pytest.approx(0.01, rel=0.1)
    aged = programme(OWN).chip(0, 0).state["2.weight"]
    assert torch.allclose(aged, fresh / 4), "the same dice, two half-lives later"
    repaired = programme(OWN, compensate="scalar").chip(0, 0).state["2.weight"]
    assert torch.allclose(repaired, fresh, rtol=1e-5)


def test_a_law_of_ones_own_is_in_the_text_by_its_code() -> None:
    spec = npf.noise.resolved(parse(OWN))
    assert str(spec).startswith(f"device({__name__}:half_life, time=2h, file=c")
    assert parse(str(spec)) == spec
    assert spec.at_times([0.0])[0].family == spec.family


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"device({__name__}:fails, time=1h)", r"must return a tensor \(64, 9\), got \(1, 9\)$"),
        (f"device({__name__}:missing, time=1h)", "has no function 'missing'$"),
        ("device(nowhere.at_all:law, time=1h)", "cannot import 'nowhere.at_all'"),
    ],
)
def test_a_law_that_does_not_work_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.noise.resolved(parse(text))


def test_faults_of_devices_need_devices() -> None:
    with pytest.raises(ValueError, match=r"dead_row\(0.1\) needs devices that come as a file: "):
        programme(f"{OWN} + dead_row(0.1)").chip(0, 0)
