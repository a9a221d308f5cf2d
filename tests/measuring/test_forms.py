"""Every command on networks and data of every form: what it says is what a plain script says."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.inputs import as_call, map_tensors
from noiseproof.data.splits import Split
from noiseproof.network.state import places, state_of, with_state
from noiseproof.noise.perturbation import perturb
from noiseproof.results.store import Store
from noiseproof.specs.noise import Spec, parse
from noiseproof.specs.streams import parse_stream
from noiseproof.tasks.table import TASKS
from tests.measuring.forms import FORMS, Form

NOISE = parse("gaussian(0.6)")
NAMED = npf.measuring.Subject(task="off", data="numbers")
formed = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Some of the networks have nothing to recalibrate; torch's nested tensors are a prototype."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")
        yield


def own(form: Form) -> dict[str, Any]:
    return {} if form.score is None else {"score": form.score, "subject": NAMED}


def plain_score(form: Form, model: nn.Module, test: Split) -> float:
    """The score of a module that is simply called."""
    if form.score is not None:
        return form.score(model, test)

    def forward(x: Any) -> Any:
        args, kwargs = as_call(map_tensors(x, torch.clone))
        with torch.no_grad():
            return model(*args, **kwargs)

    return TASKS[test.task].evaluate(forward, test, 8).score


def literal(net: nn.Module, spec: Spec, chip: int, only: str | None = None) -> nn.Module:
    """The network with the weights of that chip, noisy in one layer only where one is named."""
    state = state_of(net)
    names = None if only is None else {n for n in state if n.rpartition(".")[0] == only}
    return with_state(net, perturb(state, places(net), spec, only=names, seed=0, chip=chip))


@formed
def test_measure_says_what_a_plain_script_says(form: Form) -> None:
    net, test = form.ready()
    curve = npf.measure(net, test, NOISE.at([0, 0.6]), chips=3, batch_size=8, **own(form))
    clean = plain_score(form, net, test)
    assert curve.clean.score == pytest.approx(clean, abs=1e-6)
    assert curve.points[0].by_chip == pytest.approx([clean] * 3, abs=1e-6)
    expected = [plain_score(form, literal(net, NOISE, chip), test) for chip in range(3)]
    assert curve.points[1].by_chip == pytest.approx(expected, abs=1e-6)
    assert any(abs(one - clean) > 1e-3 for one in expected)


@formed
def test_sensitivity_says_what_a_plain_loop_over_layers_says(form: Form, tmp_path: Path) -> None:
    net, test = form.ready()
    with Store(tmp_path / "r.db") as store:
        npf.rank_layers(
            net, test, NOISE, chips=3, keep=(0,), batch_size=8, store=store, **own(form)
        )
        rows = [row for row in store.rows() if row.part.startswith("only:layer:")]
    layers = {row.part.removeprefix("only:layer:") for row in rows}
    # Attention is one layer for the ranking, which a plain loop over modules has in two.
    for row in rows:
        layer = row.part.removeprefix("only:layer:")
        if not layer.endswith("self_attn"):
            chip = literal(net, NOISE, row.chip, only="" if layer == "." else layer)
            assert row.score == pytest.approx(plain_score(form, chip, test), abs=1e-6), layer
    assert len(rows) == 3 * len(layers)


@formed
def test_sensitivity_finds_a_design_by_itself(form: Form) -> None:
    net, test = form.ready()
    said: list[str] = []
    ranking = npf.rank_layers(net, test, NOISE, keep=(0, 1), on_design=said.append, **own(form))
    assert said[0].startswith(f"design {ranking.first.design}: ")
    assert len(ranking.groups) >= 1


@formed
def test_explain_scores_the_chips_that_measure_scores(form: Form) -> None:
    net, test = form.ready()
    found = npf.explain(net, test if form.score is None else test.inputs, NOISE, chips=2)
    assert len(found.points) >= 1
    if form.score is None:
        curve = npf.measure(net, test, NOISE, chips=2)
        assert found.off.scores is not None
        assert found.off.scores.tolist() == pytest.approx(curve.points[0].by_chip, abs=1e-6)


@formed
@pytest.mark.parametrize("way", ["pooled(16)", "match(16)"])
def test_a_recalibrated_chip_in_ones_own_hands_scores_what_measure_says(
    form: Form, way: str
) -> None:
    net, test = form.ready()
    options = {"chips": 1, "recalibrate": way, "calibration": test.inputs, **own(form)}
    (score,) = npf.measure(net, test, NOISE, **options).points[0].by_chip
    chip = npf.manufacture(net, NOISE, seed=0, chip=0)
    images = test.part(0, 16).inputs
    fixed = npf.recalibrate(chip, images, estimator=way, clean=net if "match" in way else None)
    assert score == pytest.approx(plain_score(form, fixed, test), abs=1e-6)


@formed
def test_without_noise_a_stream_scores_what_the_clean_network_does(form: Form) -> None:
    net, test = form.ready()
    if form.score is not None:
        pytest.skip("a stream needs a task")
    changes = parse_stream("redraw(every=20)")
    (trace,) = npf.track(net, test, NOISE.at(1e-9), changes, chips=2, images=20, window=20)
    clean = plain_score(form, net, test)
    assert [row.score for row in trace.rows] == pytest.approx([clean] * 2, abs=1e-4)


class Outside(nn.Module):
    """An encoder whose last tokens are padding, and what it leaves there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, norm=nn.LayerNorm(8)
        )

    def forward(self, x: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x, src_key_padding_mask=padding)
        return out


@pytest.mark.parametrize("left", [True, False])
def test_a_padded_encoder_is_the_same_watched_and_unwatched(left: bool) -> None:
    with npf.rng.seeded(0, "padded"):
        net = Outside().eval()
        x = torch.randn(4, 6, 8)
    padding = torch.arange(6)[None] >= torch.tensor([[6], [4], [2], [5]])
    padding = padding if left else padding.flip(1)
    state = npf.network.Chip(state_of(net))
    plain = npf.network.outputs(net, state, (x, padding))
    hook = net.body.layers[0].linear1.register_forward_hook(lambda *_: None)  # type: ignore[union-attr, operator]
    watched = npf.network.outputs(net, state, (x, padding))
    hook.remove()
    torch.testing.assert_close(watched, plain)
    assert net.body.use_nested_tensor
    assert not net.body.layers[-1]._forward_hooks  # type: ignore[union-attr]
