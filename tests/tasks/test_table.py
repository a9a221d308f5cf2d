"""What holds for every task: its facts, what it refuses, and its change of a batch."""

from typing import Any

import pytest
import torch
from torch import nn

from noiseproof.core.rng import seeded, stream
from noiseproof.data import Source, Split
from noiseproof.specs import catalog
from noiseproof.tasks.table import TASKS
from tests.tasks.toys import Fails, Says, boxes, detection, numbered

LOGITS = torch.zeros(3, 4)
VOID_MASKS = torch.full((2, 3, 5), 255)
NOTHING = detection(boxes())


def test_the_tasks_are_those_of_the_catalog() -> None:
    assert set(TASKS) == set(catalog.TASKS)
    assert all(task.name == name for name, task in TASKS.items())


def test_what_a_task_is_called_and_scores_stands_in_the_catalog_once() -> None:
    for name, task in TASKS.items():
        assert task.metric == catalog.metric_of(name) == catalog.TASKS[name].metric
        assert task.has_hits == catalog.has_hits(name) == (name == "classify")
        assert catalog.is_share(name) == (name != "regress")
    assert catalog.metric_of("package:score") == "score"
    assert not catalog.has_hits("package:score")
    assert not catalog.is_share("package:score")


def test_the_usual_batch_is_smaller_on_a_cpu_where_small_images_stay_in_its_caches() -> None:
    sizes = {name: (task.batch_size.cpu, task.batch_size.elsewhere) for name, task in TASKS.items()}
    assert sizes == {"classify": (50, 250), "detect": (8, 8), "regress": (50, 250)} | {
        "segment": (16, 16),
        "tokens": (8, 16),
    }
    assert TASKS["classify"].batch_size.on(torch.device("cpu")) == 50
    assert TASKS["classify"].batch_size.on(torch.device("cuda")) == 250


# --- what does not fit ---

CLASSES = Split(inputs=numbered(2), labels=torch.tensor([0, 4]))
MASKS = Split(inputs=numbered(2, 2, 2), labels=torch.tensor([[[0, 255], [4, 0]]] * 2))
BOXES = Split(inputs=numbered(2, 9, 9), labels=(boxes((0, 0, 5, 5), classes=[4]), boxes()))
NO_DETECTION = r"a detector must return a dictionary of boxes \(K, 4\), labels \(K,\) and scores"


@pytest.mark.parametrize(
    ("test", "output"),
    [
        (CLASSES, torch.zeros(2, 5)),
        (MASKS, torch.zeros(2, 5, 2, 2)),
        (MASKS, {"out": torch.zeros(2, 5, 1, 1)}),
        (BOXES, [NOTHING, detection(boxes((0, 0, 5, 5)))]),
        (BOXES, (NOTHING, NOTHING)),
    ],
)
def test_an_output_that_fits_is_let_through(test: Split, output: Any) -> None:
    TASKS[test.task].check(output, test)


@pytest.mark.parametrize(
    ("test", "output", "sentence"),
    [
        (CLASSES, torch.zeros(2, 4), "the labels go up to 4, the network knows 4 classes"),
        (CLASSES, torch.zeros(2, 5, 2, 2), r"a classifier must return logits \(N, C\)"),
        (CLASSES, {"out": torch.zeros(2, 5)}, r"a classifier must return logits \(N, C\)"),
        (CLASSES, [NOTHING] * 2, r"a classifier must return logits \(N, C\)"),
        (MASKS, torch.zeros(2, 4, 2, 2), "the labels go up to 4, the network knows 4 classes"),
        (MASKS, torch.zeros(2, 5), r"a segmenter must return logits \(N, C, H, W\)"),
        (MASKS, [NOTHING] * 2, r"a segmenter must return logits \(N, C, H, W\)"),
        (BOXES, torch.zeros(2, 5), NO_DETECTION),
        (BOXES, {"out": torch.zeros(2, 5, 2, 2)}, NO_DETECTION),
        (BOXES, [{"boxes": torch.zeros(0, 4)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "boxes": torch.zeros(0, 5)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "scores": torch.zeros(3)}], NO_DETECTION),
        (BOXES, [{**NOTHING, "labels": [1]}], NO_DETECTION),
    ],
)
def test_an_output_that_does_not_fit_the_labels_is_one_sentence(
    test: Split, output: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        TASKS[test.task].check(output, test)


@pytest.mark.parametrize(
    ("task", "model", "labels", "sentence"),
    [
        ("detect", Says([]), (), "a detector must return its losses in training, as torchvision"),
        ("segment", Says(LOGITS), VOID_MASKS, "a segmenter must return logits"),
        (
            "classify",
            Fails(RuntimeError("odd\nline")),
            torch.zeros(2, dtype=torch.int64),
            r"cannot train on .*: odd$",
        ),
        ("segment", Fails(AssertionError()), VOID_MASKS, "cannot train on .*: AssertionError$"),
        ("detect", Fails(IndexError("out of range")), (), r"shape \(2, 3, 3, 5\): out of range"),
        ("detect", Fails(TypeError("takes 1")), (), "cannot train on inputs .*: takes 1"),
    ],
)
def test_a_network_that_cannot_be_taught_is_one_sentence(
    task: str, model: nn.Module, labels: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        TASKS[task].loss(model, torch.zeros(2, 3, 3, 5), labels)


@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_is_mirrored_where_the_data_set_says_so(flip: bool) -> None:
    ramp = (9 * torch.arange(24)).to(torch.uint8).expand(12, 3, 24, 24)
    source = Source(
        name="own", classes=2, channels=3, scale=catalog.UNSCALED, shift=0, flip=flip,
        read=lambda split: batch,
    )  # fmt: skip
    for labels in (torch.zeros(12, dtype=torch.int64), torch.zeros(12, 24, 24, dtype=torch.uint8)):
        batch = Split(inputs=ramp, labels=labels)
        with seeded(0, "dice"):
            got = TASKS[batch.task].change(batch, source, stream(0, "dice"))
        falls = (got.inputs.float().diff(dim=3) < 0).float().mean((1, 2, 3)) > 0.5
        assert bool(falls.any()) == flip
