"""Training on scenes: detectors and segmenters."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from noiseproof.data import Boxes, Source, Split
from noiseproof.models.checkpoint import fill, load_state, read_card
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.recipes import Plan, Recipe
from noiseproof.tasks.table import TASKS
from noiseproof.training import loop as training
from noiseproof.training.loop import train
from noiseproof.training.progress import Progress


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
    for task in ("detect", "segment"):
        usual = Recipe.usual(task)
        assert (usual.epochs, usual.batch_size) == (120, 8)
        changed = Recipe.usual(task, epochs=3, lr=None, batch_size=None)
        assert changed == replace(usual, epochs=3)
