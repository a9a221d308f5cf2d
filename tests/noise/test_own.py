"""Noise of the user's own: the function's chips, its code in the rows, and what it may not do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

import noiseproof as npf
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Split
from noiseproof.network.state import places, state_of
from noiseproof.noise.own import resolved
from noiseproof.noise.perturbation import perturb
from noiseproof.results.store import Store
from noiseproof.specs.noise import Own, Spec, parse
from noiseproof.study.keys import check_family


def shot(w: Tensor, generator: Generator, level: float) -> Tensor:
    return w + level * w.abs().sqrt() * torch.randn(w.shape, generator=generator)


def plain(w: Tensor, generator: Generator, level: float) -> Tensor:
    """What gaussian(level, reference=absolute) does."""
    return torch.addcmul(w, torch.randn(w.shape, generator=generator), torch.tensor(level))


def of(function: Callable[..., Any], level: float = 0.1) -> Spec:
    return Spec(stages=(Own(function=function, level=level),))  # type: ignore[arg-type]


def network() -> nn.Module:
    with seeded(0, "own"):
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))


def answered() -> Split:
    x = torch.randn(100, 6, generator=stream(0, "x"))
    with torch.no_grad():
        return Split(inputs=x, labels=network()(x).argmax(1))


def test_a_chip_is_the_function_of_each_kernel_under_named_dice() -> None:
    net = network()
    chip = perturb(state_of(net), places(net), of(shot), seed=3, chip=5)
    for name, w in state_of(net).items():
        wanted = w
        if name.endswith("weight"):
            wanted = shot(w, stream(3, 5, name, "own0"), 0.1)
        assert torch.equal(chip[name], wanted)


def test_it_stands_beside_other_stages_and_on_some_layers() -> None:
    net = network()
    spec = Spec(stages=(*parse("quantize(4)").stages, replace(of(shot).stages[0], where="name:2")))
    chip = perturb(state_of(net), places(net), spec, seed=0, chip=0)
    rounded = perturb(state_of(net), places(net), parse("quantize(4)"), seed=0, chip=0)
    assert torch.equal(chip["0.weight"], rounded["0.weight"])
    assert not torch.equal(chip["2.weight"], rounded["2.weight"])


@pytest.mark.parametrize("design", ["chips", "nested(20)"])
@pytest.mark.parametrize("way", [None, "match(20)"])
def test_it_is_measured_as_any_noise(design: str, way: str | None) -> None:
    options: dict[str, Any] = {"design": design, "chips": 4}
    if way is not None:
        options |= {"recalibrate": way, "calibration": answered().inputs}
    curve = npf.measure(network(), answered(), of(plain).at([0.2, 0.4]), **options)
    assert [point.level for point in curve.points] == [0.2, 0.4]
    assert len({row.score for point in curve.points for row in point.rows}) > 1


def test_it_is_ranked_on_chips_and_refused_for_each_image_alone() -> None:
    ranking = npf.rank_layers(network(), answered(), of(shot, 0.3))
    assert len(ranking.groups) == 2
    with pytest.raises(ValueError, match="per-image chips do not hold for own noise"):
        npf.measure(network(), answered(), of(shot), design="per-image")


def test_at_level_0_too_each_chip_is_measured() -> None:
    def always(w: Tensor, generator: Generator, level: float) -> Tensor:
        return w + torch.randn(w.shape, generator=generator)

    curve = npf.measure(network(), answered(), of(always, 0.0), chips=4)
    assert len({row.hits for row in curve.points[0].rows}) > 1


# --- code -----------------------------------------------------------------------------------------


def test_a_changed_function_is_measured_anew(tmp_path: Path) -> None:
    def scaled_by(factor: float) -> Callable[..., Tensor]:
        def noise(w: Tensor, generator: Generator, level: float) -> Tensor:
            return w + factor * level * torch.randn(w.shape, generator=generator)

        return noise

    named = npf.measuring.Subject(task="classify", data="numbers")
    texts = []
    with Store(tmp_path / "rows.db") as store:
        for factor in (1.0, 1.0, 4.0):  # the code is the same, what it takes from outside is not
            options: dict[str, Any] = {"chips": 2, "store": store, "subject": named}
            curve = npf.measure(network(), answered(), of(scaled_by(factor), 0.2), **options)
            texts.append(curve.points[0].rows[0].noise)
        assert len(store.rows()) == 1 + 2 * 2
    assert texts[0] == texts[1] != texts[2]
    assert parse(texts[0]).stages[0].kind == "own"


def test_a_code_that_is_not_the_functions_is_refused() -> None:
    (stage,) = resolved(of(shot)).stages
    assert isinstance(stage, Own)
    assert resolved(Spec(stages=(stage,))).stages == (stage,)
    old = replace(stage, code="c00000000")
    with pytest.raises(ValueError, match="is not the one of code c00000000 any more, but c"):
        resolved(Spec(stages=(old,)))


def test_reading_its_text_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    assert str(parse("own(trap:noise, level=0.1)")) == "own(trap:noise, level=0.1)"
    with pytest.raises(ValueError, match="a study runs no code that it names"):
        check_family("own(trap:noise, level=0.1)")


# --- what it may not do ---------------------------------------------------------------------------


def failing(w: Tensor, generator: Generator, level: float) -> Tensor:
    raise RuntimeError("no device\nmore")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (failing, "the noise tests.noise.test_own:failing failed: no device$"),
        (lambda w, g, level: w.flatten(), r"must return a tensor \(64, 9\), got \(576,\)$"),
        (lambda w, g, level: None, r"must return a tensor \(64, 9\), got NoneType$"),
        (lambda w, g, level: w / 0, "must return finite numbers, got others$"),
        (lambda w: w, "failed: .*takes 1 positional argument but 3 were given$"),
    ],
)
def test_a_wrong_function_is_one_sentence(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(network(), answered(), of(function), chips=2)


def test_what_it_writes_into_its_tensor_changes_no_other_chip() -> None:
    def writing(w: Tensor, generator: Generator, level: float) -> Tensor:
        return w.add_(level * torch.randn(w.shape, generator=generator))

    net = network()
    before = {name: tensor.clone() for name, tensor in state_of(net).items()}
    perturb(state_of(net), places(net), of(writing), seed=0, chip=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(net).items())


@pytest.mark.parametrize("name", ["shot", "a b:c", "a:", ":f", "a:b:c", "1a:b", ""])
def test_a_name_that_names_no_function_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"must be package.module:function, as in own\("):
        Own(function=name, level=0.1)
