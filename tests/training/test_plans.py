"""Trainings that are refused, and those in half precision or one epoch at a time."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from noiseproof.data.splits import Split
from noiseproof.models.checkpoint import file_sha256, fill, load_state, read_card
from noiseproof.specs.recipes import Recipe
from noiseproof.training import loop as training
from noiseproof.training import progress
from noiseproof.training.loop import train
from noiseproof.training.progress import Progress
from noiseproof.training.resume import finished
from tests.training.plans import PLAN, digits

# --- what is refused ------------------------------------------------------------------------------


def test_a_folder_with_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    card = train(PLAN, digits(), tmp_path, device="cpu")
    for plan, difference in (
        (replace(PLAN, seed=9), "seed 5 there, 9 asked"),
        (replace(PLAN, norm="batch"), "norm batch_l1 there, batch asked"),
        (replace(PLAN, recipe=replace(PLAN.recipe, lr=0.2)), "lr 0.1 there, 0.2 asked"),
    ):
        with pytest.raises(ValueError, match=f"holds another run .{difference}.: choose another"):
            train(plan, digits(), tmp_path, device="cpu")
    assert read_card(tmp_path) == card


def test_a_loss_that_is_no_longer_finite_stops_the_run(tmp_path: Path) -> None:
    plan = replace(PLAN, norm="none", recipe=replace(PLAN.recipe, lr=1e6))
    with pytest.raises(ValueError, match="the loss is no longer finite in epoch 1: try a smaller"):
        train(plan, digits(), tmp_path, device="cpu")
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_damaged_resume_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "resume.pt").write_bytes(b"PK half a file")
    with pytest.raises(
        ValueError, match=r"cannot resume from .*resume.pt: delete it to start over"
    ):
        train(PLAN, digits(), tmp_path, device="cpu")


def test_a_foreign_resume_file_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "resume.pt")
    with pytest.raises(
        ValueError, match=r"cannot resume from .*resume.pt: delete it to start over"
    ):
        train(PLAN, digits(), tmp_path, device="cpu")


def test_auxiliary_heads_learn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.auxiliary = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, None]:
            if not self.training:
                return self.main(x.flatten(1))
            return self.main(x.flatten(1)), self.auxiliary(x.flatten(1)), None

    model = TwoHeads()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    monkeypatch.setattr(training, "_build", lambda plan, source: model)
    card = train(PLAN, digits(), tmp_path, device="cpu")
    assert card.clean_accuracy is not None
    assert card.clean_accuracy > 0.5
    assert all(not torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_training_labels_that_the_network_does_not_know_are_refused(tmp_path: Path) -> None:
    source = digits()
    bad = replace(source, classes=9)
    with pytest.raises(ValueError, match="the labels go up to 9, the network knows 9 classes"):
        train(PLAN, bad, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_card_of_other_weights_is_not_believed(tmp_path: Path) -> None:
    train(PLAN, digits(), tmp_path, device="cpu")
    card = json.loads((tmp_path / "weights.json").read_text())
    (tmp_path / "weights.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    assert read_card(tmp_path) is None
    (tmp_path / "weights.json").write_text(json.dumps({**card, "classes": "many"}))
    with pytest.raises(ValueError, match=r"weights.json: classes: Input should be a valid integer"):
        read_card(tmp_path)
    (tmp_path / "weights.json").write_text("{")
    with pytest.raises(ValueError, match=r"weights.json is not JSON"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", 0, "epochs must be >= 1, got 0"),
        ("batch_size", 0, "batch_size must be >= 1, got 0"),
        ("lr", float("nan"), "lr must be finite and >= 0, got nan"),
        ("momentum", -0.1, "momentum must be finite and >= 0, got -0.1"),
        ("weight_decay", float("inf"), "weight_decay must be finite and >= 0, got inf"),
    ],
)
def test_a_recipe_is_checked_when_it_is_made(field: str, value: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Recipe(**{field: value})


def test_looking_less_often_at_the_loss_changes_nothing_but_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is on a GPU, where a look waits until the device is done."""
    often: list[Progress] = []
    seldom: list[Progress] = []
    plan = replace(PLAN, recipe=replace(PLAN.recipe, epochs=2))
    first = train(plan, digits(), tmp_path / "often", device="cpu", on_progress=often.append)
    monkeypatch.setitem(progress.LOOK_EVERY, "cpu", 10)
    second = train(plan, digits(), tmp_path / "seldom", device="cpu", on_progress=seldom.append)
    assert first.sha256 == second.sha256
    steps = often[0].steps
    told = sorted({*range(10, steps + 1, 10), steps})
    assert [(state.epoch, state.step) for state in seldom] == [(e, s) for e in (1, 2) for s in told]
    same = [state for state in often if state.step in told]
    assert [(s.loss, s.accuracy) for s in seldom] == [(s.loss, s.accuracy) for s in same]
    diverging = replace(PLAN, recipe=replace(PLAN.recipe, lr=1e30))
    with pytest.raises(training.NotFiniteError, match="no longer finite in epoch 1"):
        train(diverging, digits(), tmp_path / "diverging", device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_training_on_a_gpu_ends_in_a_network_that_works_on_the_cpu(tmp_path: Path) -> None:
    started = time.perf_counter()
    card = train(replace(PLAN, recipe=Recipe(epochs=10)), digits(), tmp_path, device="cuda")
    assert card.clean_accuracy > 0.9, f"after {time.perf_counter() - started:.0f} s"
    model = training._build(PLAN, digits())
    fill(model, load_state(tmp_path), name="resnet8")
    test: Split = digits().read("test")
    assert training.clean_result(model, test, digits().scale).score == pytest.approx(
        card.clean_accuracy, abs=2 / len(test)
    )


# --- bfloat16, half precision, one epoch at a time ------------------------------------------------


def test_half_saves_kernels_as_float16_and_scores_the_rounded_ones(tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=replace(PLAN.recipe, half=True))
    card = train(plan, digits(), tmp_path / "half", device="cpu")
    whole = train(PLAN, digits(), tmp_path / "whole", device="cpu")
    state, exact = load_state(tmp_path / "half"), load_state(tmp_path / "whole")
    assert state.keys() == exact.keys()
    for name, tensor in state.items():
        is_kernel = tensor.dim() > 1
        assert tensor.dtype == (torch.float16 if is_kernel else exact[name].dtype), name
        expected = exact[name].half() if is_kernel else exact[name]
        assert torch.equal(tensor, expected), f"{name}: rounded once, after the same training"
    model = training._build(plan, digits())
    fill(model, state, name="resnet8")
    found = training.clean_result(model, digits().read("test"), digits().scale)
    assert card.clean_scores == {"accuracy": found.score}
    assert (card.recipe["half"], whole.recipe["half"]) == (True, False)
    assert card.sha256 == file_sha256(tmp_path / "half" / "weights.safetensors") != whole.sha256


def test_the_score_on_the_card_is_of_the_rounded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two scores that are told apart: the network is asked at the moment of scoring."""
    seen: list[bool] = []
    real = training.clean_result

    def asked(model: nn.Module, *args: object) -> object:
        kernels = [p for p in model.parameters() if p.dim() > 1]
        seen.append(all(torch.equal(p, p.half().float()) for p in kernels))
        return real(model, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "clean_result", asked)
    for half in (True, False):
        plan = replace(PLAN, recipe=replace(PLAN.recipe, epochs=1, half=half))
        train(plan, digits(), tmp_path / str(half), device="cpu")
    assert seen == [True, False]


def test_bfloat16_is_used_where_it_is_asked_for(tmp_path: Path) -> None:
    """None is float32 on a CPU; weights and optimiser stay in float32 in any case."""
    shas = {}
    for bf16 in (True, False, None):
        plan = replace(PLAN, recipe=replace(PLAN.recipe, epochs=1, bf16=bf16))
        card = train(plan, digits(), tmp_path / str(bf16), device="cpu")
        state = load_state(tmp_path / str(bf16))
        assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}
        assert all(bool(t.isfinite().all()) for t in state.values())
        assert card.recipe["bf16"] is bf16
        shas[bf16] = card.sha256
    assert shas[None] == shas[False] != shas[True]


def test_bfloat16_learns_the_digits_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=replace(PLAN.recipe, bf16=True, half=True))
    card = train(plan, digits(), tmp_path / "whole", device="cpu")
    assert card.clean_accuracy is not None
    assert card.clean_accuracy > 0.5
    assert training.advance(plan, digits(), tmp_path / "two", epochs=1, device="cpu") is None
    again = training.advance(plan, digits(), tmp_path / "two", epochs=1, device="cpu")
    assert again is not None
    assert again.sha256 == card.sha256


def test_one_epoch_at_a_time_is_the_whole_training_bit_for_bit(tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=replace(PLAN.recipe, epochs=3))
    whole = train(plan, digits(), tmp_path / "whole", device="cpu")
    out = tmp_path / "parts"
    for epoch in range(2):
        assert training.advance(plan, digits(), out, epochs=1, device="cpu") is None
        assert sorted(p.name for p in out.iterdir()) == ["resume.pt"], epoch
    card = training.advance(plan, digits(), out, epochs=1, device="cpu")
    assert card is not None
    assert (card.sha256, card.epochs_done) == (whole.sha256, 3)
    assert sorted(p.name for p in out.iterdir()) == ["weights.json", "weights.safetensors"]
    assert training.advance(plan, digits(), out, epochs=1, device="cpu") == card


def test_more_epochs_than_are_left_end_the_training(tmp_path: Path) -> None:
    card = training.advance(PLAN, digits(), tmp_path, epochs=99, device="cpu")
    assert card is not None
    assert card.epochs_done == 2


def test_a_card_from_before_there_was_bfloat16_is_of_a_finished_run(tmp_path: Path) -> None:
    card = train(PLAN, digits(), tmp_path, device="cpu")
    content = json.loads((tmp_path / "weights.json").read_text())
    for key in ("bf16", "half"):
        content["recipe"].pop(key)
    (tmp_path / "weights.json").write_text(json.dumps(content))
    older = finished(tmp_path, PLAN, digits())
    assert older is not None
    assert older.sha256 == card.sha256
    seen: list[Progress] = []
    assert train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append) == older
    assert seen == []
    for changed in ({"half": True}, {"bf16": True}):
        plan = replace(PLAN, recipe=replace(PLAN.recipe, **changed))
        with pytest.raises(
            ValueError, match=r"holds another run .(half|bf16) .* there, True asked"
        ):
            finished(tmp_path, plan, digits())


def test_a_kernel_beyond_float16_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight[0, 0] = 7e4  # float16 ends at 65504
    monkeypatch.setattr(training, "_build", lambda plan, source: model)
    plan = replace(PLAN, recipe=replace(PLAN.recipe, epochs=1, lr=1e-6, half=True))
    sentence = r"^1.weight does not fit float16: save it whole .half = false.$"
    with pytest.raises(ValueError, match=sentence):
        train(plan, digits(), tmp_path, device="cpu")
    assert not (tmp_path / "weights.safetensors").exists()
