"""Training: the schedule, the bit-exact resume, the card."""

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from noiseproof.data.datasets import open_dataset
from noiseproof.data.splits import Boxes, Source, Split
from noiseproof.models.checkpoint import file_sha256, fill, load_state, read_card
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.recipes import USUAL, Plan, Recipe
from noiseproof.tasks.table import TASKS
from noiseproof.training import loop as training
from noiseproof.training.loop import Progress, train
from noiseproof.training.resume import finished

PLAN = Plan(
    model="resnet8",
    norm="batch_l1",
    norm_where="all",
    recipe=Recipe(epochs=2, batch_size=64),
    seed=5,
)


def digits() -> Source:
    return open_dataset("digits")


# --- the run --------------------------------------------------------------------------------------


def test_a_run_leaves_weights_and_a_card_that_agree(tmp_path: Path) -> None:
    seen: list[Progress] = []
    card = train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append)
    weights = tmp_path / "weights.safetensors"
    assert read_card(tmp_path) == card
    assert card.sha256 == file_sha256(weights)
    assert (card.model, card.norm, card.seed, card.epochs_done) == ("resnet8", "batch_l1", 5, 2)
    model = training._build(PLAN, digits())
    fill(model, load_state(weights), name="resnet8")
    accuracy = training.clean_result(model, digits().read("test"), digits().scale).score
    assert accuracy == card.clean_accuracy
    assert (card.task, card.clean_scores) == ("classify", {"accuracy": accuracy})
    assert accuracy > 0.5  # two epochs already learn most digits
    assert [p.step for p in seen] == [*range(1, 22)] * 2
    assert seen[-1].seconds_left == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["weights.json", "weights.safetensors"]


def test_the_same_plan_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    one = train(PLAN, digits(), tmp_path / "one", device="cpu")
    two = train(PLAN, digits(), tmp_path / "two", device="cpu")
    other = train(replace(PLAN, seed=6), digits(), tmp_path / "other", device="cpu")
    assert one.sha256 == two.sha256 != other.sha256


def test_a_single_image_left_over_is_left_out() -> None:
    order = torch.arange(10)
    assert [len(part) for part in training._batches(order, 4)] == [4, 4, 2]
    assert [len(part) for part in training._batches(order, 3)] == [3, 3, 3]
    assert [len(part) for part in training._batches(order[:1], 3)] == [1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    card = train(PLAN, digits(), tmp_path, device="cpu")
    seen: list[Progress] = []
    assert train(PLAN, digits(), tmp_path, device="cpu", on_progress=seen.append) == card
    assert not seen


KILLED = """
import sys
import torch
torch.set_num_threads(1)
from noiseproof.specs import recipes
from noiseproof.training import loop as training
from noiseproof.data.datasets import open_dataset
recipe = recipes.Recipe(epochs=4, batch_size=64)
plan = recipes.Plan(model="torchvision:squeezenet1_1", norm=None, norm_where="all", recipe=recipe,
                     seed=5)
plan = recipes.Plan(**{**plan.__dict__, "model": "killed_model:net"})
def report(state):
    print(state.epoch, state.step, flush=True)
training.train(plan, open_dataset("digits"), sys.argv[1], device="cpu", on_progress=report)
"""
MODEL = """
from torch import Tensor, nn
def net():  # dropout draws from torch's default generator, which has to be the same again too
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(),
                         nn.Dropout(0.3), nn.Linear(32, 10))
"""


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "killed_model.py").write_text(MODEL)
    command = [sys.executable, "-c", KILLED]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    with subprocess.Popen(
        [*command, "killed"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.split() == ["3", "7"]:  # in the middle of the third epoch
                running.send_signal(signal.SIGKILL)
                break
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    again = subprocess.run(
        [*command, "killed"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert again.stdout.startswith("3 1\n"), "it should go on after the last whole epoch"
    names = [tmp_path / run / "weights.safetensors" for run in ("whole", "killed")]
    assert file_sha256(names[0]) == file_sha256(names[1])


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_zero() -> None:
    model = nn.Linear(2, 2)
    plan = replace(PLAN, recipe=Recipe(epochs=10, lr=0.4))
    fitting = training._Fitting(model, plan, 1280)
    rates = []
    for _ in range(100):
        rates.append(fitting.optimizer.param_groups[0]["lr"])
        fitting.optimizer.step()
        fitting.schedule.step()
    assert max(rates) == pytest.approx(0.4, rel=1e-3)
    assert rates.index(max(rates)) == 30 - 1 or rates.index(max(rates)) == 30
    assert rates[0] == pytest.approx(0.4 / 25)
    assert rates[-1] < 0.4 / 1000
    group = fitting.optimizer.param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)


# --- scenes ---------------------------------------------------------------------------------------


def scenes(task: str, *, n: int = 6, top: int = 1) -> Source:
    """Bright rectangles on black, 48 x 64 pixels, with a mask or a box each."""
    images = torch.zeros(n, 3, 48, 64, dtype=torch.uint8)
    masks = torch.zeros(n, 48, 64, dtype=torch.uint8)
    boxes = []
    for i in range(n):
        images[i, :, 8 : 30 + i, 10 : 40 + i] = 250
        masks[i, 8 : 30 + i, 10 : 40 + i] = top
        corners = torch.tensor([[10, 8, 40 + i, 30 + i]])
        boxes.append(Boxes(corners=corners, classes=torch.tensor([top])))
    split = Split(inputs=images, labels=masks if task == "segment" else tuple(boxes))
    return Source(
        name=f"{task}-rectangles",
        classes=2,
        channels=3,
        scale=UNSCALED,
        shift=0,
        flip=True,
        read=lambda part: split.part(0, n - 2) if part == "train" else split.part(n - 2, n),
        task=task,
    )


def scene_plan(model: str, **options: int | float) -> Plan:
    recipe = Recipe(**{"epochs": 2, "batch_size": 2, "lr": 0.01, **options})
    return Plan(model=model, norm=None, norm_where="all", recipe=recipe, seed=1)


SCENES = [("detect", "fcos"), ("detect", "faster_rcnn"), ("segment", "lraspp")]


@pytest.mark.parametrize(("task", "model"), SCENES)
def test_a_run_on_scenes_killed_between_epochs_ends_in_the_same_weights(
    tmp_path: Path, task: str, model: str
) -> None:
    class KilledError(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KilledError

    seen: list[Progress] = []
    whole = train(scene_plan(model), scenes(task), tmp_path / "whole", device="cpu")
    with pytest.raises(KilledError):
        train(scene_plan(model), scenes(task), tmp_path / "two", device="cpu", on_progress=kill)
    torch.rand(5)  # what happens between the parts is none of the run's business
    again = train(
        scene_plan(model), scenes(task), tmp_path / "two", device="cpu", on_progress=seen.append
    )
    assert [(p.epoch, p.step) for p in seen] == [(2, 1), (2, 2)]
    assert again.sha256 == whole.sha256
    other = replace(scene_plan(model), recipe=replace(scene_plan(model).recipe, augment=False))
    assert train(other, scenes(task), tmp_path / "plain", device="cpu").sha256 != whole.sha256
    assert all(math.isnan(p.accuracy) == (task == "detect") for p in seen)


@pytest.mark.parametrize(("task", "model"), SCENES[1:])
def test_the_card_of_scenes_says_task_and_scores(tmp_path: Path, task: str, model: str) -> None:
    card = train(scene_plan(model, epochs=1), scenes(task), tmp_path, device="cpu")
    assert read_card(tmp_path) == card
    assert (card.task, card.clean_accuracy, card.clean_images) == (task, None, 2)
    names = {"detect": ["mAP", "mAP@.5"], "segment": ["mIoU", "pixel accuracy"]}[task]
    assert list(card.clean_scores) == names
    built = training._build(scene_plan(model), scenes(task))
    fill(built, load_state(tmp_path), name=model)
    found = training.clean_result(built, scenes(task).read("test"), UNSCALED)
    assert {names[0]: found.score, **found.details} == card.clean_scores


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), SCENES[:1] + SCENES[2:])
def test_a_network_learns_to_find_bright_rectangles(tmp_path: Path, task: str, model: str) -> None:
    plan = scene_plan(model, epochs=40, batch_size=4, lr=0.02)
    card = train(plan, scenes(task, n=18), tmp_path, device="cpu")
    assert card.clean_scores[TASKS[task].metric] > 0.6


@pytest.mark.parametrize(
    ("task", "model", "sentence"),
    [
        ("detect", "lraspp", "a detector must return a dictionary of boxes"),
        ("detect", "resnet8", "a detector must return a dictionary of boxes"),
        ("segment", "fcos", "a segmenter must return logits"),
        ("segment", "resnet8", "a segmenter must return logits"),
    ],
)
def test_a_network_for_another_task_is_refused(
    tmp_path: Path, task: str, model: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        train(scene_plan(model), scenes(task), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("task", "model"), SCENES)
def test_scene_labels_that_the_network_does_not_know_are_refused(
    tmp_path: Path, task: str, model: str
) -> None:
    with pytest.raises(ValueError, match="the labels go up to 2, the network knows 2 classes"):
        train(scene_plan(model), scenes(task, top=2), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_usual_recipe_of_a_task_gives_way_to_what_is_asked() -> None:
    assert Recipe.usual("classify") == Recipe()
    assert set(USUAL) == set(TASKS)
    for task in ("detect", "segment"):
        usual = Recipe.usual(task)
        assert (usual.epochs, usual.batch_size) == (120, 8)
        changed = Recipe.usual(task, epochs=3, lr=None, batch_size=None)
        assert changed == replace(usual, epochs=3)


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
    monkeypatch.setitem(training.LOOK_EVERY, "cpu", 10)
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
